"""Which part is done next, and whether what was done before still counts."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection

from sync_profiles.core.scanplan import horizon_reason
from sync_profiles.core.spreading import Cut
from sync_profiles.core.types import Watermark

ATTEMPTS_MOST = 3
"""So many workers may die at one part; then it is the part, and the run ends."""


class Ledger:
    """Which parts wait, are at work, are done, by number from 1; a part whose worker is gone is the next to be done."""

    def __init__(self, count: int, done: Collection[int] = ()) -> None:
        self._waiting = deque(number for number in range(1, count + 1) if number not in done)
        self._attempts: Counter[int] = Counter()
        self.at_work: set[int] = set()

    @property
    def is_finished(self) -> bool:
        """Nothing waits and nothing is at work."""
        return not self._waiting and not self.at_work

    def take(self) -> int | None:
        """The next part to be done; None when none waits."""
        if not self._waiting:
            return None
        number = self._waiting.popleft()
        self._attempts[number] += 1
        self.at_work.add(number)
        return number

    def returned(self, number: int) -> None:
        """A part came back, done or stopped; it is not handed out again."""
        self.at_work.discard(number)

    def lost(self, number: int) -> bool:
        """The worker of a part is gone: True when the part is to be done again, False after so many times."""
        self.at_work.discard(number)
        if self._attempts[number] >= ATTEMPTS_MOST:
            return False
        self._waiting.appendleft(number)
        return True


def still_good(cut: Cut, forced_since: int, mapping: str, now: Watermark) -> bool:
    """Whether the parts of an interrupted backfill that are done need no second look.

    They do in another backfill, with another mapping, and where the numbers of transactions mean something else by
    now: rows that changed since could not be told.
    """
    if (cut.forced_since, cut.mapping) != (forced_since, mapping):
        return False
    before, stands = cut.watermark.horizon, now.horizon
    if before is None or stands is None:
        return before is stands
    return horizon_reason(before, stands) is None
