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
            if profile.delete and profile.cause != DELETE_AGAIN:
                again = gone_row(profile.key, profile.distinct_id, (), DELETE_AGAIN, now)
                pending.append(msgspec.structs.replace(again, attempts=1))
            continue
        acknowledged.append(Acknowledged(profile.key, profile.distinct_id, profile.fingerprint, profile.shape))
        if profile.former is not None and remove_former:
            pending.append(gone_row(profile.key, *profile.former, REKEYED, now))
    for profiles, code, wait_s in ((step.doubtful, DOUBTFUL, SECOND_LOOK_S), (step.unanswered, UNANSWERED, 0.0)):
        pending += [
            _second_look(profile, code, now, wait_s, waiting.get(profile.key))
            for profile in profiles
            if not _removal(profile)
        ]
    pending += [refused_row(profile, reason, now, waiting.get(profile.key)) for profile, reason in step.rejected]
    return Settlement(acknowledged=acknowledged, forgotten=forgotten, resolved=resolved, pending=pending)


def _removal(profile: Outgoing) -> bool:
    """A removal without an answer is still asked for by its "gone" row."""
    return profile.fingerprint is None


def _written(profile: Outgoing, before: PendingRow | None) -> Shape:
    """What this request and those before it, of the same distinct ID, may have written."""
    if before is None or before.distinct_id != profile.distinct_id:
        return profile.shape
    return tuple(dict.fromkeys(before.shape + profile.shape))


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
        shape=_written(profile, before),
    )


def sent_whole(key: Key, distinct_id: DistinctId, shape: Shape, now: float) -> PendingRow:
    """A key that is read and sent again as if nothing were known of its profile, which a removal may have emptied."""
    return PendingRow(
        kind="row",
        key=key,
        distinct_id=distinct_id,
        code=UNANSWERED,
        reason="a removal of this profile may have been applied; it is sent again to be sure",
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
        shape=_written(profile, before),
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


def gone_row(key: Key, distinct_id: DistinctId, shape: Sequence[str], code: str, now: float) -> PendingRow:
    """A profile that is to be removed from Mixpanel."""
    return PendingRow(
        kind="gone",
        key=key,
        distinct_id=distinct_id,
        code=code,
        reason="the row is gone" if code != REKEYED else "the row has another distinct ID now",
        rejected=False,
        attempts=0,
        since=now,
        next_try_at=now,
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
            held, row = known[key], (waiting or {}).get(key)
            more = row.shape if row is not None and row.distinct_id == held.distinct_id else ()
            rows.append(gone_row(key, held.distinct_id, tuple(dict.fromkeys(held.shape + more)), DELETED, now))
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
