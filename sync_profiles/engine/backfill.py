"""A run by hand that sends every selected row again; killed and started again, it goes on where it was.

It needs no position: keys that were acknowledged before the backfill began count as unknown, those acknowledged since
are unchanged, so a second start reads from the beginning and sends only what is left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sync_profiles.core import scanplan
from sync_profiles.core.ports import Source
from sync_profiles.core.types import Key, Page, ScanCursor, ScanFull, ScanPlan
from sync_profiles.engine.deliver import Delivery
from sync_profiles.engine.parts import Parts, Selection
from sync_profiles.engine.passes import Pass
from sync_profiles.engine.run import (
    Course,
    Forced,
    RunResult,
    Surroundings,
    Sync,
    conduct,
    finish_pass,
    remove_gone,
    settle_identity,
    with_delivery,
)

KEYS_A_PAGE = 1000


def backfill_sync(sync: Sync, selection: Selection, surroundings: Surroundings) -> RunResult:
    """Send every selected row again (only changed ones with ``changed_only``)."""
    forced = None if selection.changed_only else Forced(selection.name, restart=selection.restart)
    return conduct(sync, surroundings, lambda course: _backfill(course, selection), detection="backfill", forced=forced)


def _backfill(course: Course, selection: Selection) -> None:
    sync = course.sync
    parts = sync.open_parts()
    settle_identity(sync.state, parts.identity, accept=False)
    before, now = sync.state.watermark(), parts.source.watermark()
    plan = _plan(selection)
    total = len(selection.keys) or parts.source.estimate(plan)
    course.announce("backfill", _why(selection), total)

    def work(a_pass: Pass, delivery: Delivery) -> None:
        if course.begun is not None and not selection.changed_only:
            a_pass.force(course.begun.forced_since)
        a_pass.due_rows()
        complete = a_pass.take_all(_key_pages(parts.source, selection.keys)) if selection.keys else a_pass.scan(plan)
        delivery.drain()
        a_pass.check_rejects()
        if complete:
            remove_gone(course, parts, delivery, allow=False)

    with_delivery(course, parts, work)
    if course.surroundings.stop.cause is None:
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
