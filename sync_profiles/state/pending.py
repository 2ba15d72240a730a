"""Pending rows in the state file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

import sqlalchemy as sa

from sync_profiles.core.types import Key, PendingKind, PendingRow
from sync_profiles.state import schema
from sync_profiles.state.database import Database
from sync_profiles.state.journal import blocks
from sync_profiles.state.rows import identity_of, pending_row
from sync_profiles.state.rows import laid_over as laid

BLOCK = 500


def write(database: Database, connection: sa.Connection, sync_id: int, rows: Iterable[PendingRow]) -> None:
    """Write pending rows in place of those of the same identity."""
    values = []
    for row in rows:
        fields = {name: getattr(row, name) for name in row.__struct_fields__ if name != "shape"}
        gone_id = identity_of(row)[2]
        shape_id = database.shape_id(connection, row.shape)
        values.append({**fields, "sync_id": sync_id, "gone_id": gone_id, "shape_id": shape_id})
    if values:
        connection.execute(sa.insert(schema.pending).prefix_with("OR REPLACE"), values)


def laid_over(
    database: Database, connection: sa.Connection, sync_id: int, rows: Sequence[PendingRow]
) -> list[PendingRow]:
    """What is to be written for ``rows``, with what is remembered of removals that were asked for before."""
    gone = [row.key for row in rows if row.kind == "gone"]
    return laid(rows, of_keys(database, connection, sync_id, "gone", gone) if gone else [])


def remove(connection: sa.Connection, sync_id: int, identities: Iterable[tuple[PendingKind, Key, str]]) -> None:
    """Drop pending rows by identity; those that are not there are fine."""
    values = [(sync_id, *one) for one in identities]
    if values:
        connection.exec_driver_sql(
            "DELETE FROM pending WHERE sync_id = ? AND kind = ? AND key = ? AND gone_id = ?", values
        )


def acknowledge(connection: sa.Connection, sync_id: int, keys: Sequence[Key]) -> None:
    """Drop the rows of kind "row" of these keys."""
    if _has_rows(connection, sync_id, "row"):
        for block in blocks(keys, BLOCK):
            connection.exec_driver_sql(_acknowledge_sql(len(block)), (sync_id, *block))


def of_keys(
    database: Database, connection: sa.Connection, sync_id: int, kind: PendingKind, keys: Sequence[Key]
) -> list[PendingRow]:
    """The pending rows of one kind for these keys."""
    found: list[PendingRow] = []
    if _has_rows(connection, sync_id, kind):
        for block in blocks(keys, BLOCK):
            rows = connection.exec_driver_sql(_of_keys_sql(len(block)), (*block, sync_id, kind)).all()
            found += [pending_row(database, connection, row) for row in rows]
    return found


def _has_rows(connection: sa.Connection, sync_id: int, kind: PendingKind) -> bool:
    """Nearly always nothing is pending, and then nothing must be looked up."""
    found = connection.exec_driver_sql(
        "SELECT EXISTS (SELECT 1 FROM pending WHERE sync_id = ? AND kind = ?)", (sync_id, kind)
    )
    return bool(found.scalar_one())


@cache
def _of_keys_sql(count: int) -> str:
    return (
        f"SELECT p.* FROM (VALUES {','.join(['(?)'] * count)}) AS wanted"
        " CROSS JOIN pending p ON p.key = wanted.column1 AND p.sync_id = ? AND p.kind = ?"
    )


@cache
def _acknowledge_sql(count: int) -> str:
    values = ",".join(["(?)"] * count)
    return f"DELETE FROM pending WHERE sync_id = ? AND kind = 'row' AND gone_id = '' AND key IN (VALUES {values})"
