"""What a worker hears of the others: that all are to stop, and that there are too many requests."""

from __future__ import annotations

import threading

from sync_profiles.core.ports import Clock, SharedState
from sync_profiles.engine.parts import Outlet

LOOK_EVERY_S = 1.0


class Following:
    """A wish to stop that is written on the run's board, by whoever began the run (``core.ports.Stop``).

    The board is looked at when ``cause`` is asked for, at most once a second, and only on the thread that made this:
    nobody else may touch the state. ``follow`` says whose pace follows that of the others, from then on.
    """

    def __init__(self, state: SharedState, clock: Clock) -> None:
        self._state = state
        self._clock = clock
        self._thread = threading.get_ident()
        self._asked = threading.Event()
        self._cause: str | None = None
        self._looked_at: float | None = None
        self._halvings = 0
        self._own = 0
        self._outlet: Outlet | None = None

    def follow(self, outlet: Outlet) -> None:
        """Tell the others when this outlet is throttled, and slow it down when another one is."""
        self._outlet = outlet
        self._own = outlet.halvings()

    @property
    def cause(self) -> str | None:
        """None while nothing was asked."""
        if threading.get_ident() == self._thread and self._cause is None:
            now = self._clock.monotonic()
            if self._looked_at is None or now - self._looked_at >= LOOK_EVERY_S:
                self._look(first=self._looked_at is None)
                self._looked_at = now
        return self._cause

    def wait(self, seconds: float) -> bool:
        """Sleep, but wake at once when a stop is asked; True when it was."""
        return self._asked.wait(seconds)

    def remaining_s(self) -> float | None:
        """The deadline is somebody else's business."""
        return None

    def _look(self, *, first: bool) -> None:
        own = self._outlet.halvings() if self._outlet is not None else 0
        heard = own != self._own
        board = self._state.look(self._halvings, halve=heard)
        # What was heard here is among the halvings by now, whoever was the first to write it down.
        missed = 0 if first else board.halvings - self._halvings - heard
        if self._outlet is not None:
            for _ in range(missed):
                self._outlet.halve()
            self._own = self._outlet.halvings()
        self._halvings = board.halvings
        if board.stop is not None:
            self._cause = board.stop
            self._asked.set()
