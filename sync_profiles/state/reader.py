"""What can be looked up in the state file of one sync."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa

from sync_profiles.core.types import DistinctId, Key, Known, PendingRow
from sync_profiles.state import ordered, pending
from sync_profiles.state.database import Database
from sync_profiles.state.journal import blocks, has_rows
from sync_profiles.state.looking import Looking

LOOKUP_KEYS = 500
"""Keys in one look-up statement; more are no faster."""

OWNERS_IDS = 5000
"""IDs looked up by one scan."""

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


class SyncReader(Looking[Database]):
    """The state of one sync in the file.

    What was acknowledged but not merged yet (by a run that is under way or that died) is laid over what is merged.
    """

    # --- the sync itself ---------------------------------------------------------------------------------------

    def ordinal_limit(self) -> int:
        """One more than the largest ordinal given out: the size of a sweep's bitmap."""
        with self._database.reading() as connection:
            return self._of_sync(connection, "next_ordinal") or 0

    def known_count(self) -> int:
        """How many profiles are known."""
        with self._database.reading() as connection:
            merged: int = self._of_sync(connection, "profiles") or 0
            return merged + (self._unmerged_count(connection) if has_rows(connection, self._sync_id) else 0)

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
        close = ordered.neighbours(connection, self._sync_id, keys, _KNOWN)
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

    def _holders(self, ids: Sequence[DistinctId]) -> set[Key]:
        candidates: set[Key] = set()
        with self._database.reading() as connection:
            for block in blocks(ids, OWNERS_IDS):
                rows = connection.exec_driver_sql(_owners_sql(len(block)), (*block, *[self._sync_id] * 3))
                candidates.update(rows.scalars())
        return candidates

    def _unplaced(self) -> Sequence[Key]:
        query = (
            "SELECT DISTINCT key FROM journal j WHERE sync_id = ? AND NOT EXISTS ("
            " SELECT 1 FROM profile p WHERE p.sync_id = j.sync_id AND p.key = j.key)"
        )
        with self._database.reading() as connection:
            return connection.exec_driver_sql(query, (self._sync_id,)).scalars().all()

    # --- what is pending ---------------------------------------------------------------------------------------

    def waiting(self, keys: Sequence[Key]) -> Mapping[Key, PendingRow]:
        """Those of ``keys`` that are pending as kind "row"."""
        if not keys:
            return {}
        with self._database.reading() as connection:
            rows = pending.of_keys(self._database, connection, self._sync_id, "row", keys)
        return {row.key: row for row in rows}
