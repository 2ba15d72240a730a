"""A source that reads the next page while the last one is worked on: the wait for the database costs no time.

All of that on one core of the machine (see ``cores.py``).
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence

from sync_profiles.core.ports import Source
from sync_profiles.core.types import DistinctId, Key, Page, Part, ScanPlan, Watermark
from sync_profiles.source.cores import staying

_END = object()
_GIVE_UP_POLL_S = 0.1


class ReadAhead:
    """Itself a source. Pages are read by one other thread, at most one page ahead; everything else passes through.

    ``meanwhile`` False: the database is a part of this process, and nothing would be done at the same time.
    """

    def __init__(self, inner: Source, *, meanwhile: bool = True) -> None:
        self._inner = inner
        self._meanwhile = meanwhile

    def watermark(self) -> Watermark:
        """Where the source stands now."""
        return self._inner.watermark()

    def pages(self, plan: ScanPlan, part: Part | None = None) -> Iterator[Page]:
        """The same pages in the same order; what reading raises is raised here."""
        with staying() as core:
            for page in self._read_ahead(plan, part) if self._meanwhile else self._inner.pages(plan, part):
                core.look()
                yield page

    def _read_ahead(self, plan: ScanPlan, part: Part | None) -> Iterator[Page]:
        pages: queue.Queue[object] = queue.Queue(maxsize=1)
        given_up = threading.Event()
        reading = threading.Thread(
            target=_read, args=(self._inner.pages(plan, part), pages, given_up), name="read-ahead", daemon=True
        )
        reading.start()
        try:
            while (found := pages.get()) is not _END:
                if isinstance(found, BaseException):
                    raise found
                assert isinstance(found, Page), "the thread hands over pages"  # noqa: S101 - narrows the type
                yield found
        finally:
            given_up.set()

    def parts(self, plan: ScanPlan, count: int, *, by_key: bool = False) -> Sequence[Part]:
        """The rows of the plan cut into parts."""
        return self._inner.parts(plan, count, by_key=by_key)

    def whole(self, parts: Sequence[Part]) -> bool:
        """Whether these parts held every row."""
        return self._inner.whole(parts)

    def read(self, keys: Sequence[Key]) -> Page:
        """The rows that exist among ``keys``."""
        return self._inner.read(keys)

    def duplicates(self) -> Iterator[Page]:
        """Rows that may share their distinct ID with another row."""
        return self._inner.duplicates()

    def sharing(self, ids: Sequence[DistinctId]) -> Page:
        """All rows that may have one of these distinct IDs."""
        return self._inner.sharing(ids)

    def estimate(self, plan: ScanPlan) -> int | None:
        """About how many rows the plan will read."""
        return self._inner.estimate(plan)

    def notes(self) -> Sequence[tuple[str, str]]:
        """What the operator should know."""
        return self._inner.notes()

    def count(self) -> int | None:
        """How many rows there are now."""
        return self._inner.count()

    def oldest_transaction(self) -> str | None:
        """What is known of the transaction that holds the horizon."""
        return self._inner.oldest_transaction()


def _read(source: Iterator[Page], pages: queue.Queue[object], given_up: threading.Event) -> None:
    try:
        for page in source:
            if not _hand_over(page, pages, given_up):
                return
        _hand_over(_END, pages, given_up)
    except BaseException as error:  # noqa: BLE001 - raised again where the pages are taken
        _hand_over(error, pages, given_up)


def _hand_over(found: object, pages: queue.Queue[object], given_up: threading.Event) -> bool:
    """Wait for room; False when nobody takes pages any more."""
    while not given_up.is_set():
        try:
            pages.put(found, timeout=_GIVE_UP_POLL_S)
        except queue.Full:
            continue
        return True
    return False
