"""Old watermark, new watermark -> what to read, and why."""

from __future__ import annotations

import msgspec

from sync_profiles.core.types import Horizon, Kind, ScanCursor, ScanFull, ScanPlan, ScanSinceXid, Watermark

LOOKBACK_S_MIN = 2.0
"""MySQL's DATETIME(0) rounds up to half a second ahead, so even "no lookback" looks back a little."""
LOOKBACK_S_DEFAULT = 15 * 60.0
LOOKBACK_S_NAIVE = 2 * 3600.0
"""A cursor without time zone may be local time: an hour repeats or is lost when summer time ends."""

SINCE_LAST_RUN = "since the last run"

XID_SPAN = 2**31 - 100_000_000
"""PostgreSQL compares transactions within 2^31 of each other; the rest is room for those of the time a run takes."""
STUCK_RUNS = 3
"""So many runs in a row that find the same transaction running deserve a word: they read more and more again."""


class Wishes(msgspec.Struct, frozen=True):
    """What bears on the plan besides the watermarks; times are unix seconds."""

    now: float
    full_every_s: float | None
    lookback_s: float
    asked_full: bool = False
    source_changed: bool = False
    mapping_changed: bool = False


def plan(before: Watermark | None, now: Watermark, wishes: Wishes) -> ScanPlan:
    """Full whenever anything is unclear, with the reason; else only what moved since the last good run."""
    reason = _full_reason(before, now, wishes)
    if reason is not None or before is None:
        return ScanFull(reason or "first run")
    if before.horizon is not None:
        return ScanSinceXid(before.horizon.xmin, SINCE_LAST_RUN)
    return ScanCursor(before.cursor, max(wishes.lookback_s, LOOKBACK_S_MIN), SINCE_LAST_RUN)


def _full_reason(before: Watermark | None, now: Watermark, wishes: Wishes) -> str | None:
    if before is None:
        return "first run"
    if wishes.asked_full:
        return "asked for"
    if wishes.source_changed:
        return "another source"
    if wishes.mapping_changed:
        return "mapping changed"
    if now.detection == "full":
        return "no change column"
    if before.detection != now.detection or (before.horizon is None) != (now.horizon is None):
        return "detection changed"
    if before.horizon is not None and now.horizon is not None:
        unusable = horizon_reason(before.horizon, now.horizon)
        if unusable is not None:
            return unusable
    return _overdue(before, wishes)


def horizon_reason(before: Horizon, now: Horizon) -> str | None:
    """Why rows written since ``before`` cannot be told by their transaction; None when they can."""
    if before.system != now.system:
        return "server changed"
    if before.timeline != now.timeline:
        return "timeline changed"
    if before.started != now.started:
        return "server restarted"
    if before.relation != now.relation:
        return "table changed"
    if before.schema != now.schema:
        return "schema changed"
    if before.xmin > now.xmax:
        return "transaction counter went back"
    return "horizon too old" if now.xmax - before.xmin >= XID_SPAN else None


def _overdue(before: Watermark, wishes: Wishes) -> str | None:
    if wishes.full_every_s is None:
        return None
    if before.full_at is None or wishes.now - before.full_at >= wishes.full_every_s:
        return "full_every"
    # A clock that was set back would otherwise postpone the full pass for as long as it was wrong.
    return "full_every" if before.full_at > wishes.now else None


def detection_of(plan_used: ScanPlan) -> str:
    """How a plan finds what changed, in the word that people are told."""
    match plan_used:
        case ScanFull():
            return "full"
        case ScanCursor():
            return "cursor"
        case ScanSinceXid():
            return "xmin"


def next_watermark(plan_used: ScanPlan, before: Watermark | None, now: Watermark, started_at: float) -> Watermark:
    """What to remember after a run that read everything of its plan."""
    full_at = started_at if isinstance(plan_used, ScanFull) else (before.full_at if before else None)
    horizon = now.horizon and msgspec.structs.replace(now.horizon, stuck=stuck_runs(before, now))
    return msgspec.structs.replace(now, full_at=full_at, horizon=horizon)


def stuck_runs(before: Watermark | None, now: Watermark) -> int:
    """How many runs in a row, this one included, found the same transaction running as the run before them."""
    was, stands = before.horizon if before is not None else None, now.horizon
    if was is None or stands is None or was.system != stands.system:
        return 0
    return was.stuck + 1 if was.xmin == stands.xmin < stands.xmax else 0


def horizon_lag(now: Watermark) -> int | None:
    """How many transactions began since the oldest that still runs; what they wrote is read again by the next run."""
    return None if now.horizon is None else now.horizon.xmax - now.horizon.xmin


def lookback_s(configured: float | None, kind: Kind) -> float:
    """How far a cursor scan reads behind its watermark when the user set nothing."""
    if configured is not None:
        return max(configured, LOOKBACK_S_MIN)
    return LOOKBACK_S_NAIVE if kind is Kind.DATETIME else LOOKBACK_S_DEFAULT
