"""The counts of one run, and telling them."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from sync_profiles.core.events import Event, Observer, Progress, RowRejected, Warned
from sync_profiles.core.spreading import PartReport
from sync_profiles.core.types import DistinctId, Key


class Tally:
    """Counts of one run as they grow; only the main thread changes them, except for the request counters."""

    def __init__(self, sync: str, observe: Observer) -> None:
        self.sync = sync
        self.scanned = self.unchanged = self.sent = self.deleted = self.rejected = 0
        self.requests = self.bytes = 0
        self.stage = "reading"
        self._observe = observe
        self._lock = threading.Lock()
        self._warned: set[str] = set()

    def attempt(self, size: int) -> None:
        """One HTTP request of ``size`` bytes is about to leave; called from any thread."""
        with self._lock:
            self.requests += 1
            self.bytes += size

    def tell(self, event: Event) -> None:
        """Pass an event on to whoever watches."""
        self._observe(event)

    def warn(self, code: str, message: str) -> None:
        """Tell a warning, the same one once a run."""
        if (code + message) not in self._warned:
            self._warned.add(code + message)
            self._observe(Warned(self.sync, code, message))

    def warn_all(self, notes: Iterable[tuple[str, str]]) -> None:
        """Tell several warnings, each (code, message)."""
        for code, message in notes:
            self.warn(code, message)

    def add(self, report: PartReport) -> None:
        """Count what a worker counted, and tell what it had to tell."""
        self.scanned += report.scanned
        self.unchanged += report.unchanged
        self.sent += report.sent
        with self._lock:
            self.requests += report.requests
            self.bytes += report.size
        self.warn_all(report.warnings)
        for key, distinct_id, code, reason in report.refused:
            self.reject(key, distinct_id, code, reason)

    def reject(self, key: Key, distinct_id: DistinctId | None, code: str, reason: str) -> None:
        """Count and name one rejected row."""
        self.rejected += 1
        self._observe(RowRejected(self.sync, key, distinct_id, code, reason))

    def progress(self, stage: str, in_flight: int) -> None:
        """Tell the counts so far, and what the run is at; replies that come meanwhile belong to that stage too."""
        self.stage = stage
        self._observe(
            Progress(self.sync, stage, self.scanned, self.sent + self.deleted, self.unchanged, self.rejected, in_flight)
        )
