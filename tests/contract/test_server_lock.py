"""One run of a sync at a time on a PostgreSQL state: by session or by lease, with real processes, and fenced."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest
from servers import LiveDatabase, Servers, labels
from summaries import a_summary
from test_lock import answer
from transaction_pooler import pooled

from sync_profiles.core.types import Acknowledged, Settlement, Watermark
from sync_profiles.errors import FencedError, TemporaryError
from sync_profiles.state.postgres import lock as locking
from sync_profiles.state.postgres.store import ServerStore, open_server_store
from sync_profiles.state.store import lone_lock

NOW = 1_764_000_000.0
SETTLEMENT = Settlement(acknowledged=[Acknowledged("1", "1", b"f" * 16, ("plan",))])
HOLD = """
import sys
from sync_profiles.state.store import open_store
store = open_store(sys.argv[1], now=lambda: 0.0)
state, lock = store.sync("users"), store.lock("users")
if lock.acquire():
    state.begin_run("theirs", 0.0)
    print("held", flush=True)
else:
    print(f"busy: {lock.holder}", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def database(servers: Servers) -> Iterator[LiveDatabase]:
    with servers.get(labels("postgres")[0]).fresh_database() as fresh:
        yield fresh


@pytest.fixture(params=["session", "lease"])
def url(request: pytest.FixtureRequest, database: LiveDatabase) -> Iterator[str]:
    """The state's address, directly and by way of a pooler in transaction mode."""
    if request.param == "session":
        yield database.url
        return
    with pooled(database.url) as address:
        yield address


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def store_of(url: str, opened: ExitStack) -> ServerStore:
    store = open_server_store(url, now=lambda: NOW, read_only=False)
    assert store is not None
    return opened.enter_context(closing(store))


def holding(url: str, opened: ExitStack) -> subprocess.Popen[str]:
    """A process that tries to take the lock and begins a run."""
    command = [sys.executable, "-c", HOLD, url]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    opened.callback(process.communicate)
    opened.callback(process.kill)
    return process


def expire(database: LiveDatabase) -> None:
    """A lease ends as if its time had passed."""
    database.execute("UPDATE sync_profiles.holder SET until = now() - interval '1 s' WHERE until IS NOT NULL")


def test_whoever_comes_second_is_told_at_once_who_holds_it(url: str, opened: ExitStack) -> None:
    first, second = store_of(url, opened).lock("users"), store_of(url, opened).lock("users")
    assert second.holder == "an unknown process"
    assert first.acquire()
    assert not first.acquire()
    assert not second.acquire()
    assert second.holder.startswith(f"process {os.getpid()} on ")
    assert " since 2025-11-24T16:00:00Z" in second.holder
    first.release()
    first.release()
    assert second.acquire()
    second.release()


def test_the_locks_of_two_syncs_are_two(url: str, opened: ExitStack) -> None:
    store, other = store_of(url, opened), store_of(url, opened)
    users, companies = store.lock("users"), other.lock("companies")
    assert users.acquire()
    assert companies.acquire()
    users.release()
    companies.release()


def test_a_session_and_a_lease_respect_each_other(database: LiveDatabase, opened: ExitStack) -> None:
    """One run reaches the server directly, another by way of a pooler."""
    with pooled(database.url) as address:
        direct, leased = store_of(database.url, opened).lock("users"), store_of(address, opened).lock("users")
        assert direct.acquire()
        assert not leased.acquire()
        direct.release()
        assert leased.acquire()
        assert not direct.acquire()
        leased.release()
        assert direct.acquire()
        direct.release()


def test_a_pooler_is_noticed(database: LiveDatabase, opened: ExitStack) -> None:
    assert store_of(database.url, opened)._database.is_direct
    with pooled(database.url) as address:
        assert not store_of(address, opened)._database.is_direct


def test_of_five_contenders_one_gets_it_and_the_others_can_name_it(url: str, opened: ExitStack) -> None:
    started = [holding(url, opened) for _ in range(5)]
    answers = {process.pid: answer(process) for process in started}
    (winner,) = [pid for pid, text in answers.items() if text == "held"]
    assert len([text for text in answers.values() if text.startswith("busy: ")]) == 4
    assert store_of(url, opened).lock("users").holder.startswith(f"process {winner} on ")


def test_a_killed_holder_of_a_session_has_let_go_at_once(database: LiveDatabase, opened: ExitStack) -> None:
    store_of(database.url, opened)
    holder = holding(database.url, opened)
    assert answer(holder) == "held"
    lock = store_of(database.url, opened).lock("users")
    assert not lock.acquire()
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    gone = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
    while database.scalar(gone):  # the server notices within milliseconds, the test's own time limit bounds it
        pass
    assert lock.acquire()
    lock.release()


def test_a_killed_holder_of_a_lease_keeps_it_until_it_ends(database: LiveDatabase, opened: ExitStack) -> None:
    with pooled(database.url) as address:
        holder = holding(address, opened)
        assert answer(holder) == "held"
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        lock = store_of(address, opened).lock("users")
        assert not lock.acquire()
        assert "at the latest until" in lock.holder
        expire(database)
        assert lock.acquire()
        lock.release()


def test_a_lease_is_renewed_while_its_holder_lives(
    database: LiveDatabase, opened: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locking, "RENEW_S", 0.01)
    with pooled(database.url) as address:
        lock = store_of(address, opened).lock("users")
        assert lock.acquire()
        began = database.scalar("SELECT until FROM sync_profiles.holder")
        while database.scalar("SELECT until FROM sync_profiles.holder") <= began:
            pass
        lock.release()
        assert database.scalar("SELECT until FROM sync_profiles.holder") is None


# --- fencing -------------------------------------------------------------------------------------------------------


def test_a_run_whose_lease_was_taken_over_writes_nothing_more(database: LiveDatabase, opened: ExitStack) -> None:
    """Its holder was asleep for too long, and wakes up."""
    with pooled(database.url) as address:
        slow, quick = store_of(address, opened), store_of(address, opened)
        state, lock = slow.sync("users"), slow.lock("users")
        assert lock.acquire()
        state.begin_run("slow", NOW)
        expire(database)
        with pytest.raises(FencedError, match="lost"):
            state.settle(SETTLEMENT, NOW)
        assert quick.lock("users").acquire()
        with pytest.raises(FencedError):
            state.settle(SETTLEMENT, NOW)
        quick.sync("users").begin_run("quick", NOW)
        for write in (
            lambda: state.settle(SETTLEMENT, NOW),
            lambda: state.move_watermark(Watermark("full")),
            lambda: state.finish_run(a_summary()),
        ):
            with pytest.raises(FencedError):
                write()
        assert (state.known_count(), state.watermark()) == (0, None)


@pytest.mark.parametrize("first", ["settle", "move_watermark"])
def test_a_run_that_lost_its_session_writes_nothing_more(database: LiveDatabase, opened: ExitStack, first: str) -> None:
    """The lock hangs on the connection that writes, which is never opened anew."""
    store = store_of(database.url, opened)
    state, lock = store.sync("users"), store.lock("users")
    assert lock.acquire()
    state.begin_run("first", NOW)
    database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sync-profiles state'"
    )
    writes = [lambda: state.settle(SETTLEMENT, NOW), lambda: state.move_watermark(Watermark("full"))]
    for write in writes if first == "settle" else reversed(writes):
        with pytest.raises(TemporaryError, match="connection"):
            write()
    lock.release()
    other = store_of(database.url, opened)
    again = other.lock("users")
    assert again.acquire()
    assert other.reader("users").known_count() == 0
    again.release()


