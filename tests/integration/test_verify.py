"""``verify`` over a real table and a local Mixpanel that somebody tampers with; a minute passes on request."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from line import Line, fault
from sending import Time
from servers import LiveDatabase

from sync_profiles import wiring
from sync_profiles.core.types import Mismatch
from sync_profiles.destination.mixpanel import IDS_PER_QUERY, QUERY
from sync_profiles.engine.budget import Budget, Cost
from sync_profiles.engine.repair import mark_for_repair
from sync_profiles.engine.verify import SECOND_LOOK_S, Aim, Verified, Verifier, aimed
from sync_profiles.errors import AccessError, ConfigError, GuardStop, TemporaryError
from sync_profiles.sandbox.server import PROJECT_ID, SERVICE_ACCOUNT, SERVICE_SECRET, Sandbox
from sync_profiles.state.store import open_store

EVERYTHING = Aim(everything=True)
ACCOUNT = {
    "project_id": str(PROJECT_ID),
    "service_account": f'"{SERVICE_ACCOUNT}"',
    "service_secret": f'"{SERVICE_SECRET}"',
}


class Verifying:
    """A line, a verification of it in this process, and what the last one asked, said and waited for."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.time = Time(at=line.clock.now())
        self.told: list[str] = []
        self.per_hour = 50
        self.cost: Cost | None = None

    def __call__(self, aim: Aim = EVERYTHING) -> Verified:
        self.told, self.time.waits = [], []
        line = self.line
        config = line.config()
        store = open_store(line.state_file, now=line.clock.now)
        with contextlib.closing(store), contextlib.closing(wiring.profile_book(config)) as book:
            state = store.sync("users")
            parts = wiring.open_parts(config, config.syncs[0], masked=True)
            budget = Budget(self.time, self.time, self.told.append, self.per_hour)
            verifier = Verifier(parts, state, book, budget, self.time)
            what = aimed(state, aim, parts.identity.mapping, self.time.now())
            if what.progress is not None:
                verifier.keep = state.keep_verification
            self.cost = verifier.plan(what.count)
            return verifier.verify(what.targets, what.progress)

    def repair(self, found: tuple[Mismatch, ...]) -> None:
        """Mark what was found, and run."""
        with self.line.opened() as (sync, around):
            mark_for_repair(sync.state, sync.lock, found, around.clock.now())
        self.line.run()

    def by_ids_only(self) -> None:
        """The next verification finds that pages cannot be had."""
        self.line.sandbox.faults.add(fault("status", code=400, path=QUERY))

    def tamper(self, *records: dict[str, Any], token: str | None = None) -> None:
        """Somebody else writes to the project."""
        body = [{"$token": token or self.line.token, **record} for record in records]
        answer = requests.post(f"{self.line.sandbox.url}/engage?ip=0&verbose=1", json=body, timeout=10)
        assert answer.json()["status"] == 1

    def touched(self, since: int) -> Counter[str]:
        """Records by distinct ID that arrived after the first ``since`` requests."""
        sent = [json.loads(request.body or "[]") for request in self.line.sandbox.requests[since:]]
        return Counter(record["$distinct_id"] for records in sent for record in records)


def by_kind(verified: Verified) -> dict[str, list[str]]:
    """Distinct IDs by what is wrong with them."""
    kinds: dict[str, list[str]] = {}
    for one in verified.found:
        kinds.setdefault(one.kind, []).append(one.distinct_id)
    return kinds


@contextlib.contextmanager
def verifying(database: LiveDatabase, folder: Path, rows: int) -> Iterator[Verifying]:
    with Sandbox(keep_bodies=True) as sandbox:
        line = Line(database, sandbox, folder)
        line.mixpanel = dict(ACCOUNT)
        line.table(rows)
        line.run()
        yield Verifying(line)


@pytest.fixture
def everywhere(database: LiveDatabase, tmp_path: Path) -> Iterator[Verifying]:
    with verifying(database, tmp_path, 30) as verify:
        yield verify


@pytest.fixture
def verify(sqlite_database: LiveDatabase, tmp_path: Path) -> Iterator[Verifying]:
    with verifying(sqlite_database, tmp_path, 30) as verify:
        yield verify


# --- naming and mending --------------------------------------------------------------------------------------------


