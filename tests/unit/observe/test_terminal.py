from __future__ import annotations

import io

import pytest
from summaries import finished, progress, started

from sync_profiles.observe.terminal import on_terminal


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _a_capable_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "140")
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


def painted(*events: object, color: bool | None = None) -> str:
    stream = Terminal()
    with on_terminal(color=color, stream=stream) as observe:
        assert observe is not None
        for event in events:
            observe(event)
    return stream.getvalue()


@pytest.mark.parametrize("forced", ["", "1"])
def test_without_a_terminal_there_is_no_painter_even_when_colour_is_forced(
    forced: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", forced)
    stream = io.StringIO()
    with on_terminal(stream=stream) as observe:
        assert observe is None
    assert stream.getvalue() == ""


def test_the_bar_shows_the_stage_how_far_it_is_and_what_is_on_its_way() -> None:
    text = painted(started(), progress(600, in_flight=4, rejected=2), color=False)
    assert "users  reading" in text
    assert " 50 %" in text
    assert "600 of 1,200 rows" in text
    assert "4 in flight · 2 rejected" in text


def test_an_estimate_that_was_passed_is_no_longer_shown() -> None:
    last = painted(started(), progress(1300), color=False).rpartition("users  reading")[2]
    assert "1,300 rows" in last
    assert "%" not in last


def test_a_run_ends_with_its_summary_whatever_its_message_contains() -> None:
    text = painted(started(), finished(outcome="deferred", message="all [bold]well[/bold]"), color=False)
    assert "users: deferred" in text
    assert "97 profiles sent in 1.9 s\n  all [bold]well[/bold]\n" in text


def test_the_closing_line_is_masked() -> None:
    text = painted(finished(outcome="failed", message="no route to mysql://app:hunter2@db/app"))
    assert "hunter2" not in text


@pytest.mark.parametrize(("color", "colored"), [(True, True), (None, True), (False, False)])
def test_colour_is_used_when_it_is_wanted(color: bool | None, colored: bool) -> None:
    assert ("\x1b[1;32m" in painted(finished(), color=color)) is colored


def test_the_cursor_comes_back_when_a_run_breaks_off() -> None:
    stream = Terminal()
    with pytest.raises(RuntimeError), on_terminal(stream=stream) as observe:
        assert observe is not None
        observe(started())
        raise RuntimeError
    assert stream.getvalue().rfind("\x1b[?25h") > stream.getvalue().rfind("\x1b[?25l") > -1


def test_counts_that_come_before_a_start_are_ignored() -> None:
    assert painted(progress(5)) == ""
