"""A pass that is divided among workers ends like one that is not, whatever becomes of the workers."""

from __future__ import annotations

import msgspec
import pytest
from divided import Divided, KilledError
from servers import LiveDatabase
from sources import numbers

from sync_profiles.core import cutting
from sync_profiles.core.spreading import Assignment, Lost
from sync_profiles.core.types import BlockPart, Identity, KeyPart, Limit
from sync_profiles.engine import part as worker

ROWS = 400


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred rows are enough for a part."""
    monkeypatch.setattr(cutting, "PART_ROWS", 100)


@pytest.fixture
def sync(sqlite_database: LiveDatabase) -> Divided:
    """Users 1 to 400; nothing was sent yet."""
    return filled(sqlite_database)


def filled(database: LiveDatabase) -> Divided:
    database.execute(
        "CREATE TABLE users (id bigint PRIMARY KEY, name text, plan text)",
        f"INSERT INTO users SELECT n, 'n', 'free' FROM {numbers(database, ROWS)}",
    )
    return Divided(database, spec={"page_size": 30})


def test_a_backfill_is_done_part_by_part_and_its_counts_are_the_sum(sync: Divided) -> None:
    summary = sync.backfill()
    assert (summary.outcome, summary.detection, summary.why) == ("ok", "backfill", "every row")
    assert (summary.scanned, summary.unchanged, summary.sent, summary.rejected) == (ROWS, 0, ROWS, 0)
    assert len(sync.handed) == 4
    sync.assert_equal()
    assert sync.state.known_count() == ROWS
    assert sync.state.cut() is None


def test_a_backfill_of_a_whole_table_counts_as_a_pass_and_the_next_run_sends_nothing(sync: Divided) -> None:
    sync.run()
    again = sync.backfill()
    assert again.sent == ROWS
    assert sync.state.watermark() is not None
    assert sync.run().sent == 0


def test_the_requests_in_flight_are_divided(sync: Divided) -> None:
    sync.backfill()
    first, second = sync.crews[-1].handed[:2]
    assert (first.concurrency, second.concurrency) == (3, 2)
    assert "many_workers" not in sync.warned
    sync.slots = 6
    sync.backfill()
    assert {assignment.concurrency for assignment in sync.crews[-1].handed} == {1}
    assert "6 requests in flight at least" in sync.warned["many_workers"]


def test_a_worker_that_dies_costs_one_part(sync: Divided) -> None:
    """What it had acknowledged before is not sent again."""
    died = []

    def die_in_the_middle(page: int) -> None:
        if page == 2 and not died:
            died.append(page)
            raise KilledError

    sync.after_page = die_in_the_middle
    summary = sync.backfill()
    assert died
    assert sorted(sync.handed) == [1, 1, 2, 3, 4]
    assert summary.sent + summary.unchanged == ROWS
    assert "part 1" in sync.warned["worker_lost"]
    sync.assert_equal()
    assert sync.state.pending_count() == 0 or sync.run().exit_code == 0


def test_a_part_that_ends_every_worker_ends_the_run_and_is_named(sync: Divided) -> None:
    sync.script = lambda assignment, _attempt: Lost("signal 9") if assignment.number == 3 else None
    result = sync.backfilled()
    assert (result.exit_code, result.summary.outcome) == (75, "deferred")
    assert result.summary.message == "part 3 ended its worker 3 times: signal 9"
    sync.script = lambda _assignment, _attempt: None
    after = sync.backfill()
    assert after.sent == ROWS - result.summary.sent
    sync.assert_equal()


@pytest.mark.parametrize("restart", [False, True])
def test_an_interrupted_backfill_goes_on_with_the_parts_that_are_left(sync: Divided, restart: bool) -> None:
    def stop_at_the_second(assignment: Assignment, _attempt: int) -> None:
        if assignment.number == 2:
            sync.time.stop_at = sync.time.at

    sync.script = stop_at_the_second
    result = sync.backfilled()
    assert (result.exit_code, result.summary.outcome) == (143, "deferred")
    assert result.summary.message == "stopped by SIGTERM; the next run goes on from here"
    assert sync.state._board.stop == "SIGTERM"
    sync.time.stop_at, sync.script = None, lambda _assignment, _attempt: None
    done = set(sync.state.parts_done())
    assert 1 in done
    after = sync.backfill(restart=restart)
    assert set(sync.handed) == ({1, 2, 3, 4} if restart else {1, 2, 3, 4} - done)
    assert after.sent == (ROWS if restart else ROWS - result.summary.sent)
    sync.assert_equal()
    assert sync.state.cut() is None


def test_parts_done_with_another_mapping_are_done_again(sync: Divided, monkeypatch: pytest.MonkeyPatch) -> None:
    sync.script = lambda assignment, _attempt: Lost("gone") if assignment.number == 4 else None
    sync.backfilled()
    assert sync.state.parts_done()
    sync.script = lambda _assignment, _attempt: None
    sync.mapping = "another"
    sync.backfill()
    assert sorted(sync.handed) == [1, 2, 3, 4]


def test_an_error_in_one_part_ends_the_run_as_it_would_in_one_process(sync: Divided) -> None:
    """The others are asked to stop, and what they did counts."""
    sync.database.execute("UPDATE users SET id = -1 WHERE id = 1")
    sync.columns = ("name", "plan", "missing")
    result = sync.backfilled()
    assert result.exit_code == 78


@pytest.mark.parametrize("what", ["source", "project", "mapping"])
def test_a_worker_whose_environment_leads_elsewhere_does_nothing(
    sync: Divided, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    taken = worker._refuse_another

    def elsewhere(wanted: Identity, found: Identity) -> None:
        taken(wanted, msgspec.structs.replace(found, **{what: "elsewhere"}))

    monkeypatch.setattr(worker, "_refuse_another", elsewhere)
    result = sync.backfilled()
    assert (result.exit_code, result.summary.sent) == (78, 0)
    assert f"another {'Mixpanel project' if what == 'project' else what}" in str(result.summary.message)


def test_a_bug_in_a_worker_is_named_by_kind_and_place_and_quotes_nothing(
    sync: Divided, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_wanted: Identity, _found: Identity) -> None:
        raise KeyError("alice@example.com")

    monkeypatch.setattr(worker, "_refuse_another", broken)
    result = sync.backfilled()
    assert result.exit_code == 1
    assert str(result.summary.message).startswith("unexpected")
    assert "alice" not in f"{result.summary.message} {result.error}"


def test_too_many_rejected_rows_over_all_parts_stop_the_run(sync: Divided) -> None:
    """No part holds more than a limit of its own would allow."""
    sync.database.execute("UPDATE users SET plan = x'ff' WHERE id % 4 = 0")
    sync.max_reject = Limit(share=0.1)
    result = sync.backfilled()
    assert (result.exit_code, result.summary.outcome) == (3, "stopped")
    assert 50 < result.summary.rejected <= 100


def test_rejected_rows_of_all_parts_are_told_and_counted(sync: Divided) -> None:
    sync.database.execute("UPDATE users SET plan = x'ff' WHERE id IN (5, 395)")
    result = sync.backfilled()
    assert (result.exit_code, result.summary.rejected, result.summary.sent) == (65, 2, ROWS - 2)
    assert [row.key for row in sync.state.rejected()] in (["5", "395"], ["395", "5"])


def test_parts_know_whether_mixpanel_has_taken_anything_in_this_run(sync: Divided) -> None:
    """Where it has, a refusal is the row's own fault; before, it may be of the whole request."""
    sync.slots = 1
    sync.backfill()
    assert [assignment.passed for assignment in sync.crews[-1].handed] == [False, True, True, True]


