"""Layers around a destination, each itself a destination: ``Retrying(Paced(Mixpanel(…)))``.

Pacing sits inside, so that it sees every attempt.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from sync_profiles.core.ports import Clock, Destination, Stop
from sync_profiles.core.types import Accepted, Batch, Failing, Throttled, Uncertain, Verdict
from sync_profiles.core.verdict import backoff_s, concluded, fails_alone, leaves_early

if TYPE_CHECKING:
    import tenacity

_log = logging.getLogger(__name__)

PATIENCE_S = 300.0


class Retrying:
    """Sends the same bytes again after 429 and after an attempt without a usable answer.

    It ends when the answer is another one, when the next wait would go beyond ``patience_s`` or the deadline, or as
    soon as a stop is asked; then the last verdict counts, in the light of earlier attempts (``concluded``). It ends
    earlier, with ``Failing``, when Mixpanel says again and again that it failed and the batch may be the reason.
    ``jitter`` gives numbers from 0 to 1; ``count`` is told the size of every request before it leaves, on the sending
    thread.
    """

    def __init__(
        self,
        inner: Destination,
        *,
        stop: Stop,
        clock: Clock,
        jitter: Callable[[], float],
        patience_s: float = PATIENCE_S,
        count: Callable[[int], None] = lambda _size: None,
    ) -> None:
        self._inner = inner
        self._stop = stop
        self._clock = clock
        self._jitter = jitter
        self._patience_s = patience_s
        self._count = count
        self._passed_at = -math.inf
        """When the last batch was acknowledged, on whichever thread; which of two is the later one matters little."""

    def send(self, batch: Batch) -> Verdict:
        """Send until an answer settles the matter or patience is over; see the class."""
        began = self._clock.monotonic()
        lost: Uncertain | None = None
        first = self._attempt(batch)
        if not _unsettled(first):  # nearly always, and the loop below costs as much as a quarter of a request
            return concluded(first, None)
        verdict: Verdict | None = None
        failures = 0
        since = batch.suspicion.since if batch.suspicion is not None else None
        for attempt in self._policy(began):
            if verdict is not None and self._stop.cause is not None:
                break
            verdict = first if verdict is None else self._attempt(batch)
            attempt.retry_state.set_result(verdict)
            failures = failures + 1 if isinstance(verdict, Uncertain) and verdict.failed else 0
            if isinstance(verdict, Uncertain):
                lost = verdict
                since = self._clock.monotonic() if since is None else since
                if failing := self._failing(batch, verdict, failures, since):
                    return failing
        assert verdict is not None, "the first attempt is always made"  # noqa: S101 - a fact of the loop
        return concluded(verdict, lost)

    def _attempt(self, batch: Batch) -> Verdict:
        self._count(batch.size)
        verdict = self._inner.send(batch)
        if isinstance(verdict, Accepted):
            self._passed_at = self._clock.monotonic()
        return verdict

    def _failing(self, batch: Batch, last: Uncertain, failures: int, since: float) -> Failing | None:
        """What to say of a batch instead of sending it again."""
        alone = fails_alone(since, self._passed_at, self._clock.monotonic())
        return Failing(last.why, since, alone) if leaves_early(failures, batch.suspicion, alone=alone) else None

    def _policy(self, began: float) -> tenacity.Retrying:
        import tenacity  # most runs repeat nothing, and every run would pay for it

        return tenacity.Retrying(
            retry=tenacity.retry_if_result(_unsettled),
            wait=self._wait_s,
            stop=lambda state: self._gives_up(state.upcoming_sleep, self._clock.monotonic() - began),
            sleep=self._sleep,
            before_sleep=_tell,
            retry_error_callback=lambda _state: None,
        )

    def _sleep(self, seconds: float) -> None:
        self._stop.wait(seconds)

    def _wait_s(self, state: tenacity.RetryCallState) -> float:
        verdict = _verdict(state)
        jitter = self._jitter()
        if isinstance(verdict, Throttled) and verdict.retry_after_s is not None:
            # The server's word is the least; the threads that heard the same do not come back at the same moment.
            return verdict.retry_after_s + jitter
        return backoff_s(state.attempt_number, jitter)

    def _gives_up(self, wait_s: float, spent_s: float) -> bool:
        remaining_s = self._stop.remaining_s()
        return (
            self._stop.cause is not None
            or spent_s + wait_s > self._patience_s
            or (remaining_s is not None and wait_s >= remaining_s)
        )


def _unsettled(verdict: Verdict) -> bool:
    return isinstance(verdict, Throttled | Uncertain)


def _verdict(state: tenacity.RetryCallState) -> Verdict:
    assert state.outcome is not None, "tenacity asks only after an attempt"  # noqa: S101 - a fact of the library
    verdict: Verdict = state.outcome.result()
    return verdict


def _tell(state: tenacity.RetryCallState) -> None:
    verdict = _verdict(state)
    why = verdict.why if isinstance(verdict, Uncertain) else "HTTP 429"
    _log.info("attempt %d: %s; again in %.1f s", state.attempt_number, why, state.upcoming_sleep)


class Pace(msgspec.Struct, frozen=True):
    """How many requests may be in flight: ``limit`` now, ``ceiling`` at most.

    ``streak`` counts acceptances since the limit last changed or one failed, ``era`` how often it was halved.
    """

    limit: int
    ceiling: int
    streak: int = 0
    era: int = 0


def paced(pace: Pace, verdict: Verdict, era: int) -> Pace:
    """The pace after a verdict on a request that left in ``era``.

    Halved by a 429, but not again by those that left before the last halving: n requests in flight hear of the same
    overload n times. One more after ``limit`` acceptances in a row.
    """
    if isinstance(verdict, Throttled):
        return halved(pace) if era == pace.era else pace
    if isinstance(verdict, Uncertain):
        return msgspec.structs.replace(pace, streak=0)
    if not isinstance(verdict, Accepted):
        return pace
    if pace.limit < pace.ceiling and pace.streak + 1 >= pace.limit:
        return Pace(pace.limit + 1, pace.ceiling, era=pace.era)
    return msgspec.structs.replace(pace, streak=pace.streak + 1)


def halved(pace: Pace) -> Pace:
    """Half as many requests in flight, at least one."""
    return Pace(max(pace.limit // 2, 1), pace.ceiling, era=pace.era + 1)


class Paced:
    """Learns from the answers how many requests may be in flight; whoever hands out batches asks ``limit`` before."""

    def __init__(self, inner: Destination, *, limit: int) -> None:
        self._inner = inner
        self._pace = Pace(limit, limit)
        self._lock = threading.Lock()

    @property
    def limit(self) -> int:
        """Requests that may be in flight now, from 1 to the limit given."""
        return self._pace.limit

    @property
    def halvings(self) -> int:
        """How often the limit was halved so far."""
        return self._pace.era

    def halve(self) -> None:
        """Halve the limit: others who share it have heard that there are too many requests."""
        with self._lock:
            self._pace = halved(self._pace)

    def send(self, batch: Batch) -> Verdict:
        """Send, and learn from the answer."""
        era = self._pace.era
        verdict = self._inner.send(batch)
        with self._lock:
            self._pace = paced(self._pace, verdict, era)
        return verdict


class OnDemand:
    """A destination that is made when the first batch leaves: a run that sends nothing loads no HTTP library."""

    def __init__(self, make: Callable[[], Destination]) -> None:
        self._make = make
        self._made: Destination | None = None
        self._lock = threading.Lock()

    def send(self, batch: Batch) -> Verdict:
        """Send, with what is made once for all threads."""
        with self._lock:
            if self._made is None:
                self._made = self._make()
        return self._made.send(batch)
