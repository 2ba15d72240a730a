"""What can be looked up in the state of one sync in PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from sync_profiles.core.types import DistinctId, Key, Known, PendingKind, PendingRow
from sync_profiles.state.looking import SWEEP_KEYS, Looking
from sync_profiles.state.postgres.arrays import text_array
from sync_profiles.state.postgres.database import SCHEMA, Database
from sync_profiles.state.postgres.schema import ordinals
from sync_profiles.state.rows import pending_row

STRANGERS_MAX = 1000
"""So many known keys may lie between those that are looked up beyond as many as there are of these."""

# Keys that lie close together are read as one range, which costs a third; others one by one. LIMIT keeps the planner
# from reading the whole table instead, which it likes while it has no statistics of it.
_COLUMNS = "key, distinct_id, fingerprint, shape_id, acknowledged_at, run, ordinal"
_BETWEEN = f"FROM {SCHEMA}.profile WHERE sync_id = %s AND key BETWEEN %s AND %s"
_KNOWN = (
    f"WITH near AS MATERIALIZED (SELECT count(*) <= %s AS close FROM (SELECT {_BETWEEN} LIMIT %s) AS neighbours)"
    f" SELECT {_COLUMNS} {_BETWEEN} AND (SELECT close FROM near)"
    " UNION ALL SELECT p.* FROM unnest(CASE WHEN NOT (SELECT close FROM near) THEN %s::text[] END) AS wanted (key)"
    f" CROSS JOIN LATERAL (SELECT {_COLUMNS} FROM {SCHEMA}.profile"
    " WHERE sync_id = %s AND key = wanted.key LIMIT 1) AS p"
)


# Without statistics the planner would rather sort the whole table for each page than walk along the index.
_IN_ORDER = "SELECT " + ", ".join(
    f"pg_catalog.set_config('enable_{way}', 'off', true)" for way in ("sort", "bitmapscan", "seqscan")
)


class ServerReader(Looking[Database]):
    """The state of one sync in PostgreSQL; what a running run settled is seen at once."""

    def ordinal_limit(self) -> int:
        """One more than the largest ordinal given out; a crash or a rolled back transaction leaves small gaps."""
        if not self._sync_id:
            return 0
        query = f"SELECT last_value + is_called::int FROM {ordinals(self._sync_id)}"
        with self._database.reading() as connection:
            limit: int = connection.exec_driver_sql(query).scalar_one()
        return limit

    def known_count(self) -> int:
        """How many profiles are known."""
        query = f"SELECT coalesce(sum(profiles), 0)::bigint FROM {SCHEMA}.tally WHERE sync_id = %s"
        with self._database.reading() as connection:
            count: int = connection.exec_driver_sql(query, (self._sync_id,)).scalar_one()
        return count

    def known(self, keys: Sequence[Key]) -> Mapping[Key, Known]:
        """Those of ``keys`` that Mixpanel acknowledged before, as of the last settlement."""
        if not keys:
            return {}
        wanted, most = set(keys), len(keys) + STRANGERS_MAX
        between = (self._sync_id, min(keys), max(keys))
        place = (most, *between, most + 1, *between, text_array(keys), self._sync_id)
        with self._database.reading() as connection:
            # The driver's own tuples: SQLAlchemy's rows would add nothing but their cost.
            rows = connection.exec_driver_sql(_KNOWN, place).cursor.fetchall()
            shapes = {number: self._database.shape(connection, number) for number in {row[3] for row in rows}}
        return {
            key: Known(key if own is None else own, fingerprint, shapes[shape], at, run, ordinal)
            for key, own, fingerprint, shape, at, run, ordinal in rows
            if key in wanted
        }

    def _page(self, after: Key | None, ordinal_limit: int) -> Sequence[Sequence[Any]]:
        query = (
            f"{_IN_ORDER}; SELECT key, ordinal FROM {SCHEMA}.profile"
            " WHERE sync_id = %s AND key >= %s AND key IS DISTINCT FROM %s AND ordinal < %s ORDER BY key LIMIT %s"
        )
        place = (self._sync_id, after or "", after, ordinal_limit, SWEEP_KEYS)
        with self._database.reading() as connection:
            return connection.exec_driver_sql(query, place).all()

    def _holders(self, ids: Sequence[DistinctId]) -> set[Key]:
        query = (
            f"SELECT key FROM {SCHEMA}.profile WHERE sync_id = %s"
            " AND (key = ANY(%s::text[]) AND distinct_id IS NULL OR distinct_id = ANY(%s::text[]))"
        )
        wanted = text_array(ids)
        with self._database.reading() as connection:
            return set(connection.exec_driver_sql(query, (self._sync_id, wanted, wanted)).scalars())

    def waiting(self, keys: Sequence[Key]) -> Mapping[Key, PendingRow]:
        """Those of ``keys`` that are pending as kind "row"."""
        if not keys:
            return {}
        with self._database.reading() as connection:
            return {row.key: row for row in self._pending_of(connection, keys, "row")}

    def _pending_of(self, connection: sa.Connection, keys: Sequence[Key], *kinds: PendingKind) -> list[PendingRow]:
        query = f"SELECT * FROM {SCHEMA}.pending WHERE sync_id = %s AND kind = ANY(%s) AND key = ANY(%s::text[])"
        found = connection.exec_driver_sql(query, (self._sync_id, list(kinds), text_array(keys))).all()
        return [pending_row(self._database, connection, row) for row in found]
