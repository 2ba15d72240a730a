"""Profiles -> requests: cut by count and bytes, never inside a profile; halve. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import TypeAlias

from sync_profiles.core.types import DistinctId, Outgoing

Cut: TypeAlias = tuple[Outgoing, ...]
"""The profiles of one request; never empty."""

BYTES_MAX = 1_900_000
"""Mixpanel documents 2 MB for a request (of events); the rest is room for what a gateway may add."""

BYTES_FLOOR = 10_000
"""``shrink`` goes no lower: a receiver that refuses this much refuses single profiles, and halving names them."""


class Cutter:
    """Collects profiles and hands out cuts; what is open is carried over to the next page.

    A cut closes before the profile that does not fit, that would mix deletes with others, or whose distinct ID it
    already holds. The order is kept. A profile that alone is over a limit travels alone.
    """

    def __init__(self, *, records_max: int, bytes_max: int = BYTES_MAX) -> None:
        self._records_max = records_max
        self._bytes_max = bytes_max
        self._open: list[Outgoing] = []
        self._ids: set[DistinctId] = set()
        self._records = 0
        self._size = 1

    def extend(self, profiles: Sequence[Outgoing]) -> list[Cut]:
        """Take profiles; returns the cuts that they closed."""
        ids = [profile.distinct_id for profile in profiles]
        differ = len(set(ids)) == len(ids) and self._ids.isdisjoint(ids)
        deletes = [profile.delete for profile in profiles].count(True)
        alike = deletes in (0, len(profiles)) and not (self._open and self._open[0].delete != bool(deletes))
        if not (differ and alike):
            return self._extend_mixed(profiles)
        return self._extend_alike(profiles, ids)

    def _extend_alike(self, profiles: Sequence[Outgoing], ids: Sequence[DistinctId]) -> list[Cut]:
        """Only counts and bytes decide where profiles of different IDs are cut, so sums find the places."""
        closed: list[Cut] = []
        records = [0, *accumulate([profile.records for profile in profiles])]
        sizes = [0, *accumulate([len(profile.body) + 1 for profile in profiles])]
        start = 0
        while start < len(profiles):
            by_records = bisect_right(records, records[start] + self._records_max - self._records) - 1
            by_size = bisect_right(sizes, sizes[start] + self._bytes_max - self._size) - 1
            end = max(min(by_records, by_size), start if self._open else start + 1)
            self._open += profiles[start:end]
            if end < len(profiles):
                closed.append(self._close())
            else:
                self._ids.update(ids[start:])
                self._records += records[-1] - records[start]
                self._size += sizes[-1] - sizes[start]
            start = end
        return closed

    def _extend_mixed(self, profiles: Iterable[Outgoing]) -> list[Cut]:
        closed: list[Cut] = []
        opened, ids = self._open, self._ids
        for profile in profiles:
            size, distinct_id = len(profile.body) + 1, profile.distinct_id
            if opened and (
                self._records + profile.records > self._records_max
                or self._size + size > self._bytes_max
                or distinct_id in ids
                or profile.delete != opened[0].delete
            ):
                closed.append(self._close())
            opened.append(profile)
            ids.add(distinct_id)
            self._records += profile.records
            self._size += size
        return closed

    def rest(self) -> list[Cut]:
        """Close what is open; empty when nothing is."""
        return [self._close()] if self._open else []

    def shrink(self, bytes_max: int) -> None:
        """Make later cuts no larger than this, after the receiver called a request too large; never grows again."""
        self._bytes_max = min(self._bytes_max, max(bytes_max, BYTES_FLOOR))

    def _close(self) -> Cut:
        closed = tuple(self._open)
        self._open.clear()
        self._ids.clear()
        self._records = 0
        self._size = 1
        return closed


def cut(profiles: Iterable[Outgoing], *, records_max: int, bytes_max: int = BYTES_MAX) -> Iterator[Cut]:
    """All profiles, in order, as cuts of at most ``records_max`` records and ``bytes_max`` bytes (see ``Cutter``)."""
    cutter = Cutter(records_max=records_max, bytes_max=bytes_max)
    for profile in profiles:
        yield from cutter.extend([profile])
    yield from cutter.rest()


def halve(profiles: Sequence[Outgoing]) -> tuple[Cut, Cut]:
    """Two parts that differ by one profile at most; needs two profiles or more."""
    return _parted(profiles, len(profiles) // 2)


def halve_by_bytes(profiles: Sequence[Outgoing]) -> tuple[Cut, Cut]:
    """Two parts, the first the longest that is no more than half of the bytes (but never empty)."""
    half = sum(len(profile.body) for profile in profiles) / 2
    taken = 0
    for index, profile in enumerate(profiles):
        taken += len(profile.body)
        if taken > half:
            return _parted(profiles, min(max(index, 1), len(profiles) - 1))
    return halve(profiles)


def _parted(profiles: Sequence[Outgoing], index: int) -> tuple[Cut, Cut]:
    assert 0 < index < len(profiles), "only two profiles or more can be halved"  # noqa: S101 - a caller's bug
    return tuple(profiles[:index]), tuple(profiles[index:])
