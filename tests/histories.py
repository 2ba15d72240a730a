"""Builders of what a status page is made from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from summaries import a_summary

from sync_profiles.core.ages import unix
from sync_profiles.core.standing import SyncReport
from sync_profiles.core.types import RunSummary


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
