"""One run of a sync at a time, held by the kernel for as long as the process lives: with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sync_profiles.errors import StateError
from sync_profiles.state.lock import RunLock

HOLD = """
import sys
from pathlib import Path
from sync_profiles.state.lock import RunLock
lock = RunLock(Path(sys.argv[1]))
print("held" if lock.acquire() else f"busy: {lock.holder}", flush=True)
sys.stdin.read()
"""


def start(path: Path) -> subprocess.Popen[str]:
    """A process that tries to take the lock, says how it went, and lives until its stdin is closed."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def answer(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@contextmanager
def processes(count: int, path: Path) -> Iterator[list[subprocess.Popen[str]]]:
    started = [start(path) for _ in range(count)]
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new folder" / "state.db.users.lock"


def test_whoever_comes_second_is_told_at_once_who_holds_it(path: Path) -> None:
    first, second = RunLock(path, now=lambda: 1_764_000_000.0), RunLock(path)
    assert first.acquire()
    assert not second.acquire()
    assert second.holder == f"process {os.getpid()} since 2025-11-24T16:00:00Z"
    first.release()
    assert second.acquire()
    second.release()


def test_a_lock_is_taken_once_and_may_be_given_back_twice(path: Path) -> None:
    lock = RunLock(path)
    assert lock.acquire()
    assert not lock.acquire()
    lock.release()
    lock.release()
    assert RunLock(path).acquire()


def test_nobody_has_held_it_yet(path: Path) -> None:
    assert RunLock(path).holder == "an unknown process"


def test_the_locks_of_two_syncs_are_two(tmp_path: Path) -> None:
    users, companies = RunLock(tmp_path / "users.lock"), RunLock(tmp_path / "companies.lock")
    assert users.acquire()
    assert companies.acquire()
    users.release()
    companies.release()


def test_only_its_owner_may_read_the_lock(path: Path) -> None:
    lock = RunLock(path)
    lock.acquire()
    lock.release()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_place_without_room_for_a_lock_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StateError, match=r"cannot lock .*users\.lock") as refusal:
        RunLock(tmp_path / "file" / "users.lock").acquire()
    assert refusal.value.hint is not None


def test_of_ten_contenders_one_gets_it_and_the_others_can_name_it(path: Path) -> None:
    with processes(10, path) as started:
        answers = {process.pid: answer(process) for process in started}
        (winner,) = [pid for pid, text in answers.items() if text == "held"]
        assert RunLock(path).holder.startswith(f"process {winner} since ")
        assert len([text for text in answers.values() if text.startswith("busy: ")]) == 9


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no kill -9 on this system")
def test_a_killed_holder_has_let_go(path: Path) -> None:
    for _ in range(3):
        with processes(1, path) as (holder,):
            assert answer(holder) == "held"
            assert not RunLock(path).acquire()
            os.kill(holder.pid, signal.SIGKILL)
            holder.wait()
            again = RunLock(path)
            assert again.acquire()
            again.release()


def test_a_holder_that_ends_has_let_go(path: Path) -> None:
    with processes(1, path) as (holder,):
        assert answer(holder) == "held"
        holder.communicate("")
        lock = RunLock(path)
        assert lock.acquire()
        lock.release()