def test_exactly_what_was_tampered_with_is_named_and_mended_and_nothing_else_is_touched(everywhere: Verifying) -> None:
    line = everywhere.line
    line.add(31, plan=None)
    line.change("DELETE FROM users WHERE id IN (5, 6)")
    line.run()
    everywhere.tamper(
        {"$distinct_id": "1", "$set": {"plan": "tampered"}},
        {"$distinct_id": "2", "$delete": ""},
        {"$distinct_id": "3", "$unset": ["$created"]},
        {"$distinct_id": "4", "$set": {"theme": "dark"}},
        {"$distinct_id": "5", "$set": {"plan": "back again"}},
        {"$distinct_id": "6", "$set": {"theme": "not ours"}},
        {"$distinct_id": "31", "$set": {"plan": "never sent"}},
        {"$distinct_id": "stranger", "$set": {"plan": "free"}},
    )
    found = everywhere()
    assert by_kind(found) == {"missing": ["2"], "different": ["1", "3", "31"], "unwanted": ["5"]}
    assert {one.distinct_id: one.properties for one in found.found if one.kind == "different"} == {
        "1": ("plan",),
        "3": ("$created",),
        "31": ("plan",),
    }
    assert (found.matching, found.checked, found.left_out) == (25, 30, 0)
    before = len(line.sandbox.requests)
    everywhere.repair(found.found)
    touched = everywhere.touched(before)
    assert touched.keys() - {"6"} == {"1", "2", "3", "5", "31"}  # 6: the delete of the run before, repeated once
    expected = line.expected()
    expected["4"]["theme"] = "dark"
    expected["stranger"] = {"plan": "free"}
    assert line.sandbox.profiles == expected
    assert everywhere().found == ()
    before = len(line.sandbox.requests)
    line.later()
    line.run()
    assert everywhere.touched(before).keys() <= {"5"}, "what was mended is not sent once more"


def test_what_is_as_it_should_be_costs_one_query_and_no_minute(verify: Verifying) -> None:
    verified = verify()
    assert (verified.matching, verified.found, verified.complete) == (30, (), True)
    assert verify.cost == Cost("ids", 1, 2.0)
    assert (verify.time.waits, verify.told) == ([], [])


def test_a_mismatch_is_believed_after_a_minute_only(verify: Verifying) -> None:
    verify.tamper({"$distinct_id": "1", "$set": {"plan": "tampered"}})
    began = verify.time.at
    assert by_kind(verify()) == {"different": ["1"]}
    assert verify.time.at - began == SECOND_LOOK_S
    assert verify.told == ["not as they should be so far: 1, to be looked at again; waiting 60 s"]


def test_what_is_right_a_minute_later_was_never_wrong(verify: Verifying) -> None:
    """A write that Mixpanel shows late, and a row that changed between two looks."""
    verify.line.change("UPDATE users SET plan = 'other' WHERE id = 7")
    wait = verify.time.wait

    def run_meanwhile(seconds: float) -> bool:
        verify.line.run()
        return wait(seconds)

    verify.time.wait = run_meanwhile  # type: ignore[method-assign]
    assert verify().found == ()


def test_a_change_that_was_not_sent_yet_is_told_from_tampering(verify: Verifying) -> None:
    verify.line.change("UPDATE users SET plan = 'new' WHERE id = 1", "DELETE FROM users WHERE id = 2")
    verify.tamper({"$distinct_id": "3", "$set": {"plan": "tampered"}})
    found = {one.distinct_id: (one.kind, one.unsent) for one in verify().found}
    assert found == {"1": ("different", True), "2": ("unwanted", True), "3": ("different", False)}


KINDS = {
    "postgresql": "mrr numeric(10,2), score double precision, active boolean, seen timestamptz, born date,"
    " settings jsonb, roles text[], bio text, big bigint",
    "mariadb": "mrr numeric(10,2), score double, active boolean, seen timestamp(3) null, born date, settings json,"
    " roles set('b', 'a', 'c'), bio text, big bigint",
    "sqlite": "mrr numeric, score double, active boolean, seen timestamp, born date, settings json, roles text,"
    " bio text, big bigint",
}
ROLES = {"postgresql": "ARRAY['b', 'a']", "mariadb": "'b,a'", "sqlite": '\'["b", "a"]\''}
OF_EVERY_KIND = """
on_null = "null"
copy = ["mrr", "score", "active", "seen", "born", "bio", "big"]
[sync.users.set]
theme = { column = "settings", path = "ui.theme" }
settings = { column = "settings", type = "json" }
[sync.users.set_once]
first_seen = "seen"
[sync.users.union]
roles = { column = "roles", type = "list" }
"""


