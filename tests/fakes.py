"""Fakes that keep the promises of the real thing; each passes the contract suite of its port."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from sync_profiles.core.gone import DELETE_AGAIN, over
from sync_profiles.core.spreading import Board, Cut
from sync_profiles.core.types import (
    DistinctId,
    Identity,
    Key,
    Known,
    Outgoing,
    PendingKind,
    PendingRow,
    RunSummary,
    Settlement,
    Verification,
    Watermark,
)
from sync_profiles.errors import StateError

WHOLE = 0
"""The part of whoever began the run."""

Place = tuple[PendingKind, Key, DistinctId | None]


def place(kind: PendingKind, key: Key, distinct_id: DistinctId | None) -> Place:
    """What tells pending rows apart: a key is pending once, but several of its former IDs may be."""
    return (kind, key, distinct_id if kind == "gone" else None)


@dataclass(frozen=True)
class Begun:
    number: int
    forced_since: int
    interrupted: int


class MemoryState:
    """The state of one sync in dictionaries: the model that the real one is compared with.

    It outlives a crash, like a file: go on with the same object.
    """

    def __init__(self, now: Callable[[], float] = lambda: 0.0) -> None:
        self._now = now
        self._watermark: Watermark | None = None
        self._identity: Identity | None = None
        self._known: dict[Key, Known] = {}
        self._pending: dict[Place, PendingRow] = {}
        self._in_flight: dict[tuple[int, int], tuple[Outgoing, ...]] = {}
        self._part = WHOLE
        self._next_ordinal = 0
        self._number = 0
        self._forced: tuple[str, int] | None = None
        self._verification: Verification | None = None
        self._board = Board()
        self._cut: Cut | None = None
        self._done: set[int] = set()
        self.summaries: list[RunSummary] = []

    # --- looking -----------------------------------------------------------------------------------------------

    def watermark(self) -> Watermark | None:
        return self._watermark

    def identity(self) -> Identity | None:
        return self._identity

    def known(self, keys: Sequence[Key]) -> Mapping[Key, Known]:
        return {key: self._known[key] for key in keys if key in self._known}

    def known_count(self) -> int:
        return len(self._known)

    def owners(self, ids: Sequence[DistinctId]) -> Mapping[DistinctId, Sequence[Key]]:
        owners: dict[DistinctId, list[Key]] = {}
        for key, known in sorted(self._known.items()):
            if known.distinct_id in ids:
                owners.setdefault(known.distinct_id, []).append(key)
        return owners

    def waiting(self, keys: Sequence[Key]) -> Mapping[Key, PendingRow]:
        found = {key: self._pending.get(place("row", key, None)) for key in keys}
        return {key: row for key, row in found.items() if row is not None}

    def unseen(self, seen: bytearray, ordinal_limit: int) -> Iterator[Sequence[tuple[Key, Known]]]:
        for key in sorted(self._known):
            known = self._known.get(key)
            if known is None or known.ordinal >= ordinal_limit:
                continue
            if not seen[known.ordinal // 8] >> known.ordinal % 8 & 1:
                yield [(key, known)]

    def ordinal_limit(self) -> int:
        return self._next_ordinal

    def due(self, limit: int, now: float) -> Sequence[PendingRow]:
        rows = [row for row in self._pending.values() if row.next_try_at <= now]
        return sorted(rows, key=lambda row: (row.since, row.kind, row.key, row.distinct_id or ""))[:limit]

    def pending_count(self) -> int:
        return sum(1 for row in self._pending.values() if row.code != DELETE_AGAIN)

    def pending_since(self) -> float | None:
        return min((row.since for row in self._pending.values() if row.code != DELETE_AGAIN), default=None)

    def rejected(self) -> Sequence[PendingRow]:
        rows = [row for row in self._pending.values() if row.rejected]
        return sorted(rows, key=lambda row: (-row.since, row.kind, row.key, row.distinct_id or ""))

    def rejected_count(self) -> int:
        return len(self.rejected())

    def last_success_at(self) -> str | None:
        good = [summary.started_at for summary in self.summaries if summary.outcome in {"ok", "rejected"}]
        return good[-1] if good else None

    def verification(self) -> Verification | None:
        return self._verification

    def keep_verification(self, progress: Verification | None) -> None:
        self._verification = progress

    # --- a run -------------------------------------------------------------------------------------------------

    def begin_run(self, run: str, started_at: float, *, forced: str | None = None, restart: bool = False) -> Begun:
        self._number += 1
        self._part, self._board = WHOLE, Board()
        lost = [profile for number in sorted(self._in_flight) for profile in self._in_flight[number]]
        self._in_flight.clear()
        for profile in lost:
            self._revive(profile)
        if forced is None:
            return Begun(self._number, 0, len(lost))
        if restart or self._forced is None or self._forced[0] != forced:
            self._forced = (forced, self._number)
        return Begun(self._number, self._forced[1], len(lost))

    def _revive(self, profile: Outgoing) -> None:
        kind: PendingKind = "gone" if profile.fingerprint is None else "row"
        where, now = place(kind, profile.key, profile.distinct_id), self._now()
        before = self._pending.get(where)
        if kind == "gone" and before is not None:
            self._pending[where] = msgspec.structs.replace(before, next_try_at=min(now, before.next_try_at))
            return
        earlier = before.shape if before is not None else ()
        self._pending[where] = PendingRow(
            kind=kind,
            key=profile.key,
            distinct_id=profile.distinct_id,
            code=profile.cause or "interrupted",
            reason="a run ended before Mixpanel answered",
            rejected=False,
            attempts=0,
            since=before.since if before is not None else now,
            next_try_at=now,
            shape=earlier + tuple(name for name in profile.shape if name not in earlier),
        )

    def settle(self, settlement: Settlement, now: float) -> None:
        for number in settlement.landed:
            self._in_flight.pop((self._part, number), None)
        for entry in settlement.acknowledged:
            ordinal = self._known[entry.key].ordinal if entry.key in self._known else self._fresh_ordinal()
            self._known[entry.key] = Known(
                entry.distinct_id, entry.fingerprint, entry.shape, int(now), self._number, ordinal
            )
            self._pending.pop(place("row", entry.key, None), None)
        for key in settlement.forgotten:
            self._known.pop(key, None)
        for kind, key, distinct_id in settlement.resolved:
            self._pending.pop(place(kind, key, distinct_id), None)
        for row in settlement.pending:
            where = place(row.kind, row.key, row.distinct_id)
            self._pending[where] = over(row, self._pending.get(where))
        for batch in settlement.dispatched:
            self._in_flight[self._part, batch.number] = batch.profiles

    def _fresh_ordinal(self) -> int:
        self._next_ordinal += 1
        return self._next_ordinal - 1

    def move_watermark(self, watermark: Watermark) -> None:
        self._watermark = watermark

    def set_identity(self, identity: Identity) -> None:
        self._identity = identity

    def hasten(self, ids: Sequence[DistinctId] | None = None) -> int:
        chosen = {where: row for where, row in self._pending.items() if ids is None or row.distinct_id in ids}
        for where, row in chosen.items():
            self._pending[where] = msgspec.structs.replace(row, next_try_at=min(row.next_try_at, self._now()))
        return len(chosen)

    # --- a run of several processes ------------------------------------------------------------------------------

    def begin_part(self, run: int, part: int, forced_since: int) -> None:
        self._refuse_former(run)
        self._part = part
        for where in sorted(where for where in self._in_flight if where[0] == part):
            for profile in self._in_flight.pop(where):
                self._revive(profile)

    def _refuse_former(self, number: int) -> None:
        if number != self._number:
            raise StateError("another run has begun")

    def look(self, halvings: int, *, halve: bool = False) -> Board:
        if halve and halvings == self._board.halvings:
            self._board = msgspec.structs.replace(self._board, halvings=halvings + 1)
        return self._board

    def ask_stop(self, cause: str) -> None:
        self._board = msgspec.structs.replace(self._board, stop=cause)

    def cut(self) -> Cut | None:
        return self._cut

    def keep_cut(self, cut: Cut | None) -> None:
        self._cut = cut
        self._done.clear()

    def finish_part(self, counts: Mapping[str, int]) -> None:
        self._done.add(self._part)

    def parts_done(self) -> frozenset[int]:
        return frozenset(self._done)

    def forget(self) -> None:
        self._known.clear()
        self._pending.clear()
        self._in_flight.clear()
        self._watermark = None
        self._verification = None

    def finish_run(self, summary: RunSummary, *, forced_done: bool = False) -> None:
        self.summaries.append(summary)
        if forced_done:
            self._forced = None
