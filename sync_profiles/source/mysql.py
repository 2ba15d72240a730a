"""MySQL and MariaDB through PyMySQL: times and decimals stay the server's text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from sync_profiles.core.troubles import Trouble
from sync_profiles.core.types import Column, Kind
from sync_profiles.errors import ConfigError
from sync_profiles.source.dialect import CONNECT_TIMEOUT_S, Described, Dialect, Element, Extent, Place
from sync_profiles.source.numerals import as_decimal, as_integer
from sync_profiles.source.statements import query_shape

READ_TIMEOUT_MARGIN_S = 60
_KINDS = {
    **dict.fromkeys(("tinyint", "smallint", "mediumint", "int", "bigint", "year", "bit"), Kind.INTEGER),
    **dict.fromkeys(("float", "double"), Kind.FLOAT),
    **dict.fromkeys(("datetime", "timestamp"), Kind.DATETIME),
    **dict.fromkeys(("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"), Kind.BYTES),
    **dict.fromkeys(("geometry", "point", "linestring", "polygon", "multipoint", "multilinestring"), Kind.BYTES),
    **dict.fromkeys(("multipolygon", "geometrycollection", "geomcollection", "vector"), Kind.BYTES),
    "decimal": Kind.DECIMAL,
    "date": Kind.DATE,
    "time": Kind.TIME,
    "json": Kind.JSON,
    "set": Kind.SET,
    "uuid": Kind.UUID,
}
_BOOLEANS = frozenset({"tinyint(1)", "bit(1)"})
# Type codes of the protocol, for queries: https://dev.mysql.com/doc/dev/mysql-server/latest/field__types_8h.html
_INTEGER_CODES = (1, 2, 3, 8, 9, 13)
_FLOAT_CODES = (4, 5)
_CODES = {
    **dict.fromkeys(_INTEGER_CODES, ("int", Kind.INTEGER)),
    **dict.fromkeys(_FLOAT_CODES, ("double", Kind.FLOAT)),
    **dict.fromkeys((7, 12), ("datetime", Kind.DATETIME)),
    **dict.fromkeys((0, 246), ("decimal", Kind.DECIMAL)),
    10: ("date", Kind.DATE),
    11: ("time", Kind.TIME),
    16: ("bit", Kind.INTEGER),
    245: ("json", Kind.JSON),
}
_AWAY = frozenset(
    {0, 1040, 1053, 1129, 1152, 1153, 1158, 1159, 1160, 1161, 1203, 1205, 1213, 1226, 1290, 1317}
    | {1836, 2000, 2002, 2003, 2005, 2006, 2013, 2014, 2055}
)
_SLOW = frozenset({1969, 3024})
_REFUSED = frozenset({1044, 1045, 1130, 1142, 1143, 1227, 1370, 1698, 1820, 1862, 3118, 4151})
_VALUES = frozenset({1264, 1265, 1292, 1366, 1411, 1525, 1690, 3140, 3141, 4038})

_TABLES = (
    "SELECT table_name FROM information_schema.tables WHERE table_schema = COALESCE(:schema, DATABASE()) ORDER BY 1"
)
_COLUMNS = """
SELECT column_name, data_type, column_type FROM information_schema.columns
WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :table
  AND CAST(table_name AS BINARY) = CAST(:table AS BINARY) AND privileges LIKE '%select%'
ORDER BY ordinal_position
"""
# A unique prefix makes the whole column unique; an index on an expression has no column name.
_UNIQUE = """
SELECT index_name, column_name FROM information_schema.statistics
WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :table
  AND CAST(table_name AS BINARY) = CAST(:table AS BINARY) AND non_unique = 0
ORDER BY index_name = 'PRIMARY' DESC, index_name, seq_in_index
"""
_SIZE = """
SELECT table_type = 'BASE TABLE', table_rows FROM information_schema.tables
WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :table
  AND CAST(table_name AS BINARY) = CAST(:table AS BINARY)