def test_values_of_every_kind_match_in_the_form_in_which_mixpanel_gives_them_back(
    database: LiveDatabase, tmp_path: Path
) -> None:
    with Sandbox(keep_bodies=True) as sandbox:
        line = Line(database, sandbox, tmp_path)
        line.mixpanel, line.mapping = dict(ACCOUNT), OF_EVERY_KIND
        moment = "2026-01-02 03:04:05.678" + ("+00" if database.kind == "postgresql" else "")
        database.execute(
            f"CREATE TABLE users (id bigint PRIMARY KEY, {KINDS[database.kind]})",
            f"INSERT INTO users VALUES (1, 10.50, 0.1, true, '{moment}', '2026-01-02',"
            f""" '{{"ui": {{"theme": "dark"}}, "n": [1, 2.50]}}', {ROLES[database.kind]}, '{"ä" * 300}', {2**60})""",
            "INSERT INTO users (id) VALUES (2)",
        )
        assert line.run().sent == 2
        verify = Verifying(line)
        assert (verify().matching, verify().found) == (2, ())
        given_back = {
            "mrr": 10.5,
            "seen": "2026-01-02T03:04:05",
            "born": "2026-01-02T00:00:00",
            "bio": "ä" * 127,
            "settings": {"n": [2.5, 1.0], "ui": {"theme": "dark"}},
            "roles": ["c", "a", "b"],
            "first_seen": "2020-01-01T00:00:00",
        }
        verify.tamper({"$distinct_id": "1", "$set": given_back})
        assert verify().found == ()
        verify.tamper({"$distinct_id": "1", "$set": dict.fromkeys(given_back, "x")})
        verify.tamper({"$distinct_id": "2", "$unset": ["mrr"]}, {"$distinct_id": "2", "$set": {"roles": ["x"]}})
        found = {one.distinct_id: set(one.properties) for one in verify().found}
        assert found == {"1": given_back.keys() - {"first_seen"}, "2": {"mrr", "roles"}}


# --- what is not there to be judged --------------------------------------------------------------------------------


def test_rows_that_are_rejected_are_left_out(verify: Verifying) -> None:
    verify.line.change("UPDATE users SET plan = 'a' || char(0) WHERE id = 1")
    verify.line.run()
    verified = verify()
    assert (verified.matching, verified.left_out, verified.found) == (29, 1, ())


def test_with_ignore_nothing_is_unwanted(verify: Verifying) -> None:
    verify.line.settings["on_delete"] = '"ignore"'
    verify.line.change("DELETE FROM users WHERE id = 2")
    verified = verify()
    assert (verified.matching, verified.left_out, verified.found) == (29, 1, ())


def test_with_unset_what_is_left_of_our_properties_is_unwanted(verify: Verifying) -> None:
    verify.line.settings["on_delete"] = '"unset"'
    verify.line.change("DELETE FROM users WHERE id IN (2, 3)")
    verify.line.run()
    assert verify().found == ()
    assert verify.line.sandbox.profiles["2"] == {}


def test_an_id_that_wandered_to_another_row_is_not_unwanted(verify: Verifying) -> None:
    line = verify.line
    line.settings["distinct_id"] = '"email"'
    line.change("UPDATE users SET email = 'moved@example.com' WHERE id = 1")
    line.later(25)
    line.run(accept_new_source=True)
    line.run()
    line.change("UPDATE users SET email = 'u1@example.com' WHERE id = 2", "DELETE FROM users WHERE id = 1")
    line.later(25)
    line.run()
    verified = verify()
    assert verified.found == ()
    assert verified.matching == 29


def test_before_the_first_run_there_is_nothing_to_verify_but_a_key(sqlite_database: LiveDatabase, tmp_path: Path):
    with Sandbox() as sandbox:
        line = Line(sqlite_database, sandbox, tmp_path)
        line.mixpanel = dict(ACCOUNT)
        line.table(3)
        verify = Verifying(line)
        assert verify() == Verified(0, 0, (), complete=True)
        assert verify(Aim(sample=10)).checked == 0
        found = verify(Aim(keys=("2", "99")))
        assert [(one.kind, one.key, one.unsent) for one in found.found] == [("missing", "2", True)]
        assert found.left_out == 1


def test_rows_whose_answer_was_lost_are_compared_and_what_they_may_have_left_is_remembered(verify: Verifying) -> None:
    line = verify.line
    line.change("UPDATE users SET plan = 'new' WHERE id = 1")
    line.sandbox.faults.add(fault("reset"))
    assert line.run().pending == 1
    assert verify().found == ()
    verify.tamper({"$distinct_id": "1", "$set": {"plan": "x"}})
    found = verify().found
    assert [(one.distinct_id, one.unsent) for one in found] == [("1", True)]
    before = len(line.sandbox.requests)
    verify.repair(found)
    assert verify.touched(before).keys() == {"1"}
    assert verify().found == ()
    line.later()
    assert line.run().pending == 0
    line.assert_equal()


