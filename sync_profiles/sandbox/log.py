"""What the sandbox was asked and what it answered; thread-safe."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence

import msgspec

from sync_profiles.sandbox.exchange import Request
from sync_profiles.sandbox.paging import Pages, cut

LINES_MAX = 10_000


class Log:
    """The last 10,000 requests, numbered from 1 since the log was cleared."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: deque[Request] = deque(maxlen=LINES_MAX)
        self._numbered = 0

    def note(self, request: Request) -> None:
        """Append a request and give it its number."""
        with self._lock:
            self._numbered += 1
            self._lines.append(msgspec.structs.replace(request, number=self._numbered))

    @property
    def lines(self) -> Sequence[Request]:
        """The requests, oldest first."""
        with self._lock:
            return tuple(self._lines)

    @property
    def count(self) -> int:
        """How many requests were noted since the log was cleared."""
        with self._lock:
            return self._numbered

    def newest(self, pages: Pages, *, only_trouble: bool) -> tuple[Pages, Sequence[Request]]:
        """One page of the requests, the newest first, without bodies."""
        lines = [line for line in reversed(self.lines) if not only_trouble or is_trouble(line)]
        pages, shown = cut(lines, pages)
        return pages, [msgspec.structs.replace(line, body=None) for line in shown]

    def clear(self) -> None:
        """Forget everything and number from 1 again."""
        with self._lock:
            self._lines.clear()
            self._numbered = 0


def is_trouble(request: Request) -> bool:
    """Whether a request did not get what it wanted: a fault struck, or records of it were not applied."""
    return request.fault is not None or request.status >= 400 or request.applied < request.records
