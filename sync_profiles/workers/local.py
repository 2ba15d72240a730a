"""Workers as processes of this machine: each is a fresh interpreter that does one part after another.

One that dies is replaced. All of them end with the process that started them, however that ends: what nobody waits for
must not be sent by somebody whom the next run does not know of.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from functools import partial
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Self

from sync_profiles.core.spreading import Assignment, Lost, PartReport
from sync_profiles.workers.seat import Commission, Work, perform

GARBAGE_EVERY = 20_000
"""As in ``__main__``: a page of rows is alive as a whole."""
JOIN_S = 5.0


class LocalCrew:
    """So many processes (``core.ports.Crew``)."""

    def __init__(self, commission: Commission, workers: int, work: Work = perform) -> None:
        self._start = partial(_Worker, commission, work)
        self._workers = [self._start() for _ in range(workers)]
        self._lost: list[tuple[int, Lost]] = []

    @property
    def slots(self) -> int:
        """How many processes there are."""
        return len(self._workers)

    @property
    def free(self) -> int:
        """How many of them wait for a part."""
        return sum(1 for worker in self._workers if worker.at is None)

    def hand_out(self, assignment: Assignment) -> None:
        """Give a part to a process that waits."""
        worker = next(worker for worker in self._workers if worker.at is None)
        if not worker.give(assignment):
            self._lost.append((assignment.number, self._replaced(worker)))

    def collect(self, wait_s: float) -> Sequence[tuple[int, PartReport | Lost]]:
        """What came back within ``wait_s``."""
        found: list[tuple[int, PartReport | Lost]] = list(self._lost)
        self._lost.clear()
        busy = [worker for worker in self._workers if worker.at is not None]
        ready = wait([worker.pipe for worker in busy], timeout=0 if found else wait_s)
        for worker in busy:
            if worker.pipe in ready:
                number, report = worker.taken_back()
                found.append((number, report if report is not None else self._replaced(worker)))
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.end()

    def _replaced(self, worker: _Worker) -> Lost:
        why = worker.end()
        self._workers[self._workers.index(worker)] = self._start()
        return Lost(why)


class _Worker:
    """One process; ``at`` is the part it is doing."""

    def __init__(self, commission: Commission, work: Work) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.at: int | None = None
        self._process = context.Process(
            target=_work, args=(theirs, commission, work), name="sync-profiles worker", daemon=True
        )
        self._process.start()
        theirs.close()  # so that its death closes the pipe

    def give(self, assignment: Assignment) -> bool:
        """Hand over a part; False when the process is gone."""
        self.at = assignment.number
        try:
            self.pipe.send(assignment)
        except OSError:
            return False
        return True

    def taken_back(self) -> tuple[int, PartReport | None]:
        """The part it was at, with its report; None when the process is gone."""
        number, self.at = self.at, None
        assert number is not None, "it was given a part"  # noqa: S101 - narrows the type
        try:
            return number, self.pipe.recv()
        except (EOFError, OSError):
            return number, None

    def end(self) -> str:
        """Let it go if it waits, kill it if it is at work; how it ended, for a message."""
        self.pipe.close()
        if self.at is not None:
            self._process.kill()
        self._process.join(JOIN_S)
        code = self._process.exitcode
        if code is None:
            self._process.kill()
            self._process.join(JOIN_S)
        return (
            f"its process was ended by signal {-code}" if code and code < 0 else f"its process ended with code {code}"
        )


def _work(pipe: Connection[PartReport, Assignment], commission: Commission, work: Work) -> None:
    """The life of a worker: one part after another until the pipe is closed."""
    gc.set_threshold(GARBAGE_EVERY)
    for number in (signal.SIGINT, signal.SIGTERM):
        # A terminal or a service manager tells all processes; the first one tells us, when it is time.
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    while True:
        try:
            assignment = pipe.recv()
        except EOFError:
            return
        pipe.send(work(commission, assignment))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker was started by somebody"  # noqa: S101 - narrows the type
    wait([parent.sentinel])
    os._exit(1)
