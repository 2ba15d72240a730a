"""Which profiles a verification is about, and which of them are done: one bit a known key."""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterator, Sequence

from sync_profiles.core.ports import StateReader
from sync_profiles.core.types import DistinctId, Key, Known, PendingRow


class Target:
    """A profile to look at: a key with what is known of it, or a removal (``leaving``) that should have happened."""

    __slots__ = ("key", "known", "leaving")

    def __init__(self, key: Key, known: Known | None, leaving: PendingRow | None = None) -> None:
        self.key = key
        self.known = known
        self.leaving = leaving

    @property
    def distinct_id(self) -> DistinctId | None:
        """The ID that Mixpanel was last given of it."""
        if self.leaving is not None:
            return self.leaving.distinct_id
        return self.known.distinct_id if self.known is not None else None


class Targets:
    """What is left to look at. ``extra`` are targets without a bit: removals, and keys that are not known.

    ``seen`` has a set bit for each ordinal below ``limit`` that is done, or not asked for.
    """

    def __init__(self, state: StateReader, seen: bytearray, limit: int, extra: Sequence[Target] = ()) -> None:
        self._state = state
        self.seen = seen
        self.limit = limit
        self._extra = {id(target): target for target in extra}

    def chunks(self, size: int) -> Iterator[list[Target]]:
        """Everything that is left, in key order; what is not done when the end is reached stays left."""
        waiting: list[Target] = []
        for some in self._state.unseen(self.seen, self.limit):
            waiting += [Target(key, known) for key, known in some]
            while len(waiting) >= size:
                yield waiting[:size]
                waiting = waiting[size:]
        waiting += self._extra.values()
        while waiting:
            yield waiting[:size]
            waiting = waiting[size:]

    def among(self, ids: Sequence[DistinctId]) -> list[Target]:
        """What is left and was last given one of these IDs."""
        wanted = set(ids)
        keys = [key for owners in self._state.owners(ids).values() for key in owners]
        found = [Target(key, known) for key, known in self._state.known(keys).items() if self._is_left(known)]
        return found + [target for target in self._extra.values() if target.distinct_id in wanted]

    def done(self, target: Target) -> None:
        """This one needs no further look."""
        known = target.known
        if self._extra.pop(id(target), None) is None and known is not None and known.ordinal < self.limit:
            self.seen[known.ordinal >> 3] |= 1 << (known.ordinal & 7)

    def _is_left(self, known: Known) -> bool:
        return known.ordinal < self.limit and not self.seen[known.ordinal >> 3] & 1 << (known.ordinal & 7)


def removals(state: StateReader, keys: Sequence[Key] = ()) -> list[Target]:
    """Profiles that this sync removes or removed, as far as it remembers; of ``keys``, or all."""
    rows = [row for row in state.due(_ALL, float("inf")) if row.kind == "gone" and row.distinct_id is not None]
    return [Target(row.key, None, row) for row in rows if not keys or row.key in keys]


_ALL = 1_000_000


def everything(state: StateReader) -> Targets:
    """All that is known, and all removals."""
    limit = state.ordinal_limit()
    return Targets(state, bytearray((limit + 7) // 8), limit, removals(state))


def of_keys(state: StateReader, keys: Sequence[Key]) -> Targets:
    """These keys, known or not."""
    known = state.known(keys)
    extra = [Target(key, known.get(key)) for key in dict.fromkeys(keys)]
    return Targets(state, bytearray(), 0, extra + removals(state, keys))


def sample(state: StateReader, count: int, seed: int) -> Targets:
    """``count`` of the known keys at random, and at most as many removals; the same for the same seed and state."""
    limit = state.ordinal_limit()
    ordinals = array("Q")
    for some in state.unseen(bytearray((limit + 7) // 8), limit):
        ordinals.extend(known.ordinal for _, known in some)
    chance = random.Random(seed)  # noqa: S311 - a sample is no secret
    chosen = chance.sample(ordinals, min(count, len(ordinals)))
    seen = bytearray(b"\xff" * ((limit + 7) // 8))
    for ordinal in chosen:
        seen[ordinal >> 3] &= ~(1 << (ordinal & 7))
    leaving = removals(state)
    return Targets(state, seen, limit, chance.sample(leaving, min(count, len(leaving))))
