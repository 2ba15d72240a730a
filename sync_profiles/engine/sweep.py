"""Profiles whose row is gone: finding them in a full pass, and removing them.

Nothing is removed on a guess. A key that a full pass did not see is asked for again by key; what is still gone is
written down as a "gone" row; those are looked at once more before a guard lets the first removal leave.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice

import msgspec

from sync_profiles.core import guards
from sync_profiles.core.guards import Stopped
from sync_profiles.core.mapping import Mapper
from sync_profiles.core.ports import Source, State, StateReader
from sync_profiles.core.settling import DELETE_AGAIN, DELETED, REKEYED, gone_rows
from sync_profiles.core.types import Key, Known, OnDelete, Outgoing, Page, PendingRow, Profile, Settlement, SoftDeleted
from sync_profiles.engine.parts import Policy

CHUNK = 1000
GONE_MAX = 1_000_000
"""At most so many removals in one run; the rest waits for the next."""


class Seen:
    """Which known keys a full pass has met: one bit a key, by the key's ordinal."""

    def __init__(self, ordinal_limit: int) -> None:
        self.ordinal_limit = ordinal_limit
        self.bits = bytearray((ordinal_limit + 7) // 8)

    def mark(self, known: Mapping[Key, Known]) -> None:
        """Mark the known keys of one page."""
        bits, limit = self.bits, self.ordinal_limit
        for entry in known.values():
            ordinal = entry.ordinal
            if ordinal < limit:
                bits[ordinal >> 3] |= 1 << (ordinal & 7)


def missing(source: Source, state: StateReader, seen: Seen) -> Iterator[dict[Key, Known]]:
    """Known keys that were not seen and that the source, asked by key, does not have either; in chunks."""
    for chunk in state.unseen(seen.bits, seen.ordinal_limit):
        existing = set(source.read([key for key, _ in chunk]).keys)
        gone = {key: known for key, known in chunk if key not in existing}
        if gone:
            yield gone


def sweep(source: Source, state: State, seen: Seen, now: Callable[[], float]) -> None:
    """After a complete full pass: write down every known key whose row is gone."""
    for gone in missing(source, state, seen):
        state.settle(Settlement(pending=gone_rows(list(gone), gone, now())), now())


class Removals:
    """Looks at "gone" rows once more, lets a guard decide, and makes the records that remove them."""

    def __init__(self, source: Source, state: State, mapper: Mapper, policy: Policy) -> None:
        self._source = source
        self._state = state
        self._mapper = mapper
        self._policy = policy

    def due(self, now: float) -> list[PendingRow]:
        """The removals that are still wanted; the others stop being pending."""
        rows = [row for row in self._state.due(GONE_MAX, now) if row.kind == "gone"]
        wanted: list[PendingRow] = []
        for chunk in _chunks(rows, CHUNK):
            stale = chunk if self._policy.on_delete == "ignore" else self._stale(chunk)
            if stale:
                self._state.settle(Settlement(resolved=[("gone", row.key, row.distinct_id) for row in stale]), now)
            dropped = {(row.key, row.distinct_id) for row in stale}
            wanted += [row for row in chunk if (row.key, row.distinct_id) not in dropped]
        return wanted

    def guard(self, wanted: Sequence[PendingRow]) -> Stopped | None:
        """Whether so many removals want a decision first; a repeated delete was decided on before."""
        first_time = sum(1 for row in wanted if row.code != DELETE_AGAIN)
        return guards.mass_delete(self._policy.max_delete, first_time, self._state.known_count())

    def outgoing(self, wanted: Sequence[PendingRow]) -> Iterator[list[Outgoing]]:
        """The records that remove them, in chunks."""
        for chunk in _chunks(list(wanted), CHUNK):
            known = self._state.known([row.key for row in chunk])
            yield [self._removal(row, known.get(row.key)) for row in chunk]

    def _removal(self, row: PendingRow, known: Known | None) -> Outgoing:
        assert row.distinct_id is not None, "a gone row names the profile to remove"  # noqa: S101 - the type allows it
        own = known is not None and known.distinct_id == row.distinct_id
        cause = row.code if row.code in {DELETED, REKEYED, DELETE_AGAIN} else (DELETED if own else REKEYED)
        policy: OnDelete = "delete" if cause == DELETE_AGAIN else self._policy.on_delete
        shape = known.shape if own and known is not None else row.shape
        removal = self._mapper.removal(row.key, row.distinct_id, shape, policy=policy)
        return msgspec.structs.replace(removal, cause=cause)

    # --- is the ID still in use? -------------------------------------------------------------------------------

    def _stale(self, chunk: Sequence[PendingRow]) -> list[PendingRow]:
        ids = [row.distinct_id for row in chunk if row.distinct_id is not None]
        page = self._source.read([row.key for row in chunk])
        living_keys = {entry.key for entry in self._mapper(page).mapped if not isinstance(entry, SoftDeleted)}
        living_ids = self._ids(page)
        if not self._mapper.id_is_key:
            living_ids |= self._ids(self._source.sharing(ids))
        owners = self._state.owners(ids)
        return [row for row in chunk if self._in_use(row, living_ids, living_keys, owners)]

    def _ids(self, page: Page) -> set[str]:
        return {entry.distinct_id for entry in self._mapper(page).mapped if isinstance(entry, Profile)}

    def _in_use(
        self, row: PendingRow, living_ids: set[str], living_keys: set[Key], owners: Mapping[str, Sequence[Key]]
    ) -> bool:
        """Does a row of the table, or another key that Mixpanel was given, hold this ID?

        A row that is back but cannot become a profile keeps what Mixpanel has of it.
        """
        if row.distinct_id in living_ids:
            return True
        if row.code != REKEYED and row.key in living_keys:
            return True
        others = owners.get(row.distinct_id or "", ())
        return any(key != row.key for key in others)


def _chunks(rows: Sequence[PendingRow], size: int) -> Iterator[list[PendingRow]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, size)):
        yield chunk
