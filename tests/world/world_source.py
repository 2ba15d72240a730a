"""The source of a simulated table: pages in short transactions, and writers at work between any two of them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from world_table import ROWS_A_BLOCK, Table, Version

from sync_profiles.core.types import (
    Column,
    DistinctId,
    Horizon,
    Key,
    Kind,
    Page,
    Row,
    ScanCursor,
    ScanFull,
    ScanPlan,
    ScanSinceXid,
    Watermark,
)

KINDS = {
    "id": Kind.INTEGER,
    "uid": Kind.TEXT,
    "a": Kind.TEXT,
    "n": Kind.INTEGER,
    "b": Kind.TEXT,
    "tags": Kind.LIST,
    "created": Kind.TEXT,
    "deleted": Kind.BOOLEAN,
}
MODEL = tuple(Column(name, kind, kind.value) for name, kind in KINDS.items())

Position = tuple[int, int]
"""Cursor and key of the last row of a page."""


class SimulatedSource:
    """Implements ``core.ports.Source``. ``step`` is called before every statement; ``now`` is the database's own."""

    def __init__(
        self,
        table: Table,
        columns: Sequence[str],
        *,
        detect: str,
        page_rows: int,
        by_block: bool,
        unique_ids: bool,
        step: Callable[[str], None],
        now: Callable[[], int],
        rng: random.Random,
    ) -> None:
        self._table = table
        self._columns = columns
        self._detect = detect
        self._page_rows = page_rows
        self._by_block = by_block
        self._unique_ids = unique_ids
        self._step = step
        self._now = now
        self._ahead = rng.random() < 0.5
        self._blocks_a_range = rng.choice([1, 1, 2, 5])

    # --- where it stands ---------------------------------------------------------------------------------------

    def watermark(self) -> Watermark:
        self._step("watermark")
        if self._detect == "full":
            return Watermark("full")
        if self._detect == "cursor":
            return Watermark("cursor", self._newest())
        table = self._table
        xmin, xmax = table.snapshot()
        return Watermark(
            "xmin",
            horizon=Horizon(
                xmin=xmin,
                xmax=xmax,
                system="1",
                timeline=str(table.timeline),
                started=str(table.started),
                relation="1/1",
                schema=str(table.schema),
            ),
        )

    def _newest(self) -> str | None:
        stamps = [version.values["updated_at"] for version in self._table.committed.values()]
        known = [stamp for stamp in stamps if stamp is not None]
        return str(min(max(known), self._now())) if known else None

    def estimate(self, plan: ScanPlan) -> int | None:
        return None

    def notes(self) -> Sequence[tuple[str, str]]:
        return ()

    def count(self) -> int | None:
        self._step("count")
        return len(self._table.committed) if self._detect == "xmin" else None

    def oldest_transaction(self) -> str | None:
        return None

    # --- pages -------------------------------------------------------------------------------------------------

    def pages(self, plan: ScanPlan) -> Iterator[Page]:
        """With luck the next page is read while the last one is still worked on, as ``ReadAhead`` does."""
        if not self._ahead:
            yield from self._pages(plan)
            return
        waiting: Page | None = None
        for page in self._pages(plan):
            if waiting is not None:
                yield waiting
            waiting = page
        if waiting is not None:
            yield waiting

    def _pages(self, plan: ScanPlan) -> Iterator[Page]:
        match plan:
            case ScanFull():
                yield from self._whole(lambda version: True)
            case ScanSinceXid(horizon=horizon):
                yield from self._whole(lambda version: version.xid >= horizon)
            case ScanCursor():
                yield from self._along_cursor(plan)

    def _whole(self, wanted: Callable[[Version], bool]) -> Iterator[Page]:
        if self._by_block:
            yield from self._blocks(wanted)
        else:
            yield from self._by_key(wanted)

    def _by_key(self, wanted: Callable[[Version], bool]) -> Iterator[Page]:
        last: int | None = None
        while True:
            self._step("page")
            rows = [
                (key, version)
                for key, version in sorted(self._table.committed.items())
                if (last is None or key > last) and wanted(version)
            ][: self._page_rows]
            if not rows:
                return
            yield self._page(rows)
            if len(rows) < self._page_rows:
                return
            last = rows[-1][0]

    def _blocks(self, wanted: Callable[[Version], bool]) -> Iterator[Page]:
        self._step("size")
        blocks, width = self._table.blocks, self._blocks_a_range
        waiting: list[tuple[int, Version]] = []
        for first in range(0, max(blocks, 1), width):
            behind = first + width if first + width < blocks else None
            self._step("page")
            waiting += [
                (key, version)
                for key, version in self._table.committed.items()
                if version.slot // ROWS_A_BLOCK >= first
                and (behind is None or version.slot // ROWS_A_BLOCK < behind)
                and wanted(version)
            ]
            full = len(waiting) - len(waiting) % self._page_rows
            for start in range(0, max(1, full), self._page_rows):
                yield self._page(dict(waiting[start : min(full, start + self._page_rows)]).items())
            del waiting[:full]
        if waiting:
            yield self._page(dict(waiting).items())

    def _along_cursor(self, plan: ScanCursor) -> Iterator[Page]:
        lower = int(int(plan.lower) - plan.lookback_s) if plan.lower is not None else None
        upper = int(plan.upper) if plan.upper is not None else None
        last: Position | None = None
        while True:
            rows: list[tuple[int, Version]] = []
            for within in self._ranges(last, lower):
                self._step("page")
                rows += self._in_order(within, upper)[: self._page_rows - len(rows)]
                if len(rows) >= self._page_rows:
                    break
            if rows:
                yield self._page(rows)
                last = (rows[-1][1].values["updated_at"], rows[-1][0])
            if len(rows) < self._page_rows:
                break
        if plan.nulls:
            yield from self._by_key(lambda version: version.values["updated_at"] is None)

    def _ranges(self, last: Position | None, lower: int | None) -> Iterator[Callable[[Position], bool]]:
        """The equal part and the greater part, each a statement of its own."""
        if last is None:
            yield lambda at: lower is None or self.reaches(at[0], lower)
            return
        yield lambda at: at[0] == last[0] and at[1] > last[1]
        yield lambda at: at[0] > last[0]

    @staticmethod
    def reaches(stamp: int, lower: int) -> bool:
        """Whether a cursor is within a scan's lower bound."""
        return stamp >= lower

    def _in_order(self, within: Callable[[Position], bool], upper: int | None) -> list[tuple[int, Version]]:
        found = [
            ((version.values["updated_at"], key), version)
            for key, version in self._table.committed.items()
            if version.values["updated_at"] is not None
        ]
        kept = [entry for entry in found if within(entry[0]) and (upper is None or entry[0][0] <= upper)]
        return [(at[1], version) for at, version in sorted(kept, key=lambda entry: entry[0])]

    # --- by key and by ID --------------------------------------------------------------------------------------

    def read(self, keys: Sequence[Key]) -> Page:
        self._step("read")
        committed = self._table.committed
        return self._page((int(key), committed[int(key)]) for key in keys if int(key) in committed)

    def duplicates(self) -> Iterator[Page]:
        if self._unique_ids:
            return
        self._step("duplicates")
        holders: dict[str, list[int]] = {}
        for key, version in self._table.committed.items():
            if version.values["uid"] is not None:
                holders.setdefault(version.values["uid"], []).append(key)
        keys = [str(key) for some in holders.values() if len(some) > 1 for key in some]
        for start in range(0, len(keys), self._page_rows):
            yield self.read(keys[start : start + self._page_rows])

    def sharing(self, ids: Sequence[DistinctId]) -> Page:
        if self._unique_ids or not ids:
            return Page([], [])
        self._step("sharing")
        wanted = set(ids)
        return self._page(entry for entry in self._table.committed.items() if entry[1].values["uid"] in wanted)

    def _page(self, entries: Any) -> Page:
        keys: list[Key] = []
        rows: list[Row] = []
        for key, version in entries:
            keys.append(str(key))
            rows.append(tuple(_raw(name, version.values[name]) for name in self._columns))
        return Page(keys, rows)


def _raw(name: str, value: Any) -> Any:
    return json.dumps(value) if name == "tags" and value is not None else value
