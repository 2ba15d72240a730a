"""What each kind of database has to say for itself; ``sql.py`` knows the rest."""

from __future__ import annotations

import contextlib
import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, ClassVar

import sqlalchemy as sa

from sync_profiles.core.troubles import Trouble
from sync_profiles.core.types import Column, Kind
from sync_profiles.source.numerals import as_decimal, as_integer

Element = sa.ColumnElement[Any]
Names = tuple[str, ...]
NUMBERS = frozenset({Kind.INTEGER, Kind.DECIMAL, Kind.FLOAT})
CONNECT_TIMEOUT_S = 10


@dataclasses.dataclass(frozen=True)
class Described:
    """What the catalogue says of a table or view; a query has columns only.

    ``unique``: column sets of which no two rows agree in all non-NULL values. ``base``: a table, not a view.
    ``null_keys``: the database lets NULL into its primary keys.
    """

    columns: tuple[Column, ...]
    schema: str | None = None
    primary_key: Names = ()
    unique: tuple[Names, ...] = ()
    base: bool = False
    null_keys: bool = False


@dataclasses.dataclass(frozen=True)
class Place:
    """A column to walk along: how it is ordered and compared, and how its value is read to go on from there."""

    column: Column
    element: Element
    selected: Element


@dataclasses.dataclass(frozen=True)
class Extent:
    """Rows to be counted: ``rows`` selects them; ``table`` is given when they are all of a table's."""

    rows: sa.Select[Any]
    table: str | None
    schema: str | None


class Dialect(ABC):
    """One kind of database: connecting, catalogue, raw forms, arithmetic on a cursor, meaning of errors."""

    name: ClassVar[str]
    """For labels and identities: the same for everything that speaks the same protocol."""
    port: ClassVar[int | None] = None
    mysql_syntax: ClassVar[bool] = False
    row_versions: ClassVar[bool] = False
    """Whether a base table's rows may say which transaction wrote them (see ``versions.py``)."""
    answers_meanwhile: ClassVar[bool] = True
    """Whether it is another process that works at an answer, while this one does something else."""

    # --- connecting ------------------------------------------------------------------------------------------------

    @abstractmethod
    def engine(self, url: sa.URL, statement_timeout_s: float) -> sa.Engine:
        """An engine whose sessions are read only, in UTC, with a time limit; each statement its own transaction."""

    def transaction(self, connection: sa.Connection) -> contextlib.AbstractContextManager[Any]:  # noqa: ARG002 - for others
        """What surrounds one statement on a connection that forgets its session; nothing otherwise."""
        return contextlib.nullcontext()

    @abstractmethod
    def trouble(self, error: BaseException) -> Trouble:
        """What the driver's own exception means."""

    def recover(self, error: BaseException, connection: sa.Connection) -> bool:  # noqa: ARG002 - for others
        """Whether the connection was changed so that the same statement passes now."""
        return False

    # --- catalogue -------------------------------------------------------------------------------------------------

    @abstractmethod
    def tables(self, connection: sa.Connection, schema: str | None) -> Sequence[str]:
        """Names of tables and views that can be named without a schema, or those of ``schema``."""

    @abstractmethod
    def describe(self, connection: sa.Connection, table: str, schema: str | None) -> Described:
        """A table or view that exists."""

    @abstractmethod
    def query_columns(self, connection: sa.Connection, statement: str) -> tuple[Column, ...]:
        """Columns of a query, in its order, found without reading rows."""

    # --- values ----------------------------------------------------------------------------------------------------

    @abstractmethod
    def raw(self, element: Element, column: Column) -> Element:
        """What to select so that the value arrives in the raw form of its kind."""

    def place(self, element: Element, column: Column) -> Place:
        """How to walk along a column of a key."""
        return Place(column, element, element)

    @abstractmethod
    def bound(self, value: Any, column: Column) -> Any:
        """A parameter to compare with a place: from what was selected there, or from its text.

        None when no row can hold such a value.
        """

    @abstractmethod
    def text(self, element: Element, column: Column) -> Element:
        """The text of a value of kind TEXT, INTEGER or UUID, as it is sent to Mixpanel."""

    @abstractmethod
    def sha256(self, text: Element) -> Element:
        """Hash of a text's UTF-8 bytes, as lower-case hex."""

    @abstractmethod
    def hexadecimal(self, element: Element) -> Element:
        """Bytes as lower-case hex."""

    @abstractmethod
    def json_text(self, element: Element, column: Column, path: Sequence[str]) -> Element | None:
        """The scalar at ``path`` in a JSON column as text; None when that can fail on some row."""

    # --- the cursor ------------------------------------------------------------------------------------------------

    @abstractmethod
    def newest(self, element: Element, column: Column) -> Element:
        """The largest value of the cursor as text or number, and where it is a time, not beyond now."""

    @abstractmethod
    def ahead(self, element: Element, column: Column) -> Element:
        """Whether the largest value of the cursor is a time beyond now; numbers are judged by whoever asked."""

    @abstractmethod
    def epoch(self) -> Element:
        """The database's now in unix seconds."""

    def number(self, text: str, column: Column) -> int | Decimal | None:
        """A cursor's text as the number it is; None when the column does not count."""
        if column.kind not in NUMBERS:
            return None
        return as_integer(text) if column.kind is Kind.INTEGER else as_decimal(text)

    @abstractmethod
    def earlier(self, lower: Any, column: Column, lookback_s: float) -> Any:
        """``lower`` moved back, computed by the database; ``lower`` as it is where no time can be told from it."""

    # --- size ------------------------------------------------------------------------------------------------------

    @abstractmethod
    def estimate(self, connection: sa.Connection, extent: Extent) -> int | None:
        """About how many rows there are; None when that is not cheap to know."""
