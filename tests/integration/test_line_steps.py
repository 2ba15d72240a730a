"""Longer stories: what comes between a mapping change, a backfill, a rejection or a removal leaves no trace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from line import Line, fault, poison
from openapi import assert_valid_bodies
from servers import LiveDatabase

from sync_profiles.sandbox.server import Sandbox


@pytest.fixture
def line(sqlite_database: LiveDatabase, tmp_path: Path) -> Iterator[Line]:
    with Sandbox(keep_bodies=True) as sandbox:
        made = Line(sqlite_database, sandbox, tmp_path)
        made.settings |= {"detect": '"cursor"', "cursor": '"updated_at"'}
        yield made
        assert sandbox.overlaps == frozenset(), "one distinct ID was in two requests at once"
        assert_valid_bodies(sandbox)


def slowly(line: Line, after: int) -> None:
    """Small requests, one at a time, and a stop after so many."""
    line.mixpanel |= {"records_per_request": "10", "concurrency": "1"}
    line.sandbox.faults.add(fault("slow", times=None, seconds=0.02))
    line.stop_after(after)


# --- mapping changes -----------------------------------------------------------------------------------------------


def test_a_mapping_change_that_was_interrupted_reaches_every_row(line: Line) -> None:
    """The rows that were not reached did not change, so only a pass over all of them finds them again."""
    line.table(60)
    line.mapping = 'copy = ["plan", "seats"]'
    line.run()
    line.mapping = 'copy = ["plan"]\n[sync.users.set]\nmail = "email"'
    slowly(line, after=2)
    first = line.run()
    assert (first.outcome, first.why) == ("deferred", "mapping changed")
    assert 0 < first.sent < 60
    line.sandbox.faults.clear()
    rest = line.run()
    assert (rest.outcome, rest.why) == ("ok", "mapping changed")
    assert first.sent + rest.sent == 60
    expected = {str(key): {"plan": ("free", "pro")[key % 2], "mail": f"u{key}@example.com"} for key in range(1, 61)}
    assert line.sandbox.profiles == expected
    assert line.run().requests == 0


def test_a_mapping_that_goes_back_before_everybody_was_reached_ends_as_it_was(line: Line) -> None:
    line.table(60)
    before = line.mapping = 'copy = ["plan", "seats"]'
    line.run()
    as_it_was = line.sandbox.profiles
    line.mapping = 'copy = ["plan"]\n[sync.users.set]\nmail = "email"'
    slowly(line, after=2)
    reached = line.run().sent
    line.sandbox.faults.clear()
    line.mapping = before
    assert line.run(full=True).sent == reached
    assert line.sandbox.profiles == as_it_was


def test_another_distinct_id_moves_every_profile_and_leaves_none_behind(line: Line) -> None:
    line.table(8)
    line.mapping = 'copy = ["plan"]'
    line.run()
    line.settings["distinct_id"] = '"email"'
    summary = line.run(allow_mass_delete=True)
    assert (summary.why, summary.sent, summary.deleted) == ("mapping changed", 8, 8)
    assert line.sandbox.profiles == {f"u{key}@example.com": {"plan": ("free", "pro")[key % 2]} for key in range(1, 9)}


def test_a_property_that_moves_between_set_and_union_holds_what_each_says(line: Line) -> None:
    line.table(2)
    line.mapping = 'copy = ["plan", "seats"]'
    line.run()
    line.mapping = 'copy = ["seats"]\n[sync.users.union]\nplans = "plan"'
    line.run()
    assert line.sandbox.profiles["1"] == {"seats": 1, "plans": ["pro"]}
    line.mapping = 'copy = ["seats"]\n[sync.users.set]\nplans = "plan"'
    line.run()
    assert line.sandbox.profiles["1"] == {"seats": 1, "plans": "pro"}


# --- who is given an ID --------------------------------------------------------------------------------------------


@pytest.fixture
def by_email(line: Line) -> Line:
    line.settings["distinct_id"] = '"email"'
    line.mapping = 'copy = ["plan", "seats"]'
    line.table(4)
    line.run()
    return line


@pytest.mark.parametrize("policy", ["ignore", "unset", "delete"])
def test_a_row_that_takes_over_an_id_keeps_nothing_of_its_former_owner(by_email: Line, policy: str) -> None:
    line = by_email
    line.settings["on_delete"] = f'"{policy}"'
    line.change("DELETE FROM users WHERE id = 1")
    line.add(9, email="u1@example.com", plan="heir", seats=None, at="2026-03-01 00:00:00")
    assert line.run().sent == 1
    assert line.sandbox.profiles["u1@example.com"] == {"plan": "heir"}
    for _ in range(2):
        line.run(full=True)
    assert line.sandbox.profiles["u1@example.com"] == {"plan": "heir"}
    assert line.run(full=True).requests == 0


def test_three_rows_that_pass_their_ids_on_in_a_ring_lose_none(by_email: Line) -> None:
    line = by_email
    line.change(
        "UPDATE users SET updated_at = '2026-03-01', seats = NULL, plan = 'row' || id,"
        " email = CASE id WHEN 1 THEN 'u2@example.com' WHEN 2 THEN 'u3@example.com' ELSE 'u1@example.com' END"
        " WHERE id <= 3"
    )
    for _ in range(3):
        line.run()
    profiles = line.sandbox.profiles
    assert {key: profiles[key] for key in sorted(profiles)} == {
        "u1@example.com": {"plan": "row3"},
        "u2@example.com": {"plan": "row1"},
        "u3@example.com": {"plan": "row2"},
        "u4@example.com": {"plan": "free", "seats": 4},
    }
    assert line.run(full=True).requests == 0


def test_an_id_in_doubt_is_removed_when_its_row_gives_it_up(by_email: Line) -> None:
    """The row's new ID was sent, the answer lost, and before the next run the row lost its ID and went."""
    line = by_email
    line.change("UPDATE users SET email = 'doubt@example.com', updated_at = '2026-03-01' WHERE id = 1")
    line.sandbox.faults.add(fault("zombie", times=None, applied="all"))
    line.stop_after(1)
    line.run()
    line.sandbox.faults.clear()
    assert "doubt@example.com" in line.sandbox.profiles
    line.change("UPDATE users SET email = NULL, updated_at = '2026-03-02' WHERE id = 1")
    line.run()
    line.later(0.5)  # by then whatever is applied late has been applied
    line.run()
    assert "doubt@example.com" not in line.sandbox.profiles
    line.change("DELETE FROM users WHERE id = 1")
    line.run(full=True)
    assert sorted(line.sandbox.profiles) == ["u2@example.com", "u3@example.com", "u4@example.com"]


