"""``--workers`` and ``--cluster`` on the command line: who is refused, and why."""

from __future__ import annotations

import pytest
from commands import Workplace

LATER = ("--log-format", "text")


@pytest.mark.parametrize(
    "asked", [("backfill", "--cluster", "tcp://127.0.0.1:1"), ("run", "--full", "--workers", "2")], ids=" ".join
)
def test_a_state_in_a_file_is_refused_with_the_cure(place: Workplace, asked: tuple[str, ...]) -> None:
    place.fill(10)
    outcome = place.run(*LATER, *asked, code=78)
    assert "this one is a SQLite file" in outcome.err
    assert 'url = "postgresql://…"' in outcome.err
    assert not place.sandbox.requests


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("run", "--workers", "2"), "add --full"),
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
