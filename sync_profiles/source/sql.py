"""Reading a model: keyset pages, rows by key, rows that share a distinct ID; the same SQL for all databases.

A page is one short read-only transaction. Keys are never compared here: the last key of a page goes back to the
database as parameters. There is no single predicate for "after this position" that every database answers from its
index, so a page takes one plain range query for each column of the position: rows that agree in all columns but the
last, then rows that agree in all but the last two, and so on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any

import sqlalchemy as sa

from sync_profiles.core.keys import keys_of
from sync_profiles.core.types import (
    DistinctId,
    Key,
    Page,
    Property,
    Row,
    ScanCursor,
    ScanFull,
    ScanPlan,
    ScanSinceXid,
    Watermark,
)
from sync_profiles.errors import ConfigError
from sync_profiles.source.cursor import clamped, cursor_notes, moved_back
from sync_profiles.source.database import Database, open_database
from sync_profiles.source.dialect import Extent, Place
from sync_profiles.source.distinct import id_match, ids_are_unique
from sync_profiles.source.model import Model, ModelSpec
from sync_profiles.source.numerals import encodes
from sync_profiles.source.statements import nearest, one_statement, predicate
from sync_profiles.source.versions import RowVersions
from sync_profiles.source.walk import Walk, key_condition, labelled, latest, position_in

__all__ = ["Database", "Model", "ModelSpec", "SqlSource", "open_database", "open_source"]

KEYS_A_STATEMENT = 500
IDS_A_STATEMENT = 5000
"""A whole page: where no index helps, each statement reads the whole table."""
BLOCK_PASSES_MAX = 3


def open_source(
    model: Model, columns: Sequence[str], *, distinct_id: Property | None, extra_where: str | None = None
) -> SqlSource:
    """A source whose rows hold ``columns`` in that order.

    ``extra_where`` narrows what ``pages`` scans (a backfill's ``--where``), and nothing else: a row outside of it still
    exists. Raises ``ConfigError`` for an unknown column and for a condition that the database refuses.
    """
    problems = [
        f'there is no column "{name}"{nearest(name, model.columns)}' for name in columns if name not in model.columns
    ]
    if problems:
        raise ConfigError(problems)
    source = SqlSource(model, tuple(columns), distinct_id)
    if extra_where is None:
        return source
    mysql = model.database.dialect.mysql_syntax
    narrowed = predicate(one_statement(extra_where, "--where", mysql=mysql))
    model.database.fetch(model.select(sa.literal_column("1")).where(narrowed).limit(0), place="--where")
    return SqlSource(model, tuple(columns), distinct_id, narrowed)


class SqlSource:
    """Implements ``core.ports.Source``."""

    def __init__(
        self,
        model: Model,
        columns: tuple[str, ...],
        distinct_id: Property | None,
        narrowed: sa.ColumnElement[bool] | None = None,
    ) -> None:
        self._model = model
        self._database = model.database
        self._dialect = model.database.dialect
        self._width = len(columns)
        self._distinct_id = distinct_id
        self._narrowed = narrowed
        self._nulls = 0
        self._ahead = False
        self._keys = tuple(self._place(name) for name in model.primary_key)
        self._cursor = self._place(model.spec.cursor) if model.spec.cursor is not None else None
        selected = [self._dialect.raw(model.element(name), model.columns[name]) for name in columns]
        self._key_at = [position_in(selected, key) for key in self._keys]
        self._rows = labelled(model, selected)
        if self._cursor is not None:
            self._cursor_at = position_in(selected, self._cursor)
            self._rows_in_order = labelled(model, selected)

    # --- where the source stands -----------------------------------------------------------------------------------

    def watermark(self) -> Watermark:
        """The horizon of the transactions, or the largest cursor of the whole table.

        The cursor is not beyond the database's now: rows dated ahead would hide others.
        """
        if self._model.versions is not None:
            return Watermark("xmin", horizon=self._model.versions.horizon())
        if self._cursor is None or self._model.detection == "full":
            return Watermark("full")
        element, column = self._cursor.element, self._cursor.column
        asked = (self._dialect.newest(element, column), self._dialect.epoch(), self._dialect.ahead(element, column))
        newest = sa.select(*asked).select_from(self._model.origin)
        value, now, ahead = self._database.fetch(newest, place="cursor")[0]
        reached = clamped(value, float(now), column, self._dialect)
        self._ahead = bool(ahead) or (reached is not None and reached != str(value))
        return Watermark("cursor", reached)

    def estimate(self, plan: ScanPlan) -> int | None:
        """The planner's or the engine's guess; None when it would have to be counted for long."""
        if isinstance(plan, ScanSinceXid):
            return None
        model = self._model
        rows = model.select(sa.literal_column("1").label("one"))
        if isinstance(plan, ScanCursor):
            walk = self._along_cursor(plan)
            rows = rows.where(*walk.conditions, *walk.start)
        if self._narrowed is not None:
            rows = rows.where(self._narrowed)
        whole = isinstance(plan, ScanFull) and self._narrowed is None and model.whole_table
        extent = Extent(rows, model.spec.table if whole else None, model.spec.schema)
        return self._database.within(lambda connection: self._dialect.estimate(connection, extent))

    def notes(self) -> tuple[tuple[str, str], ...]:
        """What the operator should know of how this model is read, as (code, message)."""
        return (*self._model.notes, *cursor_notes(self._model.spec.cursor, self._nulls, ahead=self._ahead))

    def count(self) -> int | None:
        """With row versions the table is read from end to end anyway; anywhere else counting may take long."""
        if self._model.versions is None:
            return None
        rows = self._model.select(sa.func.count())
        return int(self._database.fetch(rows)[0][0])

    def oldest_transaction(self) -> str | None:
        """What is known of the transaction that holds the horizon, for a message."""
        return self._model.versions.oldest_transaction() if self._model.versions is not None else None

    # --- pages -----------------------------------------------------------------------------------------------------

    def pages(self, plan: ScanPlan) -> Iterator[Page]:
        """Every row the plan selects; with a cursor, rows whose cursor is NULL come last.

        With row versions, a row that changes meanwhile may be left out: it has a version that the next run asks for.
        A page may be empty.
        """
        narrowed = () if self._narrowed is None else (self._narrowed,)
        versions = self._model.versions
        if isinstance(plan, ScanSinceXid):
            if versions is None:
                raise ConfigError("detect: reading by xmin was asked for, and there are no row versions")
            conditions = (*narrowed, versions.changed_since(plan.horizon))
            yield from (
                self._blocks(versions, conditions) if versions.by_block else self._walk(Walk(self._keys, conditions))
            )
            return
        if isinstance(plan, ScanFull):
            self._refuse_null_keys()
            # In the order of an uncertain key, equal keys come together and are found.
            if versions is not None and versions.by_block and self._model.certain_key:
                yield from self._blocks(versions, narrowed, all_rows=True)
            else:
                yield from self._walk(Walk(self._keys, narrowed))
            return
        walk = self._along_cursor(plan)
        yield from self._walk(dataclasses.replace(walk, conditions=(*narrowed, *walk.conditions)))
        if plan.nulls:
            self._nulls = 0
            for page in self._walk(Walk(self._keys, (*narrowed, walk.places[0].element.is_(None)))):
                self._nulls += len(page.keys)
                yield page

    def read(self, keys: Sequence[Key]) -> Page:
        """By primary key; a key that is none of this table's is as gone as one whose row was deleted."""
        found: list[Row] = []
        for start in range(0, len(keys), KEYS_A_STATEMENT):
            condition = key_condition(keys[start : start + KEYS_A_STATEMENT], self._keys, self._dialect)
            if condition is not None:
                found += self._database.fetch(self._rows.where(condition))
        page = self._page(found)
        asked = set(keys)  # a collation may have found more than was asked for
        if asked.issuperset(page.keys):
            return page
        kept = [(key, row) for key, row in zip(page.keys, page.rows, strict=True) if key in asked]
        return Page([key for key, _ in kept], [row for _, row in kept])

    def _along_cursor(self, plan: ScanCursor) -> Walk:
        if self._cursor is None:
            raise ConfigError("cursor: is not set, and reading by it was asked for")
        element, column = self._cursor.element, self._cursor.column
        conditions: list[sa.ColumnElement[bool]] = [element.is_not(None)]
        if plan.upper is not None:
            conditions.append(element <= self._dialect.bound(plan.upper, column))
        start = (
            () if plan.lower is None else (element >= moved_back(plan.lower, plan.lookback_s, column, self._dialect),)
        )
        return Walk((self._cursor, *self._keys), tuple(conditions), start)

    def _blocks(
        self, versions: RowVersions, conditions: tuple[sa.ColumnElement[bool], ...], *, all_rows: bool = False
    ) -> Iterator[Page]:
        """All ranges of blocks; again when the table was rewritten meanwhile, and by key when that goes on.

        A rewrite moves rows behind the reader's back and they keep their versions, so that no later run would ask for
        them.
        """
        for _ in range(BLOCK_PASSES_MAX):
            files = versions.files()
            yield from self._block_pages(versions, conditions, all_rows=all_rows)
            if versions.files() == files:
                return
        yield from self._walk(Walk(self._keys, conditions))

    def _block_pages(
        self, versions: RowVersions, conditions: tuple[sa.ColumnElement[bool], ...], *, all_rows: bool
    ) -> Iterator[Page]:
        """Pages as full as they may be: some costs, a search for shared IDs above all, are paid once a page.

        After each range comes a page, if an empty one, so that whoever reads may stop.
        """
        page_rows = self._model.spec.page_size
        waiting: list[Row] = []
        for within in versions.block_ranges(all_rows=all_rows):
            waiting += self._database.fetch(self._rows.where(within, *conditions))
            full = len(waiting) - len(waiting) % page_rows
            for start in range(0, max(1, full), page_rows):
                yield latest(self._page(waiting[start : min(full, start + page_rows)]))
            del waiting[:full]
        if waiting:
            yield latest(self._page(waiting))

    def _walk(self, walk: Walk) -> Iterator[Page]:
        page_rows = self._model.spec.page_size
        position: tuple[Any, ...] | None = None
        while True:
            rows: list[Row] = []
            for conditions, places in self._ranges(walk, position):
                selection = self._rows if walk.places is self._keys else self._rows_in_order
                statement = selection.where(*walk.conditions, *conditions)
                ordered = statement.order_by(*(place.element for place in places)).limit(page_rows - len(rows))
                rows += self._database.fetch(ordered)
                if len(rows) >= page_rows:
                    break
            if not rows:
                return
            yield self._page(rows, unique=walk.places is self._keys)
            if len(rows) < page_rows:
                return
            position = self._moved_on(position, rows[-1], walk)

    def _ranges(
        self, walk: Walk, position: tuple[Any, ...] | None
    ) -> Iterator[tuple[list[sa.ColumnElement[bool]], tuple[Place, ...]]]:
        """The plain range queries that together give the rows after ``position``, in order."""
        if position is None:
            yield list(walk.start), walk.places
            return
        bounds = [self._dialect.bound(value, place.column) for value, place in zip(position, walk.places, strict=True)]
        for depth in reversed(range(len(bounds))):
            same = [place.element == bound for place, bound in zip(walk.places[:depth], bounds, strict=False)]
            yield [*same, walk.places[depth].element > bounds[depth]], walk.places[depth:]

    def _moved_on(self, position: tuple[Any, ...] | None, row: Row, walk: Walk) -> tuple[Any, ...]:
        """The position of a page's last row, which no later row may be left out behind."""
        key = tuple(row[place] for place in self._key_at)
        reached = key if walk.places is self._keys else (row[self._cursor_at], *key)
        if reached == position:
            names = ", ".join(place.column.name for place in walk.places)
            raise ConfigError(f"primary_key: the database cannot compare {names} with a value read from it")
        if None in key:
            raise self._null_key()
        return reached

    def _page(self, rows: Sequence[Row], *, unique: bool = False) -> Page:
        if not rows:
            return Page([], [])
        keys = keys_of([list(map(itemgetter(place), rows)) for place in self._key_at])
        if unique and not self._model.certain_key and len(set(keys)) < len(keys):
            names = ", ".join(self._model.primary_key)
            raise ConfigError(f"primary_key: {names} is not unique: two rows have the same value")
        mapped = itemgetter(slice(self._width))
        return Page(keys, rows if len(rows[0]) == self._width else list(map(mapped, rows)))

    # --- shared distinct IDs ---------------------------------------------------------------------------------------

    def duplicates(self) -> Iterator[Page]:
        """The keys are found by one grouping query; the rows are then read by key."""
        if ids_are_unique(self._distinct_id, self._model):
            return
        match = id_match(self._distinct_id, self._model)
        if match is None:
            yield from self._walk(Walk(self._keys))
            return
        inner = self._model.select(match.element).where(match.element.is_not(None))
        shared = inner.group_by(match.element).having(sa.func.count() > 1)
        keys_only = self._model.select(*(key.selected for key in self._keys)).where(match.element.in_(shared))
        found = self._database.fetch(keys_only)
        keys = keys_of(list(zip(*found, strict=True))) if found else []
        for start in range(0, len(keys), self._model.spec.page_size):
            page = self.read(keys[start : start + self._model.spec.page_size])
            if page.keys:
                yield page

    def sharing(self, ids: Sequence[DistinctId]) -> Page:
        """Every row, where the ID cannot be computed in SQL."""
        if not ids or ids_are_unique(self._distinct_id, self._model):
            return Page([], [])
        match = id_match(self._distinct_id, self._model)
        if match is None:
            pages = list(self._walk(Walk(self._keys)))
            return Page([key for page in pages for key in page.keys], [row for page in pages for row in page.rows])
        possible = (match.wanted(one) for one in ids if "\0" not in one and encodes(one))
        wanted = [value for value in possible if value is not None]
        rows: list[Row] = []
        for start in range(0, len(wanted), IDS_A_STATEMENT):
            some = wanted[start : start + IDS_A_STATEMENT]
            rows += self._database.fetch(self._rows.where(match.element.in_(some)))
        return self._page(rows)

    # --- parts -----------------------------------------------------------------------------------------------------

    def _place(self, name: str) -> Place:
        return self._dialect.place(self._model.element(name), self._model.columns[name])

    def _refuse_null_keys(self) -> None:
        """Rows without a key would be left out of every page, silently."""
        if self._model.certain_key:
            return
        missing = sa.or_(*(key.element.is_(None) for key in self._keys))
        rows = self._model.select(sa.literal_column("1")).where(missing).limit(1)
        if self._database.fetch(rows):
            raise self._null_key()

    def _null_key(self) -> ConfigError:
        names = ", ".join(self._model.primary_key)
        hint = f'leave such rows out: where = "{self._model.primary_key[0]} IS NOT NULL"'
        return ConfigError(f"primary_key: {names} is NULL in some rows", hint=hint)
