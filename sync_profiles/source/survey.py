"""Looking at a database that nobody has described yet, for ``init``: its tables, and what one of them holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa

from sync_profiles.core import likely, naming
from sync_profiles.core.survey import Link, Survey, Table, looked_at
from sync_profiles.core.types import Column, Kind
from sync_profiles.errors import AccessError, ConfigError, UsageError
from sync_profiles.source.catalogue import CATALOGUES, Stamped
from sync_profiles.source.database import Database
from sync_profiles.source.dialect import Extent
from sync_profiles.source.statements import AsStored, nearest
from sync_profiles.source.versions import RowVersions, row_versions

T = TypeVar("T")
TABLES_DESCRIBED_MAX = 60
"""Of a database with hundreds of tables only those with the likeliest names are looked at."""
LINKS_LOOKED_AT_MAX = 20
SAMPLE_ROWS = 2000
ATTRIBUTE_ROWS = 100_000
ATTRIBUTES_MAX = 100
_LINK_COLUMNS_MAX = 5
_LABELS = ("name", "title", "slug", "label", "code")


class Surveyor:
    """Asks one database. Raises what every source raises."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._dialect = database.dialect

    def tables(self) -> list[Table]:
        """Tables and views that may hold users, those with the likeliest names first."""
        names = self._names(None)
        ranked = sorted(names, key=lambda name: (-likely.name_score(name), name))[:TABLES_DESCRIBED_MAX]
        described = (self._described(name, None) for name in ranked)
        return [table for table in described if table.columns]

    def table(self, asked: str) -> Table:
        """The table or view of that name, ``schema.table`` for one elsewhere; small and capital letters may differ.

        Raises ``UsageError`` when there is none, ``AccessError`` when none of its columns may be read.
        """
        names = self._names(None)
        front, dot, back = asked.partition(".")
        found = _named(asked, names)
        schema = None
        if found is None and dot:
            schema, found = front, _named(back, self._names(front))
        if found is None:
            raise UsageError(f'--table: there is no table "{asked}"{nearest(asked, names)}')
        table = self._described(found, schema)
        if not table.columns:
            raise AccessError(f'no column of "{found}" may be read', hint=f"GRANT SELECT ON {found} TO this user")
        return table

    def survey(self, table: Table) -> Survey:
        """What is known of a table, from its catalogue and its first rows."""
        rows = self._database.fetch(self._select(table).limit(SAMPLE_ROWS))
        return Survey(
            dialect=self._dialect.name,
            table=table,
            rows=self._rows(table),
            sampled=len(rows),
            looks=looked_at(table.columns, rows),
            row_versions=self._has_row_versions(table),
            stamped_by=self._stamped_by(table),
            links=self._permitted(lambda: self._links(table), ()),
            attributes=self._attributes(table),
        )

    # --- the catalogue -----------------------------------------------------------------------------------------

    def _names(self, schema: str | None) -> Sequence[str]:
        return self._database.within(lambda connection: self._dialect.tables(connection, schema))

    def _described(self, name: str, schema: str | None) -> Table:
        found = self._database.within(lambda connection: self._dialect.describe(connection, name, schema))
        return Table(
            name=name, schema=schema, columns=found.columns, primary_key=found.primary_key, unique=found.unique
        )

    def _has_row_versions(self, table: Table) -> bool:
        if not self._dialect.row_versions:
            return False
        schema = table.schema or self._schema_of(table.name)
        return isinstance(row_versions(self._database, schema, table.name), RowVersions)

    def _schema_of(self, name: str) -> str:
        described = self._database.within(lambda connection: self._dialect.describe(connection, name, None))
        return described.schema or ""

    def _stamped_by(self, table: Table) -> Stamped:
        column = naming.change_column(table.columns, texts=self._dialect.name == "sqlite")
        if column is None:
            return None
        name, catalogue = column.name, CATALOGUES[self._dialect.name]
        schema = table.schema or (self._schema_of(table.name) if self._dialect.name == "postgresql" else None)
        return self._database.within(lambda connection: catalogue.stamped_by(connection, schema, table.name, name))

    # --- rows --------------------------------------------------------------------------------------------------

    def _select(self, table: Table) -> sa.Select[Any]:
        origin = _origin(table)
        return sa.select(*(self._dialect.raw(origin.c[column.name], column) for column in table.columns))

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
        stem = naming.folded(table.name).removesuffix("s")
        names = [name for name in self._names(table.schema) if stem in naming.folded(name) and name != table.name]
        found = (self._link(table, name) for name in names[:LINKS_LOOKED_AT_MAX])
        return tuple(link for link in found if link is not None)

    def _link(self, table: Table, between: str) -> Link | None:
        """A narrow table that points to users and to one other table which has names."""

        def keys(connection: sa.Connection) -> list[tuple[list[str], str, list[str]]]:
            found = sa.inspect(connection).get_foreign_keys(between, schema=table.schema)
            return [(key["constrained_columns"], key["referred_table"], key["referred_columns"]) for key in found]

        pointing = [key for key in self._database.within(keys) if len(key[0]) == 1]
        to_user = [own for (own,), target, _ in pointing if target == table.name]
        others = [(own, target, refers) for (own,), target, refers in pointing if target != table.name]
        if len(to_user) != 1 or len(others) != 1 or len(table.primary_key) != 1:
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
