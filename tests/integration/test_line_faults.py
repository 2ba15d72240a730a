"""Every fault of Mixpanel and of the way to it, at every position: it ends in equality, and nothing is taken for proof.

On SQLite, because the fault is on the other side; real sockets, a request at a time and four at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from line import Line, fault, poison
from openapi import assert_valid_bodies, needs_openapi
from servers import LiveDatabase

from sync_profiles.sandbox.server import Sandbox

ROWS = 60
PER_REQUEST = 20  # two records a new profile, so six requests


@pytest.fixture
def line(sqlite_database: LiveDatabase, tmp_path: Path) -> Iterator[Line]:
    with Sandbox(keep_bodies=True) as sandbox:
        made = Line(sqlite_database, sandbox, tmp_path)
        made.mixpanel |= {"records_per_request": str(PER_REQUEST), "timeout": '"1s"'}
        made.table(ROWS)
        yield made
        assert sandbox.overlaps == frozenset(), "one distinct ID was in two requests at once"


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "status 0 for everything is a refusal": ({"kind": "status", "code": 400}, "again"),
    "408": ({"kind": "status", "code": 408}, "again"),
    "413": ({"kind": "status", "code": 413}, "again"),
    "429": ({"kind": "status", "code": 429}, "again"),
    "429 with Retry-After": ({"kind": "status", "code": 429, "retry_after": "1"}, "again"),
    "500 before it was applied": ({"kind": "status", "code": 500}, "again"),
    "500 after it was applied": ({"kind": "status", "code": 500, "applied": "all"}, "again"),
    "503 when half was applied": ({"kind": "status", "code": 503, "applied": "half"}, "again"),
    "connection reset before": ({"kind": "reset"}, "again"),
    "connection reset after": ({"kind": "reset", "applied": "all"}, "again"),
    "time-out before": ({"kind": "timeout", "seconds": 1.5}, "again"),
    "time-out after": ({"kind": "timeout", "seconds": 1.5, "applied": "all"}, "again"),
    "applied late": ({"kind": "zombie"}, "again"),
    "a web page with 200": ({"kind": "html"}, "again"),
    "an empty 200": ({"kind": "empty"}, "again"),
    "a bare 1": ({"kind": "bare"}, "again"),
    "a wrong count": ({"kind": "wrong_count", "applied": "all"}, "again"),
    "half an answer": ({"kind": "truncated", "applied": "all"}, "again"),
    "401": ({"kind": "status", "code": 401}, "77"),
    "403": ({"kind": "status", "code": 403}, "77"),
    "404": ({"kind": "status", "code": 404}, "78"),
    "302 to elsewhere": ({"kind": "status", "code": 302}, "78"),
}


@pytest.mark.parametrize("concurrency", [1, 4, pytest.param(16, marks=pytest.mark.proof)])
@pytest.mark.parametrize("position", [0, 2, 5], ids=["first", "middle", "last"])
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_ends_in_equality_and_is_never_taken_for_an_acknowledgement(
    line: Line, name: str, position: int, concurrency: int
) -> None:
    spec, ends = FAULTS[name]
    line.mixpanel["concurrency"] = str(concurrency)
    line.sandbox.faults.add(fault(**spec, skip=position))
    summary = line.run()
    if ends == "again":
        assert line.exit_code == 0, summary
        line.assert_equal()
    else:
        assert (line.exit_code, summary.rejected) == (int(ends), 0)
        known = summary.sent
        assert known < ROWS
        assert line.run().sent == ROWS - known, "what was acknowledged is not sent again, the rest is"
        line.assert_equal()
    line.settle()
    line.assert_equal()
    line.sandbox.clear_log()
    assert (line.run().requests, line.sandbox.requests) == (0, ())


@pytest.mark.parametrize("kind", ["html", "bare", "empty", "wrong_count"])
def test_an_answer_that_never_becomes_proof_is_never_taken_for_one(line: Line, kind: str) -> None:
    """A captive portal in front of Mixpanel: nothing is acknowledged, nothing rejected, and the exit code says so."""
    line.sandbox.faults.add(fault(kind, times=None))
    line.stop_after(8)
    summary = line.run()
    assert (summary.sent, summary.rejected) == (0, 0)
    assert line.exit_code in {75, 78, 143}
    line.sandbox.faults.clear()
    line.settle(1)
    line.assert_equal()


def test_a_refusal_of_everything_blames_the_configuration_and_rejects_no_row(line: Line) -> None:
    line.sandbox.poison = lambda _record: "no such project"
    summary = line.run()
    assert (line.exit_code, summary.rejected, summary.sent, summary.pending) == (78, 0, 0, 0)
    assert "no such project" in (summary.message or "")
    line.sandbox.poison = None
    assert line.run().sent == ROWS
    line.assert_equal()


def test_ten_times_429_are_waited_out(line: Line) -> None:
    line.sandbox.faults.add(fault("status", code=429, times=10))
    summary = line.run()
    assert (line.exit_code, summary.sent) == (0, ROWS)
    assert summary.requests == 6 + 10
    line.assert_equal()


def test_what_was_sent_without_an_answer_is_unset_when_its_row_changed_meanwhile(line: Line) -> None:
    """The request was applied, its answer lost; before the next run a value became NULL and another went back."""
    line.run()
    line.change("UPDATE users SET plan = 'team', email = 'new@example.com' WHERE id = 1")
    line.change("UPDATE users SET seats = 41 WHERE id = 2")
    line.sandbox.faults.add(fault("zombie", times=None, applied="all"))
    line.stop_after(1)
    line.run()
    line.sandbox.faults.clear()
    assert line.sandbox.profiles["2"]["seats"] == 41
    line.change("UPDATE users SET plan = NULL, email = NULL WHERE id = 1")
    line.change("UPDATE users SET seats = 2 WHERE id = 2")
    line.run()
    line.assert_equal()


@pytest.mark.parametrize("bad", [("1",), ("1", "60"), ("2", "30", "59"), tuple(map(str, range(1, 9)))])
def test_bad_rows_are_named_and_all_others_arrive(line: Line, bad: tuple[str, ...]) -> None:
    line.sandbox.poison = poison(*bad)
    summary = line.run()
    assert (line.exit_code, summary.sent, summary.rejected) == (65, ROWS - len(bad), len(bad))
    assert sorted(line.rejected_keys()) == sorted(bad)
    assert {row.reason for row in line.waiting()} == {"bad record"}


@needs_openapi
def test_every_body_is_one_that_mixpanel_documents(line: Line) -> None:
    line.run()
    line.change("UPDATE users SET plan = NULL WHERE id < 10")
    line.change("DELETE FROM users WHERE id > 50")
    line.run(full=True)
    line.backfill()
    assert len(line.sandbox.requests) > 10
    assert_valid_bodies(line.sandbox)
