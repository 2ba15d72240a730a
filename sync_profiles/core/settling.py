"""What an answer changes in the state: steps and findings -> settlements. Times are unix seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sync_profiles.core.gone import DELETE_AGAIN, DELETED, REKEYED, gone_row, removed_again
from sync_profiles.core.pending import DOUBTFUL, SECOND_LOOK_S, UNANSWERED, failing_row, refused_row, second_look
from sync_profiles.core.types import (
    DistinctId,
    InFlight,
    Key,
    Outgoing,
    PendingKind,
    PendingRow,
    Settlement,
)
from sync_profiles.core.verdict import Step


def settlement_of(step: Step, *, now: float, waiting: Mapping[Key, PendingRow]) -> Settlement:
    """The settlement of one reply: acknowledged, pending and rejected profiles of its batch.

    ``waiting`` holds the pending rows of the step's keys that are not plainly acknowledged: their number of attempts,
    and what earlier requests may have written, stay remembered. A key's former ID is to be looked after once the new
    one is acknowledged.
    """
    forgotten: list[Key] = []
    resolved: list[tuple[PendingKind, Key, DistinctId | None]] = []
    pending: list[PendingRow] = []
    taken = (*step.acknowledged, *step.doubtful)
    acknowledged = [profile for profile in taken if profile.fingerprint is not None]
    if len(acknowledged) < len(taken):
        removed = [profile for profile in taken if profile.fingerprint is None]
        resolved += [("gone", profile.key, profile.distinct_id) for profile in removed]
        forgotten += [profile.key for profile in removed if profile.cause == DELETED]
    for profile, former in [(profile, profile.former) for profile in taken if profile.former is not None]:
        not_before = now + SECOND_LOOK_S if profile.doubt == "late" else now
        pending.append(gone_row(profile.key, *former, REKEYED, now, not_before=not_before))
    pending += [removed_again(p, now, now) for p in step.acknowledged if p.delete and p.cause != DELETE_AGAIN]
    pending += [removed_again(p, now, now + SECOND_LOOK_S) for p in step.doubtful if _removal(p)]
    for profiles, code, wait_s in ((step.doubtful, DOUBTFUL, SECOND_LOOK_S), (step.unanswered, UNANSWERED, 0.0)):
        pending += [
            second_look(profile, code, now, wait_s, waiting.get(profile.key))
            for profile in profiles
            if not _removal(profile)
        ]
    for profile, reason in step.rejected:
        # One that was refused in the end, but of which an earlier attempt may still be applied, is both.
        row_of = failing_row if profile.doubt == "late" else refused_row
        pending.append(row_of(profile, reason, now, waiting.get(profile.key)))
    pending += [failing_row(profile, reason, now, waiting.get(profile.key)) for profile, reason in step.failing]
    return Settlement(acknowledged=acknowledged, forgotten=forgotten, resolved=resolved, pending=pending)


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


def _removal(profile: Outgoing) -> bool:
    """A removal without an answer is still asked for by its "gone" row."""
    return profile.fingerprint is None
