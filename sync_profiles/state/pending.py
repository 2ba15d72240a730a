"""Pending rows and batches in flight, as the state keeps them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

import msgspec
import sqlalchemy as sa

from sync_profiles.core.types import DistinctId, InFlight, Key, Outgoing, PendingKind, PendingRow, Shape
from sync_profiles.state import schema
from sync_profiles.state.database import Database
from sync_profiles.state.journal import blocks

INTERRUPTED = "interrupted"
INTERRUPTED_REASON = "a run ended before Mixpanel answered"

BLOCK = 500


class Flying(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What is written down of one profile in flight: never its values."""

    key: Key
    distinct_id: DistinctId | None
    shape_id: int
    removal: bool
    cause: str


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Flying]).decode


def identity(kind: PendingKind, key: Key, distinct_id: DistinctId | None) -> tuple[PendingKind, Key, str]:
    """What tells two pending rows apart: the key, and for a removal the ID to remove too."""
    return kind, key, (distinct_id or "") if kind == "gone" else ""


# --- pending rows --------------------------------------------------------------------------------------------------


def pending_row(row: Any, shape: Shape) -> PendingRow:
    """The value of one row of the table ``pending``."""
    return PendingRow(
        kind=row.kind,
        key=row.key,
        distinct_id=row.distinct_id,
        code=row.code,
        reason=row.reason,
        rejected=bool(row.rejected),
        attempts=row.attempts,
        since=row.since,
        next_try_at=row.next_try_at,
        fingerprint=row.fingerprint,
        shape=shape,
    )


def write(database: Database, connection: sa.Connection, sync_id: int, rows: Iterable[PendingRow]) -> None:
    """Write pending rows over those of the same identity."""
    values = []
    for row in rows:
        kind, key, gone_id = identity(row.kind, row.key, row.distinct_id)
        fields = {name: getattr(row, name) for name in row.__struct_fields__ if name != "shape"}
        shape_id = database.shape_id(connection, row.shape)
        values.append({**fields, "sync_id": sync_id, "gone_id": gone_id, "shape_id": shape_id})
    if values:
        connection.execute(sa.insert(schema.pending).prefix_with("OR REPLACE"), values)


def remove(connection: sa.Connection, sync_id: int, identities: Iterable[tuple[PendingKind, Key, str]]) -> None:
    """Drop pending rows by identity; those that are not there are fine."""
    values = [(sync_id, *one) for one in identities]
    if values:
        connection.exec_driver_sql(
            "DELETE FROM pending WHERE sync_id = ? AND kind = ? AND key = ? AND gone_id = ?", values
        )


def has_rows(connection: sa.Connection, sync_id: int, kind: PendingKind) -> bool:
    """Whether anything of this kind is pending; nearly always nothing is, and then nothing must be looked up."""
    found = connection.exec_driver_sql(
        "SELECT EXISTS (SELECT 1 FROM pending WHERE sync_id = ? AND kind = ?)", (sync_id, kind)
    )
    return bool(found.scalar_one())


def of_keys(connection: sa.Connection, sync_id: int, kind: PendingKind, keys: Sequence[Key]) -> list[Any]:
    """The rows of the table ``pending`` of one kind for these keys."""
    rows: list[Any] = []
    for block in blocks(keys, BLOCK):
        rows += connection.exec_driver_sql(_of_keys(len(block)), (*block, sync_id, kind)).all()
    return rows


def remove_waiting(connection: sa.Connection, sync_id: int, keys: Sequence[Key]) -> None:
    """Drop the rows of kind "row" of these keys."""
    for block in blocks(keys, BLOCK):
        connection.exec_driver_sql(_remove_waiting(len(block)), (sync_id, *block))


def hasten(connection: sa.Connection, sync_id: int, ids: Sequence[DistinctId] | None, now: float) -> int:
    """Make rows due that have one of ``ids`` (or all rows); returns how many there are."""
    table = schema.pending
    everything = (
        sa.update(table).where(table.c.sync_id == sync_id).values(next_try_at=sa.func.min(table.c.next_try_at, now))
    )
    if ids is None:
        return connection.execute(everything).rowcount
    return sum(
        connection.execute(everything.where(table.c.distinct_id.in_(block))).rowcount
        for block in blocks(list(dict.fromkeys(ids)), BLOCK)
    )


@cache
def _of_keys(count: int) -> str:
    return (
        f"SELECT p.* FROM (VALUES {','.join(['(?)'] * count)}) AS wanted"
        " CROSS JOIN pending p ON p.key = wanted.column1 AND p.sync_id = ? AND p.kind = ?"
    )


@cache
def _remove_waiting(count: int) -> str:
    return f"DELETE FROM pending WHERE sync_id = ? AND kind = 'row' AND key IN (VALUES {','.join(['(?)'] * count)})"


# --- in flight -----------------------------------------------------------------------------------------------------


def dispatch(database: Database, connection: sa.Connection, sync_id: int, batches: Iterable[InFlight]) -> None:
    """Write down batches that are about to be sent."""
    shape_id = database.shape_ids(connection)
    for batch in batches:
        profiles = _encode([_flying(profile, shape_id(profile.shape)) for profile in batch.profiles])
        connection.exec_driver_sql(
            "INSERT OR REPLACE INTO inflight (sync_id, number, profiles) VALUES (?, ?, ?)",
            (sync_id, batch.number, profiles),
        )


def _flying(profile: Outgoing, shape_id: int) -> Flying:
    distinct_id = profile.distinct_id if profile.distinct_id != profile.key else None
    return Flying(profile.key, distinct_id, shape_id, profile.fingerprint is None, profile.cause)


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
    keys = [profile.key for profile in profiles]
    before: dict[tuple[PendingKind, Key, str], PendingRow] = {}
    kinds: tuple[PendingKind, ...] = ("row", "gone")
    for row in [row for kind in kinds for row in of_keys(connection, sync_id, kind, keys)]:
        before[row.kind, row.key, row.gone_id] = pending_row(row, database.shape(connection, row.shape_id))
    revived: dict[tuple[PendingKind, Key, str], PendingRow] = {}
    for profile in profiles:
        distinct_id = profile.distinct_id if profile.distinct_id is not None else profile.key
        this = identity("gone" if profile.removal else "row", profile.key, distinct_id)
        shape = database.shape(connection, profile.shape_id)
        revived[this] = revived_row(profile, shape, revived.get(this) or before.get(this), now)
    write(database, connection, sync_id, revived.values())
    connection.execute(sa.delete(table).where(table.c.sync_id == sync_id))
    return len(profiles)


def revived_row(profile: Flying, shape: Shape, before: PendingRow | None, now: float) -> PendingRow:
    """The pending row of a profile that nobody knows the fate of.

    A removal is still asked for by its own "gone" row, which only becomes due. Of a row that was pending before, the
    properties that earlier requests may have written stay remembered.
    """
    if profile.removal and before is not None:
        return msgspec.structs.replace(before, next_try_at=min(before.next_try_at, now))
    earlier = before.shape if before is not None else ()
    return PendingRow(
        kind="gone" if profile.removal else "row",
        key=profile.key,
        distinct_id=profile.distinct_id if profile.distinct_id is not None else profile.key,
        code=profile.cause or INTERRUPTED,
        reason=INTERRUPTED_REASON,
        rejected=False,
        attempts=0,
        since=before.since if before is not None else now,
        next_try_at=now,
        shape=tuple(dict.fromkeys(earlier + shape)),
    )
