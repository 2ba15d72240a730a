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
from sync_profiles.core.gone import DELETE_AGAIN, DELETED, REKEYED, UNCERTAIN, left_alone
from sync_profiles.core.guards import Stopped
from sync_profiles.core.pending import sent_whole, written
from sync_profiles.core.ports import State
from sync_profiles.core.types import (
    Acknowledged,
    DistinctId,
    Key,
    Known,
    Outgoing,
    PendingKind,
    PendingRow,
    Settlement,
)
from sync_profiles.engine.parts import Parts
from sync_profiles.engine.usage import Use, use_of

CHUNK = 1000
GONE_MAX = 1_000_000
"""At most so many removals in one run; the rest waits for the next."""


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

    def forget_order(self) -> None:
        """Several workers have sent in this run: of two of them nobody knows which was the last."""
        self._run = 0

    def due(self, now: float) -> list[PendingRow]:
        """The removals that are still wanted; the others stop being pending."""
        rows = [row for row in self._state.due(GONE_MAX, now) if row.kind == "gone"]
        wanted: list[PendingRow] = []
        for chunk in _chunks(rows, CHUNK):
            use = use_of(chunk, self._source, self._state, self._mapper)
            self._drop([row for row in chunk if use.is_used(row)], use, now)
            unused = [row for row in chunk if not use.is_used(row)]
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

    def _drop(self, rows: Sequence[PendingRow], use: Use, now: float) -> None:
        """Removals that are not wanted any more; whoever has the ID inherits what is not certain of its profile.

        A key whose row is gone, or that left its ID to another, is not known any more: its profile is another's. Two
        rows that were sent with one ID, because it moved between them while a pass read the table, may have been sent
        in the wrong order: only who was sent in this run was surely the last.
        """
        if not rows:
            return
        heirs = [(row, key) for row in rows for key in sorted(use.heirs(row))]
        keys = [key for _, key in heirs]
        known, waiting = self._state.known([*keys, *(row.key for row in rows)]), self._state.waiting(keys)
        inherited: dict[Key, PendingRow] = {}
        forgotten = [row.key for row in rows if use.is_lost(row) and _is_own(row, known.get(row.key))]
        for row, key in heirs:
            distinct_id = row.distinct_id or ""
            held = known[key] if key in known and known[key].distinct_id == distinct_id else None
            if row.attempts and held is not None:
                forgotten.append(key)
            if row.attempts or held is None or held.run != self._run or not set(row.shape) <= set(held.shape):
                there = row.shape if held is None else tuple(dict.fromkeys(held.shape + row.shape))
                shape = written(there, distinct_id, inherited.get(key, waiting.get(key)))
                inherited[key] = sent_whole(key, distinct_id, shape, now)
        pending = list(inherited.values())
        self._remember([row for row in rows if not row.attempts], use, now)
        self._state.settle(Settlement(forgotten=forgotten, resolved=_resolved(rows), pending=pending), now)

    def _remember(self, dropped: Sequence[PendingRow], use: Use, now: float) -> None:
        """What a dropped removal would have unset is unset by the one that comes when the last key leaves the ID.

        Where several keys were sent with it, nobody knows which was the last: who comes back to it is sent whole.
        """
        owners = [(row, key) for row in dropped for key in sorted(use.leaving(row))]
        if not owners:
            return
        keys = [key for _, key in owners]
        known, waiting = self._state.known(keys), self._state.waiting(keys)
        richer: dict[Key, Acknowledged] = {}
        for row, key in owners:
            held = known.get(key)
            if held is None or held.distinct_id != row.distinct_id:
                continue
            before = richer[key].shape if key in richer else held.shape
            shape = tuple(dict.fromkeys(before + row.shape))
            if shape != before or len(use.owners[held.distinct_id]) > 1:
                richer[key] = Acknowledged(key, held.distinct_id, UNCERTAIN, shape)
        if richer:
            kept = [waiting[key] for key in richer if key in waiting]
            self._state.settle(Settlement(acknowledged=list(richer.values()), pending=kept), now)

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


def _is_own(row: PendingRow, known: Known | None) -> bool:
    """Is what this key was last acknowledged with what is to be removed?"""
    return known is not None and known.distinct_id == row.distinct_id


def _resolved(rows: Sequence[PendingRow]) -> list[tuple[PendingKind, Key, DistinctId | None]]:
    return [("gone", row.key, row.distinct_id) for row in rows]


def _chunks(rows: Sequence[PendingRow], size: int) -> Iterator[list[PendingRow]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, size)):
        yield chunk
