"""Batches whose answer is not settled: written down before they leave, looked at again after a crash."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import sqlalchemy as sa

from sync_profiles.core.types import DistinctId, InFlight, Key, Outgoing, PendingKind, PendingRow, Shape
from sync_profiles.state import pending, schema
from sync_profiles.state.database import Database

INTERRUPTED = "interrupted"
INTERRUPTED_REASON = "a run ended before Mixpanel answered"


class _Flying(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What is written down of one profile in flight, never its values; ``own_id`` None: the ID is the key."""

    key: Key
    own_id: DistinctId | None
    shape_id: int
    removal: bool
    cause: str

    @property
    def distinct_id(self) -> DistinctId:
        return self.own_id if self.own_id is not None else self.key

    @property
    def kind(self) -> PendingKind:
        return "gone" if self.removal else "row"


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[_Flying]).decode


def dispatch(database: Database, connection: sa.Connection, sync_id: int, batches: Iterable[InFlight]) -> None:
    """Write down batches that are about to be sent."""
    shape_id = database.shape_ids(connection)
    for batch in batches:
        profiles = _encode([_flying(profile, shape_id(profile.shape)) for profile in batch.profiles])
        connection.exec_driver_sql(
            "INSERT OR REPLACE INTO inflight (sync_id, number, profiles) VALUES (?, ?, ?)",
            (sync_id, batch.number, profiles),
        )


def _flying(profile: Outgoing, shape_id: int) -> _Flying:
    own_id = profile.distinct_id if profile.distinct_id != profile.key else None
    return _Flying(profile.key, own_id, shape_id, profile.fingerprint is None, profile.cause)


def land(connection: sa.Connection, sync_id: int, numbers: Iterable[int]) -> None:
    """Forget batches whose answer is settled."""
    values = [(sync_id, number) for number in numbers]
    if values:
        connection.exec_driver_sql("DELETE FROM inflight WHERE sync_id = ? AND number = ?", values)


def revive(database: Database, connection: sa.Connection, sync_id: int, now: float) -> int:
    """Turn what a dead run left in flight into pending rows that are due; returns how many profiles that were."""
    table = schema.inflight
    query = sa.select(table.c.profiles).where(table.c.sync_id == sync_id).order_by(table.c.number)
    profiles = [profile for blob in connection.execute(query).scalars() for profile in _decode(blob)]
    kinds: tuple[PendingKind, ...] = ("row", "gone")
    rows = {
        pending.identity(row.kind, row.key, row.distinct_id): row
        for kind in kinds
        for row in pending.of_keys(database, connection, sync_id, kind, [profile.key for profile in profiles])
    }
    touched = {}
    for profile in profiles:
        identity = pending.identity(profile.kind, profile.key, profile.distinct_id)
        shape = database.shape(connection, profile.shape_id)
        rows[identity] = touched[identity] = _revived(profile, shape, rows.get(identity), now)
    pending.write(database, connection, sync_id, touched.values())
    connection.execute(sa.delete(table).where(table.c.sync_id == sync_id))
    return len(profiles)


def _revived(profile: _Flying, shape: Shape, before: PendingRow | None, now: float) -> PendingRow:
    """The pending row of a profile that nobody knows the fate of.

    A removal is still asked for by its own "gone" row, which only becomes due. Of a row that was pending before, the
    properties that earlier requests may have written stay remembered.
    """
    if profile.removal and before is not None:
        return msgspec.structs.replace(before, next_try_at=min(before.next_try_at, now))
    earlier = before.shape if before is not None else ()
    return PendingRow(
        kind=profile.kind,
        key=profile.key,
        distinct_id=profile.distinct_id,
        code=profile.cause or INTERRUPTED,
        reason=INTERRUPTED_REASON,
        rejected=False,
        attempts=0,
        since=before.since if before is not None else now,
        next_try_at=now,
        shape=tuple(dict.fromkeys(earlier + shape)),
    )
