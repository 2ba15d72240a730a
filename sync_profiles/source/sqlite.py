"""SQLite: opened read only; declared types are hints, stored values have the last word."""

from __future__ import annotations

import hashlib
import sqlite3
import time
import urllib.parse
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from sync_profiles.core.troubles import Trouble
from sync_profiles.core.types import Column, Kind
from sync_profiles.source.dialect import Described, Dialect, Element, Extent
from sync_profiles.source.numerals import as_decimal, as_integer, encodes
from sync_profiles.source.statements import query_shape

BUSY_TIMEOUT_S = 30
STEPS_BETWEEN_LOOKS = 100_000
"""How many instructions of SQLite's machine pass between two looks at the clock."""
_WORDS = (  # the first that is part of a declared type
    ("BOOL", Kind.BOOLEAN),
    ("DATETIME", Kind.DATETIME),
    ("TIMESTAMP", Kind.DATETIME),
    ("DATE", Kind.DATE),
    ("TIME", Kind.TIME),
    ("JSON", Kind.JSON),
    ("INT", Kind.INTEGER),  # from here on by SQLite's own rules of affinity
    ("CHAR", Kind.TEXT),
    ("CLOB", Kind.TEXT),
    ("TEXT", Kind.TEXT),
    ("BLOB", Kind.BYTES),
    ("REAL", Kind.FLOAT),
    ("FLOA", Kind.FLOAT),
    ("DOUB", Kind.FLOAT),
)
_AWAY = frozenset({5, 6, 10, 15})  # BUSY, LOCKED, IOERR, PROTOCOL
_HOT = frozenset({264, 520, 776})
"""READONLY_RECOVERY, _CANTLOCK and _ROLLBACK: a journal that is just being dealt with, or looks so for a moment, since
a reader that finds the journal of a transaction that ends right now takes it for one that was left behind
(``hasHotJournal`` in SQLite's pager.c); a writer, if only the next one, settles that."""
_SLOW = frozenset({9})  # INTERRUPT
_REFUSED = frozenset({3, 23})  # PERM, AUTH
_TABLES = (
    "SELECT name FROM {schema}sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
)
_UNDECODABLE = "Could not decode to UTF-8"


