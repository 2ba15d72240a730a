"""``status`` as people see it, without a terminal and without a clock."""

from __future__ import annotations

import click
import pytest
from summaries import a_summary

from sync_profiles.cli.context import Settings
from sync_profiles.cli.output import echo_table
from sync_profiles.cli.overview import OUTCOME_COLORS, overview_lines, show
from sync_profiles.cli.shown import sparkline
from sync_profiles.core.ages import unix
from sync_profiles.core.standing import SyncReport

NOW = unix("2026-11-24T10:12:30Z")
GOOD = unix("2026-11-24T10:00:00Z")


def plain(report: SyncReport) -> list[str]:
    return [click.unstyle(line) for line in overview_lines(report, NOW)]


def test_all_is_well_in_three_lines() -> None:
    report = SyncReport(sync="users", history=(a_summary(),), last_success_at=GOOD, profiles=1234)
    assert plain(report) == [
        "users  In step",
        "  last good run 12 min ago, 1,234 profiles known",
        "  sent per run  █  up to 97, the last on the right",
    ]


def test_what_waits_comes_with_the_command_that_shows_it() -> None:
    run = a_summary(outcome="rejected", rejected=1)
    lines = plain(SyncReport(sync="users", history=(run,), last_success_at=GOOD, pending=3, rejected=1))
    assert lines[0] == "users  In step, but for 1 row"
    assert "  See which rows and why: sync-profiles rejected users" in lines
    assert any(line.endswith("3 pending (1 of them rejected)") for line in lines)


def test_a_guard_is_told_with_its_ways_out() -> None:
    runs = (a_summary(outcome="stopped", message="500 of 1000 profiles would go"), a_summary())
    text = "\n".join(plain(SyncReport(sync="users", history=runs, last_success_at=GOOD)))
    assert "500 of 1000 profiles would go" in text
    assert "sync-profiles run users --allow-mass-delete" in text


def test_before_the_first_run_there_is_nothing_to_draw() -> None:
    lines = plain(SyncReport(sync="users"))
    assert lines[0] == "users  No run yet"
    assert lines[-1] == "  last good run never, 0 profiles known"


def test_the_runs_are_drawn_oldest_first() -> None:
    runs = tuple(a_summary(sent=sent) for sent in (100, 0, 50))
    assert "  sent per run  ▅·█  up to 100, the last on the right" in plain(
        SyncReport(sync="users", history=runs, last_success_at=GOOD)
    )
    assert sparkline([]) == ""


def test_without_a_terminal_there_is_no_colour_and_numbers_stand_under_each_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    runs = (a_summary(), a_summary(sent=1_000_000))
    show(SyncReport(sync="users", history=runs, last_success_at=GOOD), NOW, Settings())
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "12 min ago  ok       full  1,200         97        0         0  1.9 s" in out
    assert "12 min ago  ok       full  1,200  1,000,000        0         0  1.9 s" in out


@pytest.mark.parametrize("outcome", OUTCOME_COLORS)
def test_forced_colour_colours_a_table_and_cuts_no_line(
    outcome: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "20")
    echo_table(("a", "b"), [(outcome, "x" * 200)], Settings(color=True), colors=OUTCOME_COLORS)
    out = capsys.readouterr().out
    assert "\x1b[3" in out
    assert "x" * 200 in out