"""


class MySQL(Dialect):
    """MySQL 5.7 and newer, MariaDB 10.3 and newer."""

    name = "mysql"
    port = 3306
    mysql_syntax = True

    # --- connecting ------------------------------------------------------------------------------------------------

    def engine(self, url: sa.URL, statement_timeout_s: float) -> sa.Engine:
        """Raises ``ConfigError`` when PyMySQL is not installed."""
        try:
            from pymysql import converters  # an extra: not everybody has a MySQL
        except ModuleNotFoundError as error:
            raise ConfigError(
                "source.url: MySQL and MariaDB need the package PyMySQL",
                hint="pip install 'sync-profiles[mysql]'",
            ) from error
        numbers: dict[Any, Any] = {**dict.fromkeys(_INTEGER_CODES, int), **dict.fromkeys(_FLOAT_CODES, float)}
        arguments = {
            "connect_timeout": CONNECT_TIMEOUT_S,
            "read_timeout": round(statement_timeout_s + READ_TIMEOUT_MARGIN_S),
            "charset": "utf8mb4",
        }
        arguments = {name: value for name, value in arguments.items() if name not in url.query}
        engine = sa.create_engine(
            url,
            hide_parameters=True,
            isolation_level="AUTOCOMMIT",
            pool_reset_on_return=None,
            connect_args={**arguments, "conv": {**converters.encoders, **numbers}},
        )

        @sa.event.listens_for(engine, "connect")
        def _(connection: Any, _record: Any) -> None:
            with connection.cursor() as cursor:
                cursor.execute("SET SESSION TRANSACTION READ ONLY")
                cursor.execute("SET time_zone = '+00:00'")
                cursor.execute("SELECT VERSION()")
                if "mariadb" in str(cursor.fetchone()).lower():
                    cursor.execute(f"SET SESSION max_statement_time = {statement_timeout_s:.3f}")
                else:
                    cursor.execute(f"SET SESSION max_execution_time = {max(1, round(statement_timeout_s * 1000))}")

        return engine

    def trouble(self, error: BaseException) -> Trouble:
        """By the server's or the client's error number."""
        number = error.args[0] if error.args and isinstance(error.args[0], int) else None
        if number in _AWAY:
            return Trouble.AWAY
        if number in _SLOW:
            return Trouble.SLOW
        if number in _REFUSED:
            return Trouble.REFUSED
        return Trouble.VALUE if number in _VALUES else Trouble.WRONG

    # --- catalogue -------------------------------------------------------------------------------------------------

    def tables(self, connection: sa.Connection, schema: str | None) -> Sequence[str]:
        """Tables and views of the database, or of another one."""
        return connection.execute(sa.text(_TABLES), {"schema": schema}).scalars().all()

    def describe(self, connection: sa.Connection, table: str, schema: str | None) -> Described:
        """From information_schema, which shows what this user may read."""
        names = {"table": table, "schema": schema}
        columns = []
        for name, word, column_type in connection.execute(sa.text(_COLUMNS), names):
            boolean = column_type in _BOOLEANS
            columns.append(Column(name, Kind.BOOLEAN if boolean else _KINDS.get(word, Kind.TEXT), column_type))
        unique: dict[str, list[str | None]] = {}
        for index, column in connection.execute(sa.text(_UNIQUE), names):
            unique.setdefault(index, []).append(column)
        whole = {index: tuple(n for n in found if n) for index, found in unique.items() if None not in found}
        base = bool(connection.execute(sa.text(_SIZE), names).one()[0])
        return Described(tuple(columns), schema, whole.get("PRIMARY", ()), tuple(whole.values()), base)

    def query_columns(self, connection: sa.Connection, statement: str) -> tuple[Column, ...]:
        """By an empty SELECT. The protocol tells text from bytes only in the values: those are ANY."""
        columns = []
        for name, code, _, length, *_ in query_shape(connection, statement):
            type_name, kind = _CODES.get(code, ("text", Kind.ANY))
            if code in {1, 16} and length == 1:
                type_name, kind = f"{'tinyint' if code == 1 else 'bit'}(1)", Kind.BOOLEAN
            columns.append(Column(name, kind, type_name))
        return tuple(columns)

    # --- values ----------------------------------------------------------------------------------------------------

    def raw(self, element: Element, column: Column) -> Element:
        """As it is, but for bits, which would be bytes, and digits padded with zeros, which are no numbers in JSON."""
        if column.type_name.startswith("bit") or (column.kind is Kind.DECIMAL and "zerofill" in column.type_name):
            return element + sa.literal_column("0", sa.Integer)
        return element

    def place(self, element: Element, column: Column) -> Place:
        """ENUM and SET are ordered by number and compared by text: both by text here."""
        if column.type_name.startswith(("enum", "set")):
            text = sa.cast(element, mysql.CHAR)
            return Place(column, text, text)
        return Place(column, element, self.raw(element, column))

    def bound(self, value: Any, column: Column) -> Any:
        """Numbers as numbers: a string beside a number would be compared as a double."""
        if column.kind in {Kind.INTEGER, Kind.BOOLEAN}:
            return value if isinstance(value, int) else as_integer(value)
        if column.kind is Kind.DECIMAL:
            return as_decimal(value)
        if column.kind is Kind.FLOAT:
            return value if isinstance(value, float) else float(value)
        return value

    def text(self, element: Element, column: Column) -> Element:
        """CAST takes the connection's character set, which holds every other."""
        return element if column.kind is Kind.TEXT else sa.cast(element, mysql.CHAR)

    def sha256(self, text: Element) -> Element:
        """Of UTF-8, whatever the column's character set."""
        return sa.func.sha2(sa.cast(text, mysql.CHAR(charset="utf8mb4")), sa.literal_column("256"))

    def hexadecimal(self, element: Element) -> Element:
        """Bytes as hex."""
        return sa.func.lower(sa.func.hex(element))

    def json_text(self, element: Element, column: Column, path: Sequence[str]) -> Element | None:
        """From JSON and from text that is JSON (MariaDB has no other)."""
        if column.kind not in {Kind.JSON, Kind.TEXT}:
            return None
        steps = "".join('."' + step.replace("\\", "\\\\").replace('"', '\\"') + '"' for step in path)
        found = sa.func.json_unquote(sa.func.json_extract(element, f"${steps}"))
        return sa.case((sa.func.json_valid(element) == sa.literal_column("1"), found))

    # --- the cursor ------------------------------------------------------------------------------------------------

    def newest(self, element: Element, column: Column) -> Element:
        """Clamped to UTC for times; the session's zone is UTC."""
        largest: Element = sa.func.max(element)
        if column.kind is Kind.DATETIME:
            return sa.cast(sa.func.least(largest, sa.func.utc_timestamp(sa.literal_column("6"))), mysql.CHAR)
        if column.kind is Kind.DATE:
            return sa.cast(sa.func.least(largest, sa.func.utc_date()), mysql.CHAR)
        return largest

    def ahead(self, element: Element, column: Column) -> Element:
        """Beyond UTC's now."""
        if column.kind not in {Kind.DATETIME, Kind.DATE}:
            return sa.literal_column("0", sa.Integer)
        return sa.func.max(element) > sa.func.utc_timestamp(sa.literal_column("6"))

    def epoch(self) -> Element:
        """Now."""
        return sa.func.unix_timestamp()

    def earlier(self, lower: Any, column: Column, lookback_s: float) -> Any:
        """Interval arithmetic in microseconds."""
        if column.kind not in {Kind.DATETIME, Kind.DATE}:
            return lower
        back: Element = sa.literal_column(f"INTERVAL {round(lookback_s * 1_000_000)} MICROSECOND")
        earlier = sa.cast(lower, mysql.DATETIME(fsp=6)) - back
        return sa.cast(earlier, mysql.DATE) if column.kind is Kind.DATE else earlier

    # --- size ------------------------------------------------------------------------------------------------------

    def estimate(self, connection: sa.Connection, extent: Extent) -> int | None:
        """The engine's own count of a whole table."""
        if extent.table is None:
            return None
        found = connection.execute(sa.text(_SIZE), {"table": extent.table, "schema": extent.schema}).one_or_none()
        return int(found[1]) if found is not None and found[0] and found[1] is not None else None
