"""SIGTERM, SIGINT and the deadline as one wish to stop that a run looks at between two steps."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}

PATIENCE_S = 28.0
"""A stop ends within 30 s: the state is safe at any moment, so what hangs after this long is left behind."""


class StopRequest:
    """Asked for by a signal or by time; the second signal ends the process at once."""

    def __init__(self, deadline_s: float | None = None) -> None:
        self._event = threading.Event()
        self._signal: str | None = None
        self._ends_at = None if deadline_s is None else time.monotonic() + deadline_s

    @property
    def cause(self) -> str | None:
        """None while nothing was asked; else "SIGTERM", "SIGINT" or "deadline"."""
        if self._signal is not None:
            return self._signal
        remaining = self.remaining_s()
        return "deadline" if remaining is not None and remaining <= 0 else None

    def wait(self, seconds: float) -> bool:
        """Sleep, but wake at once when a stop is asked; True when it was."""
        remaining = self.remaining_s()
        self._event.wait(seconds if remaining is None else max(0.0, min(seconds, remaining)))
        return self.cause is not None

    def remaining_s(self) -> float | None:
        """Seconds until the deadline; None without one."""
        return None if self._ends_at is None else self._ends_at - time.monotonic()

    @contextmanager
    def listening(self) -> Iterator[StopRequest]:
        """Take SIGTERM and SIGINT while the block runs."""
        before = {number: signal.signal(number, self._on_signal) for number in EXIT_CODES}
        try:
            yield self
        finally:
            for number, previous in before.items():
                signal.signal(number, previous)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        code = EXIT_CODES[signal.Signals(number)]
        if self._signal is not None:
            os._exit(code)
        self._signal = signal.Signals(number).name
        self._event.set()
        watchdog = threading.Timer(PATIENCE_S, os._exit, (code,))
        watchdog.daemon = True
        watchdog.start()
