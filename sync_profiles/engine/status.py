"""What one sync's state says about itself."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sync_profiles.core.ports import StateReader
from sync_profiles.core.types import RunSummary

GOOD = frozenset({"ok", "rejected"})
"""Outcomes of runs that came to their end."""


class SyncStatus(msgspec.Struct, frozen=True):
    """One sync as ``status --json`` prints it."""

    sync: str
    last_success_at: str | None
    last_run: RunSummary | None
    pending: int
    rejected: int
    profiles: int


def sync_status(name: str, reader: StateReader, history: Sequence[RunSummary]) -> SyncStatus:
    """The status of a sync; ``history`` is newest first."""
    return SyncStatus(
        sync=name,
        last_success_at=reader.last_success_at(),
        last_run=history[0] if history else None,
        pending=reader.pending_count(),
        rejected=reader.rejected_count(),
        profiles=reader.known_count(),
    )
