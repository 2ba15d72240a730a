"""In step or not: every row of the decision, and what is said to do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from summaries import a_summary

from sync_profiles.core.ages import age, ago, unix
from sync_profiles.core.standing import LATE_S, SyncReport, is_late, reasons, standing, usual_interval_s
from sync_profiles.core.types import PendingRow, RunSummary

NOW = unix("2026-11-24T12:00:00Z")
HOUR_S = 3600.0


def stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def run(hours_ago: float, **changes: Any) -> RunSummary:
    return a_summary(started_at=stamp(NOW - hours_ago * HOUR_S), **changes)


def report(*history: RunSummary, **changes: Any) -> SyncReport:
    good = [unix(one.started_at) for one in history if one.outcome in {"ok", "rejected"}]
    return SyncReport(sync="users", history=history, **{"last_success_at": max(good, default=None), **changes})


def row(key: str, code: str = "bad_value", reason: str = "column mrr is no number", since: float = NOW) -> PendingRow:
    return PendingRow(
        kind="row",
        key=key,
        distinct_id=key,
        code=code,
        reason=reason,
        rejected=True,
        attempts=1,
        since=since,
        next_try_at=NOW,
    )


@pytest.mark.parametrize(
    ("seen", "level", "headline"),
    [
        (report(), "unknown", "No run yet"),
        (report(run(1)), "in_step", "In step"),
        (report(run(1, outcome="rejected"), pending=1, rejected=1), "almost", "In step, but for 1 row"),
        (report(run(1, outcome="rejected"), pending=1200, rejected=1200), "almost", "In step, but for 1,200 rows"),
        (report(run(1), pending=3), "almost", "In step, but for 3 rows"),
        (report(run(0.5, outcome="deferred"), run(1.5)), "almost", "Behind by a run"),
        (report(*(run(n + 0.5, outcome="deferred") for n in range(5)), run(5.5)), "behind", "No good run for 5 hours"),
        (report(run(0.5, outcome="deferred")), "behind", "No good run yet"),
        (report(run(0.5, outcome="failed"), run(1)), "behind", "The last run failed"),
        (report(run(0.5, outcome="stopped"), run(1)), "behind", "A guard wants a decision"),
        (report(run(30), run(31), rejected=4, pending=4), "behind", "No good run for 1 day"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_matters_most_is_the_headline(seen: SyncReport, level: str, headline: str) -> None:
    stand = standing(seen, NOW)
    assert (stand.level, stand.headline) == (level, headline)


@pytest.mark.parametrize("outcome", ["failed", "stopped", "deferred", "rejected"])
def test_whoever_is_not_in_step_is_told_which_command_helps(outcome: Any) -> None:
    seen = report(run(0.5, outcome=outcome), run(1), rejected=outcome == "rejected")
    steps = standing(seen, NOW).steps
    assert steps
    assert all(step.command and step.command.startswith("sync-profiles ") for step in steps)


def test_in_step_asks_for_nothing() -> None:
    assert standing(report(run(1)), NOW).steps == ()


def test_the_message_of_a_bad_end_is_the_reason_given() -> None:
    stand = standing(report(run(1, outcome="failed", message="permission denied for table users")), NOW)
    assert "permission denied for table users." in stand.why


@pytest.mark.parametrize(
    ("every_h", "ago_h", "late"),
    [(1, 2.9, False), (1, 3.1, True), (24, 47, False), (24, 61, True), (0.02, 2.9, False)],
)
def test_late_is_three_hours_or_some_of_the_usual_distances(every_h: float, ago_h: float, late: bool) -> None:
    history = [run(ago_h + number * every_h) for number in range(6)]
    assert is_late(report(*history), NOW) is late


def test_one_run_has_no_usual_distance_and_nothing_is_late_before_the_first() -> None:
    assert usual_interval_s([run(1)]) == 0
    assert usual_interval_s([run(1), run(2), run(9)]) == pytest.approx(4 * HOUR_S)
    assert not is_late(report(), NOW + 2 * LATE_S)


def test_reasons_are_counted_the_most_frequent_first_with_the_oldest_time() -> None:
    found = reasons([row("1", since=5.0), row("2", "bad_date", "holds no date"), row("3", since=3.0)])
    assert [(one.code, one.count, one.since) for one in found] == [("bad_value", 2, 3.0), ("bad_date", 1, NOW)]


def test_reasons_name_no_key() -> None:
    shared = [row(key, "duplicate_id", f"its distinct ID is also that of row {key}x") for key in ("ann@x.org", "8")]
    (only,) = reasons(shared)
    assert only.count == 2
    assert only.text == "its distinct ID is also that of another row"


@pytest.mark.parametrize(
    ("seconds", "said", "since"),
    [
        (0, "less than a minute", "just now"),
        (60, "1 min", "1 min ago"),
        (3599, "59 min", "59 min ago"),
        (3600, "1 hour", "1 hour ago"),
        (7200, "2 hours", "2 hours ago"),
        (86_400, "1 day", "1 day ago"),
        (500_000, "5 days", "5 days ago"),
        (-5, "less than a minute", "just now"),
    ],
)
def test_ages_are_said_in_their_largest_unit(seconds: float, said: str, since: str) -> None:
    assert (age(seconds), ago(seconds)) == (said, since)
