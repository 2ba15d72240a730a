"""Builders of what observers are told, one line per test value."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from sync_profiles.core.ages import unix
from sync_profiles.core.events import Progress, RowRejected, RunFinished, RunStarted
from sync_profiles.core.standing import SyncReport
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


def finished(**changes: Any) -> RunFinished:
    """The end of a run."""
    return RunFinished(a_summary(**changes))


def a_history(runs: int, now: float) -> list[RunSummary]:
    """Hourly runs, the newest first and half an hour before ``now`` (unix seconds); some went wrong."""
    outcomes: list[dict[str, Any]] = [
        {"outcome": "ok"},
        {"outcome": "rejected", "rejected": 3, "pending": 3, "message": "3 rows were rejected"},
        {"outcome": "ok", "deleted": 2},
        {"outcome": "deferred", "message": "Mixpanel is away: HTTP 503; the next run goes on from here"},
    ]
    return [
        a_summary(
            started_at=datetime.fromtimestamp(now - 1800 - 3600 * number, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            sent=40 + number * 7 % 90,
            seconds=1.5 + number % 5,
            **outcomes[(number % 9) // 3 if number % 9 else 0],
        )
        for number in range(runs)
    ]


def a_report(history: Sequence[RunSummary], **changes: Any) -> SyncReport:
    """A sync that remembers these runs, the newest of which was good."""
    at = unix(history[0].started_at) if history else None
    return SyncReport(**{"sync": "users", "history": history, "last_success_at": at, "profiles": 1234, **changes})
