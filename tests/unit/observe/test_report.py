from __future__ import annotations

import pytest
from summaries import a_summary

from sync_profiles.observe.report import closing_line, duration, ended_well, masked


@pytest.mark.parametrize(
    ("outcome", "well"),
    [("ok", True), ("rejected", True), ("deferred", False), ("stopped", False), ("failed", False), ("skipped", False)],
)
def test_a_run_ended_well_when_it_came_to_its_end(outcome: str, well: bool) -> None:
    assert ended_well(a_summary(outcome=outcome)) is well


def test_the_closing_line_leaves_out_what_did_not_happen() -> None:
    assert closing_line(a_summary()) == "users: ok, 1,200 scanned, 97 sent in 1.9 s"


def test_a_run_that_did_not_take_place_has_no_counts() -> None:
    summary = a_summary(outcome="skipped", message="another run is active (process 7)")
    assert closing_line(summary) == "users: skipped: another run is active (process 7)"


def test_the_closing_line_names_what_waits_and_why() -> None:
    summary = a_summary(outcome="rejected", deleted=2, rejected=3, pending=4, message="3 rows wait")
    assert closing_line(summary) == (
        "users: rejected, 1,200 scanned, 97 sent, 2 deleted, 3 rejected, 4 pending in 1.9 s: 3 rows wait"
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (1.93, "1.9 s"), (59.9, "59.9 s"), (60, "1 min 0 s"), (200.4, "3 min 20 s"), (7500, "2 h 5 min")],
)
def test_durations_read_like_speech(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_summary_that_leaves_the_machine_names_nobody() -> None:
    summary = masked(a_summary(message="no answer from mysql://app:hunter2@db/app", why="since ada@example.org"))
    assert (summary.message, summary.why) == ("no answer from mysql://***@db/app", "since ***")
