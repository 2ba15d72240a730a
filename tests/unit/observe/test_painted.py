from __future__ import annotations

import pytest
from summaries import a_summary

from sync_profiles.observe.painted import Figures, closing_lines, counts_line, size, time_left

MILLIONS = Figures(
    scanned=12_345_678, total=20_000_000, rate=31_000.4, sent=9_000_000, rejected=12_000, in_flight=4
)  # fmt: skip
FEW = Figures(scanned=600, total=1200, rate=None, sent=0, rejected=0, in_flight=0)


def told(hint: str | None = None, *, ascii_only: bool = False, **changes: object) -> list[str]:
    lines = closing_lines(a_summary(**changes), hint, ascii_only=ascii_only)
    return ["".join(text for text, _ in line) for line in lines]


@pytest.mark.parametrize(
    ("figures", "width", "line"),
    [
        (FEW, 80, "600 of 1,200 rows"),
        (
            MILLIONS,
            140,
            "12,345,678 of 20,000,000 rows · 31,000 rows/s · 9,000,000 sent · 4 in flight · 12,000 rejected",
        ),
        (MILLIONS, 78, "12,345,678 of 20,000,000 rows · 31,000 rows/s · 4 in flight · 12,000 rejected"),
        (MILLIONS, 60, "12,345,678 of 20,000,000 rows · 4 in flight · 12,000 rejected"[:61]),
        (MILLIONS, 50, "12,345,678 of 20,000,000 rows · 12,000 rejected"),
        (MILLIONS, 30, "12,345,678 of 20,000,000 rows"),
        (MILLIONS, 10, ""),
    ],
)
def test_what_matters_least_makes_room_first(figures: Figures, width: int, line: str) -> None:
    shown = counts_line(figures, width)
    assert len(shown) <= width
    assert shown == line or len(line) > width


def test_a_total_that_is_not_known_is_not_shown() -> None:
    assert counts_line(Figures(scanned=7, total=None, rate=2, sent=1, rejected=0, in_flight=0), 80) == (
        "7 rows · 2 rows/s · 1 sent"
    )


def test_ascii_is_enough() -> None:
    assert counts_line(MILLIONS, 200, ascii_only=True).isascii()
    for outcome in ("ok", "rejected", "deferred", "stopped", "failed", "skipped"):
        assert all(line.isascii() for line in told(ascii_only=True, outcome=outcome, message="look"))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s left"), (12.4, "12 s left"), (61, "1 min left"), (3599, "1 h 0 min left"), (3900, "1 h 5 min left")],
)
def test_time_left_is_no_finer_than_it_can_be_known(seconds: float, text: str) -> None:
    assert time_left(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 bytes"), (999, "999 bytes"), (34_567, "35 kB"), (1_234_567, "1.2 MB")]
)
def test_sizes_are_rounded(count: int, text: str) -> None:
    assert size(count) == text


def test_a_good_run_says_what_came_of_it_and_then_how_it_was_found() -> None:
    assert told(deleted=2) == [
        "✓ users: ok, 97 profiles sent, 2 removed in 1.9 s",
        "  1,200 rows read (first run), 1,100 unchanged; 1 request of 35 kB",
    ]


def test_a_run_without_a_change_says_so() -> None:
    assert told(sent=0, requests=0, scanned=1, why="since the last run") == [
        "✓ users: ok, nothing had changed in 1.9 s",
        "  1 row read (since the last run), 1,100 unchanged",
    ]


def test_rejected_rows_come_with_the_command_that_shows_them() -> None:
    lines = told(outcome="rejected", rejected=1, pending=3, message="1 row was rejected")
    assert lines[0] == "! users: rejected, 97 profiles sent, 1 row rejected in 1.9 s"
    assert lines[1] == "  3 rows pending; see sync-profiles rejected users"
    assert "1 row was rejected" not in lines


def test_a_run_that_broke_off_says_why_and_what_to_do() -> None:
    lines = told("Look at max_delete.", outcome="stopped", sent=0, message="500 of 1000 would go")
    assert lines[:3] == [
        "✗ users: stopped, nothing sent in 1.9 s",
        "  500 of 1000 would go",
        "  hint: Look at max_delete.",
    ]


def test_a_skipped_run_is_one_line() -> None:
    assert told(outcome="skipped", message="another run is active") == ["- users: skipped, another run is active"]


def test_every_free_text_is_masked() -> None:
    login, address = "mysql://app:hunter2@db/app", "ada@example.org"
    lines = told(f"ask {address}", outcome="failed", message=f"no route to {login}", why=f"since {address}")
    assert not [line for line in lines if "hunter2" in line or "ada" in line]


def test_colour_is_never_the_only_sign() -> None:
    firsts = {told(outcome=outcome, message="")[0][:1] for outcome in ("ok", "rejected", "failed", "skipped")}
    assert firsts == {"✓", "!", "✗", "-"}
