"""What can be looked up in the state of one sync."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import msgspec
import sqlalchemy as sa

from sync_profiles.core.gone import DELETE_AGAIN
from sync_profiles.core.types import DistinctId, Identity, Key, Known, PendingRow, RunSummary, Verification, Watermark
from sync_profiles.state import ordered, pending, schema
from sync_profiles.state.database import Database
from sync_profiles.state.journal import blocks, has_rows
from sync_profiles.state.sealed import unsealed

LOOKUP_KEYS = 500
"""Keys in one look-up statement; more are no faster."""

OWNERS_IDS = 5000
"""IDs looked up by one scan."""

SWEEP_KEYS = 1000
"""Keys read at once by a sweep; a chunk of it holds up to twice as many."""

GOOD = ("ok", "rejected")
"""Outcomes of runs that came to their end."""

_IDENTITY = (schema.pending.c.kind, schema.pending.c.key, schema.pending.c.gone_id)


# SQLite stores any kind of value anywhere: a flipped bit makes a number a text.
_COLUMNS = (
    "p.key, CAST(p.distinct_id AS TEXT), p.fingerprint, CAST(p.shape_id AS INTEGER),"
    " CAST(p.acknowledged_at AS INTEGER), CAST(p.run AS INTEGER)"
)
_KNOWN = f"{_COLUMNS}, CAST(p.ordinal AS INTEGER)"


def _values(count: int) -> str:
    return ",".join(["(?)"] * count)


@cache
def _known_sql(count: int) -> str:
    # CROSS JOIN keeps SQLite from walking the table in search of a few keys (sqlite.org/optoverview.html, 8.2).
    return (
        f"SELECT {_KNOWN} FROM (VALUES {_values(count)}) AS wanted"
        " CROSS JOIN profile p ON p.sync_id = ? AND p.key = wanted.column1"
    )


@cache
def _latest_sql(count: int) -> str:
    return (
        f"SELECT {_COLUMNS}, max(p.seq) FROM journal p"
        f" WHERE key IN (VALUES {_values(count)}) AND sync_id = ? GROUP BY key"
    )


@cache
def _owners_sql(count: int) -> str:
    """Keys that hold one of some IDs, or did: ID = key is stored as NULL and so found by key."""
    return (
        f"WITH wanted (id) AS (VALUES {_values(count)})"
        " SELECT p.key FROM wanted CROSS JOIN profile p ON p.sync_id = ? AND p.key = wanted.id"
        " UNION SELECT key FROM profile WHERE sync_id = ? AND distinct_id IN (SELECT id FROM wanted)"
        " UNION SELECT key FROM journal WHERE sync_id = ? AND coalesce(distinct_id, key) IN (SELECT id FROM wanted)"
    )


class SyncReader:
    """The state of one sync as ``core.ports.StateReader`` describes it.

    What was acknowledged but not merged yet (by a run that is under way or that died) is laid over what is merged.
    """

    def __init__(self, database: Database, sync_id: int) -> None:
        self._database = database
        self._sync_id = sync_id

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

    def ordinal_limit(self) -> int:
        """One more than the largest ordinal given out: the size of a sweep's bitmap."""
        with self._database.reading() as connection:
            return self._of_sync(connection, "next_ordinal") or 0

    def known_count(self) -> int:
        """How many profiles are known."""
        with self._database.reading() as connection:
            merged: int = self._of_sync(connection, "profiles") or 0
            return merged + (self._unmerged_count(connection) if has_rows(connection, self._sync_id) else 0)

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

    def _unmerged_count(self, connection: sa.Connection) -> int:
        rows = connection.exec_driver_sql(
            "SELECT latest.fingerprint IS NOT NULL, p.key IS NOT NULL FROM ("
            "  SELECT key, fingerprint, max(seq) FROM journal WHERE sync_id = ? GROUP BY key) AS latest"
            " LEFT JOIN profile p ON p.sync_id = ? AND p.key = latest.key",
            (self._sync_id, self._sync_id),
        )
        return sum(now - before for now, before in rows)

    # --- what is known -----------------------------------------------------------------------------------------

    def known(self, keys: Sequence[Key]) -> Mapping[Key, Known]:
        """Those of ``keys`` that Mixpanel acknowledged before, as of the last settlement."""
        with self._database.reading() as connection:
            found = self._merged(connection, keys)
            if has_rows(connection, self._sync_id):
                self._lay_over(connection, keys, found)
        return found

    def _merged(self, connection: sa.Connection, keys: Sequence[Key]) -> dict[Key, Known]:
        close = ordered.neighbours(connection, self._sync_id, keys, _KNOWN) if keys else []
        if close is not None:
            wanted = set(keys)
            return self._known(connection, [row for row in close if row[0] in wanted])
        found: dict[Key, Known] = {}
        for block in blocks(keys, LOOKUP_KEYS):
            rows = ordered.fetched(connection.exec_driver_sql(_known_sql(len(block)), (*block, self._sync_id)))
            found |= self._known(connection, rows)
        return found

    def _known(self, connection: sa.Connection, rows: Sequence[Sequence[Any]]) -> dict[Key, Known]:
        shapes = {number: self._database.shape(connection, number) for number in {row[3] for row in rows}}
        return {
            key: Known(key if own is None else own, fingerprint, shapes[shape], at, run, ordinal)
            for key, own, fingerprint, shape, at, run, ordinal in rows
        }

    def _lay_over(self, connection: sa.Connection, keys: Sequence[Key], found: dict[Key, Known]) -> None:
        """Replace what the journal knows better; a key that is new there has no ordinal of its own yet."""
        limit: int = self._of_sync(connection, "next_ordinal")
        for block in blocks(keys, LOOKUP_KEYS):
            rows = connection.exec_driver_sql(_latest_sql(len(block)), (*block, self._sync_id)).all()
            for key, own, fingerprint, shape, at, run, seq in rows:
                before = found.pop(key, None)
                if fingerprint is not None:
                    ordinal = before.ordinal if before is not None else limit + seq
                    names = self._database.shape(connection, shape)
                    found[key] = Known(key if own is None else own, fingerprint, names, at, run, ordinal)

    def owners(self, ids: Sequence[DistinctId]) -> Mapping[DistinctId, Sequence[Key]]:
        """Known keys that hold one of these distinct IDs."""
        candidates: set[Key] = set()
        with self._database.reading() as connection:
            for block in blocks(ids, OWNERS_IDS):
                rows = connection.exec_driver_sql(_owners_sql(len(block)), (*block, *[self._sync_id] * 3))
                candidates.update(rows.scalars())
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
        query = (
            "SELECT DISTINCT key FROM journal j WHERE sync_id = ? AND NOT EXISTS ("
            " SELECT 1 FROM profile p WHERE p.sync_id = j.sync_id AND p.key = j.key)"
        )
        with self._database.reading() as connection:
            unmerged = connection.exec_driver_sql(query, (self._sync_id,)).scalars().all()
        for page in self._keys_and_ordinals(self.ordinal_limit()):
            yield self.known([key for key, _ in page])
        for keys in blocks(unmerged, SWEEP_KEYS):
            yield self.known(keys)

    def _keys_and_ordinals(self, ordinal_limit: int) -> Iterator[Sequence[tuple[Key, int]]]:
        beyond, last = ">=", ""  # the empty text is a possible key
        while True:
            with self._database.reading() as connection:
                page = connection.exec_driver_sql(
                    f"SELECT key, ordinal FROM profile WHERE sync_id = ? AND key {beyond} ? AND ordinal < ?"
                    " ORDER BY key LIMIT ?",
                    (self._sync_id, last, ordinal_limit, SWEEP_KEYS),
                ).all()
            if not page:
                return
            yield [(key, ordinal) for key, ordinal in page]
            beyond, last = ">", page[-1][0]

    # --- what is pending ---------------------------------------------------------------------------------------

    def waiting(self, keys: Sequence[Key]) -> Mapping[Key, PendingRow]:
        """Those of ``keys`` that are pending as kind "row"."""
        if not keys:
            return {}
        with self._database.reading() as connection:
            rows = pending.of_keys(self._database, connection, self._sync_id, "row", keys)
        return {row.key: row for row in rows}

    def due(self, limit: int, now: float) -> Sequence[PendingRow]:
        """Pending rows whose next try has come, oldest first."""
        table = schema.pending
        query = self._all_pending().where(table.c.next_try_at <= now).order_by(table.c.since, *_IDENTITY).limit(limit)
        with self._database.reading() as connection:
            return pending.selected(self._database, connection, query)

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
            return pending.selected(self._database, connection, query)

    def rejected_count(self) -> int:
        """How many of the pending rows are rejected."""
        return self._count(schema.pending.c.rejected)

    def _all_pending(self) -> sa.Select[Any]:
        return sa.select(schema.pending).where(schema.pending.c.sync_id == self._sync_id)

    def _count(self, condition: sa.ColumnElement[bool]) -> int:
        query = sa.select(sa.func.count()).where(schema.pending.c.sync_id == self._sync_id, condition)
        with self._database.reading() as connection:
            return connection.execute(query).scalar_one()
