"""What an answer changes in the state: steps and findings -> settlements. Times are unix seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from sync_profiles.core.types import (
    Acknowledged,
    DistinctId,
    InFlight,
    Key,
    Known,
    Outgoing,
    PendingKind,
    PendingRow,
    Settlement,
    Shape,
    Unmappable,
)
from sync_profiles.core.verdict import Step, pending_backoff_s

SECOND_LOOK_S = 600.0
"""A request without an answer may be applied late; ten minutes on, whatever was late has happened."""

DELETED = "deleted"
REKEYED = "rekeyed"
DELETE_AGAIN = "delete_again"
"""Codes of "gone" rows: the row is gone; the key has another ID now; a delete that is repeated once."""

REPAIR = "repair"
"""Code of a "row" whose profile was found to be another: all of it is sent again, ``$set_once`` too."""

DOUBTFUL = "doubtful"
UNANSWERED = "unanswered"
REFUSED = "refused"


def settlement_of(step: Step, *, now: float, waiting: Mapping[Key, PendingRow], remove_former: bool) -> Settlement:
    """The settlement of one reply: acknowledged, pending and rejected profiles of its batch.

    ``waiting`` holds the pending rows of the step's keys that are not plainly acknowledged: their number of attempts,
    and what earlier requests may have written, stay remembered. ``remove_former``: a key's former ID is to be removed
    from Mixpanel once the new one is acknowledged.
    """
    acknowledged: list[Acknowledged] = []
    forgotten: list[Key] = []
    resolved: list[tuple[PendingKind, Key, DistinctId | None]] = []
    pending: list[PendingRow] = []
    for profile in (*step.acknowledged, *step.doubtful):
        if profile.fingerprint is None:
            resolved.append(("gone", profile.key, profile.distinct_id))
            if profile.cause == DELETED:
                forgotten.append(profile.key)
            continue
        acknowledged.append(Acknowledged(profile.key, profile.distinct_id, profile.fingerprint, profile.shape))
        if profile.former is not None and remove_former:
            not_before = now + SECOND_LOOK_S if profile.doubt == "late" else now
            pending.append(gone_row(profile.key, *profile.former, REKEYED, now, not_before=not_before))
    pending += [_removed_again(p, now, now) for p in step.acknowledged if p.delete and p.cause != DELETE_AGAIN]
    pending += [_removed_again(p, now, now + SECOND_LOOK_S) for p in step.doubtful if _removal(p)]
    for profiles, code, wait_s in ((step.doubtful, DOUBTFUL, SECOND_LOOK_S), (step.unanswered, UNANSWERED, 0.0)):
        pending += [
            _second_look(profile, code, now, wait_s, waiting.get(profile.key))
            for profile in profiles
            if not _removal(profile)
        ]
    pending += [_refused_row(profile, reason, now, waiting.get(profile.key)) for profile, reason in step.rejected]
    return Settlement(acknowledged=acknowledged, forgotten=forgotten, resolved=resolved, pending=pending)


def _removal(profile: Outgoing) -> bool:
    """A removal without an answer is still asked for by its "gone" row."""
    return profile.fingerprint is None


def _removed_again(profile: Outgoing, now: float, not_before: float) -> PendingRow:
    """A delete is repeated once, and any removal of which an earlier attempt, or what it removes, may come late."""
    again = gone_row(profile.key, profile.distinct_id, (), DELETE_AGAIN, now, not_before=not_before)
    return msgspec.structs.replace(again, attempts=1)


def late_until(row: PendingRow | None) -> float:
    """Until when (unix seconds) a request without an answer of which this row tells may still be applied; 0: none."""
    if row is None or row.code == REFUSED or (not row.shape and (row.rejected or row.code == REPAIR)):
        return 0.0
    lost_at = row.since if row.rejected or row.code == DOUBTFUL else row.next_try_at
    return lost_at + SECOND_LOOK_S


def written(shape: Shape, distinct_id: DistinctId, before: PendingRow | None) -> Shape:
    """``shape``, and what requests of the same distinct ID may have written of which a pending row tells."""
    if before is None or before.distinct_id != distinct_id:
        return shape
    return tuple(dict.fromkeys(shape + before.shape))


def _second_look(profile: Outgoing, code: str, now: float, wait_s: float, before: PendingRow | None) -> PendingRow:
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


def _refused_row(profile: Outgoing, reason: str, now: float, before: PendingRow | None) -> PendingRow:
    """A profile that Mixpanel itself refused; tried again when its payload changes or its wait is over.

    A removal keeps the code that says why it is wanted.
    """
    attempts = _attempts(before, REFUSED)
    return PendingRow(
        kind="gone" if _removal(profile) else "row",
        key=profile.key,
        distinct_id=profile.distinct_id,
        code=profile.cause if _removal(profile) else REFUSED,
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


def gone_row(
    key: Key, distinct_id: DistinctId, shape: Sequence[str], code: str, now: float, *, not_before: float = 0.0
) -> PendingRow:
    """A profile that is to be removed from Mixpanel, ``not_before`` what else may be applied to it has come."""
    return PendingRow(
        kind="gone",
        key=key,
        distinct_id=distinct_id,
        code=code,
        reason="the row is gone" if code != REKEYED else "the row has another distinct ID now",
        rejected=False,
        attempts=0,
        since=now,
        next_try_at=max(now, not_before),
        shape=tuple(shape),
    )


def gone_rows(
    keys: Sequence[Key], known: Mapping[Key, Known], now: float, waiting: Mapping[Key, PendingRow] | None = None
) -> list[PendingRow]:
    """ "gone" rows for those of ``keys`` that Mixpanel was ever given.

    A request without an answer, of which ``waiting`` tells, may have written more than what was acknowledged.
    """
    rows = []
    for key in keys:
        if key in known:
            distinct_id = known[key].distinct_id
            row = (waiting or {}).get(key)
            shape = written(known[key].shape, distinct_id, row)
            rows.append(gone_row(key, distinct_id, shape, DELETED, now, not_before=late_until(row)))
    return rows


def merged(settlements: Sequence[Settlement], *, landed: Sequence[int], dispatched: Sequence[InFlight]) -> Settlement:
    """Several replies and the batches about to leave, as one transaction."""
    return Settlement(
        acknowledged=[entry for each in settlements for entry in each.acknowledged],
        forgotten=[entry for each in settlements for entry in each.forgotten],
        resolved=[entry for each in settlements for entry in each.resolved],
        pending=[entry for each in settlements for entry in each.pending],
        landed=landed,
        dispatched=dispatched,
    )
