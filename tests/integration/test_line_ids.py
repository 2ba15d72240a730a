"""Deleted rows, soft deletes, and distinct IDs that move, on every database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import requests
from line import Line, fault
from servers import LiveDatabase

from sync_profiles.core.types import Acknowledged, Settlement
from sync_profiles.sandbox.server import Sandbox
from sync_profiles.state.store import open_store

BY_EMAIL = """
copy = ["plan"]
"""


@pytest.fixture
def line(database: LiveDatabase, tmp_path: Path) -> Iterator[Line]:
    with Sandbox() as sandbox:
        yield Line(database, sandbox, tmp_path)
        assert sandbox.overlaps == frozenset(), "one distinct ID was in two requests at once"


@pytest.fixture
def by_email(line: Line) -> Line:
    """The distinct ID is the e-mail address: no constraint keeps it unique, and it may change."""
    line.settings["distinct_id"] = '"email"'
    line.mapping = BY_EMAIL
    line.table(6)
    assert line.run().sent == 6
    return line


def plans(line: Line) -> dict[str, str]:
    return {key: profile.get("plan", "-") for key, profile in line.sandbox.profiles.items()}


# --- rows that are gone --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["ignore", "unset", "delete"])
def test_a_row_that_is_gone_is_treated_by_policy(line: Line, policy: str) -> None:
    line.settings["on_delete"] = f'"{policy}"'
    line.table(5)
    line.run()
    line.change("DELETE FROM users WHERE id = 3")
    summary = line.run(full=True)
    assert summary.deleted == (0 if policy == "ignore" else 1)
    expected = {"ignore": {"$email", "plan", "seats", "$created"}, "unset": set(), "delete": None}[policy]
    found = line.sandbox.profiles.get("3")
    assert (None if found is None else set(found)) == expected
    line.run(full=True)
    assert line.run(full=True).requests == 0


def test_a_row_that_comes_back_is_new(line: Line) -> None:
    line.table(5)
    line.run()
    line.change("DELETE FROM users WHERE id = 3")
    line.run(full=True)
    line.add(3, plan="again", created_at="2026-05-05 00:00:00")
    summary = line.run(full=True)
    assert (summary.sent, summary.deleted) == (1, 0)
    line.assert_equal()
    assert line.sandbox.profiles["3"]["$created"] == "2026-05-05T00:00:00", "set_once is sent again for a new profile"
    line.run(full=True)
    line.assert_equal()


def test_a_delete_without_an_answer_is_sent_again(line: Line) -> None:
    line.table(5)
    line.run()
    line.change("DELETE FROM users WHERE id = 3")
    line.sandbox.faults.add(fault("status", code=404))
    line.run(full=True)
    assert line.exit_code == 78
    line.run(full=True)
    assert "3" not in line.sandbox.profiles
    line.run()
    line.sandbox.clear_log()
    assert line.run(full=True).requests == 0


@pytest.mark.parametrize("full", [True, False], ids=["full", "incremental"])
def test_a_soft_deleted_row_counts_as_gone_and_comes_back(line: Line, full: bool) -> None:
    line.settings |= {"deleted": '"deleted_at"', "cursor": '"updated_at"'}
    line.table(5)
    line.change("UPDATE users SET deleted_at = '2026-01-01 00:00:00' WHERE id = 5")
    assert line.run().sent == 4, "a row that was deleted before the first run is never sent"
    line.change("UPDATE users SET deleted_at = '2026-02-01', updated_at = '2026-02-01 00:00:00' WHERE id = 3")
    assert line.run(full=full).deleted == 1
    line.assert_equal()
    line.change("UPDATE users SET deleted_at = NULL, updated_at = '2026-02-02 00:00:00' WHERE id = 3")
    assert line.run(full=full).sent == 1
    line.assert_equal()


# --- distinct IDs --------------------------------------------------------------------------------------------------


def test_a_key_that_changes_its_id_leaves_nothing_behind(by_email: Line) -> None:
    line = by_email
    line.change("UPDATE users SET email = 'new@example.com' WHERE id = 1")
    summary = line.run()
    assert (summary.sent, summary.deleted) == (1, 1)
    assert "u1@example.com" not in line.sandbox.profiles
    assert line.sandbox.profiles["new@example.com"] == {"plan": "pro"}
    line.run()
    assert line.run().requests == 0


def test_with_on_delete_ignore_the_former_profile_stays(by_email: Line) -> None:
    line = by_email
    line.settings["on_delete"] = '"ignore"'
    line.change("UPDATE users SET email = 'new@example.com' WHERE id = 1")
    assert line.run().deleted == 0
    assert {"u1@example.com", "new@example.com"} <= set(line.sandbox.profiles)


def test_two_rows_that_swap_their_ids_lose_neither_profile(by_email: Line) -> None:
    line = by_email
    line.change(
        "UPDATE users SET email = 'x' WHERE id = 1",
    )
    line.change("UPDATE users SET email = 'u1@example.com', plan = 'two' WHERE id = 2")
    line.change("UPDATE users SET email = 'u2@example.com', plan = 'one' WHERE id = 1")
    assert line.run().sent == 2
    line.run()
    line.run()
    assert plans(line) | {"u1@example.com": "two", "u2@example.com": "one"} == plans(line)
    assert len(line.sandbox.profiles) == 6


def test_an_id_that_moves_to_another_row_is_not_deleted_with_the_first(by_email: Line) -> None:
    line = by_email
    line.change("DELETE FROM users WHERE id = 1")
    line.add(100, email="u1@example.com", plan="heir")
    line.run(full=True)
    line.run(full=True)
    assert plans(line)["u1@example.com"] == "heir"


def test_rows_that_share_an_id_are_both_rejected_named_and_mended_together(by_email: Line) -> None:
    line = by_email
    line.add(7, email="twin@example.com", plan="a")
    line.add(8, email="twin@example.com", plan="b")
    summary = line.run()
    assert (line.exit_code, summary.sent) == (65, 0)
    assert sorted(line.rejected_keys()) == ["7", "8"]
    assert "twin@example.com" not in line.sandbox.profiles
    line.change("UPDATE users SET email = 'other@example.com' WHERE id = 8")
    line.run()
    line.run()
    assert {"twin@example.com": "a", "other@example.com": "b"}.items() <= plans(line).items()
    assert line.waiting() == []


def test_a_new_row_that_takes_a_known_id_rejects_both_and_the_profile_stays_as_it_was(by_email: Line) -> None:
    line = by_email
    line.add(7, email="u1@example.com", plan="thief")
    line.run()
    assert {row.key for row in line.waiting()} == {"1", "7"}
    assert plans(line)["u1@example.com"] == "pro"


def test_ids_that_differ_in_case_only_are_two_people(by_email: Line) -> None:
    line = by_email
    line.add(7, email="U1@example.com", plan="big")
    assert (line.run().sent, line.exit_code) == (1, 0)
    assert (plans(line)["u1@example.com"], plans(line)["U1@example.com"]) == ("pro", "big")


@pytest.mark.parametrize("bad", ["", "  ", " padded@example.com", "null", "x" * 256])
def test_an_id_that_cannot_be_one_rejects_its_row_only(by_email: Line, bad: str) -> None:
    line = by_email
    if line.database.kind == "mariadb":
        line.change("ALTER TABLE users MODIFY email varchar(300)")
    line.add(7, email=bad)
    line.add(8, email="good@example.com")
    assert (line.run(full=True).sent, line.rejected_keys()) == (1, ["7"])


def test_composite_keys_and_text_keys(line: Line) -> None:
    text = "varchar(50)"
    line.change(f"CREATE TABLE members (org {text}, member {text}, plan {text}, PRIMARY KEY (org, member))")
    line.database.insert(
        "INSERT INTO members VALUES (?, ?, ?)", [("a", "1", "x"), ("a", "2", "y"), ("A b", "1", "z"), ("ö", "é'", "w")]
    )
    line.settings |= {"table": '"members"', "distinct_id": '{ template = "{org}/{member}" }'}
    line.mapping = BY_EMAIL
    assert line.run().sent == 4
    line.change("UPDATE members SET plan = 'new' WHERE member = 'é''' ", "DELETE FROM members WHERE member = '2'")
    summary = line.run(full=True)
    assert (summary.sent, summary.deleted) == (1, 1)
    assert plans(line) == {"a/1": "x", "A b/1": "z", "ö/é'": "new"}


@pytest.mark.parametrize("came_back", ["as it was", "changed"])
def test_a_row_that_comes_back_after_a_delete_without_an_answer_is_sent_whole(line: Line, came_back: str) -> None:
    """The delete was applied, its answer lost: the state still knows the profile, Mixpanel does not."""
    line.table(5)
    line.run()
    line.change("DELETE FROM users WHERE id = 3")
    line.sandbox.faults.add(fault("zombie", times=None, applied="all"))
    line.stop_after(1)
    line.run(full=True)
    line.sandbox.faults.clear()
    assert "3" not in line.sandbox.profiles
    line.add(3, **({} if came_back == "as it was" else {"plan": "new"}))
    assert line.run(full=True).sent == 1
    line.assert_equal()
    line.run()
    line.assert_equal()


def test_a_deleted_row_is_noticed_by_the_next_run_where_counting_is_cheap(
    postgres_database: LiveDatabase, tmp_path: Path
) -> None:
    """Row versions say nothing of a row that is gone; a count of rows does."""
    with Sandbox() as sandbox:
        line = Line(postgres_database, sandbox, tmp_path)
        line.table(50)
        line.run()
        assert line.run().why == "since the last run"
        line.change("DELETE FROM users WHERE id = 9", "UPDATE users SET plan = 'x' WHERE id = 10")
        line.add(51)
        summary = line.run()
        assert (summary.detection, summary.sent, summary.deleted) == ("xmin", 2, 1)
        assert "some are gone" in summary.why
        line.assert_equal()
        line.settings["on_delete"] = '"ignore"'
        line.change("DELETE FROM users WHERE id = 11")
        assert line.run().why == "since the last run"


def test_of_two_rows_that_were_sent_with_one_id_the_last_to_leave_removes_it(
    sqlite_database: LiveDatabase, tmp_path: Path
) -> None:
    """They come to it when the ID moves between them while a pass reads; then both leave, and cannot be sent."""
    with Sandbox() as sandbox:
        line = Line(sqlite_database, sandbox, tmp_path)
        line.settings |= {"distinct_id": '"email"', "detect": '"full"', "max_delete": '"100%"', "max_reject": '"100%"'}
        line.mapping = BY_EMAIL
        line.table()
        line.add(6, email="first")
        line.add(7, email="second")
        line.run()
        with closing(open_store(line.state_file, now=line.clock.now)) as store:
            state = store.sync("users")
            held = state.known(["7"])["7"]
            both = Acknowledged("7", "first", held.fingerprint, held.shape)
            state.settle(Settlement(acknowledged=[both]), line.clock.now())
        line.change("UPDATE users SET email = 'shared'")
        line.run()
        line.later(25)
        line.run()
        line.change("DELETE FROM users WHERE id = 6")
        for _ in range(3):
            line.later(25)
            line.run(allow_mass_delete=True)
        assert "first" not in sandbox.profiles
        assert "shared" in sandbox.profiles


def test_of_two_rows_that_were_sent_with_one_id_who_comes_back_to_it_is_sent_whole(
    sqlite_database: LiveDatabase, tmp_path: Path
) -> None:
    """One of them left it, the other one cannot be mapped any more: what the profile holds is the other's."""
    with Sandbox() as sandbox:
        line = Line(sqlite_database, sandbox, tmp_path)
        line.settings |= {"distinct_id": '"email"', "detect": '"full"', "max_reject": '"100%"'}
        line.mapping = BY_EMAIL
        line.table()
        line.add(6, email="shared", plan="mine")
        line.add(7, email="second", plan="theirs")
        line.run()
        with closing(open_store(line.state_file, now=line.clock.now)) as store:
            state = store.sync("users")
            held = state.known(["7"])["7"]
            both = Acknowledged("7", "shared", held.fingerprint, held.shape)
            state.settle(Settlement(acknowledged=[both]), line.clock.now())
        theirs = {"$token": line.token, "$distinct_id": "shared", "$set": {"plan": "theirs"}}
        assert requests.post(f"{sandbox.url}/engage?verbose=1", json=[theirs], timeout=10).json()["status"] == 1
        line.change("UPDATE users SET email = 'shared', plan = 'nul' || char(0) WHERE id = 7")
        line.change("UPDATE users SET email = NULL WHERE id = 6")
        line.run()
        line.later(25)
        line.run()
        line.change("UPDATE users SET email = 'shared' WHERE id = 6")
        line.run()
        assert sandbox.profiles["shared"]["plan"] == "mine"
