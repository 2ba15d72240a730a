"""What can be looked up in the state of one sync in PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from sync_profiles.core.types import DistinctId, Key, Known, PendingKind, PendingRow
from sync_profiles.state.looking import Looking
from sync_profiles.state.postgres.arrays import text_array
from sync_profiles.state.postgres.database import SCHEMA, Database
from sync_profiles.state.postgres.schema import ordinals
from sync_profiles.state.rows import pending_row


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
        query = (
            "SELECT key, distinct_id, fingerprint, shape_id, acknowledged_at, run, ordinal"
            f" FROM {SCHEMA}.profile WHERE sync_id = %s AND key = ANY(%s::text[])"
        )
        with self._database.reading() as connection:
            # The driver's own tuples: SQLAlchemy's rows would add nothing but their cost.
            rows = connection.exec_driver_sql(query, (self._sync_id, text_array(keys))).cursor.fetchall()
            shapes = {number: self._database.shape(connection, number) for number in {row[3] for row in rows}}
        return {
            key: Known(key if own is None else own, fingerprint, shapes[shape], at, run, ordinal)
            for key, own, fingerprint, shape, at, run, ordinal in rows
        }

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
