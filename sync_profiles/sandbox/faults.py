"""Trouble on request: which fault strikes which request."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec

FaultKind: TypeAlias = Literal[
    "status", "reset", "timeout", "zombie", "html", "empty", "bare", "wrong_count", "truncated", "slow"
]
INGESTION_PATHS = ("/engage", "/groups")


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something that goes wrong, and with which requests.

    It lets the first ``skip`` matching requests pass, counted from when it was added, then strikes the next ``times``
    that no fault added earlier took (None: all). ``path`` None: /engage and /groups.
    ``applied`` says how many of the records (all, the first half, none) are applied before it strikes.

    - status: answer ``code``, with ``retry_after`` and, from 300 to 399, ``location``
    - reset: reset the connection without an answer
    - timeout: say nothing for ``seconds``, then close
    - zombie: close without an answer; what was not applied is applied ``seconds`` later, or at ``Sandbox.land()`` when
      ``seconds`` is 0
    - html: 200 with a web page
    - empty: 200 with nothing
    - bare: 200 with ``1``, whatever was asked for
    - wrong_count: 200, all well, but ``num_good_events`` is one too few
    - truncated: the honest answer, closed in the middle of its body
    - slow: the honest answer ``seconds`` later; adds up with other faults, and ``applied`` means nothing to it
    """

    kind: FaultKind
    times: int | None = 1
    skip: int = 0
    path: str | None = None
    applied: Literal["none", "half", "all"] = "none"
    code: int = 500
    seconds: float = 0.0
    retry_after: str | None = None
    location: str = "/elsewhere"

    def matches(self, path: str) -> bool:
        """Whether requests to ``path`` count for this fault."""
        return path in INGESTION_PATHS if self.path is None else path == self.path


class Standing(msgspec.Struct, frozen=True):
    """A fault that can still strike; ``number`` is its own, ``struck`` how often it did."""

    number: int
    fault: Fault
    struck: int


class Faults:
    """The faults that are waiting; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[_Waiting] = []
        self._numbered = 0

    def add(self, *faults: Fault) -> None:
        """Let these faults strike, in this order."""
        with self._lock:
            for fault in faults:
                self._numbered += 1
                self._waiting.append(_Waiting(self._numbered, fault))

    def clear(self, number: int | None = None) -> None:
        """Let nothing go wrong any more, or not this one thing."""
        with self._lock:
            self._waiting = [] if number is None else [one for one in self._waiting if one.number != number]

    @property
    def standing(self) -> Sequence[Standing]:
        """The faults that can still strike, in their order."""
        with self._lock:
            return [Standing(one.number, one.fault, one.struck) for one in self._waiting]

    @property
    def waiting(self) -> int:
        """How many faults can still strike."""
        with self._lock:
            return len(self._waiting)

    def take(self, path: str) -> tuple[float, Fault | None]:
        """Return how many seconds a request to ``path`` is slowed by, and the one fault that strikes it."""
        delay_s, struck = 0.0, None
        with self._lock:
            for waiting in self._waiting:
                if not waiting.sees(path):
                    continue
                if waiting.fault.kind == "slow":
                    delay_s += waiting.strike().seconds
                elif struck is None:
                    struck = waiting.strike()
            self._waiting = [waiting for waiting in self._waiting if not waiting.is_spent]
        return delay_s, struck


class _Waiting:
    """A fault with its counts; lives behind the lock."""

    __slots__ = ("fault", "number", "seen", "struck")

    def __init__(self, number: int, fault: Fault) -> None:
        self.number = number
        self.fault = fault
        self.seen = 0
        self.struck = 0

    @property
    def is_spent(self) -> bool:
        return self.fault.times is not None and self.struck >= self.fault.times

    def sees(self, path: str) -> bool:
        """Count a request; True when the fault is due for it."""
        if not self.fault.matches(path):
            return False
        self.seen += 1
        return self.seen > self.fault.skip

    def strike(self) -> Fault:
        self.struck += 1
        return self.fault
