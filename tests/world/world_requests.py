"""Requests in flight, scheduled by the seed instead of by the operating system.

``engine/deliver.py`` hands batches to threads over one queue and takes replies from another. Here both queues and the
threads are stood in for: a request is carried out, by the thread's own function, when the schedule says so, while the
engine looks for replies. So several may be in flight, in any order, and every run of a seed is the same.
"""

from __future__ import annotations

import queue
import random
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from sync_profiles.core.types import Batch
from sync_profiles.engine import deliver


class Schedule:
    """The requests of one run. ``wait`` passes time, ``alive`` raises when the process is dead."""

    def __init__(
        self,
        rng: random.Random,
        *,
        wait: Callable[[float], None],
        alive: Callable[[], None],
        departs: Callable[[list[Batch], Batch], None],
        stall_rate: float,
    ) -> None:
        self._rng = rng
        self._wait = wait
        self._alive = alive
        self._departs = departs
        self._stall_rate = stall_rate
        self._queues = 0
        self._target: Callable[[], None] | None = None
        self._chosen: Batch | None = None
        self._stalled: set[int] = set()
        self.air: list[Batch] = []
        self.ready: deque[Any] = deque()

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Let the engine use this schedule."""
        patch.setattr(deliver, "queue", SimpleNamespace(SimpleQueue=self._queue, Empty=queue.Empty))
        patch.setattr(deliver, "threading", SimpleNamespace(Thread=self._thread))

    def _queue(self) -> Any:
        self._queues += 1
        return _Outbox(self) if self._queues % 2 else _Replies(self)

    def _thread(self, *, target: Callable[[], None], name: str, daemon: bool) -> Any:
        self._target = target
        return SimpleNamespace(start=lambda: None)

    # --- the engine's side -------------------------------------------------------------------------------------

    def depart(self, batch: Batch) -> None:
        """A request leaves."""
        self._alive()
        self._departs(self.air, batch)
        self.air.append(batch)
        if self._rng.random() < self._stall_rate:
            self._stalled.add(batch.number)

    def carried(self) -> Batch | None:
        """What the thread takes from its queue: the chosen request once, then the word to end."""
        batch, self._chosen = self._chosen, None
        return batch

    def look(self, timeout: float | None) -> Any:
        """The next reply; with a timeout something may happen meanwhile."""
        self._alive()
        moving = [batch for batch in self.air if batch.number not in self._stalled]
        if not self.ready and moving and (timeout is not None or self._rng.random() < 0.3):
            self._carry_out(self._rng.choice(moving))
        if not self.ready:
            if timeout is not None:
                self._wait(timeout if not self.air or moving else 1.0)
                if self._rng.random() < 0.02:
                    self._stalled.clear()
            raise queue.Empty
        return self.ready.popleft()

    def _carry_out(self, batch: Batch) -> None:
        assert self._target is not None
        self._chosen = batch
        self._target()
        self.air.remove(batch)


class _Outbox:
    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule

    def put(self, batch: Batch | None) -> None:
        if batch is not None:
            self._schedule.depart(batch)

    def get(self) -> Batch | None:
        return self._schedule.carried()


class _Replies:
    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule

    def put(self, reply: Any) -> None:
        self._schedule.ready.append(reply)

    def get(self, timeout: float) -> Any:
        return self._schedule.look(timeout)

    def get_nowait(self) -> Any:
        return self._schedule.look(None)

    def empty(self) -> bool:
        return not self._schedule.ready