# --- full passes ---------------------------------------------------------------------------------------------------


def test_a_full_pass_sends_what_changed_and_removes_what_is_gone(sync: Divided) -> None:
    assert sync.run().sent == ROWS
    sync.database.execute("DELETE FROM users WHERE id % 100 = 7", "UPDATE users SET plan = 'pro' WHERE id % 50 = 3")
    summary = sync.run(full=True)
    assert (summary.sent, summary.deleted, summary.unchanged) == (8, 4, ROWS - 12)
    assert len(sync.handed) == 4
    sync.assert_equal()


def test_a_full_pass_with_a_worker_that_dies_removes_nobody_who_is_there(sync: Divided) -> None:
    sync.run()
    sync.script = lambda assignment, attempt: Lost("killed") if attempt == 1 and assignment.number in {2, 4} else None
    summary = sync.run(full=True)
    assert (summary.sent, summary.deleted, summary.unchanged) == (0, 0, ROWS)


def test_a_stopped_full_pass_removes_nobody(sync: Divided) -> None:
    sync.run()
    sync.database.execute("DELETE FROM users WHERE id = 7")
    sync.script = lambda _assignment, _attempt: setattr(sync.time, "stop_at", sync.time.at)
    result = sync.tried(full=True)
    assert (result.exit_code, result.summary.deleted) == (143, 0)
    sync.time.stop_at, sync.script = None, lambda _assignment, _attempt: None
    assert sync.run(full=True).deleted == 1


# --- PostgreSQL ----------------------------------------------------------------------------------------------------


def test_rows_that_move_between_blocks_meanwhile_are_sent(postgres_database: LiveDatabase) -> None:
    """A row that is written anew while parts are done may stand in a part that is done already."""
    sync = filled(postgres_database)

    def write_anew(assignment: Assignment, attempt: int) -> None:
        assert isinstance(assignment.part, BlockPart | KeyPart)
        if assignment.number == 2 and attempt == 1:
            sync.database.execute("UPDATE users SET plan = 'pro' WHERE id > 350")

    sync.script = write_anew
    sync.backfill()
    sync.assert_equal()
    assert sync.run().sent == 0


def test_a_backfill_that_is_continued_finds_what_changed_in_finished_parts(postgres_database: LiveDatabase) -> None:
    sync = filled(postgres_database)
    sync.script = lambda assignment, _attempt: Lost("gone") if assignment.number == 3 else None
    assert sync.backfilled().exit_code == 75
    done = sync.state.parts_done()
    sync.database.execute("UPDATE users SET plan = 'pro' WHERE id < 20", "INSERT INTO users VALUES (1000, 'n', 'new')")
    sync.script = lambda _assignment, _attempt: None
    sync.backfill()
    assert not set(done).intersection(sync.handed)
    sync.assert_equal()
    assert sync.run().sent == 0


def test_a_table_that_is_written_anew_meanwhile_is_read_again_by_key(postgres_database: LiveDatabase) -> None:
    sync = filled(postgres_database)

    def rewrite(assignment: Assignment, attempt: int) -> None:
        if assignment.number == 2 and attempt == 1:
            sync.database.execute("VACUUM FULL users")

    sync.script = rewrite
    summary = sync.backfill()
    sync.assert_equal()
    if isinstance(sync.crews[-1].handed[0].part, BlockPart):
        assert "rewritten" in sync.warned
        assert isinstance(sync.crews[-1].handed[-1].part, KeyPart)
        assert summary.sent == ROWS


def test_what_changed_since_the_last_run_is_read_by_one_process(postgres_database: LiveDatabase) -> None:
    sync = filled(postgres_database)
    sync.run()
    crews = len(sync.crews)
    assert sync.run().detection == "xmin"
    assert len(sync.crews) == crews
