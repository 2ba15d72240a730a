"""Looking at a database that nobody has described yet, for ``init``: its tables, and what one of them holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from sync_profiles.core import likely, naming, withheld
from sync_profiles.core.survey import Link, Survey, Table, looked_at
from sync_profiles.core.types import Column, Kind, Row
from sync_profiles.errors import AccessError, ConfigError, UsageError
from sync_profiles.source.catalogue import CATALOGUES, Stamped
from sync_profiles.source.database import Database, driver_url, open_database
from sync_profiles.source.dialect import Extent
from sync_profiles.source.statements import AsStored, nearest
from sync_profiles.source.versions import RowVersions, row_versions

T = TypeVar("T")
TABLES_DESCRIBED_MAX = 60
"""Of a database with hundreds of tables only those with the likeliest names are looked at."""
LINKS_LOOKED_AT_MAX = 20
SAMPLE_ROWS = 2000
HEAVY_ROWS, HEAVY_CHARACTERS = 50, 500_000
"""So many rows are read first; when they hold more text than this, they have to do."""
STATEMENT_TIMEOUT_S = 60.0
ATTRIBUTE_ROWS = 100_000
ATTRIBUTES_MAX = 100
_LINK_COLUMNS_MAX = 5
_LABELS = ("name", "title", "slug", "label", "code")


def open_surveyor(url: str) -> Surveyor:
    """Somebody who looks at the database at a URL; nothing is connected before the first question."""
    return Surveyor(open_database(url, statement_timeout_s=STATEMENT_TIMEOUT_S))


def settled_url(url: str) -> str:
    """The URL as it can be used from any folder: a relative SQLite path is written in full.

    Raises ``ConfigError`` when it is no URL of a supported database, or names a SQLite file that is not there.
    """
    parsed = driver_url(url)
    path = parsed.database or ""
    if parsed.get_backend_name() != "sqlite" or path.startswith("file:") or path == ":memory:":
        return url
    file = Path(path).absolute()
    if not path or not file.is_file():
        hint = "a path in full has four slashes: sqlite:////var/lib/app/app.db"
        raise ConfigError(f"source.url: there is no SQLite file {file if path else ''}".rstrip(), hint=hint)
    return (
        url
        if Path(path).is_absolute()
        else sa.make_url(url).set(database=str(file)).render_as_string(hide_password=False)
    )


class Surveyor:
    """Asks one database. Raises what every source raises."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._dialect = database.dialect

    @property
    def label(self) -> str:
        """The database by kind and name, for messages."""
        return self._database.identity()[1]

    def close(self) -> None:
        """Give the connections back."""
        self._database.close()

    def tables(self) -> list[Table]:
        """Tables and views that may hold users, in the schemas that need no name; in others when there are none."""
        found = self._described_of(None)
        if likely.likely(found):
            return found
        return found + [table for schema in self._other_schemas() for table in self._described_of(schema)]

    def table(self, asked: str) -> Table:
        """The table or view of that name, ``schema.table`` for one elsewhere; small and capital letters may differ.

        Raises ``UsageError`` when there is none, ``AccessError`` when none of its columns may be read.
        """
        schema, name = self._found(asked)
        table = self._described(name, schema)
        if not table.columns:
            raise AccessError(f'no column of "{asked}" may be read', hint=f"GRANT SELECT ON {asked} TO this user")
        return table

    def survey(self, table: Table) -> Survey:
        """What is known of a table, from its catalogue and its first rows.

        What looks like a secret and what is binary is not even read.
        """
        looked = [
            column for column in table.columns if column.kind is not Kind.BYTES and not withheld.is_secret(column)
        ]
        rows, limit = self._first_rows(table, looked) if looked else ([], 1)
        return Survey(
            dialect=self._dialect.name,
            table=table,
            rows=self._rows(table),
            sampled=len(rows),
            more=len(rows) == limit,
            looks=looked_at(looked, rows),
            row_versions=self._has_row_versions(table),
            stamped_by=self._stamped_by(table),
            links=self._permitted(lambda: self._links(table), ()),
            attributes=self._attributes(table),
        )

    # --- the catalogue -----------------------------------------------------------------------------------------

    def _names(self, schema: str | None) -> Sequence[str]:
        return self._database.within(lambda connection: self._dialect.tables(connection, schema))

    def _other_schemas(self) -> Sequence[str]:
        """Those of PostgreSQL; to MySQL a schema is another database, and SQLite has one."""
        if self._dialect.name != "postgresql":
            return ()
        names = self._database.within(lambda connection: sa.inspect(connection).get_schema_names())
        return [name for name in names if name != "information_schema"]

    def _found(self, asked: str) -> tuple[str | None, str]:
        names = self._names(None)
        front, dot, back = asked.partition(".")
        found = _named(asked, names)
        if found is not None:
            return None, found
        there = self._names(front) if dot else ()
        found = _named(back, there)
        if found is not None:
            return front, found
        if there:
            raise UsageError(f'--table: there is no "{back}" in the schema "{front}"{nearest(back, there)}')
        homes = [schema for schema in self._other_schemas() if not dot and _named(asked, self._names(schema))]
        where = f"; there is one elsewhere: --table {homes[0]}.{asked}" if homes else nearest(asked, names)
        raise UsageError(f'--table: there is no table "{asked}"{where}')

    def _described_of(self, schema: str | None) -> list[Table]:
        names = sorted(self._names(schema), key=lambda name: (-likely.name_score(name), name))
        described = (self._described(name, schema) for name in names[:TABLES_DESCRIBED_MAX])
        return [table for table in described if table.columns]

    def _described(self, name: str, schema: str | None) -> Table:
        found = self._database.within(lambda connection: self._dialect.describe(connection, name, schema))
        return Table(
            name=name, schema=schema, columns=found.columns, primary_key=found.primary_key, unique=found.unique
        )

    def _has_row_versions(self, table: Table) -> bool:
        if not self._dialect.row_versions:
            return False
        return isinstance(row_versions(self._database, self._schema_of(table) or "", table.name), RowVersions)

    def _schema_of(self, table: Table) -> str | None:
        if table.schema is not None:
            return table.schema
        return self._database.within(lambda connection: self._dialect.describe(connection, table.name, None)).schema

    def _stamped_by(self, table: Table) -> Stamped:
        column = naming.change_column(table.columns, texts=self._dialect.name == "sqlite")
        if column is None:
            return None
        name, catalogue, schema = column.name, CATALOGUES[self._dialect.name], self._schema_of(table)
        return self._database.within(lambda connection: catalogue.stamped_by(connection, schema, table.name, name))

    # --- rows --------------------------------------------------------------------------------------------------

    def _first_rows(self, table: Table, columns: Sequence[Column]) -> tuple[list[Row], int]:
        """The first rows, and how many were asked for: few where they are heavy, so that a look stays a look."""
        origin = _origin(table)
        select = sa.select(*(self._dialect.raw(origin.c[column.name], column) for column in columns))
        rows = self._database.fetch(select.limit(HEAVY_ROWS))
        weight = sum(len(value) for row in rows for value in row if isinstance(value, str))
        if len(rows) < HEAVY_ROWS or weight > HEAVY_CHARACTERS:
            return rows, HEAVY_ROWS
        return self._database.fetch(select.limit(SAMPLE_ROWS)), SAMPLE_ROWS

    def _rows(self, table: Table) -> int | None:
        rows: sa.Select[Any] = sa.select(sa.literal_column("1").label("one")).select_from(_origin(table))
        extent = Extent(rows, table.name, table.schema)
        return self._database.within(lambda connection: self._dialect.estimate(connection, extent))

    def _attributes(self, table: Table) -> tuple[str, ...]:
        """The names in a table of attributes, as far as its first rows show them."""
        found = likely.attributes(table)
        if found is None:
            return ()
        some = sa.select(_origin(table).c[found.name].label("name")).limit(ATTRIBUTE_ROWS).subquery()
        names = self._database.fetch(sa.select(some.c.name).distinct().limit(ATTRIBUTES_MAX))
        return tuple(sorted(name for (name,) in names if isinstance(name, str) and name.strip()))

    # --- what users belong to ----------------------------------------------------------------------------------

    def _links(self, table: Table) -> tuple[Link, ...]:
        return tuple(self._links_of(table)) if len(table.primary_key) == 1 else ()

    def _links_of(self, table: Table) -> Iterator[Link]:
        stem = naming.folded(table.name).removesuffix("s")
        names = [name for name in self._names(table.schema) if stem in naming.folded(name) and name != table.name]
        for name in names[:LINKS_LOOKED_AT_MAX]:
            link = self._link(table, name)
            if link is not None:
                yield link

    def _link(self, table: Table, between: str) -> Link | None:
        """A narrow table that points to users and to one other table which has names."""

        def keys(connection: sa.Connection) -> list[tuple[str, str, list[str]]]:
            found = sa.inspect(connection).get_foreign_keys(between, schema=table.schema)
            single = [key for key in found if len(key["constrained_columns"]) == 1]
            return [(key["constrained_columns"][0], key["referred_table"], key["referred_columns"]) for key in single]

        pointing = self._database.within(keys)
        to_user = [own for own, target, _ in pointing if target == table.name]
        others = [key for key in pointing if key[1] != table.name]
        if len(to_user) != 1 or len(others) != 1 or "permission" in others[0][1]:
            return None
        own, target, refers = others[0]
        other = self._described(target, table.schema)
        label = next((name for name in map(_label, other.columns) if name is not None), None)
        narrow = len(self._described(between, table.schema).columns) <= _LINK_COLUMNS_MAX
        key = (*refers, *other.primary_key)[:1]
        if not narrow or label is None or not key:
            return None
        return Link(between, to_user[0], own, target, key[0], label)

    def _permitted(self, ask: Callable[[], T], otherwise: T) -> T:
        """Other tables are a bonus: a user who may not look at them gets a proposal without."""
        try:
            return ask()
        except (AccessError, ConfigError):
            return otherwise


def _origin(table: Table) -> sa.TableClause:
    columns: list[sa.ColumnClause[Any]] = [
        sa.column(sa.quoted_name(column.name, quote=True), AsStored()) for column in table.columns
    ]
    schema = sa.quoted_name(table.schema, quote=True) if table.schema else None
    return sa.table(sa.quoted_name(table.name, quote=True), *columns, schema=schema)


def _named(asked: str, names: Sequence[str]) -> str | None:
    if asked in names:
        return asked
    alike = [name for name in names if name.casefold() == asked.casefold()]
    return alike[0] if len(alike) == 1 else None


def _label(column: Column) -> str | None:
    return column.name if column.kind is Kind.TEXT and naming.folded(column.name) in _LABELS else None