def test_a_state_of_another_project_is_not_verified(verify: Verifying) -> None:
    verify.line.token = "another0token0of0another0project"
    with pytest.raises(GuardStop):
        verify()


def test_group_profiles_cannot_be_read_back_and_that_is_said(verify: Verifying) -> None:
    verify.line.settings["group_key"] = '"company"'
    with pytest.raises(ConfigError, match="group profiles"):
        verify()


# --- keys and samples ----------------------------------------------------------------------------------------------


def test_keys_are_looked_at_alone(verify: Verifying) -> None:
    verify.tamper({"$distinct_id": "1", "$set": {"plan": "x"}}, {"$distinct_id": "2", "$set": {"plan": "x"}})
    verified = verify(Aim(keys=("2", "3", "2")))
    assert (verified.matching, by_kind(verified)) == (1, {"different": ["2"]})


def test_a_sample_is_as_large_as_asked_and_the_same_for_the_same_seed(verify: Verifying) -> None:
    verify.tamper(*({"$distinct_id": str(key), "$set": {"plan": "x"}} for key in range(1, 31)))
    first, again, other = (verify(Aim(sample=10, seed=seed)) for seed in (1, 1, 2))
    assert first.checked == 10
    assert first.found == again.found
    assert {one.key for one in first.found} != {one.key for one in other.found}
    assert verify(Aim(sample=1000)).checked == 30


def test_a_query_with_a_key_of_two_columns_is_verified_and_repaired(verify: Verifying) -> None:
    line = verify.line
    del line.settings["table"]
    line.settings |= {
        "query": '"SELECT id, seats, email, plan, created_at FROM users"',
        "primary_key": '["id", "seats"]',
        "distinct_id": '{ template = "user-{id}" }',
    }
    line.change("UPDATE users SET seats = 1 WHERE id <= 2")
    line.run(accept_new_source=True)
    verify.tamper({"$distinct_id": "user-1", "$delete": ""}, {"$distinct_id": "user-2", "$set": {"plan": "x"}})
    found = verify().found
    assert [(one.kind, one.key, one.distinct_id) for one in found] == [
        ("different", '["2","1"]', "user-2"),
        ("missing", '["1","1"]', "user-1"),
    ]
    assert verify(Aim(keys=('["2","1"]',))).found == found[:1]
    verify.repair(found)
    assert verify().found == ()


def test_a_repair_that_comes_to_nothing_removes_no_profile_that_was_never_ours(verify: Verifying) -> None:
    """The row is marked under an ID that it never was sent with, and leaves it before the run."""
    line = verify.line
    line.settings["distinct_id"] = '"email"'
    line.later(25)
    line.run(accept_new_source=True)
    line.change("UPDATE users SET email = 'theirs' WHERE id = 1")
    verify.tamper({"$distinct_id": "theirs", "$set": {"theme": "dark"}})
    found = verify(Aim(keys=("1",))).found
    assert [(one.kind, one.distinct_id, one.unsent) for one in found] == [("different", "theirs", True)]
    with line.opened() as (sync, around):
        mark_for_repair(sync.state, sync.lock, found, around.clock.now())
    line.change("UPDATE users SET email = 'ours' WHERE id = 1")
    line.run()
    assert line.sandbox.profiles["theirs"] == {"theme": "dark"}
    assert line.sandbox.profiles["ours"]["plan"] == "pro"


# --- queries -------------------------------------------------------------------------------------------------------


def test_many_are_read_page_by_page_and_by_id_where_that_is_cheaper(verify: Verifying) -> None:
    line = verify.line
    line.add(*range(31, 2501))
    line.run()
    verify.tamper({"$distinct_id": "1700", "$set": {"plan": "x"}}, {"$distinct_id": "9", "$delete": ""})
    verify.tamper(*({"$distinct_id": f"s{number}", "$set": {"plan": "x"}} for number in range(300)))
    verified = verify()
    assert verify.cost is not None
    assert (verify.cost.way, verify.cost.queries) == ("pages", 3)
    assert (by_kind(verified), verified.matching) == ({"missing": ["9"], "different": ["1700"]}, 2498)
    assert verify(Aim(sample=200)).checked == 200
    assert verify.cost == Cost("ids", 1, 2.0)


