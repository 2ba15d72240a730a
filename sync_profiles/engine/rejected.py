"""What a person decides about rejected rows."""

from __future__ import annotations

from sync_profiles.core.ports import State
from sync_profiles.core.types import Settlement
from sync_profiles.engine.parts import RunLock
from sync_profiles.errors import TemporaryError


def settle_rejected(state: State, lock: RunLock, *, retry: bool, now: float) -> int:
    """Make all rejected rows due now (``retry``) or stop waiting for them; returns how many."""
    if not lock.acquire():
        raise TemporaryError(f"a run is active ({lock.holder})", hint="Try again when it has ended.")
    try:
        rows = state.rejected()
        if retry:
            state.hasten()
        else:
            state.settle(Settlement(resolved=[(row.kind, row.key, row.distinct_id) for row in rows]), now)
        return len(rows)
    finally:
        lock.release()
