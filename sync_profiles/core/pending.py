"""Rows that are looked at again, since the fate of their profile is not certain. Times are unix seconds."""

from __future__ import annotations

from sync_profiles.core.types import DistinctId, Key, Outgoing, PendingRow, Shape, Unmappable
from sync_profiles.core.verdict import pending_backoff_s

SECOND_LOOK_S = 600.0
"""A request without an answer may be applied late; ten minutes on, whatever was late has happened."""

REPAIR = "repair"
"""Code of a "row" whose profile was found to be another: all of it is sent again, ``$set_once`` too."""

DOUBTFUL = "doubtful"
UNANSWERED = "unanswered"
REFUSED = "refused"
"""Codes of "row" rows: applied twice perhaps; perhaps not at all; refused by Mixpanel."""


def written(shape: Shape, distinct_id: DistinctId, before: PendingRow | None) -> Shape:
    """``shape``, and what requests of the same distinct ID may have written of which a pending row tells."""
    if before is None or before.distinct_id != distinct_id:
        return shape
    return tuple(dict.fromkeys(shape + before.shape))


def late_until(row: PendingRow | None) -> float:
    """Until when (unix seconds) a request without an answer of which this row tells may still be applied; 0: none."""
    if row is None or row.code == REFUSED or (not row.shape and (row.rejected or row.code == REPAIR)):
        return 0.0
    lost_at = row.since if row.rejected or row.code == DOUBTFUL else row.next_try_at
    return lost_at + SECOND_LOOK_S


def has_left(row: PendingRow) -> bool:
    """Whether a request for this row left, so that its profile may exist, with no property even."""
    asked = not row.rejected and row.code != REPAIR  # a repair is a wish; what left before it stands in its shape
    return bool(row.shape) or asked or row.fingerprint is not None


def second_look(profile: Outgoing, code: str, now: float, wait_s: float, before: PendingRow | None) -> PendingRow:
    """A profile whose answer was lost; it is sent again ``wait_s`` on, whole."""
    return PendingRow(
        kind="row",
        key=profile.key,
        distinct_id=profile.distinct_id,
        code=code,
        reason="Mixpanel's answer was lost; it is sent again to be sure",
        rejected=False,
        attempts=0,
        since=now,
        next_try_at=now + wait_s,
        shape=written(profile.shape, profile.distinct_id, before),
    )


def sent_whole(key: Key, distinct_id: DistinctId, shape: Shape, now: float) -> PendingRow:
    """A key that is read and sent again, since a removal may have emptied its profile or left something of before."""
    return PendingRow(
        kind="row",
        key=key,
        distinct_id=distinct_id,
        code=UNANSWERED,
        reason="what its profile holds is not certain; it is sent again to be sure",
        rejected=False,
        attempts=0,
        since=now,
        next_try_at=now,
        shape=shape,
    )


def refused_row(profile: Outgoing, reason: str, now: float, before: PendingRow | None) -> PendingRow:
    """A profile that Mixpanel itself refused; tried again when its payload changes or its wait is over.

    A removal keeps the code that says why it is wanted.
    """
    removal, attempts = profile.fingerprint is None, _attempts(before, REFUSED)
    return PendingRow(
        kind="gone" if removal else "row",
        key=profile.key,
        distinct_id=profile.distinct_id,
        code=profile.cause if removal else REFUSED,
        reason=reason,
        rejected=True,
        attempts=attempts,
        since=before.since if before is not None and before.rejected else now,
        next_try_at=now + pending_backoff_s(attempts),
        fingerprint=profile.fingerprint,
        shape=written(profile.shape, profile.distinct_id, before),
    )


def unmappable_row(entry: Unmappable, now: float, before: PendingRow | None) -> PendingRow:
    """A row that never left this machine because it cannot become a profile.

    What an unanswered request may have written to its profile stays remembered while its distinct ID is the same.
    """
    attempts = _attempts(before, entry.code)
    return PendingRow(
        kind="row",
        key=entry.key,
        distinct_id=entry.distinct_id,
        code=entry.code,
        reason=entry.reason,
        rejected=True,
        attempts=attempts,
        since=before.since if before is not None and before.rejected else now,
        next_try_at=now + pending_backoff_s(attempts),
        shape=before.shape if before is not None and before.distinct_id == entry.distinct_id else (),
    )


def _attempts(before: PendingRow | None, code: str) -> int:
    return before.attempts + 1 if before is not None and before.rejected and before.code == code else 1


def failing_row(profile: Outgoing, reason: str, now: float, before: PendingRow | None) -> PendingRow:
    """Rejected like a refused one, but what was sent may have been applied, or may still be.

    A removal keeps the code that says why it is wanted.
    """
    removal = profile.fingerprint is None
    code = profile.cause if removal else UNANSWERED
    attempts = _attempts(before, code)
    return PendingRow(
        kind="gone" if removal else "row",
        key=profile.key,
        distinct_id=profile.distinct_id,
        code=code,
        reason=reason,
        rejected=True,
        attempts=attempts,
        since=now,
        next_try_at=now + pending_backoff_s(attempts),
        fingerprint=profile.fingerprint,
        shape=written(profile.shape, profile.distinct_id, before),
    )
