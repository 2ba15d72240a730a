"""``sync-profiles verify`` as a command in this process: text, JSON, exit codes. Its minute takes no time here."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from line import Line
from servers import LiveDatabase

from sync_profiles.__main__ import main
from sync_profiles.engine import budget, verify
from sync_profiles.sandbox.server import PROJECT_ID, SERVICE_ACCOUNT, SERVICE_SECRET, Sandbox

ACCOUNT = {
    "project_id": str(PROJECT_ID),
    "service_account": f'"{SERVICE_ACCOUNT}"',
    "service_secret": f'"{SERVICE_SECRET}"',
}


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Desk:
    """A line of thirty users that were sent, and a shell."""

    line: Line
    capture: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str, code: int = 0) -> Ended:
        self.line.config()
        self.capture.readouterr()
        got = main(["-c", str(self.line.folder / "config.toml"), *arguments])
        ended = Ended(got, *self.capture.readouterr())
        assert ended.code == code, ended
        for secret in (self.line.token, SERVICE_SECRET, self.line.database.url):
            assert secret not in ended.out + ended.err
        assert "Traceback" not in ended.err
        return ended


@pytest.fixture
def desk(
    sqlite_database: LiveDatabase,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Desk]:
    root, ours = logging.getLogger(), logging.getLogger("sync_profiles")
    before = (list(root.handlers), root.level, ours.level)
    monkeypatch.setattr(verify, "SECOND_LOOK_S", 0.0)
    monkeypatch.setattr(budget, "AWAY_S", ())
    with Sandbox(keep_bodies=True, token="desk0token0of0nobody") as sandbox:
        line = Line(sqlite_database, sandbox, tmp_path)
        line.mixpanel = dict(ACCOUNT)
        line.table(30)
        line.run()
        yield Desk(line, capsys)
    root.handlers, root.level = before[:2]
    ours.setLevel(before[2])
    logging.captureWarnings(capture=False)


def test_what_matches_ends_with_0_and_says_what_was_compared(desk: Desk) -> None:
    ended = desk("verify")
    assert ended.err.startswith("users: 30 of 30 known profiles at random, by ID: 1 query of the 60 an hour")
    assert ended.out.splitlines() == [
        "users: 30 profiles compared, 30 match",
        "Next: nothing. Mixpanel holds what the table holds, as far as it was compared.",
    ]
    assert desk("-q", "verify", "--sample", "7").err == ""
    assert "7 profiles compared" in desk("verify", "--sample", "7").out


def test_what_does_not_match_is_named_without_values_and_ends_with_65(desk: Desk) -> None:
    desk.line.change("UPDATE users SET plan = 'secret plan' WHERE id = 7", "DELETE FROM users WHERE id = 9")
    ended = desk("verify", "--all", code=65)
    assert ended.out.splitlines() == [
        "different  7  plan",
        "unwanted   9",
        "users: 30 profiles compared, 28 match, 1 different, 1 unwanted",
        "2 of these changed in the table since they were sent: the next full pass sends them, if no run before",
        "Next: `sync-profiles verify users --all --repair` sends what does not match again.",
    ]
    assert "secret plan" not in ended.out + ended.err
    assert desk("verify", "--all", "--json", code=65).json == {
        "schema": 1,
        "sync": "users",
        "checked": 30,
        "matching": 28,
        "missing": [],
        "different": [{"distinct_id": "7", "properties": ["plan"]}],
        "unwanted": ["9"],
    }


def lose(desk: Desk, *keys: int) -> None:
    """Somebody deletes profiles."""
    records = [{"$token": desk.line.token, "$distinct_id": str(key), "$delete": ""} for key in keys]
    requests.post(f"{desk.line.sandbox.url}/engage?ip=0", json=records, timeout=10).raise_for_status()


def test_repair_sends_what_was_lost_and_nothing_else(desk: Desk) -> None:
    lose(desk, *range(1, 31))
    ended = desk("verify", "--key", "3", "--key", "4", "--repair", code=65)
    assert "No profile was found" in ended.out
    assert "what did not match was sent again" in ended.err
    assert desk.line.sandbox.profiles.keys() == {"3", "4"}
    assert desk("verify", "--key", "3", "--key", "4", "--json").json["matching"] == 2
    assert desk("rejected").out == ""
    ended = desk("verify", "--repair", "--json", code=65)
    assert len(ended.json["missing"]) == 28
    desk.line.assert_equal()
    assert desk("verify", "--all").out.startswith("users: 30 profiles compared, 30 match")


def test_a_repair_that_would_delete_much_wants_a_decision(desk: Desk) -> None:
    desk.line.settings["max_delete"] = "5"
    desk.line.change("DELETE FROM users WHERE id > 20")
    assert "max_delete" in desk("verify", "--all", "--repair", code=3).err
    assert len(desk.line.sandbox.profiles) == 30


def test_while_a_run_is_active_nothing_is_repaired_and_that_is_said(desk: Desk) -> None:
    lose(desk, 3)
    with desk.line.opened() as (sync, _):
        assert sync.lock.acquire()
        ended = desk("verify", "--key", "3", "--repair", code=75)
        sync.lock.release()
        assert sync.state.pending_count() == 0
    assert "1 missing" in ended.out
    assert "a run is active" in ended.err
    assert "3" not in desk.line.sandbox.profiles


@pytest.mark.parametrize(
    ("mixpanel", "code", "words"),
    [
        ({}, 78, ["mixpanel.project_id", "mixpanel.service_account", "mixpanel.service_secret"]),
        ({"project_id": "1"}, 78, ["mixpanel.service_account"]),
        (ACCOUNT | {"service_secret": '"wrong"'}, 77, ["refuses the service account"]),
        (ACCOUNT | {"project_id": "2"}, 77, ["refuses the service account"]),
    ],
)
def test_a_missing_or_wrong_account_is_said(desk: Desk, mixpanel: Any, code: int, words: Sequence[str]) -> None:
    desk.line.mixpanel = mixpanel
    ended = desk("verify", code=code)
    assert all(word in ended.err for word in words)
    assert ended.out == ""


@pytest.mark.parametrize(
    "arguments", [["--all", "--sample", "3"], ["--all", "--key", "1"], ["--sample", "3", "--key", "1"], ["nobody"]]
)
def test_flags_that_do_not_fit_together_are_usage(desk: Desk, arguments: Sequence[str]) -> None:
    desk("verify", *arguments, code=2)


def test_before_the_first_run_there_is_nothing_to_compare_but_a_key_of_the_table(desk: Desk) -> None:
    desk("state", "reset", "--yes")
    lose(desk, 5)
    assert "Nothing was compared. Next: `sync-profiles status`" in desk("verify").out
    assert "1 could not be compared" in desk("verify", "--key", "99999").out
    assert "1 missing" in desk("verify", "--key", "5", code=65).out


def test_a_mixpanel_or_a_database_that_is_away_ends_with_75(desk: Desk) -> None:
    desk.line.sandbox.close()
    assert "does not answer" in desk("verify", code=75).err


def test_a_group_sync_says_that_it_cannot_be_verified(desk: Desk) -> None:
    desk.line.settings["group_key"] = '"company"'
    assert "group profiles cannot be verified" in desk("verify", code=78).err


def test_another_project_than_that_of_the_state_wants_a_decision(desk: Desk) -> None:
    desk.line.token = "another0token0of0another0project"
    assert "project is another one" in desk("verify", code=3).err


def test_with_several_syncs_one_is_named(desk: Desk) -> None:
    desk.line.mapping += '[sync.others]\ntable = "users"\ncopy = ["plan"]\n'
    assert "name one of" in desk("verify", code=2).err
    assert desk("verify", "others", "--json").json == {
        "schema": 1,
        "sync": "others",
        "checked": 0,
        "matching": 0,
        "missing": [],
        "different": [],
        "unwanted": [],
    }
    desk("run", "others")
    assert desk("verify", "others", "--json").json["matching"] == 30
