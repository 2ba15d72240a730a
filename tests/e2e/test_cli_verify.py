"""``sync-profiles verify`` on a terminal and under signals, with an hour of three seconds and three queries."""

from __future__ import annotations

import signal
import sys

import commands
import pytest
from commands import Workplace, on_terminal

from sync_profiles.sandbox.faults import Fault
from sync_profiles.sandbox.server import PROJECT_ID, SERVICE_ACCOUNT, SERVICE_SECRET

ACCOUNT = f"""\
project_id = {PROJECT_ID}
service_account = "{SERVICE_ACCOUNT}"
service_secret = "{SERVICE_SECRET}"
"""
QUERY = "/api/query/engage"
HASTY = """\
import sys
from sync_profiles.engine import budget, verify
verify.SECOND_LOOK_S, budget.HOUR_S = 0.05, 3.0
budget.Budget.__init__.__defaults__ = (3,)
from sync_profiles.__main__ import main
sys.exit(main())
"""


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "COMMAND", (sys.executable, "-c", HASTY))


@pytest.fixture
def place(place: Workplace) -> Workplace:
    """Nine hundred users, sent: five queries by ID."""
    place.write('table = "users"\non_delete = "delete"\n', mixpanel=ACCOUNT)
    place.fill(900)
    place.run("run")
    return place


def by_id(place: Workplace) -> None:
    """The next query, which is for a page, is not understood."""
    place.sandbox.faults.add(Fault("status", code=400, path=QUERY))


def test_more_than_an_hours_budget_is_asked_about_on_a_terminal(place: Workplace) -> None:
    by_id(place)
    queries = len(place.sandbox.requests)
    code, painted = on_terminal(["verify", "--all"], cwd=place.folder, environ=place.environ, answer=b"n\n")
    assert (code, "more than an hour's budget. Go on?" in painted) == (130, True)
    assert len(place.sandbox.requests) == queries + 1, "nothing was read before the answer"
    by_id(place)
    code, painted = on_terminal(["verify", "--all"], cwd=place.folder, environ=place.environ, answer=b"y\n")
    assert (code, "900 profiles compared, 900 match" in painted) == (0, True)
    assert len(place.sandbox.requests) == queries + 7


def test_a_signal_ends_it_within_its_waits_and_all_goes_on_from_there(place: Workplace) -> None:
    place.database.execute("UPDATE users SET plan = 'other' WHERE id = 17")
    by_id(place)
    outcome = place.interrupted(signal.SIGINT, "verify", "--all", requests=2)
    assert (outcome.code, outcome.out) == (130, "")
    assert "stopped before the end; --all goes on from here" in outcome.err
    by_id(place)
    again = place.run("verify", "--all", "--json", code=65)
    assert "the rest of an interrupted verification" in again.err
    assert (again.json["matching"], again.json["different"]) == (899, [{"distinct_id": "17", "properties": ["plan"]}])
