"""What one sync's state says about itself."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sync_profiles.core.ages import unix
from sync_profiles.core.ports import StateReader
from sync_profiles.core.standing import SyncReport, reasons
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


def sync_report(name: str, reader: StateReader, history: Sequence[RunSummary]) -> SyncReport:
    """The same and more, for a page that is looked at; ``history`` is newest first."""
    last_success_at, watermark = reader.last_success_at(), reader.watermark()
    rejected = reader.rejected()
    return SyncReport(
        sync=name,
        history=history,
        last_success_at=unix(last_success_at) if last_success_at is not None else None,
        full_at=watermark.full_at if watermark is not None else None,
        profiles=reader.known_count(),
        pending=reader.pending_count(),
        rejected=len(rejected),
        reasons=reasons(rejected),
    )