def test_a_worker_of_a_run_that_is_over_writes_nothing_more(url: str, opened: ExitStack) -> None:
    store = store_of(url, opened)
    state = store.sync("users")
    begun = state.begin_run("first", NOW)
    worker = store_of(url, opened).sync("users")
    worker.begin_part(begun.number, 3, 0)
    worker.settle(SETTLEMENT, NOW)
    state.begin_run("second", NOW)
    with pytest.raises(FencedError):
        worker.settle(SETTLEMENT, NOW)
    with pytest.raises(FencedError):
        worker.begin_part(begun.number, 3, 0)
    assert store.reader("users").known_count() == 1


def test_a_worker_whose_part_another_one_does_writes_nothing_more(url: str, opened: ExitStack) -> None:
    """What it had asked the server for before it died may be done after the other one has begun."""
    store = store_of(url, opened)
    run = store.sync("users").begin_run("first", NOW).number
    dead, other, neighbour = (store_of(url, opened).sync("users") for _ in range(3))
    dead.begin_part(run, 3, 0)
    neighbour.begin_part(run, 4, 0)
    other.begin_part(run, 3, 0)
    with pytest.raises(FencedError):
        dead.settle(SETTLEMENT, NOW)
    assert store.reader("users").known_count() == 0
    other.settle(SETTLEMENT, NOW)
    neighbour.settle(SETTLEMENT, NOW)
    assert store.reader("users").known_count() == 1


def test_a_run_that_goes_on_after_a_reset_is_fenced_off(database: LiveDatabase, opened: ExitStack) -> None:
    state, other = store_of(database.url, opened).sync("users"), store_of(database.url, opened).sync("users")
    state.begin_run("first", NOW)
    other.reset()
    with pytest.raises(FencedError):
        state.settle(SETTLEMENT, NOW)


def test_a_state_that_is_no_state_yet_can_be_locked(database: LiveDatabase) -> None:
    """As ``state reset`` does before it starts over."""
    lock = lone_lock(database.url, "users")
    assert lock.acquire()
    assert not lone_lock(database.url, "users").acquire()
    lock.release()
