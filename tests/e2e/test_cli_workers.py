"""``--workers`` and ``--cluster`` on the command line: who is refused, and why."""

from __future__ import annotations

import pytest
from commands import Workplace

LATER = ("--log-format", "text")


@pytest.mark.parametrize("asked", [("--workers", "2"), ("--cluster", "tcp://127.0.0.1:1")])
def test_a_state_in_a_file_is_refused_with_the_cure(place: Workplace, asked: tuple[str, str]) -> None:
    place.fill(10)
    outcome = place.run(*LATER, "backfill", *asked, code=78)
    assert "this one is a SQLite file" in outcome.err
    assert 'url = "postgresql://…"' in outcome.err
    assert not place.sandbox.requests


def test_a_full_run_with_workers_is_refused_for_a_file_too(place: Workplace) -> None:
    place.fill(10)
    assert "SQLite file" in place.run(*LATER, "run", "--full", "--workers", "2", code=78).err
    assert not place.sandbox.requests


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("run", "--workers", "2"), "add --full"),
        (("run", "--full", "--dry-run", "--workers", "2"), "without --dry-run"),
        (("backfill", "--key", "3", "--workers", "2"), "a few rows by key"),
        (("backfill", "--key", "3", "--cluster", "tcp://127.0.0.1:1"), "a few rows by key"),
    ],
)
def test_where_nothing_is_divided_one_process_does_it_and_says_so(
    place: Workplace, arguments: tuple[str, ...], why: str
) -> None:
    place.fill(10)
    outcome = place.run(*LATER, *arguments)
    assert "one process does it all" in outcome.err
    assert why in outcome.err


def test_one_worker_is_the_process_itself(place: Workplace) -> None:
    place.fill(10)
    assert place.run("backfill", "--workers", "1").err == ""
    place.assert_equal()


@pytest.mark.parametrize("count", ["0", "-1", "many"])
def test_so_many_workers_there_cannot_be(place: Workplace, count: str) -> None:
    assert "--workers" in place.run("backfill", "--workers", count, code=2).err
