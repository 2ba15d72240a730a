"""Queries are scarce: 60 an hour for a whole project (Mixpanel's page on rate limits), whoever asks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Literal, TypeVar

import msgspec

from sync_profiles.core.ports import Clock, Stop
from sync_profiles.errors import QuotaError, SessionLostError, TemporaryError

PER_HOUR = 50
"""Ours; the rest is left to the others."""

HOUR_S = 3600.0
QUERY_S = 2.0
"""About what one query takes."""

THROTTLED_S = (60.0, 300.0, 900.0, 900.0, 900.0, 900.0)
"""Waits after a 429 that names no time: together a little more than the hour after which a limit is fresh again."""

AWAY_S = (2.0, 10.0)
"""Waits while Mixpanel does not answer; then it is away."""

Way = Literal["ids", "pages"]
"""How profiles are read back: by their IDs, or all of the project, page by page."""

_Answer = TypeVar("_Answer")


class Cost(msgspec.Struct, frozen=True):
    """Queries that a way takes, and about how many seconds that is."""

    way: Way
    queries: int
    seconds: float


def cost(way: Way, queries: int, per_hour: int = PER_HOUR) -> Cost:
    """What ``queries`` cost; more than an hour's budget are spread evenly over the hours."""
    return Cost(way, queries, queries * (HOUR_S / per_hour if queries > per_hour else QUERY_S))


def queries_for(count: int, size: int) -> int:
    """How many queries of ``size`` profiles hold ``count``."""
    return -(-count // size)


class StoppedError(Exception):
    """A stop was asked while something waited; never leaves the engine."""


class Budget:
    """Lets queries through, at most ``per_hour`` in any hour; every wait ends at once when a stop is asked.

    ``tell`` is given a line before a wait that somebody might wonder about. ``spread`` True: one at a time, evenly.
    """

    def __init__(self, clock: Clock, stop: Stop, tell: Callable[[str], None], per_hour: int = PER_HOUR) -> None:
        self._clock = clock
        self._stop = stop
        self.tell = tell
        self.per_hour = per_hour
        self.spread = False
        self._asked: deque[float] = deque()
        self.spent = 0

    def query(self, ask: Callable[[], _Answer]) -> _Answer:
        """One query, when there is room for it; after a 429 it is asked again for about an hour.

        Raises ``StoppedError``, and whatever ``ask`` raises for good.
        """
        throttled, away = iter(THROTTLED_S), iter(AWAY_S)
        while True:
            self._admit()
            try:
                return ask()
            except SessionLostError:
                raise
            except QuotaError as error:
                wait_s = next(throttled, None)
                if wait_s is None:
                    raise TemporaryError(
                        "Mixpanel's limit of queries did not give way for an hour",
                        hint="60 queries an hour for the whole project: somebody else uses them up.",
                    ) from error
                named_s = error.retry_after_s
                self.pause(wait_s if named_s is None else min(named_s, HOUR_S), error.message)
            except TemporaryError as error:
                wait_s = next(away, None)
                if wait_s is None:
                    raise
                self.pause(wait_s, error.message)

    def pause(self, seconds: float, why: str = "") -> None:
        """Wait, after saying why if that is given; raises ``StoppedError`` when a stop is asked."""
        if why and seconds > 0:
            self.tell(f"{why}; waiting {f'{seconds / 60:.0f} min' if seconds >= 120 else f'{seconds:.0f} s'}")
        if seconds > 0 and self._stop.wait(seconds):
            raise StoppedError
        if self._stop.cause is not None:
            raise StoppedError

    def _admit(self) -> None:
        now = self._clock.monotonic()
        while self._asked and self._asked[0] <= now - HOUR_S:
            self._asked.popleft()
        if self.spread and self._asked:
            self.pause(self._asked[-1] + HOUR_S / self.per_hour - now)
        elif len(self._asked) >= self.per_hour:
            self.pause(self._asked[0] + HOUR_S - now, f"{self.per_hour} queries were asked within the hour")
        else:
            self.pause(0.0)
        self._asked.append(self._clock.monotonic())
        self.spent += 1
