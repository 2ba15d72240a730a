"""A run that is killed or told to stop, at every stage: nothing is lost, and only what was in flight is sent again."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from commands import Outcome, Workplace, wait_until, working
from servers import ServerMissingError, Servers, all_labels

from sync_profiles.sandbox.faults import Fault

REPEATED_MAX = 2 * 4 * 500
"""What was in flight when the run was killed, and as much again whose answers had only just come."""
IN_DOUBT_MAX = REPEATED_MAX + 5000
"""Those, and a page of rows that was written down as about to leave."""
SMALL_REQUESTS = "records_per_request = 500\n"
CURSOR = 'table = "users"\ncursor = "updated_at"\n'
SLOW = Fault("slow", times=None, seconds=0.1)
WITHIN_S = 30
CODES = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}


def interrupt_then_go_on(place: Workplace, number: signal.Signals, *arguments: str) -> None:
    """One command is stopped in its middle and given again; then Mixpanel is equal to the table.

    What was in flight at a kill may still be applied late, after what is sent now: it is looked at once more later.
    """
    before = place.run("status", "--json").json["syncs"][0]["pending"]
    place.sandbox.clear_log()
    place.sandbox.faults.add(SLOW)
    stopped = place.interrupted(number, *arguments, requests=5)
    place.sandbox.faults.clear()
    assert stopped.code == CODES[number]
    counted = len(place.sandbox.requests)
    assert counted < len(place.expected()) / 500, "it was stopped in its middle"
    second = place.run(*arguments, "--json")
    assert second.json["outcome"] == "ok"
    killed = number == signal.SIGKILL
    assert second.json["pending"] <= before + (IN_DOUBT_MAX if killed else 0)
    place.assert_equal()
    assert place.sent_twice() <= (REPEATED_MAX if killed else 0)


def interrupt_every_stage(place: Workplace, number: signal.Signals, rows: int) -> None:
    place.fill(rows)
    place.write(CURSOR, mixpanel=SMALL_REQUESTS)
    interrupt_then_go_on(place, number, "run")
    place.database.execute("UPDATE users SET plan = 'bulk', updated_at = '2026-02-01 00:00:00'")
    interrupt_then_go_on(place, number, "run")
    interrupt_then_go_on(place, number, "backfill")
    place.sandbox.clear_log()
    assert place.run("run", "--json").json["requests"] == 0


def test_killed_in_the_first_run_after_a_bulk_update_and_in_a_backfill_nothing_is_lost(everywhere: Workplace) -> None:
    """20,000 rows of one timestamp: a program that remembers only the last timestamp loses most of them."""
    interrupt_every_stage(everywhere, signal.SIGKILL, 20_000)


def test_told_to_stop_at_any_stage_what_was_acknowledged_is_never_sent_again(everywhere: Workplace) -> None:
    interrupt_every_stage(everywhere, signal.SIGTERM, 12_000)


@pytest.mark.proof
@pytest.mark.parametrize(("number", "rows"), [(signal.SIGKILL, 20_000), (signal.SIGTERM, 12_000)])
def test_interrupted_at_any_stage_with_the_state_on_a_server_it_goes_on(
    server_place: Workplace, number: signal.Signals, rows: int
) -> None:
    interrupt_every_stage(server_place, number, rows)


def test_ctrl_c_is_as_orderly(place: Workplace) -> None:
    interrupt_every_stage(place, signal.SIGINT, 12_000)


def test_killed_again_and_again_a_run_still_comes_to_its_end(place: Workplace) -> None:
    place.fill(20_000)
    place.write(CURSOR, mixpanel=SMALL_REQUESTS)
    place.sandbox.faults.add(SLOW)
    for _ in range(4):
        assert place.interrupted(signal.SIGKILL, "run", requests=7).code == -9
    place.sandbox.faults.clear()
    place.run("run")
    place.assert_equal()
    assert place.sent_twice() <= 4 * REPEATED_MAX


@pytest.mark.proof
@pytest.mark.parametrize("requests", range(1, 40))
def test_killed_after_any_request_nothing_is_lost(everywhere: Workplace, requests: int) -> None:
    everywhere.fill(20_000)
    everywhere.write(CURSOR, mixpanel=SMALL_REQUESTS)
    everywhere.sandbox.faults.add(SLOW)
    with everywhere.start("run") as process:
        wait_until(lambda: len(everywhere.sandbox.requests) >= requests or process.poll() is not None)
        process.kill()
        everywhere.ended(process)
    everywhere.sandbox.faults.clear()
    everywhere.run("run")
    everywhere.assert_equal()
    assert everywhere.sent_twice() <= REPEATED_MAX


# --- told to stop while something takes long -----------------------------------------------------------------------


def stopped_in_time(place: Workplace, number: signal.Signals, begun: Callable[[], object], *arguments: str) -> Outcome:
    """Start, wait until it has ``begun`` to hang, send a signal: it ends in time and says so."""
    with place.start(*arguments) as process:
        wait_until(lambda: begun() or process.poll() is not None)
        began = time.monotonic()
        process.send_signal(number)
        outcome = place.ended(process)
    assert time.monotonic() - began < WITHIN_S
    assert outcome.code == CODES[number]
    return outcome


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_does_not_wait_for_mixpanel_to_want_requests_again(place: Workplace, number: signal.Signals) -> None:
    place.fill(3000)
    place.sandbox.faults.add(Fault("status", times=None, code=429, retry_after="50"))
    outcome = stopped_in_time(place, number, lambda: place.sandbox.requests, "run", "--json")
    assert outcome.json["outcome"] == "deferred"
    assert number.name in outcome.json["message"]
    place.sandbox.faults.clear()
    place.run("run")
    place.assert_equal()


def test_a_second_signal_ends_at_once(place: Workplace) -> None:
    place.fill(1000)
    place.sandbox.faults.add(Fault("timeout", times=None, seconds=100, applied="all"))
    with place.start("run") as process:
        wait_until(lambda: place.sandbox.profiles)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        outcome = place.ended(process)
    assert time.monotonic() - began < WITHIN_S / 3
    assert outcome.code in {130, 143}
    place.sandbox.faults.clear()
    place.run("run")
    place.assert_equal()


def test_a_stop_is_heard_by_a_dry_run_and_a_backfill_too(place: Workplace) -> None:
    place.fill(3000)
    place.sandbox.faults.add(Fault("status", times=None, code=503))
    stopped_in_time(place, signal.SIGINT, lambda: place.sandbox.requests, "backfill")


def test_the_deadline_ends_a_run_with_75_and_the_next_one_goes_on(place: Workplace) -> None:
    place.fill(6000)
    place.write(mixpanel=SMALL_REQUESTS)
    place.sandbox.faults.add(Fault("slow", times=None, seconds=0.5))
    outcome = place.run("run", "--deadline", "1s", "--json", code=75)
    assert outcome.json["outcome"] == "deferred"
    assert "deadline" in outcome.json["message"]
    assert 0 < outcome.json["sent"] < 6000
    place.sandbox.faults.clear()
    second = place.run("run", "--json")
    assert second.json["sent"] == 6000 - outcome.json["sent"]
    place.assert_equal()


# --- whatever hangs ------------------------------------------------------------------------------------------------

LOCKS = {
    "postgresql": (
        "LOCK TABLE users IN ACCESS EXCLUSIVE MODE",
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()",
    ),
    "mariadb": (
        "LOCK TABLES users WRITE",
        "SELECT count(*) FROM information_schema.processlist WHERE state LIKE 'Waiting for table%'",
    ),
}


@contextlib.contextmanager
def hanging(place: Workplace) -> Iterator[Callable[[], object]]:
    """Something that a run waits for hangs: the table, or where nobody can hold it, Mixpanel; when a run waits."""
    place.fill(1000)
    if place.database.kind not in LOCKS:
        place.sandbox.faults.add(Fault("timeout", times=None, seconds=100, applied="half"))
        yield lambda: place.sandbox.profiles
        place.sandbox.faults.clear()
        return
    lock, waiting = LOCKS[place.database.kind]
    with place.database.engine.connect() as holder:
        holder.execution_options(isolation_level="READ COMMITTED").exec_driver_sql(lock)
        yield lambda: place.database.scalar(waiting)
        holder.invalidate()


def test_a_stop_ends_a_run_whatever_hangs(tmp_path: Path, servers: Servers) -> None:
    """A driver that waits in C hears no signal; the program does. All at once, since each takes its time."""
    with contextlib.ExitStack() as stack, contextlib.ExitStack() as hangers:
        runs = []
        for label in all_labels():
            with contextlib.suppress(ServerMissingError):
                database = stack.enter_context(servers.get(label).fresh_database())
                (folder := tmp_path / label).mkdir()
                place = stack.enter_context(working(folder, database))
                begun = hangers.enter_context(hanging(place))
                process = stack.enter_context(place.start("run"))
                runs.append((place, process, begun))
        for _, process, begun in runs:
            wait_until(begun)
            process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        ended = [place.ended(process).code for place, process, _ in runs]
        assert time.monotonic() - began < WITHIN_S
        assert ended == [143] * len(runs)
        hangers.close()
        for place, _, _ in runs:
            (status,) = place.run("status", "--json").json["syncs"]
            assert status["last_run"]["outcome"] == "deferred", "a run that was left behind is in the history"
            assert "SIGTERM" in status["last_run"]["message"]
            place.run("run")
            place.assert_equal()
