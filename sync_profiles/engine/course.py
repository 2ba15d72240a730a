"""What every run is given from outside, and how far one has come."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from sync_profiles.core.events import Observer, RunStarted
from sync_profiles.core.ports import BegunRun, Clock, Stop
from sync_profiles.engine.tally import Tally


class Surroundings(msgspec.Struct, frozen=True):
    """What every run is given from outside: time, a wish to stop, who watches, and names for runs.

    ``at_last`` is told what to do before a stop ends the process although a run hangs.
    """

    clock: Clock
    stop: Stop
    observe: Observer
    new_run_id: Callable[[], str]
    at_last: Callable[[Callable[[], None]], None] = lambda _words: None


class Course:
    """What a run is doing, filled in as it goes, so that a failure is reported with how far it came."""

    def __init__(self, name: str, surroundings: Surroundings, detection: str) -> None:
        self.name = name
        self.surroundings = surroundings
        self.tally = Tally(name, surroundings.observe)
        self.run = surroundings.new_run_id()
        self.started_at = surroundings.clock.now()
        self.detection = detection
        self.why = "not started"
        self.forced_done = False
        self.horizon_lag: int | None = None
        self.begun: BegunRun | None = None

    @property
    def stop(self) -> Stop:
        """The wish to end early."""
        return self.surroundings.stop

    def now(self) -> float:
        """Unix seconds."""
        return self.surroundings.clock.now()

    def announce(self, detection: str, why: str, total: int | None) -> None:
        """Tell what is read and why."""
        self.detection, self.why = detection, why
        self.tally.tell(RunStarted(self.name, self.run, detection, why, total))
