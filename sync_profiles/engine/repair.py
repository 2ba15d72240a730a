"""What a verification found is made due: the next run sends exactly these profiles again, and removes the unwanted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from sync_profiles.core.ports import State
from sync_profiles.core.settling import REPAIR, gone_rows, written
from sync_profiles.core.types import Mismatch, PendingRow, Settlement
from sync_profiles.engine.parts import RunLock
from sync_profiles.engine.targets import removals
from sync_profiles.errors import TemporaryError

CHUNK = 1000


def mark_for_repair(state: State, lock: RunLock, found: Sequence[Mismatch], now: float) -> None:
    """Write a pending row, due now, for each mismatch; what a request without an answer may have written is kept."""
    if not lock.acquire():
        raise TemporaryError(f"a run is active ({lock.holder})", hint="Try again when it has ended.")
    try:
        wrong = [one for one in found if one.kind != "unwanted"]
        for start in range(0, len(wrong), CHUNK):
            state.settle(Settlement(pending=list(_rows(state, wrong[start : start + CHUNK], now))), now)
        unwanted = [one for one in found if one.kind == "unwanted"]
        if unwanted:
            state.settle(Settlement(pending=list(_removals(state, unwanted, now))), now)
    finally:
        lock.release()


def _rows(state: State, wrong: Sequence[Mismatch], now: float) -> Iterator[PendingRow]:
    waiting = state.waiting([one.key for one in wrong])
    for one in wrong:
        before = waiting.get(one.key)
        if before is not None and before.distinct_id != one.distinct_id:
            # It remembers another ID that may have been created; looked at, the row is sent under the one it has now.
            yield msgspec.structs.replace(before, next_try_at=min(before.next_try_at, now))
            continue
        yield PendingRow(
            kind="row",
            key=one.key,
            distinct_id=one.distinct_id,
            code=REPAIR,
            reason="its profile was found to be another; it is sent again",
            rejected=False,
            attempts=0,
            since=now,
            next_try_at=now,
            shape=written((), one.distinct_id, before),
        )


def _removals(state: State, unwanted: Sequence[Mismatch], now: float) -> Iterator[PendingRow]:
    """A removal that was asked for before is due now; else it is asked for."""
    asked = {(row.key, row.distinct_id): row for target in removals(state) if (row := target.leaving) is not None}
    keys = [one.key for one in unwanted]
    known, waiting = state.known(keys), state.waiting(keys)
    for one in unwanted:
        row = asked.get((one.key, one.distinct_id))
        if row is not None:
            yield msgspec.structs.replace(row, next_try_at=min(row.next_try_at, now))
        else:
            yield from gone_rows([one.key], known, now, waiting)
