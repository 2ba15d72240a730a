"""Removing profiles whose row is gone, or whose ID a key has left.

Each is asked for by a "gone" row of the state. Before a removal leaves, the table is asked once more whether the ID is
in use again. One that left may have been applied, whatever became of its answer: when its ID turns out to be in use
after all, whoever was acknowledged with it is sent whole again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import islice

import msgspec

from sync_profiles.core import guards
from sync_profiles.core.gone import DELETE_AGAIN, DELETED, REKEYED, left_alone
from sync_profiles.core.guards import Stopped
from sync_profiles.core.pending import sent_whole, written
from sync_profiles.core.ports import State
from sync_profiles.core.types import (
    DistinctId,
    Key,
    Known,
    Outgoing,
    PendingKind,
    PendingRow,
    Profile,
    Settlement,
    SoftDeleted,
)
from sync_profiles.engine.parts import Parts

CHUNK = 1000
GONE_MAX = 1_000_000
"""At most so many removals in one run; the rest waits for the next."""


class _Use(msgspec.Struct, frozen=True):
    """Who is there now.

    ``living``: keys with a row that does not count as deleted. By distinct ID: ``owners``, the keys that Mixpanel was
    given with it and whose row is not gone, and ``rows``, the keys whose row has it now.
    """

    living: set[Key]
    owners: dict[DistinctId, set[Key]]
    rows: dict[DistinctId, set[Key]]


class Removals:
    """Looks at "gone" rows once more, lets a guard decide, and makes the records that remove them.

    ``run`` is the number of the run that is under way.
    """

    def __init__(self, parts: Parts, state: State, run: int) -> None:
        self._source = parts.source
        self._mapper = parts.mapper
        self._policy = parts.policy
        self._state = state
        self._run = run

    def due(self, now: float) -> list[PendingRow]:
        """The removals that are still wanted; the others stop being pending."""
        rows = [row for row in self._state.due(GONE_MAX, now) if row.kind == "gone"]
        wanted: list[PendingRow] = []
        for chunk in _chunks(rows, CHUNK):
            use = self._use(chunk)
            self._drop([row for row in chunk if _is_used(row, use)], use, now)
            unused = [row for row in chunk if not _is_used(row, use)]
            if self._policy.on_delete == "ignore":
                self._leave_alone(unused, use.living, now)
            else:
                wanted += unused
        return wanted

    def _leave_alone(self, rows: Sequence[PendingRow], living: Collection[Key], now: float) -> None:
        """Nothing is to be removed: what the profiles of rows that are gone hold is not certain from now on."""
        if rows:
            gone = [row for row in rows if row.key not in living]
            known = self._state.known([row.key for row in gone])
            left = [entry for row in gone if (entry := left_alone(row, known.get(row.key))) is not None]
            self._state.settle(Settlement(acknowledged=left, resolved=_resolved(rows)), now)

    def _drop(self, rows: Sequence[PendingRow], use: _Use, now: float) -> None:
        """Removals that are not wanted any more; whoever has the ID inherits what is not certain of its profile.

        A key whose row is gone, or that left its ID to another, is not known any more: its profile is another's. Two
        rows that were sent with one ID, because it moved between them while a pass read the table, may have been sent
        in the wrong order: only who was sent in this run was surely the last.
        """
        if not rows:
            return
        heirs = [(row, key) for row in rows for key in sorted(_heirs(row, use))]
        keys = [key for _, key in heirs]
        known, waiting = self._state.known([*keys, *(row.key for row in rows)]), self._state.waiting(keys)
        inherited: dict[Key, PendingRow] = {}
        forgotten = [row.key for row in rows if _is_lost(row, use) and _is_own(row, known.get(row.key))]
        for row, key in heirs:
            distinct_id = row.distinct_id or ""
            held = known[key] if key in known and known[key].distinct_id == distinct_id else None
            if row.attempts and held is not None:
                forgotten.append(key)
            if row.attempts or held is None or held.run != self._run or not set(row.shape) <= set(held.shape):
                shape = written(row.shape, distinct_id, inherited.get(key, waiting.get(key)))
                inherited[key] = sent_whole(key, distinct_id, shape, now)
        pending = list(inherited.values())
        self._state.settle(Settlement(forgotten=forgotten, resolved=_resolved(rows), pending=pending), now)

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
        own = _is_own(row, known)
        # Whatever asked for it: what is removed is not known any more, and what is known under another ID stays so.
        cause = DELETED if own else DELETE_AGAIN if row.code == DELETE_AGAIN else REKEYED
        held = known.shape if own and known is not None else ()
        shape = tuple(dict.fromkeys(held + row.shape))
        removal = self._mapper.removal(row.key, row.distinct_id, shape, policy=self._policy.on_delete)
        # An earlier attempt had no answer, or not a good one, and may be applied after the row is back.
        late = bool(row.attempts) and row.code != DELETE_AGAIN
        return msgspec.structs.replace(removal, cause=cause, doubt="late" if late else "none")

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
        rows: dict[DistinctId, set[Key]] = {}
        for entry in mapped:
            if isinstance(entry, Profile):
                rows.setdefault(entry.distinct_id, set()).add(entry.key)
        return _Use(living, owners, rows)


def _is_own(row: PendingRow, known: Known | None) -> bool:
    """Is what this key was last acknowledged with what is to be removed?"""
    return known is not None and known.distinct_id == row.distinct_id


def _is_used(row: PendingRow, use: _Use) -> bool:
    """Does a row of the table, or another key that Mixpanel was given, hold this ID?

    A row that is back but cannot become a profile keeps what Mixpanel was given of it.
    """
    distinct_id = row.distinct_id or ""
    holders = use.owners.get(distinct_id, set()) | use.rows.get(distinct_id, set())
    return bool(holders - {row.key}) or (row.key in (use.living if row.code == DELETED else holders))


def _is_lost(row: PendingRow, use: _Use) -> bool:
    """Is the profile another's now, so that this key is not known by it any more?"""
    return row.key not in use.living or bool(use.owners.get(row.distinct_id or "", set()) - {row.key})


def _heirs(row: PendingRow, use: _Use) -> set[Key]:
    """Whose profile this removal, had or has it been sent, would be about.

    Where Mixpanel was given the ID again: those, and of a removal that never left only if their row still has it.
    Else the rows that have it and were not sent yet; after a delete that was answered nothing was left for them.
    """
    distinct_id = row.distinct_id or ""
    given, now = use.owners.get(distinct_id, set()), use.rows.get(distinct_id, set())
    if given:
        return given if row.attempts else given & now
    return set() if row.code == DELETE_AGAIN and row.attempts == 1 else now


def _resolved(rows: Sequence[PendingRow]) -> list[tuple[PendingKind, Key, DistinctId | None]]:
    return [("gone", row.key, row.distinct_id) for row in rows]


def _chunks(rows: Sequence[PendingRow], size: int) -> Iterator[list[PendingRow]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, size)):
        yield chunk
