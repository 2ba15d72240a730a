"""What is read: a table or a query, its columns, what identifies a row."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa

from sync_profiles.core.types import Column, Detect
from sync_profiles.errors import AccessError, ConfigError
from sync_profiles.source.dialect import Described, Element, Names
from sync_profiles.source.statements import AsStored, derived, nearest, one_statement, predicate
from sync_profiles.source.versions import Refusal, RowVersions, row_versions

if TYPE_CHECKING:
    from sync_profiles.source.database import Database

NO_XMIN = "no_xmin"
PAGE_ROWS = 5000
"""What a page costs once (a statement, a commit, a question) is spread over so many rows; more only take memory."""


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """What to read, as configured: a ``table`` (with its ``schema``) or a ``query``.

    ``where`` is a condition added to every read. ``page_size`` is in rows. ``detect`` "auto" is the best that there is:
    "xmin" where the database allows it, else "cursor" when there is one, else "full".
    """

    table: str | None = None
    query: str | None = None
    schema: str | None = None
    primary_key: Names = ()
    where: str | None = None
    cursor: str | None = None
    detect: Detect = "auto"
    page_size: int = PAGE_ROWS


@dataclasses.dataclass(frozen=True)
class Model:
    """A table or query that exists, with every column that may be read.

    ``unique``: column sets of which no two rows agree in all non-NULL values; the primary key of a table is among
    them. ``name`` tells models of one database apart, ``selection`` (a hash) what they select.
    ``certain_key``: the database itself forbids NULL and equal values in the key. ``versions`` is given when changes
    are found by them; ``notes`` are (code, message) of what its operator should know.
    """

    database: Database
    spec: ModelSpec
    name: str
    selection: str
    columns: Mapping[str, Column]
    primary_key: Names
    unique: tuple[Names, ...]
    certain_key: bool
    whole_table: bool
    origin: sa.FromClause
    condition: sa.ColumnElement[Any] | None
    versions: RowVersions | None = None
    notes: tuple[tuple[str, str], ...] = ()

    @property
    def detection(self) -> Literal["xmin", "cursor", "full"]:
        """How changed rows are found."""
        if self.versions is not None:
            return "xmin"
        return "cursor" if self.spec.cursor is not None and self.spec.detect != "full" else "full"

    def element(self, name: str) -> Element:
        """A column, to compose statements with."""
        return self.origin.c[name]

    def select(self, *elements: Element) -> sa.Select[Any]:
        """A selection of the model's rows."""
        chosen = sa.select(*elements).select_from(self.origin)
        return chosen if self.condition is None else chosen.where(self.condition)


def look_up(database: Database, spec: ModelSpec) -> Model:
    """Find the table or try the query, and check what is configured against it."""
    origin, described = _table(database, spec) if spec.table is not None else _query(database, spec)
    columns = {column.name: column for column in described.columns}
    primary_key = tuple(spec.primary_key) or described.primary_key
    problems = list(_problems(spec, columns, primary_key))
    if problems:
        raise ConfigError(problems)
    versions, notes = _versions(database, spec, described)
    mysql = database.dialect.mysql_syntax
    where = None if spec.where is None else predicate(one_statement(spec.where, "where", mysql=mysql))
    name = spec.table if spec.table is not None else "query"
    model = Model(
        database=database,
        spec=spec,
        name=f"{described.schema}.{name}" if described.schema else name,
        selection=_selection(spec, primary_key),
        columns=columns,
        primary_key=primary_key,
        unique=described.unique,
        certain_key=primary_key == described.primary_key
        and primary_key in described.unique
        and not described.null_keys,
        whole_table=described.base and where is None,
        origin=origin,
        condition=where,
        versions=versions,
        notes=notes,
    )
    if where is not None:
        database.fetch(model.select(sa.literal_column("1")).limit(0), place="where")
    return model


def _table(database: Database, spec: ModelSpec) -> tuple[sa.FromClause, Described]:
    dialect, table = database.dialect, spec.table or ""
    names = database.within(lambda connection: dialect.tables(connection, spec.schema))
    if table not in names:
        raise ConfigError(_no_table(table, spec.schema, names))
    described = database.within(lambda connection: dialect.describe(connection, table, spec.schema))
    if not described.columns:
        label = database.identity()[1]
        raise AccessError(f'{label}: no column of "{table}" may be read', hint=f"GRANT SELECT ON {table} TO this user")
    schema = sa.quoted_name(described.schema, quote=True) if described.schema else None
    return sa.table(sa.quoted_name(table, quote=True), *_clauses(described.columns), schema=schema), described


def _query(database: Database, spec: ModelSpec) -> tuple[sa.FromClause, Described]:
    dialect = database.dialect
    statement = one_statement(spec.query or "", "query", mysql=dialect.mysql_syntax)
    columns = database.within(lambda connection: dialect.query_columns(connection, statement), place="query")
    names = [column.name for column in columns]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise ConfigError([f'query: gives two columns the name "{name}"; rename one with AS' for name in doubled])
    return derived(statement, _clauses(columns)), Described(columns)


def _versions(
    database: Database, spec: ModelSpec, described: Described
) -> tuple[RowVersions | None, tuple[tuple[str, str], ...]]:
    """The row versions to find changes by, where they are wanted and to be had; else what there is to say of it."""
    if spec.detect not in {"auto", "xmin"}:
        return None, ()
    if spec.table is None:
        found: RowVersions | Refusal = Refusal("a query has no row versions")
    elif not database.dialect.row_versions:
        found = Refusal("only PostgreSQL has row versions that can be read")
    else:
        found = row_versions(database, described.schema or "", spec.table)
    if isinstance(found, RowVersions):
        return found, ()
    if spec.detect == "xmin":
        raise ConfigError(
            f"detect: xmin is not possible here: {found.reason}", hint=found.cure or 'write detect = "auto"'
        )
    if found.cure is None:
        return None, ()
    return None, ((NO_XMIN, f"changes are not found by xmin: {found.reason}; cure: {found.cure}"),)


def _clauses(columns: Sequence[Column]) -> list[sa.ColumnClause[Any]]:
    return [sa.column(sa.quoted_name(column.name, quote=True), AsStored()) for column in columns]


def _no_table(table: str, schema: str | None, names: Sequence[str]) -> str:
    if schema is not None and not names:
        return f'schema: there is no schema "{schema}", or no table in it that this user can see'
    front, dot, back = table.partition(".")
    if dot and schema is None:
        cure = f'another schema is written schema = "{front}", table = "{back}"'
        return f'table: "{table}" does not exist; {cure}'
    return f'table: "{table}" does not exist{nearest(table, names)}'


def _problems(spec: ModelSpec, columns: Mapping[str, Column], primary_key: Names) -> Iterator[str]:
    if not primary_key:
        what = f'"{spec.table}" has none of its own' if spec.table is not None else "a query has none"
        yield f"primary_key: {what}; name the columns that tell one row from another"
    for setting, names in (("primary_key", primary_key), ("cursor", (spec.cursor,) if spec.cursor else ())):
        for name in names:
            if name not in columns:
                yield f'{setting}: there is no column "{name}"{nearest(name, columns)}'


def _selection(spec: ModelSpec, primary_key: Names) -> str:
    selected = [spec.schema, spec.table, spec.query, spec.where, list(primary_key)]
    return hashlib.sha256(json.dumps(selected).encode()).hexdigest()[:32]
