"""Old watermark, new watermark -> what to read, and why."""

from __future__ import annotations

import msgspec

from sync_profiles.core.types import Kind, ScanCursor, ScanFull, ScanPlan, Watermark

LOOKBACK_S_MIN = 2.0
"""MySQL's DATETIME(0) rounds up to half a second ahead, so even "no lookback" looks back a little."""
LOOKBACK_S_DEFAULT = 15 * 60.0
LOOKBACK_S_NAIVE = 2 * 3600.0
"""A cursor without time zone may be local time: an hour repeats or is lost when summer time ends."""

SINCE_LAST_RUN = "since the last run"


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
    if before.detection != now.detection:
        return "detection changed"
    if wishes.full_every_s is None:
        return None
    if before.full_at is None or wishes.now - before.full_at >= wishes.full_every_s:
        return "full_every"
    # A clock that was set back would otherwise postpone the full pass for as long as it was wrong.
    return "full_every" if before.full_at > wishes.now else None


def next_watermark(plan_used: ScanPlan, before: Watermark | None, now: Watermark, started_at: float) -> Watermark:
    """What to remember after a run that read everything of its plan."""
    full_at = started_at if isinstance(plan_used, ScanFull) else (before.full_at if before else None)
    return msgspec.structs.replace(now, full_at=full_at)


def lookback_s(configured: float | None, kind: Kind) -> float:
    """How far a cursor scan reads behind its watermark when the user set nothing."""
    if configured is not None:
        return max(configured, LOOKBACK_S_MIN)
    return LOOKBACK_S_NAIVE if kind is Kind.DATETIME else LOOKBACK_S_DEFAULT
