"""What a verification found is made due: the next run sends exactly these profiles again, and removes the unwanted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from sync_profiles.core.gone import gone_rows
from sync_profiles.core.pending import REPAIR, written
from sync_profiles.core.ports import State
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
            _ask_for_removal(state, unwanted, now)
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


def _ask_for_removal(state: State, unwanted: Sequence[Mismatch], now: float) -> None:
    """A removal that was asked for before is due now; else it is asked for."""
    asked = {(target.key, target.distinct_id) for target in removals(state)}
    keys = [one.key for one in unwanted if (one.key, one.distinct_id) not in asked]
    pending = gone_rows(keys, state.known(keys), now, state.waiting(keys))
    state.settle(Settlement(pending=pending), now)
    state.hasten([one.distinct_id for one in unwanted])
