"""PostgreSQL: connecting (PgBouncer included), catalogue, raw forms as text from the server."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg2  # type: ignore[import-untyped]  # its stubs are a package of their own
import sqlalchemy as sa
from psycopg2 import extensions
from sqlalchemy.dialects import postgresql

from sync_profiles.core.troubles import Trouble, of_no_connection, of_sqlstate
from sync_profiles.core.types import Column, Kind
from sync_profiles.source.dialect import CONNECT_TIMEOUT_S, Described, Dialect, Element, Extent, Place
from sync_profiles.source.numerals import as_integer, encodes
from sync_profiles.source.statements import query_shape, result_shape

BYTEA = 17
_KINDS = {
    "bool": Kind.BOOLEAN,
    "int2": Kind.INTEGER,
    "int4": Kind.INTEGER,
    "int8": Kind.INTEGER,
    "oid": Kind.INTEGER,
    "float4": Kind.FLOAT,
    "float8": Kind.FLOAT,
    "numeric": Kind.DECIMAL,
    "timestamptz": Kind.INSTANT,
    "timestamp": Kind.DATETIME,
    "date": Kind.DATE,
    "time": Kind.TIME,
    "interval": Kind.INTERVAL,
    "json": Kind.JSON,
    "jsonb": Kind.JSONB,
    "hstore": Kind.JSONB,
    "uuid": Kind.UUID,
    "bytea": Kind.BYTES,
}
_NATIVE = frozenset({Kind.BOOLEAN, Kind.INTEGER, Kind.FLOAT, Kind.BYTES})
"""psycopg2 converts these in C (bytes by the caster below)."""
_TEXTS = frozenset({"text", "varchar", "character varying", "citext"})
"""Text as it is: every comparison of the column keeps its index and its collation."""
_TIMES: dict[Kind, Any] = {
    Kind.INSTANT: postgresql.TIMESTAMP(timezone=True),
    Kind.DATETIME: postgresql.TIMESTAMP(),
    Kind.DATE: sa.Date(),
}
_SETTINGS = {"TimeZone": "UTC", "DateStyle": "ISO, YMD", "bytea_output": "hex", "extra_float_digits": "1"}

_TABLES = """
SELECT c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND CASE WHEN :schema IS NULL THEN pg_catalog.pg_table_is_visible(c.oid) AND n.nspname !~ '^pg_|^information_schema$'
           ELSE n.nspname = :schema END
ORDER BY 1
"""
_TABLE = """
SELECT c.oid, n.nspname, c.relkind IN ('r', 'p', 'f'), c.relkind = 'r' AND c.relhassubclass
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = :table AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND CASE WHEN :schema IS NULL THEN pg_catalog.pg_table_is_visible(c.oid) ELSE n.nspname = :schema END
"""
_READABLE = """
SELECT attname, pg_catalog.format_type(atttypid, atttypmod) FROM pg_catalog.pg_attribute
WHERE attrelid = :oid AND attnum > 0 AND NOT attisdropped
  AND pg_catalog.has_column_privilege(attrelid, attnum, 'SELECT')
ORDER BY attnum
"""
# Valid, whole-table unique indexes on plain columns; columns beyond indnkeyatts are only INCLUDEd.
_UNIQUE = """
SELECT i.indisprimary, ARRAY(
  SELECT a.attname::text FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
  JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
  WHERE k.place <= i.indnkeyatts ORDER BY k.place)
