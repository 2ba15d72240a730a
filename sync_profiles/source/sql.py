"""Reading a model: keyset pages, rows by key, rows that share a distinct ID; the same SQL for all databases.

A page is one short read-only transaction.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from sync_profiles.core.keys import keys_of
from sync_profiles.core.types import (
    BlockPart,
    DistinctId,
    Key,
    KeyPart,
    Page,
    Part,
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
from sync_profiles.source.cuts import Cutting
from sync_profiles.source.database import Database, open_database
from sync_profiles.source.dialect import Extent
from sync_profiles.source.distinct import id_match, ids_are_unique
from sync_profiles.source.keyset import Keyset
from sync_profiles.source.model import Model, ModelSpec
from sync_profiles.source.numerals import encodes
from sync_profiles.source.statements import nearest, one_statement, predicate
from sync_profiles.source.versions import RowVersions
from sync_profiles.source.walk import Walk, key_condition, latest

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
        self._distinct_id = distinct_id
        self._narrow = () if narrowed is None else (narrowed,)
        self._nulls = 0
        self._ahead = False
        self._keyset = Keyset(model, columns)
        self._keys, self._cursor, self._rows = self._keyset.keys, self._keyset.cursor, self._keyset.rows

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
        else:
            rows = rows.where(*self._narrow)
        whole = isinstance(plan, ScanFull) and not self._narrow and model.whole_table
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

    def pages(self, plan: ScanPlan, part: Part | None = None) -> Iterator[Page]:
        """Every row the plan selects, or those of a part; with a cursor, rows whose cursor is NULL come last.

        With row versions, a row that changes meanwhile may be left out: it has a version that the next run asks for.
        A page may be empty.
        """
        versions = self._model.versions
        if isinstance(plan, ScanSinceXid):
            if versions is None:
                raise ConfigError("detect: reading by xmin was asked for, and there are no row versions")
            conditions = (*self._narrow, versions.changed_since(plan.horizon))
            by_key = self._keyset.pages(Walk(self._keys, conditions))
            yield from self._blocks(versions, conditions) if versions.by_block else by_key
        elif isinstance(part, BlockPart):
            yield from self._block_pages(self._block_versions(), self._narrow, (part.first, part.behind))
        elif isinstance(plan, ScanFull):
            if part is None:
                self._keyset.refuse_null_keys()
            if part is None and self._has_blocks:
                yield from self._blocks(self._block_versions(), self._narrow, all_rows=True)
            else:
                yield from self._keyset.pages(self._within(Walk(self._keys, self._narrow), part))
        else:
            walk = self._along_cursor(plan)
            yield from self._keyset.pages(self._within(walk, part))
            if plan.nulls and (part is None or part.upto is None):
                yield from self._without_cursor(walk)

    def _within(self, walk: Walk, part: KeyPart | None) -> Walk:
        return walk if part is None else dataclasses.replace(walk, after=part.after, upto=part.upto)

    def _without_cursor(self, walk: Walk) -> Iterator[Page]:
        self._nulls = 0
        for page in self._keyset.pages(Walk(self._keys, (*self._narrow, walk.places[0].element.is_(None)))):
            self._nulls += len(page.keys)
            yield page

    def parts(self, plan: ScanPlan, count: int, *, by_key: bool = False) -> Sequence[Part]:
        """Ranges of blocks where the table can be read so, else of what the plan's order is by."""
        if isinstance(plan, ScanFull):
            self._keyset.refuse_null_keys()
            if self._has_blocks and not by_key:
                versions = self._block_versions()
                files = _digest(versions.files())
                return [BlockPart(first, behind, files) for first, behind in versions.parts(count)]
        walk = self._along_cursor(plan) if isinstance(plan, ScanCursor) else Walk(self._keys, self._narrow)
        return Cutting(self._model, self._keyset, lambda: self.estimate(plan)).parts(walk, count)

    def whole(self, parts: Sequence[Part]) -> bool:
        """A table in other files than when its blocks were cut into parts has its rows in other places."""
        files = {part.files for part in parts if isinstance(part, BlockPart)}
        return not files or files == {_digest(self._block_versions().files())}

    def read(self, keys: Sequence[Key]) -> Page:
        """By primary key; a key that is none of this table's is as gone as one whose row was deleted."""
        found: list[Row] = []
        for start in range(0, len(keys), KEYS_A_STATEMENT):
            condition = key_condition(keys[start : start + KEYS_A_STATEMENT], self._keys, self._dialect)
            if condition is not None:
                found += self._database.fetch(self._rows.where(condition))
        page = self._keyset.page(found)
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
        return Walk((self._cursor, *self._keys), (*self._narrow, *conditions), start)

    @property
    def _has_blocks(self) -> bool:
        """In the order of an uncertain key, equal keys come together and are found."""
        versions = self._model.versions
        return versions is not None and versions.by_block and self._model.certain_key

    def _block_versions(self) -> RowVersions:
        versions = self._model.versions
        if versions is None or not versions.by_block:
            raise ConfigError("table: its blocks cannot be read here, as they could where it was cut into parts")
        return versions

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
        yield from self._keyset.pages(Walk(self._keys, conditions))

    def _block_pages(
        self,
        versions: RowVersions,
        conditions: tuple[sa.ColumnElement[bool], ...],
        part: tuple[int, int | None] = (0, None),
        *,
        all_rows: bool = True,
    ) -> Iterator[Page]:
        """Pages as full as they may be: some costs, a search for shared IDs above all, are paid once a page.

        After each range comes a page, if an empty one, so that whoever reads may stop.
        """
        page_rows = self._model.spec.page_size
        waiting: list[Row] = []
        for within in versions.block_ranges(part, all_rows=all_rows):
            waiting += self._database.fetch(self._rows.where(within, *conditions))
            full = len(waiting) - len(waiting) % page_rows
            for start in range(0, max(1, full), page_rows):
                yield latest(self._keyset.page(waiting[start : min(full, start + page_rows)]))
            del waiting[:full]
        if waiting:
            yield latest(self._keyset.page(waiting))

    # --- shared distinct IDs ---------------------------------------------------------------------------------------

    def duplicates(self) -> Iterator[Page]:
        """The keys are found by one grouping query; the rows are then read by key."""
        if ids_are_unique(self._distinct_id, self._model):
            return
        match = id_match(self._distinct_id, self._model)
        if match is None:
            yield from self._keyset.pages(Walk(self._keys))
            return
        inner = self._model.select(match.element).where(match.element.is_not(None))
        # The hint lets MySQL sort instead of keeping every ID in a temporary table, which takes five times as long.
        grouped = inner.prefix_with("SQL_BIG_RESULT", dialect="mysql").group_by(match.element)
        shared = grouped.having(sa.func.count() > 1)
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
            pages = list(self._keyset.pages(Walk(self._keys)))
            return Page([key for page in pages for key in page.keys], [row for page in pages for row in page.rows])
        possible = (match.wanted(one) for one in ids if "\0" not in one and encodes(one))
        wanted = [value for value in possible if value is not None]
        rows: list[Row] = []
        for start in range(0, len(wanted), IDS_A_STATEMENT):
            some = wanted[start : start + IDS_A_STATEMENT]
            rows += self._database.fetch(self._rows.where(match.element.in_(some)))
        return self._keyset.page(rows)


def _digest(files: Sequence[tuple[int, int | None]]) -> str:
    return hashlib.blake2b(repr(files).encode(), digest_size=16).hexdigest()
