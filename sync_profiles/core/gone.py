"""Profiles that are to be removed, or left alone: their row is gone or has another ID. Times are unix seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from sync_profiles.core.pending import late_until, written
from sync_profiles.core.types import Acknowledged, DistinctId, Key, Known, Outgoing, PendingRow

DELETED = "deleted"
REKEYED = "rekeyed"
DELETE_AGAIN = "delete_again"
"""Codes of "gone" rows: the row is gone; the key has another ID now; a delete that is repeated once."""

UNCERTAIN = bytes(16)
"""The fingerprint of a profile whose row is gone and that was left alone: what it holds is not certain."""


def removed_again(profile: Outgoing, now: float, not_before: float) -> PendingRow:
    """A delete is repeated once, and any removal of which an earlier attempt, or what it removes, may come late."""
    again = gone_row(profile.key, profile.distinct_id, (), DELETE_AGAIN, now, not_before=not_before)
    return msgspec.structs.replace(again, attempts=1)


def gone_row(
    key: Key, distinct_id: DistinctId, shape: Sequence[str], code: str, now: float, *, not_before: float = 0.0
) -> PendingRow:
    """A profile that is to be removed, or left alone, as the policy has it.

    ``not_before``: when what else may be applied to it has come (unix seconds).
    """
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


def over(row: PendingRow, before: PendingRow | None) -> PendingRow:
    """What a state keeps when ``row`` is written over ``before``, which tells of the same removal (or the same key).

    A removal that is asked for again keeps what is remembered of the first asking: what it is to remove, that it may
    have left already, until when it waits and that Mixpanel refused it.
    """
    if before is None or row.kind != "gone":
        return row
    base = before if before.rejected and not row.attempts else row
    return msgspec.structs.replace(
        base,
        code=row.code,
        attempts=max(row.attempts, before.attempts),
        since=min(row.since, before.since),
        next_try_at=max(row.next_try_at, before.next_try_at),
        shape=tuple(dict.fromkeys(before.shape + row.shape)),
    )


def left_alone(row: PendingRow, known: Known | None) -> Acknowledged | None:
    """What is remembered of a profile whose row is gone and that stays as it is; None: nothing that is not known.

    Should the row come back, its profile is sent as if it were new, and what may be left in it is unset: another row
    may have had its ID meanwhile, and a request without an answer may have been applied.
    """
    if row.distinct_id is None or (known is not None and known.distinct_id != row.distinct_id):
        return None
    shape = known.shape if known is not None else ()
    return Acknowledged(row.key, row.distinct_id, UNCERTAIN, written(shape, row.distinct_id, row))
