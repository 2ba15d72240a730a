"""A run by hand that sends every selected row again; killed and started again, it goes on where it was.

It needs no position: keys that were acknowledged before the backfill began count as unknown, those acknowledged since
are unchanged, so a second start reads from the beginning and sends only what is left.
"""

from __future__ import annotations

import msgspec

from sync_profiles.core import scanplan
from sync_profiles.core.types import Key, ScanCursor, ScanFull, ScanSinceXid, Watermark
from sync_profiles.engine.compare import key_pages
from sync_profiles.engine.conduct import Forced, Working, conduct, remove_gone
from sync_profiles.engine.course import Course, Surroundings
from sync_profiles.engine.ending import RunResult
from sync_profiles.engine.ownership import finish_pass, settle_identity
from sync_profiles.engine.parts import Sync
from sync_profiles.engine.spread import Spread


class Selection(msgspec.Struct, frozen=True):
    """Which rows a backfill sends: all, or those between two cursor values, with these keys, where a predicate holds.

    The predicate is part of the source; it stands here because an interrupted backfill is continued only by the same
    selection.
    """

    since: str | None = None
    until: str | None = None
    keys: tuple[Key, ...] = ()
    where: str | None = None
    changed_only: bool = False
    restart: bool = False

    @property
    def everything(self) -> bool:
        """No row is left out."""
        return not (self.since or self.until or self.keys or self.where)

    @property
    def name(self) -> str:
        """Equal for equal selections; holds no row value but what the user typed."""
        return msgspec.json.encode([self.since, self.until, sorted(self.keys), self.where]).decode()


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
        complete, now = _selected_rows(work, selection, plan, now)
        course.tally.progress("sending", work.delivery.in_flight)
        work.delivery.drain()
        work.rows.check_rejects()
        if complete:
            remove_gone(work, allow=False)
    if course.stop.cause is None:
        course.forced_done = True
        if sync.division is not None:
            sync.division.state.keep_cut(None)
        if selection.everything:
            full = ScanFull("backfill")
            watermark = scanplan.next_watermark(full, before, now, course.started_at)
            # Every row was read, but none was missed: rows that are gone still wait for a full pass of their own.
            swept_at = before.full_at if before is not None else None
            finish_pass(sync.state, parts.identity, msgspec.structs.replace(watermark, full_at=swept_at))


def _selected_rows(
    work: Working, selection: Selection, plan: ScanFull | ScanCursor, now: Watermark
) -> tuple[bool, Watermark]:
    """Take every selected row; whether that came to its end, and where the source stood before the first was read."""
    source, division = work.parts.source, work.sync.division
    if selection.keys:
        return work.rows.take_all(key_pages(source, selection.keys)), now
    if division is None:
        complete = work.rows.scan(plan)
    else:
        spread = Spread(work, division, plan, now if not selection.changed_only else None)
        complete, now = spread.take(), spread.watermark or now
    if complete and now.horizon is not None and isinstance(plan, ScanFull):
        # Rows that moved while the pages were read have a version of their own now.
        complete = work.rows.scan(ScanSinceXid(now.horizon.xmin, plan.reason))
    return complete, now


def _plan(selection: Selection) -> ScanFull | ScanCursor:
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
