"""A sync whose passes are divided among workers that live in this process and take turns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import msgspec
from fakes import WHOLE, MemoryState
from syncing import Syncing

from sync_profiles.core.spreading import Assignment, Errand, Lost, PartReport
from sync_profiles.engine.course import Surroundings
from sync_profiles.engine.following import Following
from sync_profiles.engine.part import take_part
from sync_profiles.engine.parts import Division, Sync

Script = Callable[[Assignment, int], Lost | None]
"""What becomes of a part at an attempt (from 1); None: it is done."""


class KilledError(BaseException):
    """A worker is no more."""


@dataclass
class Turns:
    """A crew: a part is done when it is collected, the first handed out first."""

    errand: Errand
    slots: int
    work: Callable[[Errand, Assignment], PartReport]
    state: MemoryState
    script: Script
    handed: list[Assignment] = field(default_factory=list)
    attempts: Counter[int] = field(default_factory=Counter)
    waiting: list[Assignment] = field(default_factory=list)

    @property
    def free(self) -> int:
        return self.slots - len(self.waiting)

    def hand_out(self, assignment: Assignment) -> None:
        travelled = msgspec.msgpack.decode(msgspec.msgpack.encode(assignment), type=Assignment)
        self.handed.append(travelled)
        self.waiting.append(travelled)

    def collect(self, wait_s: float) -> Sequence[tuple[int, PartReport | Lost]]:
        if not self.waiting:
            return ()
        assignment = self.waiting.pop(0)
        self.attempts[assignment.number] += 1
        outcome = self.script(assignment, self.attempts[assignment.number])
        if outcome is None:
            try:
                report = self.work(self.errand, assignment)
                outcome = msgspec.msgpack.decode(msgspec.msgpack.encode(report), type=PartReport)
            except KilledError:
                outcome = Lost("killed")
            finally:
                self.state._part = WHOLE
        return [(assignment.number, outcome)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.waiting.clear()


@dataclass
class Divided(Syncing):
    """``script`` says what becomes of each part; ``crews`` are those of all runs so far."""

    slots: int = 2
    concurrency: int = 5
    script: Script = lambda _assignment, _attempt: None
    crews: list[Turns] = field(default_factory=list)

    @property
    def handed(self) -> list[int]:
        """The numbers of the parts handed out in the last run."""
        return [assignment.number for assignment in self.crews[-1].handed]

    def _sync(self) -> Sync:
        division = Division(self.state, self._crew, self.concurrency)
        return msgspec.structs.replace(super()._sync(), division=division)

    def _crew(self, errand: Errand) -> Turns:
        travelled = msgspec.msgpack.decode(msgspec.msgpack.encode(errand), type=Errand)
        self.crews.append(Turns(travelled, self.slots, self._work, self.state, self._what_becomes))
        return self.crews[-1]

    def _what_becomes(self, assignment: Assignment, attempt: int) -> Lost | None:
        return self.script(assignment, attempt)

    def _work(self, errand: Errand, assignment: Assignment) -> PartReport:
        sync = super()._sync()
        following = Following(self.state, self.time)
        around = Surroundings(self.time, following, lambda _event: None, lambda: "")
        return take_part(sync, self.state, errand, assignment, around)
