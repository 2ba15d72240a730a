"""Builders of what observers are told, one line per test value."""

from __future__ import annotations

from typing import Any

import msgspec

from sync_profiles.core.events import Progress, RowRejected, RunFinished, RunStarted, Waiting
from sync_profiles.core.types import RunSummary

_SUMMARY = RunSummary(
    sync="users",
    run="01JD",
    outcome="ok",
    detection="full",
    why="first run",
    scanned=1200,
    unchanged=1100,
    sent=97,
    deleted=0,
    rejected=0,
    pending=0,
    requests=1,
    bytes=34567,
    started_at="2026-11-24T10:00:00Z",
    seconds=1.93,
    message=None,
)


def a_summary(**changes: Any) -> RunSummary:
    """A run that ended well, but for ``changes``."""
    return msgspec.structs.replace(_SUMMARY, **changes)


def started(sync: str = "users", total: int | None = 1200) -> RunStarted:
    """The beginning of a run."""
    return RunStarted(sync=sync, run="01JD", detection="full", why="first run", total=total)


def progress(scanned: int, stage: str = "reading", **changes: Any) -> Progress:
    """Counts on the way."""
    counts = {"sent": 0, "unchanged": 0, "rejected": 0, "in_flight": 0} | changes
    return Progress(sync="users", stage=stage, scanned=scanned, **counts)


def rejected_row(key: str) -> RowRejected:
    """One row that cannot become a profile."""
    return RowRejected(sync="users", key=key, distinct_id=key, code="bad_value", reason="column mrr is not a number")


def finished(
    *, exit_code: int = 0, waiting: Waiting | None = None, horizon_lag: int | None = None, **changes: Any
) -> RunFinished:
    """The end of a run."""
    return RunFinished(a_summary(**changes), None, exit_code, waiting, horizon_lag)