def test_twins_of_the_first_run_are_mended_when_one_of_them_is_deleted(line: Line) -> None:
    line.settings["distinct_id"] = '"email"'
    line.mapping = 'copy = ["plan"]'
    line.table(3)
    line.add(4, email="u1@example.com", plan="twin")
    summary = line.run()
    assert (line.exit_code, summary.sent, sorted(line.rejected_keys())) == (65, 2, ["1", "4"])
    assert [row.reason for row in line.waiting() if row.key == "1"] == ["its distinct ID is also that of row 4"]
    line.later(0.9)
    line.run()
    assert line.rejected_keys() == [], "named once, not every hour"
    line.change("DELETE FROM users WHERE id = 1")
    line.run(full=True)
    line.run()
    assert line.sandbox.profiles["u1@example.com"] == {"plan": "twin"}
    assert line.waiting() == []


# --- removals ------------------------------------------------------------------------------------------------------


def test_a_removal_that_mixpanel_refuses_is_named_and_tried_again(by_email: Line) -> None:
    line = by_email
    line.change("UPDATE users SET email = 'new@example.com', updated_at = '2026-03-01' WHERE id = 1")
    line.sandbox.poison = poison("u1@example.com")
    summary = line.run()
    assert (summary.outcome, summary.sent, summary.deleted) == ("rejected", 1, 0)
    assert [(row.key, row.distinct_id) for row in line.waiting()] == [("1", "u1@example.com")]
    line.sandbox.poison = None
    assert line.run().deleted == 0, "its wait is not over"
    line.later(2)
    assert line.run().deleted == 1
    assert "u1@example.com" not in line.sandbox.profiles
    assert line.waiting() == []