FROM pg_catalog.pg_index i
WHERE i.indrelid = :oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
ORDER BY i.indisprimary DESC, i.indexrelid
"""
_TYPES = """
SELECT oid, typname, typcategory = 'A' AND typelem <> 0, pg_catalog.format_type(oid, NULL)
FROM pg_catalog.pg_type WHERE oid = ANY(:oids)
"""


class PostgreSQL(Dialect):
    """PostgreSQL 10 and newer through psycopg2."""

    name = "postgresql"
    port = 5432
    row_versions = True

    def __init__(self) -> None:
        self._forgetful = False
        self._local_settings = ""

    # --- connecting ------------------------------------------------------------------------------------------------

    def engine(self, url: sa.URL, statement_timeout_s: float) -> sa.Engine:
        """Settings travel as start-up options; where a pooler refuses or drops them, with every transaction."""
        settings = {**_SETTINGS, "statement_timeout": str(max(1, round(statement_timeout_s * 1000)))}
        self._local_settings = "".join(f"SET LOCAL {name} = '{value}';" for name, value in settings.items())
        forced = {**settings, "default_transaction_read_only": "on"}
        ours = " ".join(f"-c {name}={value.replace(' ', chr(92) + ' ')}" for name, value in forced.items())
        given = url.query.get("options", "")
        arguments: dict[str, Any] = {
            "application_name": "sync-profiles",
            "connect_timeout": CONNECT_TIMEOUT_S,
            "client_encoding": "utf8",
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
        }
        arguments = {name: value for name, value in arguments.items() if name not in url.query}
        engine = sa.create_engine(
            url,
            hide_parameters=True,
            isolation_level="AUTOCOMMIT",
            pool_reset_on_return=None,
            use_native_hstore=False,
            connect_args=arguments,
        )
        options = f"{given if isinstance(given, str) else ' '.join(given)} {ours}".strip()

        @sa.event.listens_for(engine, "do_connect")
        def _(_dialect: Any, _record: Any, _args: Any, parameters: dict[str, Any]) -> Any:
            return self._connect(options, parameters)

        return engine

    def _connect(self, options: str, parameters: dict[str, Any]) -> Any:
        """Connect; find out whether this server, or a pooler before it, keeps what a session was told."""
        plain = {name: value for name, value in parameters.items() if name != "options"}
        connection = None
        if not self._forgetful:
            try:
                connection = psycopg2.connect(**{**plain, "options": options})
                self._forgetful = not _keeps_settings(connection)
            except psycopg2.OperationalError as error:
                if "option" not in str(error) and "startup parameter" not in str(error):
                    raise
                self._forgetful = True
        if connection is None:
            connection = psycopg2.connect(**plain)
        extensions.register_type(_BYTES, connection)
        return connection

    @contextlib.contextmanager
    def transaction(self, connection: sa.Connection) -> Iterator[None]:
        """A real transaction with everything said again, where sessions are shared with others."""
        if not self._forgetful:
            yield
            return
        connection.exec_driver_sql(f"BEGIN TRANSACTION READ ONLY; {self._local_settings}")
        try:
            yield
        except BaseException:
            connection.invalidate()  # whoever is given this session next shall not find our open transaction
            raise
        connection.exec_driver_sql("COMMIT")

    def trouble(self, error: BaseException) -> Trouble:
        """By SQLSTATE; a refused connection has none, only words."""
        code = getattr(error, "pgcode", None)
        if code:
            return of_sqlstate(code)
        if isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError):
            return of_no_connection(str(error))
        # "server closed the connection unexpectedly" comes as DatabaseError without a code, too.
        return Trouble.AWAY if type(error) is psycopg2.DatabaseError else Trouble.WRONG

    # --- catalogue -------------------------------------------------------------------------------------------------

    def tables(self, connection: sa.Connection, schema: str | None) -> Sequence[str]:
        """Visible tables, or those of a schema."""
        return connection.execute(sa.text(_TABLES), {"schema": schema}).scalars().all()

    def describe(self, connection: sa.Connection, table: str, schema: str | None) -> Described:
        """Kinds come from an empty SELECT: it sees through domains, and views are no different."""
        oid, found_schema, base, inherited = connection.execute(
            sa.text(_TABLE), {"table": table, "schema": schema}
        ).one()
        readable = connection.execute(sa.text(_READABLE), {"oid": oid}).all()
        if not readable:
            return Described((), found_schema)
        elements: list[Element] = [sa.column(sa.quoted_name(name, quote=True)) for name, _ in readable]
        whole = sa.table(sa.quoted_name(table, quote=True), schema=sa.quoted_name(found_schema, quote=True))
        shape = result_shape(connection, sa.select(*elements).select_from(whole).limit(0))
        types = self._types(connection, shape)
        columns = tuple(
            Column(name, types[oid][0], type_name)
            for (name, oid, *_), (_, type_name) in zip(shape, readable, strict=True)
        )
        unique = connection.execute(sa.text(_UNIQUE), {"oid": oid}).all()
        primary = next((tuple(names) for is_primary, names in unique if is_primary), ())
        # Rows of inheriting tables come along, and no index reaches over to them.
        certain = () if inherited else tuple(tuple(names) for _, names in unique)
        return Described(columns, found_schema, primary, certain, base)

    def query_columns(self, connection: sa.Connection, statement: str) -> tuple[Column, ...]:
        """Of a query, by an empty SELECT from it."""
        shape = query_shape(connection, statement)
        types = self._types(connection, shape)
        return tuple(Column(name, types[oid][0], types[oid][1]) for name, oid, *_ in shape)

    def _types(self, connection: sa.Connection, shape: Sequence[Any]) -> dict[int, tuple[Kind, str]]:
        """What the type codes of a result mean: kind and name."""
        oids = sorted({entry[1] for entry in shape})
        return {
            oid: (Kind.LIST if array else _KINDS.get(word, Kind.TEXT), name)
            for oid, word, array, name in connection.execute(sa.text(_TYPES), {"oids": oids})
        }

    # --- values ----------------------------------------------------------------------------------------------------

    def raw(self, element: Element, column: Column) -> Element:
        """Text from the server wherever psycopg2 would build a Python object from it."""
        # A cast would write an address as 10.0.0.1/32; the driver has its text as people write it.
        if column.kind in _NATIVE or _is_text(column) or column.type_name == "inet":
            return element
        if column.kind is Kind.LIST:
            return sa.cast(sa.func.to_jsonb(element), sa.Text)
        if column.kind is Kind.INTERVAL:
            return sa.cast(sa.extract("epoch", element), sa.Text)
        if column.type_name.endswith("hstore"):
            return sa.cast(sa.cast(element, postgresql.JSONB), sa.Text)
        return sa.cast(element, sa.Text)

    def place(self, element: Element, column: Column) -> Place:
        """Ordered as it is, read as text: an untyped literal goes back as whatever the column is."""
        if column.kind in {Kind.INTEGER, Kind.BYTES} or _is_text(column):
            return Place(column, element, element)
        return Place(column, element, sa.cast(element, sa.Text))

    def bound(self, value: Any, column: Column) -> Any:
        """Text as an untyped literal, integers as numbers: beyond the column's range they compare, not fail."""
        if column.kind is Kind.INTEGER:
            return value if isinstance(value, int) else as_integer(value)
        if isinstance(value, bytes):
            return f"\\x{value.hex()}"
        text = str(value)
        return text if "\0" not in text and encodes(text) else None

    def text(self, element: Element, column: Column) -> Element:
        """CAST, but for what is text already."""
        return element if _is_text(column) else sa.cast(element, sa.Text)

    def sha256(self, text: Element) -> Element:
        """PostgreSQL 11 and newer."""
        return sa.func.encode(sa.func.sha256(sa.func.convert_to(text, "UTF8")), "hex")

    def hexadecimal(self, element: Element) -> Element:
        """Bytes as hex."""
        return sa.func.encode(element, "hex")

    def json_text(self, element: Element, column: Column, path: Sequence[str]) -> Element | None:
        """Only jsonb: json may hold what cannot be text, and text may hold what is not JSON."""
        if column.kind is not Kind.JSONB:
            return None
        return sa.func.jsonb_extract_path_text(element, *path)

    # --- the cursor ------------------------------------------------------------------------------------------------

    def newest(self, element: Element, column: Column) -> Element:
        """Clamped to now() for times; a time without zone is taken as UTC, the session's zone."""
        largest: Element = sa.func.max(element)
        if column.kind in _TIMES:
            # LEAST passes over NULL, so without a row it would be now.
            now = sa.cast(sa.func.now(), _TIMES[column.kind])
            largest = sa.case((largest.is_not(None), sa.func.least(largest, now)))
        return sa.cast(largest, sa.Text)

    def ahead(self, element: Element, column: Column) -> Element:
        """Compared with the same now that ``newest`` is clamped to."""
        if column.kind not in _TIMES:
            return sa.literal_column("false", sa.Boolean)
        return sa.func.max(element) > sa.cast(sa.func.now(), _TIMES[column.kind])

    def epoch(self) -> Element:
        """Now."""
        return sa.cast(sa.extract("epoch", sa.func.now()), sa.Float)

    def earlier(self, lower: Any, column: Column, lookback_s: float) -> Any:
        """Interval arithmetic; a date loses its time of day, downwards."""
        if column.kind not in _TIMES:
            return lower
        target = _TIMES[column.kind]
        return sa.cast(sa.cast(lower, target) - sa.cast(f"{lookback_s:.6f} seconds", postgresql.INTERVAL), target)

    # --- size ------------------------------------------------------------------------------------------------------

    def estimate(self, connection: sa.Connection, extent: Extent) -> int | None:
        """The planner's own guess: it knows predicates, views and partitions."""
        compiled = extent.rows.compile(connection, compile_kwargs={"render_postcompile": True})
        plan = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {compiled}", dict(compiled.params)).scalar_one()
        plan = json.loads(plan) if isinstance(plan, str) else plan
        return int(plan[0]["Plan"]["Plan Rows"])


def _is_text(column: Column) -> bool:
    return column.type_name.split("(")[0] in _TEXTS


def _keeps_settings(connection: Any) -> bool:
    """A pooler may accept options and drop them: ask, in another transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('transaction_read_only'), current_setting('TimeZone')")
        found = cursor.fetchone()
    connection.rollback()
    return bool(found == ("on", _SETTINGS["TimeZone"]))


def _to_bytes(text: str | None, _cursor: Any) -> bytes | None:
    return None if text is None else bytes.fromhex(text[2:])


_BYTES = extensions.new_type((BYTEA,), "BYTES", _to_bytes)
