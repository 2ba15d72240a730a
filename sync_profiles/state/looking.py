"""What can be looked up in the state of one sync, whatever database keeps it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec
import sqlalchemy as sa

from sync_profiles.core.gone import DELETE_AGAIN
from sync_profiles.core.types import DistinctId, Identity, Key, Known, PendingRow, RunSummary, Verification, Watermark
from sync_profiles.state import rows, schema
from sync_profiles.state.rows import StateDatabase
from sync_profiles.state.sealed import unsealed

D = TypeVar("D", bound=StateDatabase)

SWEEP_KEYS = 1000
"""Keys read at once by a sweep; a chunk of it holds up to twice as many."""

GOOD = ("ok", "rejected")
"""Outcomes of runs that came to their end."""

_IDENTITY = (schema.pending.c.kind, schema.pending.c.key, schema.pending.c.gone_id)


class Looking(ABC, Generic[D]):
    """The state of one sync as ``core.ports.StateReader`` describes it, but for what a database does its own way."""

    def __init__(self, database: D, sync_id: int) -> None:
        self._database = database
        self._sync_id = sync_id

    # --- what each database does its own way -------------------------------------------------------------------

    @abstractmethod
    def known(self, keys: Sequence[Key]) -> Mapping[Key, Known]:
        """Those of ``keys`` that Mixpanel acknowledged before, as of the last settlement."""

    @abstractmethod
    def known_count(self) -> int:
        """How many profiles are known."""

    @abstractmethod
    def ordinal_limit(self) -> int:
        """One more than the largest ordinal given out: the size of a sweep's bitmap."""

    @abstractmethod
    def waiting(self, keys: Sequence[Key]) -> Mapping[Key, PendingRow]:
        """Those of ``keys`` that are pending as kind "row"."""

    @abstractmethod
    def _holders(self, ids: Sequence[DistinctId]) -> set[Key]:
        """Keys of which some may hold one of these IDs now; nobody else does."""

    def _unplaced(self) -> Sequence[Key]:
        """Known keys that are not in the table ``profile`` yet."""
        return ()

    # --- the sync itself ---------------------------------------------------------------------------------------

    def watermark(self) -> Watermark | None:
        """Of the last run that ended well; None before the first."""
        with self._database.reading() as connection:
            text = self._of_sync(connection, "watermark")
            return unsealed(text, Watermark) if text is not None else None

    def identity(self) -> Identity | None:
        """What the state belongs to; None before the first run."""
        with self._database.reading() as connection:
            text = self._of_sync(connection, "identity")
            return unsealed(text, Identity) if text is not None else None

    def last_success_at(self) -> str | None:
        """When the last run that came to its end began (ISO 8601, UTC)."""
        table = schema.run
        query = (
            sa.select(table.c.summary)
            .where(table.c.sync_id == self._sync_id, table.c.outcome.in_(GOOD))
            .order_by(table.c.number.desc())
            .limit(1)
        )
        with self._database.reading() as connection:
            text = connection.execute(query).scalar_one_or_none()
            return msgspec.json.decode(text, type=RunSummary).started_at if text is not None else None

    def verification(self) -> Verification | None:
        """A verification of all profiles that has not come to its end."""
        table = schema.verification
        query = sa.select(table.c.progress).where(table.c.sync_id == self._sync_id)
        with self._database.reading() as connection:
            text = connection.execute(query).scalar_one_or_none()
        return msgspec.json.decode(text, type=Verification) if text is not None else None

    def _of_sync(self, connection: sa.Connection, column: str) -> Any:
        query = sa.select(schema.sync.c[column]).where(schema.sync.c.id == self._sync_id)
        return connection.execute(query).scalar_one_or_none()

    # --- what is known -----------------------------------------------------------------------------------------

    def owners(self, ids: Sequence[DistinctId]) -> Mapping[DistinctId, Sequence[Key]]:
        """Known keys that hold one of these distinct IDs."""
        candidates = self._holders(ids)
        wanted = set(ids)
        owners: dict[DistinctId, list[Key]] = {}
        for key, known in sorted(self.known(sorted(candidates)).items()):
            if known.distinct_id in wanted:
                owners.setdefault(known.distinct_id, []).append(key)
        return owners

    def unseen(self, seen: bytearray, ordinal_limit: int) -> Iterator[Sequence[tuple[Key, Known]]]:
        """Known keys below ``ordinal_limit`` whose bit in ``seen`` is not set, in key order and in chunks.

        Nothing stays open between two chunks: settlements may come in the meantime.
        """
        waiting: list[tuple[Key, Known]] = []
        for page in self._keys_and_ordinals(ordinal_limit):
            keys = [key for key, ordinal in page if not seen[ordinal >> 3] & 1 << (ordinal & 7)]
            if keys:
                found = self.known(keys)
                waiting += [(key, found[key]) for key in keys if key in found]
            if len(waiting) > SWEEP_KEYS:
                yield waiting
                waiting = []
        if waiting:
            yield waiting

    def everything(self) -> Iterator[Mapping[Key, Known]]:
        """Everything that is known, in chunks; for an export."""
        unplaced = self._unplaced()
        for page in self._keys_and_ordinals(self.ordinal_limit()):
            yield self.known([key for key, _ in page])
        for start in range(0, len(unplaced), SWEEP_KEYS):
            yield self.known(unplaced[start : start + SWEEP_KEYS])

    def _keys_and_ordinals(self, ordinal_limit: int) -> Iterator[Sequence[tuple[Key, int]]]:
        after: Key | None = None
        while page := self._page(after, ordinal_limit):
            yield [(key, ordinal) for key, ordinal in page]
            after = page[-1][0]

    def _page(self, after: Key | None, ordinal_limit: int) -> Sequence[Sequence[Any]]:
        """The next ``SWEEP_KEYS`` keys and their ordinals, in the order of the keys; None: from the first."""
        table = schema.profile
        # The empty text is a possible key.
        beyond = table.c.key >= "" if after is None else table.c.key > after
        query = (
            sa.select(table.c.key, table.c.ordinal)
            .where(table.c.sync_id == self._sync_id, table.c.ordinal < ordinal_limit, beyond)
            .order_by(table.c.key)
            .limit(SWEEP_KEYS)
        )
        with self._database.reading() as connection:
            return connection.execute(query).all()

    # --- what is pending ---------------------------------------------------------------------------------------

    def due(self, limit: int, now: float) -> Sequence[PendingRow]:
        """Pending rows whose next try has come, oldest first."""
        table = schema.pending
        query = self._all_pending().where(table.c.next_try_at <= now).order_by(table.c.since, *_IDENTITY).limit(limit)
        with self._database.reading() as connection:
            return rows.selected(self._database, connection, query)

    def pending_count(self) -> int:
        """How many pending rows there are, rejected ones included; the repetition of a delete is not counted."""
        return self._count(schema.pending.c.code != DELETE_AGAIN)

    def pending_since(self) -> float | None:
        """Since when the oldest of those rows has been pending (unix seconds)."""
        table = schema.pending
        oldest = sa.select(sa.func.min(table.c.since)).where(table.c.sync_id == self._sync_id)
        with self._database.reading() as connection:
            since: float | None = connection.execute(oldest.where(table.c.code != DELETE_AGAIN)).scalar_one()
        return since

    def rejected(self) -> Sequence[PendingRow]:
        """Pending rows that will not pass as they are, newest first."""
        table = schema.pending
        query = self._all_pending().where(table.c.rejected).order_by(table.c.since.desc(), *_IDENTITY)
        with self._database.reading() as connection:
            return rows.selected(self._database, connection, query)

    def rejected_count(self) -> int:
        """How many of the pending rows are rejected."""
        return self._count(schema.pending.c.rejected)

    def _all_pending(self) -> sa.Select[Any]:
        return sa.select(schema.pending).where(schema.pending.c.sync_id == self._sync_id)

    def _count(self, condition: sa.ColumnElement[bool]) -> int:
        query = sa.select(sa.func.count()).where(schema.pending.c.sync_id == self._sync_id, condition)
        with self._database.reading() as connection:
            return connection.execute(query).scalar_one()
