"""Removing profiles whose row is gone, or whose ID a key has left.

Each is asked for by a "gone" row of the state. Before a removal leaves, the table is asked once more whether the ID is
in use again. One that left may have been applied, whatever became of its answer: when its ID turns out to be in use
after all, whoever was acknowledged with it is sent whole again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import msgspec

from sync_profiles.core import guards
from sync_profiles.core.guards import Stopped
from sync_profiles.core.mapping import Mapper
from sync_profiles.core.ports import Source, State
from sync_profiles.core.settling import DELETE_AGAIN, DELETED, REKEYED, sent_whole
from sync_profiles.core.types import (
    DistinctId,
    Key,
    Known,
    OnDelete,
    Outgoing,
    PendingRow,
    Profile,
    Settlement,
    SoftDeleted,
)
from sync_profiles.engine.parts import Policy

CHUNK = 1000
GONE_MAX = 1_000_000
"""At most so many removals in one run; the rest waits for the next."""


class _Use(msgspec.Struct, frozen=True):
    """Who is there now.

    ``living``: keys with a row that does not count as deleted. ``owners``: by distinct ID the keys that Mixpanel was
    given with it and whose row is not gone; ``holders``: those and the keys whose row has it now.
    """

    living: set[Key]
    owners: dict[DistinctId, set[Key]]
    holders: dict[DistinctId, set[Key]]


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
            if self._policy.on_delete == "ignore":
                self._drop(chunk, {}, now)
                continue
            use = self._use(chunk)
            in_use = [row for row in chunk if _is_used(row, use)]
            self._drop(in_use, use.owners, now)
            dropped = {(row.key, row.distinct_id) for row in in_use}
            wanted += [row for row in chunk if (row.key, row.distinct_id) not in dropped]
        return wanted

    def _drop(self, rows: Sequence[PendingRow], owners: dict[DistinctId, set[Key]], now: float) -> None:
        """Removals that are not wanted any more; one that left already may have emptied a profile that is in use."""
        if not rows:
            return
        heirs = [
            sent_whole(key, row.distinct_id, row.shape, now)
            for row in rows
            if row.attempts and row.distinct_id is not None
            for key in sorted(owners.get(row.distinct_id, ()))
        ]
        resolved = [("gone", row.key, row.distinct_id) for row in rows]
        self._state.settle(
            Settlement(forgotten=[heir.key for heir in heirs], resolved=resolved, pending=heirs),  # type: ignore[arg-type]  # literals
            now,
        )

    def guard(self, wanted: Sequence[PendingRow]) -> Stopped | None:
        """Whether so many removals want a decision first; a repeated delete was decided on before."""
        first_time = sum(1 for row in wanted if not row.attempts)
        return guards.mass_delete(self._policy.max_delete, first_time, self._state.known_count())

    def outgoing(self, wanted: Sequence[PendingRow], now: float) -> Iterator[list[Outgoing]]:
        """The records that remove them, in chunks; that they are about to leave is written down first."""
        for chunk in _chunks(wanted, CHUNK):
            attempted = [msgspec.structs.replace(row, attempts=row.attempts + 1) for row in chunk]
            self._state.settle(Settlement(pending=attempted), now)
            known = self._state.known([row.key for row in chunk])
            yield [self._removal(row, known.get(row.key)) for row in chunk]

    def _removal(self, row: PendingRow, known: Known | None) -> Outgoing:
        assert row.distinct_id is not None, "a gone row names the profile to remove"  # noqa: S101 - the type allows it
        own = known is not None and known.distinct_id == row.distinct_id
        cause = row.code if row.code in {DELETED, REKEYED, DELETE_AGAIN} else (DELETED if own else REKEYED)
        policy: OnDelete = "delete" if cause == DELETE_AGAIN else self._policy.on_delete
        held = known.shape if own and known is not None else ()
        shape = tuple(dict.fromkeys(held + row.shape))
        removal = self._mapper.removal(row.key, row.distinct_id, shape, policy=policy)
        return msgspec.structs.replace(removal, cause=cause)

    def _use(self, chunk: Sequence[PendingRow]) -> _Use:
        ids = [row.distinct_id for row in chunk if row.distinct_id is not None]
        mapped = list(self._mapper(self._source.read([row.key for row in chunk])).mapped)
        living = {entry.key for entry in mapped if not isinstance(entry, SoftDeleted)}
        if not self._mapper.id_is_key:
            mapped += self._mapper(self._source.sharing(ids)).mapped
        owners: dict[DistinctId, set[Key]] = {}
        for distinct_id, keys in self._state.owners(ids).items():
            gone = {row.key for row in chunk if row.distinct_id == distinct_id} - living
            owners[distinct_id] = set(keys) - gone
        holders = {distinct_id: set(keys) for distinct_id, keys in owners.items()}
        for entry in mapped:
            if isinstance(entry, Profile):
                holders.setdefault(entry.distinct_id, set()).add(entry.key)
        return _Use(living, owners, holders)


def _is_used(row: PendingRow, use: _Use) -> bool:
    """Does a row of the table, or another key that Mixpanel was given, hold this ID?

    A row that is back but cannot become a profile keeps what Mixpanel was given of it.
    """
    holders = use.holders.get(row.distinct_id or "", set())
    return bool(holders - {row.key}) or (row.key in (use.living if row.code == DELETED else holders))


def _chunks(rows: Sequence[PendingRow], size: int) -> Iterator[list[PendingRow]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, size)):
        yield chunk
