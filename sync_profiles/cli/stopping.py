"""SIGTERM, SIGINT and the deadline as one wish to stop that a run looks at between two steps."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}

PATIENCE_S = 28.0
"""A stop ends within 30 s: the state is safe at any moment, so what hangs after this long is left behind."""

LAST_WORDS_S = 1.5


class StopRequest:
    """Asked for by a signal or by time; the second signal ends the process at once."""

    def __init__(self, deadline_s: float | None = None) -> None:
        self._event = threading.Event()
        self._signal: str | None = None
        self._at_last: Callable[[], None] = lambda: None
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

    def at_last(self, words: Callable[[], None]) -> None:
        """What to do before a stop ends the process although something hangs; has two seconds, on another thread."""
        self._at_last = words

    @contextmanager
    def listening(self) -> Iterator[StopRequest]:
        """Take SIGTERM and SIGINT while the block runs, also while a driver waits in C for an answer that never comes.

        Python runs a handler only when the main thread is back from C; the byte for ``set_wakeup_fd`` is written at
        once (https://docs.python.org/3/library/signal.html#signal.set_wakeup_fd), so a thread listens for it.
        """
        heard, told = socket.socketpair()
        told.settimeout(0)
        listener = threading.Thread(target=self._listen, args=(heard,), name="signals", daemon=True)
        listener.start()
        former_fd = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
        before = {number: signal.signal(number, _left_to_the_listener) for number in EXIT_CODES}
        try:
            yield self
        finally:
            for number, previous in before.items():
                signal.signal(number, previous)
            signal.set_wakeup_fd(former_fd)
            told.close()
            listener.join()
            heard.close()

    def _listen(self, heard: socket.socket) -> None:
        while numbers := heard.recv(16):
            for number in numbers:
                if number in EXIT_CODES:
                    self._on_signal(signal.Signals(number))

    def _on_signal(self, number: signal.Signals) -> None:
        code = EXIT_CODES[number]
        if self._signal is not None:
            os._exit(code)
        self._signal = number.name
        self._event.set()
        watchdog = threading.Timer(PATIENCE_S, self._leave, (code,))
        watchdog.daemon = True
        watchdog.start()

    def _leave(self, code: int) -> None:
        last = threading.Timer(LAST_WORDS_S, os._exit, (code,))
        last.daemon = True
        last.start()
        try:
            self._at_last()
        finally:
            os._exit(code)


def _left_to_the_listener(_number: int, _frame: FrameType | None) -> None:
    """A handler must be there, or the signal would keep its usual effect."""
