"""Finding profiles whose row is gone, in a full pass.

Nothing is removed on a guess. A key that the pass did not see is asked for again by key; what is still gone is written
down as a "gone" row, and removed by ``removals.py`` when a guard lets it. Where nothing is to be removed it still
matters who is gone if rows do not keep their distinct IDs: another row may have it now.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise

from sync_profiles.core.gone import UNCERTAIN, gone_rows
from sync_profiles.core.ports import Source, State, StateReader
from sync_profiles.core.types import Key, Known, ScanPlan, ScanSinceXid, Settlement


class Seen:
    """Which known keys a full pass has met: one bit a key, by the key's ordinal.

    ``uncertain_too``: look also for those that were found gone before and left alone.
    """

    def __init__(self, ordinal_limit: int, *, uncertain_too: bool = True) -> None:
        self.ordinal_limit = ordinal_limit
        self.uncertain_too = uncertain_too
        self.bits = bytearray((ordinal_limit + 7) // 8)

    def mark(self, known: Mapping[Key, Known]) -> None:
        """Mark the known keys of one page."""
        bits, limit = self.bits, self.ordinal_limit
        for entry in known.values():
            ordinal = entry.ordinal
            if ordinal < limit:
                bits[ordinal >> 3] |= 1 << (ordinal & 7)

    def absorb(self, marks: bytes) -> None:
        """Mark what a worker has met (see ``Marks.packed``)."""
        bits, ordinal = self.bits, 0
        gaps = array("Q")
        gaps.frombytes(zlib.decompress(marks))
        for gap in gaps:
            ordinal += gap
            bits[ordinal >> 3] |= 1 << (ordinal & 7)


class Marks:
    """Which known keys one part of a full pass has met: as little as they are, whatever the size of the whole."""

    def __init__(self, ordinal_limit: int) -> None:
        self._limit = ordinal_limit
        self._ordinals = array("Q")

    def mark(self, known: Mapping[Key, Known]) -> None:
        """Mark the known keys of one page."""
        limit = self._limit
        self._ordinals.extend([entry.ordinal for entry in known.values() if entry.ordinal < limit])

    def packed(self) -> bytes:
        """The ordinals in order, each as its distance from the one before, compressed."""
        ordered = sorted(set(self._ordinals))
        gaps = array("Q", [after - before for before, after in pairwise([0, *ordered])])
        return zlib.compress(gaps.tobytes(), level=1)


def missing(source: Source, state: StateReader, seen: Seen) -> Iterator[dict[Key, Known]]:
    """Known keys that were not seen and that the source, asked by key, does not have either; in chunks."""
    for unseen in state.unseen(seen.bits, seen.ordinal_limit):
        chunk = [(key, known) for key, known in unseen if known.fingerprint != UNCERTAIN or seen.uncertain_too]
        existing = set(source.read([key for key, _ in chunk]).keys)
        gone = {key: known for key, known in chunk if key not in existing}
        if gone:
            yield gone


def sweep(source: Source, state: State, seen: Seen, now: Callable[[], float]) -> None:
    """After a complete full pass: write down every known key whose row is gone."""
    for gone in missing(source, state, seen):
        state.settle(Settlement(pending=gone_rows(list(gone), gone, now())), now())


def rows_are_gone(plan: ScanPlan, source: Source, profiles: int) -> bool:
    """After a pass by row versions: are there fewer rows than ``profiles``, those that Mixpanel holds now?

    A deleted row leaves no version behind. Rows that Mixpanel was never given can hide one from this look; the full
    pass every ``full_every`` is the net.
    """
    if not isinstance(plan, ScanSinceXid):
        return False
    rows = source.count()
    return rows is not None and rows < profiles