def test_when_mixpanel_forgets_the_pages_the_rest_is_asked_for_by_id(verify: Verifying) -> None:
    line = verify.line
    line.add(*range(31, 2501))
    line.run()
    verify.tamper({"$distinct_id": "17", "$set": {"plan": "x"}})
    line.sandbox.faults.add(fault("status", code=400, path=QUERY, skip=1))
    verified = verify()
    assert (by_kind(verified), verified.matching) == ({"different": ["17"]}, 2499)


def test_pages_are_turned_at_once_and_only_the_rest_is_spread_over_the_hours(verify: Verifying) -> None:
    line = verify.line
    line.add(*range(31, 2801))
    line.run()
    verify.tamper(*({"$distinct_id": str(key), "$delete": ""} for key in range(1, 801)))
    verify.per_hour = 5
    began = verify.time.at
    line.sandbox.clock = lambda: verify.time.at
    assert (verify().matching, verify.cost) == (2000, Cost("pages", 6, 6 * 720.0))
    asked = [request.at - began for request in line.sandbox.requests if request.path == QUERY]
    assert asked[:2] == [0, 0]
    assert asked[2:6] == [720, 1440, 2160, 2880]


def test_no_more_than_the_budget_is_asked_in_an_hour(verify: Verifying) -> None:
    line = verify.line
    line.add(*range(31, 3 * IDS_PER_QUERY + 1))
    line.run()
    verify.per_hour = 2
    verify.by_ids_only()
    began = verify.time.at
    assert verify(Aim(sample=3 * IDS_PER_QUERY)).matching == 3 * IDS_PER_QUERY
    assert verify.cost is not None
    assert verify.cost.queries > 2
    assert verify.time.at - began >= 3600
    assert verify.told == [f"{count} looked at so far, 0 not as they should be" for count in (200, 400, 600)]


def test_a_limit_that_others_use_up_is_waited_for_and_then_given_up(verify: Verifying) -> None:
    verify.line.sandbox.queries.per_hour = 0
    with pytest.raises(TemporaryError, match="did not give way"):
        verify()
    assert any("waiting" in line for line in verify.told)
    assert 3600 < sum(verify.time.waits) < 2 * 3600


def test_a_mixpanel_that_answers_after_a_while_is_asked_again(verify: Verifying) -> None:
    verify.line.sandbox.faults.add(fault("status", code=503, path=QUERY, times=2))
    assert verify().matching == 30


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"service_secret": '"wrong0secret"'}, AccessError),
        ({"project_id": "99"}, AccessError),
    ],
)
def test_a_wrong_account_is_told(verify: Verifying, changes: dict[str, str], error: type[Exception]) -> None:
    verify.line.mixpanel |= changes
    with pytest.raises(error):
        verify()


def test_each_key_that_is_missing_for_reading_back_is_named(verify: Verifying) -> None:
    verify.line.mixpanel = {"project_id": "1"}
    with pytest.raises(ConfigError) as caught:
        verify()
    assert [problem.split(": ")[1] for problem in caught.value.problems] == [
        "mixpanel.service_account",
        "mixpanel.service_secret",
    ]


def test_in_a_project_that_holds_none_of_them_the_rest_is_not_asked_for(verify: Verifying) -> None:
    line = verify.line
    line.add(*range(31, 1601))
    line.run()
    verify.tamper(*({"$distinct_id": str(key), "$delete": ""} for key in range(1, 1601)))
    verified = verify()
    assert (verified.checked, verified.matching, verified.hopeless) == (1000, 0, True)
    assert verify.line.sandbox.profiles == {}
    assert verify(Aim(sample=1000)).hopeless is False, "all of the sample was asked for"
    with line.opened() as (sync, _):
        assert sync.state.verification() is None


# --- stopped and continued -----------------------------------------------------------------------------------------


def test_a_verification_of_everything_goes_on_where_it_was_stopped(verify: Verifying) -> None:
    line = verify.line
    line.add(*range(31, 5 * IDS_PER_QUERY + 1))
    line.run()
    verify.tamper({"$distinct_id": "1", "$set": {"plan": "x"}}, {"$distinct_id": "999", "$set": {"plan": "x"}})
    verify.per_hour = 2
    verify.by_ids_only()
    verify.time.stop_at = verify.time.at + 4000
    first = verify()
    assert not first.complete
    assert 0 < first.checked < 1000
    verify.time.stop_at = None
    verify.by_ids_only()
    queries = len(line.sandbox.requests)
    second = verify()
    assert second.complete
    assert (second.matching, by_kind(second)) == (998, {"different": ["1", "999"]})
    assert len(line.sandbox.requests) - queries == 6, "from the beginning it would have been seven"
