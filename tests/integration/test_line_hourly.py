"""The hourly run on every database: the table and Mixpanel are equal after each one, and nothing is sent twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from line import Line, poison
from servers import LiveDatabase

from sync_profiles.sandbox.server import Sandbox

ROWS = 2000


@pytest.fixture
def line(database: LiveDatabase, tmp_path: Path) -> Iterator[Line]:
    with Sandbox() as sandbox:
        yield Line(database, sandbox, tmp_path)
        assert sandbox.overlaps == frozenset(), "one distinct ID was in two requests at once"


@pytest.fixture(params=["full", "cursor", "auto"])
def detected(request: pytest.FixtureRequest, line: Line) -> Line:
    line.settings["detect"] = f'"{request.param}"'
    if request.param != "full":
        line.settings["cursor"] = '"updated_at"'
    return line


def test_first_run_quiet_run_touched_rows_changes_nulls_and_deletes(detected: Line) -> None:
    """The life of a table, step by step."""
    line = detected
    line.table(ROWS)
    first = line.run()
    assert (first.outcome, first.sent, first.scanned, first.why) == ("ok", ROWS, ROWS, "first run")
    line.assert_equal()

    line.sandbox.clear_log()
    quiet = line.run()
    assert (quiet.sent, quiet.requests, line.sandbox.requests) == (0, 0, ())

    line.change("UPDATE users SET updated_at = '2026-01-02 00:00:00' WHERE id <= 1000")
    touched = line.run()
    assert (touched.sent, touched.requests) == (0, 0)
    assert touched.scanned >= 1000

    line.change("UPDATE users SET plan = 'team', updated_at = '2026-01-02 00:00:00' WHERE id IN (1, 2, 3, 1500, 2000)")
    assert line.run().sent == 5
    line.assert_equal()

    line.change("UPDATE users SET email = NULL, updated_at = '2026-01-02 00:00:00' WHERE id = 7")
    assert line.run().sent == 1
    assert "$email" not in line.sandbox.profiles["7"]
    line.assert_equal()

    line.change("DELETE FROM users WHERE id = 9")
    assert line.run(full=True).deleted == 1
    line.assert_equal()
    again = line.run()
    assert (again.deleted, again.requests) == (0, 1), "a delete is repeated once"
    assert line.run().requests == 0
    line.assert_equal()


def test_twenty_thousand_rows_are_sent_once_and_then_nothing_is(line: Line) -> None:
    line.table(20_000)
    assert line.run().sent == 20_000
    line.assert_equal()
    assert line.run().requests == 0


def test_rows_with_equal_timestamps_at_the_border_of_a_run_arrive(detected: Line) -> None:
    line = detected
    line.table(10)
    line.add(*range(11, 21), at="2026-02-01 10:00:00")
    line.run()
    line.add(*range(21, 31), at="2026-02-01 10:00:00")
    assert line.run().sent == 10
    line.assert_equal()


def test_one_bulk_update_that_gives_all_rows_one_timestamp_is_sent_whole(detected: Line) -> None:
    line = detected
    line.table(ROWS)
    line.run()
    line.change("UPDATE users SET seats = 99, updated_at = '2026-02-01 10:00:00'")
    assert line.run().sent == ROWS
    line.assert_equal()


def test_a_row_that_becomes_visible_late_is_found_within_the_lookback(line: Line) -> None:
    """Its updated_at is before the watermark: a transaction that began earlier and committed after the run."""
    line.settings |= {"detect": '"cursor"', "cursor": '"updated_at"', "lookback": '"15m"'}
    line.table(10)
    line.add(11, at="2026-02-01 10:00:00")
    line.run()
    line.add(12, at="2026-02-01 09:50:00")
    assert line.run().sent == 1
    line.assert_equal()


def test_an_update_that_touches_no_cursor_is_found_by_the_next_full_pass(line: Line) -> None:
    line.settings |= {"detect": '"cursor"', "cursor": '"updated_at"', "full_every": '"24h"'}
    line.table(10)
    line.add(11, at="2026-02-01 10:00:00")
    line.run()
    line.change("UPDATE users SET plan = 'silent' WHERE id = 1")
    line.later(1)
    assert line.run().sent == 0
    line.later(24)
    summary = line.run()
    assert (summary.detection, summary.why, summary.sent) == ("full", "full_every", 1)
    line.assert_equal()


def test_rows_whose_cursor_is_null_are_found_and_warned_of(line: Line) -> None:
    line.settings |= {"detect": '"cursor"', "cursor": '"updated_at"'}
    line.table(10)
    line.run()
    line.add(11, 12, at=None)  # type: ignore[arg-type]  # NULL
    assert line.run().sent == 2
    line.assert_equal()
    line.change("UPDATE users SET plan = 'x' WHERE id = 12")
    assert line.run().sent == 1
    assert "null_cursor" in line.warnings()
    line.assert_equal()


def test_three_poison_rows_in_four_thousand_are_isolated_named_and_the_others_arrive(line: Line) -> None:
    line.table(4000)
    line.sandbox.poison = poison("17", "1999", "3500")
    line.sandbox.partial = False
    summary = line.run()
    assert (summary.outcome, summary.sent, summary.rejected, line.exit_code) == ("rejected", 3997, 3, 65)
    assert sorted(line.rejected_keys(), key=int) == ["17", "1999", "3500"]
    assert summary.requests <= 120
    assert len(line.sandbox.profiles) == 3997

    line.later(0.5)
    quiet = line.run()
    assert (quiet.outcome, quiet.requests, quiet.pending, line.rejected_keys()) == ("ok", 0, 3, [])

    line.change("UPDATE users SET plan = 'mended', updated_at = '2026-03-01 00:00:00' WHERE id = 17")
    line.sandbox.poison = poison("1999", "3500")
    assert (line.run().sent, len(line.waiting())) == (1, 2)
    line.later(2)
    line.sandbox.poison = None
    assert line.run().sent == 2
    line.assert_equal()


def test_a_table_of_another_schema_a_view_and_a_query_are_read_alike(line: Line) -> None:
    line.table(20)
    line.change("CREATE VIEW people AS SELECT * FROM users WHERE id <= 10")
    line.settings |= {"table": '"people"', "primary_key": '"id"'}
    assert line.run().sent == 10
    del line.settings["table"]
    line.settings["query"] = '"SELECT id, email, plan, seats, created_at FROM users WHERE id <= 15;"'
    summary = line.run(accept_new_source=True)
    assert (summary.sent, summary.unchanged) == (5, 10)
    line.change("DROP VIEW people")


def test_where_narrows_the_table_and_a_row_that_leaves_it_counts_as_deleted(line: Line) -> None:
    line.table(10)
    line.settings["where"] = "\"plan = 'pro' OR plan LIKE 'te%'\""
    assert line.run().sent == 5
    line.change("UPDATE users SET plan = 'free' WHERE id = 1")
    line.change("UPDATE users SET plan = 'team' WHERE id = 2")
    summary = line.run(full=True)
    assert (summary.sent, summary.deleted) == (1, 1)
    assert set(line.sandbox.profiles) == {"2", "3", "5", "7", "9"}
