"""Batches whose answer is not settled: written down before they leave, looked at again after a crash."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec
import sqlalchemy as sa

from sync_profiles.core.types import DistinctId, InFlight, Key, Outgoing, PendingKind, PendingRow, Shape
from sync_profiles.state import pending, schema
from sync_profiles.state.database import Database
from sync_profiles.state.rows import StateDatabase, identity, identity_of

INTERRUPTED = "interrupted"
INTERRUPTED_REASON = "a run ended before Mixpanel answered"


class Flying(msgspec.Struct, frozen=True):
    """What is known again of one profile in flight."""

    key: Key
    distinct_id: DistinctId
    shape: Shape
    removal: bool
    cause: str

    @property
    def kind(self) -> PendingKind:
        """Of the pending row that it becomes."""
        return "gone" if self.removal else "row"


class _Written(msgspec.Struct, frozen=True, array_like=True):
    """What is written down of a batch in flight, never its values: an entry for each profile.

    ``ids`` has None where the ID is the key. ``removals`` are indexes; ``causes`` are by index, of those that have one.
    """

    keys: list[Key]
    ids: list[DistinctId | None]
    shape_ids: list[int]
    removals: list[int]
    causes: dict[int, str]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Written).decode


def dispatch(database: Database, connection: sa.Connection, sync_id: int, batches: Iterable[InFlight]) -> None:
    """Write down batches that are about to be sent."""
    for batch in batches:
        connection.exec_driver_sql(
            "INSERT OR REPLACE INTO inflight (sync_id, number, profiles) VALUES (?, ?, ?)",
            (sync_id, batch.number, written(database, connection, batch.profiles)),
        )


def written(database: StateDatabase, connection: sa.Connection, profiles: Sequence[Outgoing]) -> bytes:
    """What is written down of a batch, by ``_Written``."""
    flying = _Written(
        [profile.key for profile in profiles],
        [profile.distinct_id if profile.distinct_id != profile.key else None for profile in profiles],
        database.shape_numbers(connection, [profile.shape for profile in profiles]),
        [index for index, profile in enumerate(profiles) if profile.fingerprint is None],
        {index: profile.cause for index, profile in enumerate(profiles) if profile.cause},
    )
    return _encode(flying)


def _read(database: StateDatabase, connection: sa.Connection, blob: bytes) -> Iterator[Flying]:
    batch = _decode(blob)
    removals = set(batch.removals)
    for index, (key, own_id, number) in enumerate(zip(batch.keys, batch.ids, batch.shape_ids, strict=True)):
        shape = database.shape(connection, number)
        distinct_id = key if own_id is None else own_id
        yield Flying(key, distinct_id, shape, index in removals, batch.causes.get(index, ""))


def profiles_of(database: StateDatabase, connection: sa.Connection, blobs: Iterable[bytes]) -> list[Flying]:
    """The profiles of batches that were written down."""
    return [profile for blob in blobs for profile in _read(database, connection, blob)]


def land(connection: sa.Connection, sync_id: int, numbers: Iterable[int]) -> None:
    """Forget batches whose answer is settled."""
    values = [(sync_id, number) for number in numbers]
    if values:
        connection.exec_driver_sql("DELETE FROM inflight WHERE sync_id = ? AND number = ?", values)


def revive(database: Database, connection: sa.Connection, sync_id: int, now: float) -> int:
    """Turn what a dead run left in flight into pending rows that are due; returns how many profiles that were."""
    table = schema.inflight
    query = sa.select(table.c.profiles).where(table.c.sync_id == sync_id).order_by(table.c.number)
    blobs = connection.execute(query).scalars().all()
    profiles = profiles_of(database, connection, blobs)
    kinds: tuple[PendingKind, ...] = ("row", "gone")
    keys = [profile.key for profile in profiles]
    before = [row for kind in kinds for row in pending.of_keys(database, connection, sync_id, kind, keys)]
    pending.write(database, connection, sync_id, revived(profiles, before, now))
    connection.execute(sa.delete(table).where(table.c.sync_id == sync_id))
    return len(profiles)


def revived(profiles: Sequence[Flying], before: Sequence[PendingRow], now: float) -> list[PendingRow]:
    """The pending rows that profiles in flight become, where ``before`` is what was pending of their keys."""
    rows = {identity_of(row): row for row in before}
    touched = {}
    for profile in profiles:
        place = identity(profile.kind, profile.key, profile.distinct_id)
        rows[place] = touched[place] = _revived(profile, rows.get(place), now)
    return list(touched.values())


def _revived(profile: Flying, before: PendingRow | None, now: float) -> PendingRow:
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
        shape=tuple(dict.fromkeys(earlier + profile.shape)),
    )
