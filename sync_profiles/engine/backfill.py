"""A run by hand that sends every selected row again; killed and started again, it goes on where it was.

It needs no position: keys that were acknowledged before the backfill began count as unknown, those acknowledged since
are unchanged, so a second start reads from the beginning and sends only what is left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sync_profiles.core import scanplan
from sync_profiles.core.ports import Source
from sync_profiles.core.types import Key, Page, ScanCursor, ScanFull, ScanPlan
from sync_profiles.engine.course import Course, Surroundings
from sync_profiles.engine.parts import Selection
from sync_profiles.engine.run import (
    Forced,
    RunResult,
    Sync,
    Working,
    conduct,
    finish_pass,
    remove_gone,
    settle_identity,
)

KEYS_A_PAGE = 1000


def backfill_sync(sync: Sync, selection: Selection, surroundings: Surroundings) -> RunResult:
    """Send every selected row again (only changed ones with ``changed_only``)."""
    forced = None if selection.changed_only else Forced(selection.name, restart=selection.restart)
    return conduct(
        sync, surroundings, lambda course: _backfill(course, sync, selection), detection="backfill", forced=forced
    )


def _backfill(course: Course, sync: Sync, selection: Selection) -> None:
    parts = sync.open_parts()
    settle_identity(sync.state, parts.identity, accept=False)
    before, now = sync.state.watermark(), parts.source.watermark()
    plan = _plan(selection)
    course.announce("backfill", _why(selection), len(selection.keys) or parts.source.estimate(plan))
    with Working(course, sync, parts) as work:
        if course.begun is not None and not selection.changed_only:
            work.rows.force(course.begun.forced_since)
        work.rows.due_rows()
        pages = _key_pages(parts.source, selection.keys)
        complete = work.rows.take_all(pages) if selection.keys else work.rows.scan(plan)
        work.delivery.drain()
        work.rows.check_rejects()
        if complete:
            remove_gone(work, allow=False)
    if course.stop.cause is None:
        course.forced_done = True
        if selection.everything:
            full = ScanFull("backfill")
            finish_pass(sync.state, parts.identity, scanplan.next_watermark(full, before, now, course.started_at))


def _plan(selection: Selection) -> ScanPlan:
    if selection.since or selection.until:
        return ScanCursor(selection.since, 0.0, "backfill", upper=selection.until, nulls=False)
    return ScanFull("backfill")


def _why(selection: Selection) -> str:
    chosen = [
        f"{len(selection.keys)} keys" if selection.keys else "",
        f"since {selection.since}" if selection.since else "",
        f"until {selection.until}" if selection.until else "",
        "rows of --where" if selection.where else "",
    ]
    what = ", ".join(part for part in chosen if part) or "every row"
    return f"{what}, only what changed" if selection.changed_only else what


def _key_pages(source: Source, keys: Sequence[Key]) -> Iterator[Page]:
    for start in range(0, len(keys), KEYS_A_PAGE):
        yield source.read(keys[start : start + KEYS_A_PAGE])