class SQLite(Dialect):
    """SQLite 3.35 and newer through the standard library."""

    name = "sqlite"
    answers_meanwhile = False

    def __init__(self) -> None:
        self._until = float("inf")

    # --- connecting ------------------------------------------------------------------------------------------------

    def engine(self, url: sa.URL, statement_timeout_s: float) -> sa.Engine:
        """The file must exist: nothing is created by looking."""
        address = _address(url)

        def connect() -> sqlite3.Connection:
            connection = sqlite3.connect(address, uri=True, timeout=BUSY_TIMEOUT_S, check_same_thread=False)
            connection.execute("PRAGMA query_only = ON")
            connection.create_function("sync_profiles_sha256", 1, _sha256, deterministic=True)
            connection.set_progress_handler(lambda: time.monotonic() > self._until, STEPS_BETWEEN_LOOKS)
            return connection

        engine = sa.create_engine(
            "sqlite://",
            creator=connect,
            hide_parameters=True,
            isolation_level="AUTOCOMMIT",
            pool_reset_on_return=None,
            poolclass=sa.QueuePool,
        )

        @sa.event.listens_for(engine, "before_cursor_execute")
        def _(*_: Any) -> None:
            self._until = time.monotonic() + statement_timeout_s

        return engine

    def trouble(self, error: BaseException) -> Trouble:
        """By SQLite's result code; its low byte is the primary one (https://www.sqlite.org/rescode.html)."""
        extended = getattr(error, "sqlite_errorcode", 0)
        code = extended & 0xFF
        if code in _AWAY or extended in _HOT:
            return Trouble.AWAY
        if code in _SLOW:
            return Trouble.SLOW
        return Trouble.REFUSED if code in _REFUSED else Trouble.WRONG

    def recover(self, error: BaseException, connection: sa.Connection) -> bool:
        """Invalid UTF-8: from now on it comes as lone surrogates, so that one row is rejected and not the page.

        Not so from the start, since a text factory of our own is slower than all the rest of reading.
        """
        inner = connection.connection.dbapi_connection
        if _UNDECODABLE not in str(error) or inner is None or inner.text_factory is not str:
            return False
        inner.text_factory = _decode
        return True

    # --- catalogue -------------------------------------------------------------------------------------------------

    def tables(self, connection: sa.Connection, schema: str | None) -> Sequence[str]:
        """Tables and views of the file."""
        prefix = f"{_quoted(schema)}." if schema else ""
        return connection.exec_driver_sql(_TABLES.format(schema=prefix)).scalars().all()

    def describe(self, connection: sa.Connection, table: str, schema: str | None) -> Described:
        """From the pragmas; hidden columns of virtual tables stay hidden."""
        prefix = f"{_quoted(schema)}." if schema else ""
        found = connection.exec_driver_sql(f"PRAGMA {prefix}table_xinfo({_quoted(table)})").all()
        columns = tuple(Column(row[1], _kind(row[2]), row[2] or "untyped") for row in found if row[6] != 1)
        primary = tuple(row[1] for row in sorted(found, key=lambda row: row[5]) if row[5])
        unique = [primary] if primary else []
        indexes = connection.exec_driver_sql(f"PRAGMA {prefix}index_list({_quoted(table)})").all()
        # INTEGER PRIMARY KEY is the row's own number and needs no index; any other key may be NULL unless it says not.
        certain = all(index[3] != "pk" for index in indexes) or all(row[3] for row in found if row[5])
        for index in indexes:
            if index[2] and not index[4]:
                parts = connection.exec_driver_sql(f"PRAGMA {prefix}index_info({_quoted(index[1])})").all()
                if all(part[1] >= 0 for part in parts):
                    unique.append(tuple(part[2] for part in parts))
        kind = connection.exec_driver_sql(
            f"SELECT type FROM {prefix}sqlite_master WHERE name = ?", (table,)
        ).scalar_one()
        return Described(columns, schema, primary, tuple(dict.fromkeys(unique)), kind == "table", null_keys=not certain)

    def query_columns(self, connection: sa.Connection, statement: str) -> tuple[Column, ...]:
        """Names only: the driver tells no types of a query."""
        return tuple(Column(entry[0], Kind.ANY, "untyped") for entry in query_shape(connection, statement))

    # --- values ----------------------------------------------------------------------------------------------------

    def raw(self, element: Element, column: Column) -> Element:  # noqa: ARG002 - whatever is declared
        """As it is: whoever maps it takes every stored value of every declared type."""
        return element

    def bound(self, value: Any, column: Column) -> Any:
        """Text adapts to the column's affinity; without one, digits are taken for a number."""
        if isinstance(value, str) and not encodes(value):
            return sa.cast(sa.literal(value.encode("utf-8", "surrogateescape"), sa.LargeBinary), sa.Text)
        if isinstance(value, str) and column.kind is Kind.ANY:
            return _number(value)
        return value

    def text(self, element: Element, column: Column) -> Element:
        """CAST, but for what is text already."""
        return element if column.kind is Kind.TEXT else sa.cast(element, sa.Text)

    def sha256(self, text: Element) -> Element:
        """By a function of our own."""
        return sa.func.sync_profiles_sha256(text)

    def hexadecimal(self, element: Element) -> Element:
        """Bytes as hex."""
        return sa.func.lower(sa.func.hex(element))

    def json_text(self, element: Element, column: Column, path: Sequence[str]) -> Element | None:  # noqa: ARG002 - same
        """NULL where it is not JSON."""
        steps = "".join('."' + step + '"' for step in path)
        found = sa.cast(sa.func.json_extract(element, f"${steps}"), sa.Text)
        return sa.case((sa.func.json_valid(element) == sa.literal_column("1"), found))

    # --- the cursor ------------------------------------------------------------------------------------------------

    def newest(self, element: Element, column: Column) -> Element:  # noqa: ARG002 - the stored value tells
        """A text that is a time is clamped to now, in its own layout; numbers are clamped by whoever asked."""
        largest: Element = sa.func.max(element)
        return sa.case((_is_time(largest), sa.func.min(largest, _now_like(largest))), else_=largest)

    def ahead(self, element: Element, column: Column) -> Element:  # noqa: ARG002 - the same
        """Compared as text, in the value's own layout."""
        largest: Element = sa.func.max(element)
        return _is_time(largest) & (largest > _now_like(largest))

    def epoch(self) -> Element:
        """Now."""
        return sa.cast(sa.func.strftime("%s", "now"), sa.Integer)

    def number(self, text: str, column: Column) -> int | Decimal | None:
        """A cursor that is not declared as text and looks like a number was stored as one."""
        return None if column.kind is Kind.TEXT else as_integer(text) or as_decimal(text)

    def earlier(self, lower: Any, column: Column, lookback_s: float) -> Any:  # noqa: ARG002 - the same
        """Text arithmetic on the first 19 characters: fractions and zones sort behind, so nothing is lost."""
        bound = sa.literal(lower)
        back = f"-{lookback_s:.3f} seconds"
        return sa.func.coalesce(sa.func.strftime(_layout(bound), sa.func.substr(bound, 1, 19), back), bound)

    # --- size ------------------------------------------------------------------------------------------------------

    def estimate(self, connection: sa.Connection, extent: Extent) -> int | None:
        """Counted: that is quick in a file."""
        return int(connection.execute(sa.select(sa.func.count()).select_from(extent.rows.subquery())).scalar_one())


def _address(url: sa.URL) -> str:
    """The file as a URI that opens it read only; what the user wrote as a URI keeps its parameters."""
    database = url.database or ":memory:"
    query = {name: str(value) for name, value in url.query.items() if name not in {"uri", "mode"}}
    if database.startswith("file:"):
        path = database.removeprefix("file:")
    elif database == ":memory:":
        return "file::memory:"
    else:
        path = urllib.parse.quote(str(Path(database).absolute()))
    return f"file:{path}?{urllib.parse.urlencode({**query, 'mode': 'ro'})}"


def _kind(declared: str) -> Kind:
    upper = declared.upper()
    return next((kind for word, kind in _WORDS if word in upper), Kind.ANY)


def _layout(element: Element) -> Element:
    """The strftime layout that sorts among values like ``element``: a date, or a time with ``T`` or a space."""
    return sa.case(
        (sa.func.length(element) == 10, "%Y-%m-%d"),
        (sa.func.substr(element, 11, 1) == "T", "%Y-%m-%dT%H:%M:%S"),
        else_="%Y-%m-%d %H:%M:%S",
    )


def _is_time(element: Element) -> Element:
    readable = sa.func.julianday(sa.func.substr(element, 1, 19)).is_not(None)
    return sa.and_(sa.func.typeof(element) == "text", readable)


def _now_like(element: Element) -> Element:
    return sa.func.strftime(_layout(element), "now")


def _number(text: str) -> int | float | str:
    for read in (int, float):
        try:
            number = read(text)
        except ValueError:
            continue
        if str(number) == text:
            return number
    return text


def _sha256(value: object) -> str | None:
    return None if value is None else hashlib.sha256(str(value).encode("utf-8", "surrogateescape")).hexdigest()


def _decode(stored: bytes) -> str:
    return stored.decode("utf-8", "surrogateescape")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
