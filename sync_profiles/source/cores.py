"""Staying on one core of the machine while rows are worked on.

The interpreter runs one of its threads at a time, wherever the system puts each of them. What one thread has read from
the database another one maps and a third one sends, and on another core each value would first have to be fetched from
the cache of the core that made it. That costs a twentieth of all the work on a quiet machine, an eighth on a busy one.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Set
from pathlib import Path

LOOK_S = 2.0
"""So often the system may choose again: nobody stays where others are busy too."""


class Core:
    """The core that this process stays on. ``look`` is called now and then, by the thread that does most of the work.

    Where the system has no such thing, or does not allow it, nothing happens.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._allowed = _allowed()
        self._choosing = True
        self._chosen_at = 0.0

    def look(self) -> None:
        """Stay where the system has put the calling thread; from time to time it may put it elsewhere first."""
        if len(self._allowed) < 2:
            return
        if self._choosing:
            self._choosing, self._chosen_at = False, self._monotonic()
            with contextlib.suppress(OSError):  # there is no /proc
                _bind_all({_current()})
        elif self._monotonic() - self._chosen_at >= LOOK_S:
            self._choosing = True
            _bind(0, self._allowed)

    def leave(self) -> None:
        """Let all threads run anywhere again."""
        if len(self._allowed) > 1:
            _bind_all(self._allowed)


@contextlib.contextmanager
def staying(monotonic: Callable[[], float] = time.monotonic) -> Iterator[Core]:
    """Within, this thread and those that it begins stay on one core."""
    core = Core(monotonic)
    core.look()
    try:
        yield core
    finally:
        core.leave()


def _allowed() -> Set[int]:
    if sys.platform != "linux":
        return frozenset()
    try:
        return os.sched_getaffinity(0)
    except OSError:
        return frozenset()


def _current() -> int:
    """Field 39 of proc_pid_stat(5), counted from behind the command's name, which may hold anything."""
    return int(Path("/proc/thread-self/stat").read_bytes().rpartition(b")")[2].split()[36])


def _bind_all(cores: Set[int]) -> None:
    for thread in threading.enumerate():
        if thread.native_id is not None:
            _bind(thread.native_id, cores)


def _bind(thread: int, cores: Set[int]) -> None:
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # it has ended, or may not be bound
            os.sched_setaffinity(thread, cores)
