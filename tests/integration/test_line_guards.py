"""Guards, deadlines, another source or project, backfills, lost states: what stops a run and how it goes on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from line import Line, fault
from servers import LiveDatabase

from sync_profiles.errors import GuardStop
from sync_profiles.sandbox.server import Sandbox


@pytest.fixture
def line(sqlite_database: LiveDatabase, tmp_path: Path) -> Iterator[Line]:
    with Sandbox() as sandbox:
        yield Line(sqlite_database, sandbox, tmp_path)
        assert sandbox.overlaps == frozenset()


# --- guards --------------------------------------------------------------------------------------------------------


def test_a_mass_delete_stops_before_the_first_and_goes_through_when_it_is_allowed(line: Line) -> None:
    line.table(500)
    line.run()
    line.change("DELETE FROM users WHERE id <= 101")
    line.change("UPDATE users SET plan = 'x' WHERE id = 500")
    summary = line.run()
    assert (summary.outcome, line.exit_code, summary.deleted, summary.sent) == ("stopped", 3, 0, 1)
    assert "101 of 500" in (summary.message or "")
    assert len(line.sandbox.profiles) == 500
    assert line.run(allow_mass_delete=True).deleted == 101
    line.assert_equal()


def test_rows_that_come_back_after_a_guard_stopped_are_not_deleted(line: Line) -> None:
    line.table(500)
    line.run()
    line.change("DELETE FROM users WHERE id <= 101")
    line.run()
    line.add(*range(1, 102))
    summary = line.run(allow_mass_delete=True)
    assert (summary.deleted, line.exit_code) == (0, 0)
    line.assert_equal()


def test_an_empty_table_is_a_mistake_until_somebody_says_otherwise(line: Line) -> None:
    line.table(20)
    line.run()
    line.change("DELETE FROM users")
    assert (line.run().outcome, line.exit_code) == ("stopped", 3)
    assert len(line.sandbox.profiles) == 20
    assert line.run(allow_mass_delete=True).deleted == 20
    line.assert_equal()


def test_a_mapping_that_rejects_everybody_stops(line: Line) -> None:
    line.table(500)
    line.mapping = '[sync.users.set]\nplan = { column = "plan", type = "number" }'
    summary = line.run()
    assert (summary.outcome, line.exit_code) == ("stopped", 3)
    assert "max_reject" in (summary.message or "")


@pytest.mark.parametrize("what", ["source", "project"])
def test_another_source_or_project_than_last_time_stops_until_it_is_accepted(
    line: Line, what: str, tmp_path: Path
) -> None:
    line.table(10)
    line.run()
    if what == "source":
        line.change("ALTER TABLE users RENAME TO people")
        line.settings["table"] = '"people"'
    else:
        line.token = "another-token"
    assert (line.run().outcome, line.exit_code) == ("stopped", 3)
    assert line.run(accept_new_source=True).sent == (0 if what == "source" else 10)
    assert (line.run().outcome, line.exit_code) == ("ok", 0)
    if what == "project":
        assert len(line.sandbox.profiles_of("another-token")) == 10


def test_a_lost_state_is_noticed_and_never_silently_started_over(line: Line) -> None:
    line.table(10)
    line.run()
    for path in line.state_file.parent.glob("state.db*"):
        if not path.name.endswith(".marker"):
            path.unlink()
    with pytest.raises(GuardStop, match="lost"):
        line.run()


def test_the_state_is_for_its_owner_only_and_holds_no_value(line: Line) -> None:
    line.table(10)
    line.run()
    assert os.stat(line.state_file).st_mode & 0o777 == 0o600
    assert os.stat(line.state_file.parent).st_mode & 0o777 == 0o700
    held = b"".join(path.read_bytes() for path in line.state_file.parent.iterdir())
    for secret in (b"u1@example.com", b"sandbox-token", b"pro\x00", str(line.sandbox.url).encode()):
        assert secret not in held


# --- stops ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [1, 3, 7])
@pytest.mark.parametrize("kind", ["run", "backfill"])
def test_a_stopped_run_goes_on_where_it_was_and_sends_nothing_twice(line: Line, kind: str, after: int) -> None:
    line.mixpanel |= {"records_per_request": "100", "concurrency": "1"}
    line.table(1000)
    if kind == "backfill":
        line.run()
    line.sandbox.faults.add(fault("slow", times=None, seconds=0.02))
    line.sandbox.clear_log()
    line.stop_after(after)
    first = line.run() if kind == "run" else line.backfill()
    assert (first.outcome, line.exit_code) == ("deferred", 143)
    assert 0 < first.sent < 1000
    line.sandbox.faults.clear()
    rest = line.run() if kind == "run" else line.backfill()
    assert first.sent + rest.sent == 1000
    line.assert_equal()
    assert max(line.sandbox.applied(str(key)) for key in range(1, 1001)) <= 2, "set and set_once once each"


# --- backfill ------------------------------------------------------------------------------------------------------


def test_a_backfill_mends_what_something_else_wrote_to_the_project(line: Line) -> None:
    line.table(10)
    line.change("UPDATE users SET seats = NULL WHERE id = 3")
    line.run()
    store = line.sandbox._store
    for key in ("3", "4"):
        profile = store.get((line.sandbox.token, None), key)
        assert profile is not None
        profile.properties.update(plan="tampered", seats=77)
    assert line.run(full=True).sent == 0, "what Mixpanel acknowledged is not sent again"
    assert line.backfill().sent == 10
    line.assert_equal()
    assert (line.run().sent, line.run().requests) == (0, 0)


def test_selections_send_exactly_the_rows_they_name(line: Line) -> None:
    line.settings["cursor"] = '"updated_at"'
    line.table(10)
    line.add(11, at="2026-03-01 00:00:00")
    line.add(12, at="2026-04-01 00:00:00")
    line.run()
    assert line.backfill(since="2026-03-01", until="2026-03-31").sent == 1
    assert line.backfill(since="2026-02-15 00:00:00").sent == 2
    assert line.backfill(keys=("3", "12", "none")).sent == 2
    assert line.backfill(where="plan = 'pro'").sent == 6
    assert line.backfill(changed_only=True).sent == 0
    line.change("UPDATE users SET plan = 'x' WHERE id = 1")
    assert line.backfill(changed_only=True).sent == 1
    line.assert_equal()


def test_a_finished_backfill_starts_anew_and_restart_forgets_an_interrupted_one(line: Line) -> None:
    line.table(10)
    assert (line.backfill().sent, line.backfill().sent) == (10, 10)
    line.mixpanel |= {"records_per_request": "2", "concurrency": "1"}
    line.sandbox.faults.add(fault("slow", times=None, seconds=0.02))
    line.stop_after(2)
    assert 0 < line.backfill().sent < 10
    line.sandbox.faults.clear()
    assert line.backfill(restart=True).sent == 10


def test_a_backfill_before_the_first_run_is_the_first_run(line: Line) -> None:
    line.table(10)
    assert line.backfill().sent == 10
    line.assert_equal()
    assert (line.run().sent, line.run().requests) == (0, 0)
