"""What was found out about a database before there is a configuration: values for ``proposal``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from sync_profiles.core.problems import ValueProblem
from sync_profiles.core.records import flaw
from sync_profiles.core.sampling import TEXT_BYTES_MAX
from sync_profiles.core.types import Column, Kind, Row
from sync_profiles.core.values import conversion

_TEXTS = frozenset({Kind.TEXT, Kind.ANY})


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A table or view as the catalogue has it; ``unique``: column sets of which no two rows agree."""

    name: str
    schema: str | None = None
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()


class Look(msgspec.Struct, frozen=True):
    """What the first rows hold in a column, counted. ``problem`` is what is wrong with those that cannot be sent.

    ``objects``: every text that is there is a JSON object or array.
    """

    nulls: int = 0
    blanks: int = 0
    longs: int = 0
    faulty: int = 0
    problem: str = ""
    objects: bool = False


class Link(msgspec.Struct, frozen=True):
    """A table between users and what they belong to: ``between.(to_user)`` -> user, ``between.(to_other)`` -> other.

    ``other_key`` is the column of ``other`` it points to, ``label`` the column with its name.
    """

    between: str
    to_user: str
    to_other: str
    other: str
    other_key: str
    label: str


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """One table and what surrounds it.

    ``dialect`` is "postgresql", "mysql" or "sqlite". ``rows`` is an estimate, None when it is not known. ``looks`` are
    of the first ``sampled`` rows, and there are ``more``. ``row_versions``: PostgreSQL's xmin finds its changes.
    ``stamped_by`` is what sets the change column in the database, None: nothing that could be seen. ``attributes`` are
    the names in a table that keeps one attribute a row.
    """

    dialect: str
    table: Table
    rows: int | None = None
    sampled: int = 0
    more: bool = False
    looks: Mapping[str, Look] = {}
    row_versions: bool = False
    stamped_by: Literal["trigger", "column"] | None = None
    links: tuple[Link, ...] = ()
    attributes: tuple[str, ...] = ()

    @property
    def size(self) -> str:
        """How many rows there are, in words: exact where all were seen, "" where nobody knows."""
        if not self.more:
            return "1 row" if self.sampled == 1 else f"{self.sampled:,} rows"
        return "" if self.rows is None else f"about {self.rows:,} rows"

    def look(self, column: str) -> Look:
        """What is known of a column's values."""
        return self.looks.get(column, Look())


def looked_at(columns: Sequence[Column], rows: Sequence[Row]) -> dict[str, Look]:
    """What rows, in the raw forms of their columns, hold."""
    return {column.name: _look(column, [row[index] for row in rows]) for index, column in enumerate(columns)}


def _look(column: Column, values: Sequence[Any]) -> Look:
    present = [value for value in values if value is not None]
    texts = [value for value in present if isinstance(value, str)] if column.kind in _TEXTS else []
    problems = [problem for problem in map(_judging(column), present) if problem]
    return Look(
        nulls=len(values) - len(present),
        blanks=sum(not text.strip() for text in texts),
        longs=sum(len(text.encode("utf-8", "replace")) > TEXT_BYTES_MAX for text in texts),
        faulty=len(problems),
        problem=problems[0] if problems else "",
        objects=bool(texts) and all(_is_object(text) for text in texts) and len(texts) == len(present),
    )


def _judging(column: Column) -> Any:
    convert = conversion(column.kind, None)

    def problem(raw: Any) -> str | None:
        try:
            found = flaw((convert.sent or convert.canonical)(raw))
        except ValueProblem as error:
            found = error
        return found.text if found is not None else None

    return problem


def _is_object(text: str) -> bool:
    if text.strip()[:1] not in ("{", "["):
        return False
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return False
    return True