def test_a_deleted_row_is_found_although_a_backfill_runs_every_day(line: Line) -> None:
    """A backfill reads every row, but a row that is gone is missed by a full pass of `run` only."""
    line.table(5)
    line.run()
    line.change("DELETE FROM users WHERE id = 3")
    for _ in range(3):
        line.later(12)
        line.backfill()
        line.run()
    line.assert_equal()


def test_changes_that_come_while_a_full_pass_is_read_are_found_by_the_next_run(line: Line) -> None:
    line.table(60)
    changed = False

    def while_it_reads(_record: object) -> None:
        nonlocal changed
        if not changed:
            changed = True
            line.change("UPDATE users SET plan = 'meanwhile', updated_at = '2026-03-01 00:00:00' WHERE id IN (1, 60)")

    line.sandbox.poison = while_it_reads
    line.settings["page_size"] = "10"
    line.mixpanel |= {"records_per_request": "10", "concurrency": "1"}
    line.run()
    line.run()
    line.assert_equal()


# --- backfills -----------------------------------------------------------------------------------------------------


def test_a_backfill_killed_twice_sends_each_row_once_though_runs_come_between(line: Line) -> None:
    line.table(60)
    line.run()
    line.sandbox.clear_log()
    slowly(line, after=2)
    sent = line.backfill().sent
    line.change("UPDATE users SET plan = 'x', updated_at = '2026-03-01' WHERE id IN (1, 60)")
    line.sandbox.faults.clear()
    sent += line.run().sent
    slowly(line, after=2)
    sent += line.backfill().sent
    line.sandbox.faults.clear()
    sent += line.backfill().sent
    # Row 1 was sent by the backfill before it changed; row 60 by the run, which the backfill need not repeat.
    assert sent == 61
    line.assert_equal()


def test_a_backfill_of_another_selection_is_another_backfill(line: Line) -> None:
    line.table(60)
    line.run()
    slowly(line, after=2)
    assert 0 < line.backfill().sent < 60
    line.sandbox.faults.clear()
    assert line.backfill(where="id <= 5").sent == 5
    assert line.backfill().sent == 60, "the interrupted one was given up"
    line.assert_equal()


def test_a_backfill_clears_what_became_null_before_it(line: Line) -> None:
    line.table(5)
    line.add(6, at="2026-03-01 00:00:00")
    line.run()
    line.change("UPDATE users SET email = NULL, seats = NULL WHERE id = 2")
    assert line.run().sent == 0, "no cursor moved"
    assert line.backfill(keys=("2",)).sent == 1
    assert line.sandbox.profiles["2"] == {"plan": "free", "$created": "2026-01-01T00:00:00"}
    line.assert_equal()


def test_a_backfill_of_keys_that_are_gone_says_nothing_of_them_and_sends_the_others(line: Line) -> None:
    line.table(5)
    line.run()
    line.change("DELETE FROM users WHERE id = 2")
    summary = line.backfill(keys=("1", "2", "not a key", "3"))
    assert (summary.outcome, summary.scanned, summary.sent, summary.deleted) == ("ok", 2, 2, 0)


def test_a_backfill_of_changed_rows_over_an_empty_state_is_a_first_run(line: Line) -> None:
    line.table(5)
    assert line.backfill(changed_only=True).sent == 5
    assert line.backfill(changed_only=True).sent == 0
    line.assert_equal()
