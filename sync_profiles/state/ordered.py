"""Keys that lie close together: looked up as one range, and written where they belong at once.

A pass in the order of the keys, which a first run and a backfill mostly are, touches a few pages of the file for
thousands of rows. Then the way through the journal would only double the work and the size of the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa

from sync_profiles.core.types import Acknowledged, Key
from sync_profiles.state.database import Database

STRANGERS_MAX = 1000
"""So many known keys may lie between those of a settlement beyond as many as it has."""

INSERT_ROWS = 250
"""One statement with this many rows costs two thirds of as many executions."""

_BETWEEN = "FROM profile p WHERE p.sync_id = ? AND p.key BETWEEN ? AND ?"
_NEW = "FROM profile WHERE sync_id = :sync AND key BETWEEN :least AND :largest AND ordinal >= :next"
_COUNT_NEW = f"SELECT count(*) {_NEW}"
_CLOSE_GAPS = f"""
UPDATE profile SET ordinal = ranked.ordinal FROM (
  SELECT key, :next - 1 + row_number() OVER (ORDER BY ordinal) AS ordinal {_NEW}) AS ranked
WHERE profile.sync_id = :sync AND profile.key = ranked.key
"""


def are_close(connection: sa.Connection, sync_id: int, keys: Sequence[Key]) -> int | None:
    """How many are known from the least of ``keys`` to the largest; None when that is too much to call them close."""
    limit, place = len(keys) + STRANGERS_MAX, (sync_id, min(keys), max(keys))
    counted = connection.exec_driver_sql(f"SELECT count(*) FROM (SELECT 1 {_BETWEEN} LIMIT ?)", (*place, limit + 1))
    count: int = counted.scalar_one()
    return count if count <= limit else None


def neighbours(
    connection: sa.Connection, sync_id: int, keys: Sequence[Key], columns: str
) -> Sequence[Sequence[Any]] | None:
    """What is known from the least of ``keys`` to the largest; None when they are not close.

    Reading a range costs a third of asking for each of its keys.
    """
    count = are_close(connection, sync_id, keys)
    if not count:
        return [] if count == 0 else None
    place = (sync_id, min(keys), max(keys))
    return fetched(connection.exec_driver_sql(f"SELECT {columns} {_BETWEEN}", place))


def fetched(result: sa.CursorResult[Any]) -> Sequence[Sequence[Any]]:
    """All rows as the driver's own tuples: SQLAlchemy's rows would cost as much again."""
    with result:
        return result.cursor.fetchall() if result.cursor is not None else ()


def write(
    database: Database, connection: sa.Connection, place: tuple[int, int, int], acknowledged: Sequence[Acknowledged]
) -> None:
    """Write acknowledgements of one key each into ``profile``; ``place`` is (sync, acknowledged at, run)."""
    ordered = sorted(acknowledged, key=_key)
    next_ordinal: int = connection.exec_driver_sql("SELECT next_ordinal FROM sync WHERE id = ?", place[:1]).scalar_one()
    columns: tuple[Sequence[object], ...] = (
        [entry.key for entry in ordered],
        [None if entry.distinct_id == entry.key else entry.distinct_id for entry in ordered],
        [entry.fingerprint for entry in ordered],
        database.shape_numbers(connection, [entry.shape for entry in ordered]),
        range(next_ordinal, next_ordinal + len(ordered)),  # a key that is known keeps its own
    )
    for start in range(0, len(ordered), INSERT_ROWS):
        count = min(INSERT_ROWS, len(ordered) - start)
        flat: list[object] = [None] * (len(columns) * count)
        for index, column in enumerate(columns):
            flat[index :: len(columns)] = column[start : start + count]
        connection.exec_driver_sql(_upsert(count), (*place, *flat))
    touched = {"sync": place[0], "least": ordered[0].key, "largest": ordered[-1].key, "next": next_ordinal}
    new: int = connection.exec_driver_sql(_COUNT_NEW, touched).scalar_one()
    if 0 < new < len(ordered):
        connection.exec_driver_sql(_CLOSE_GAPS, touched)
    connection.exec_driver_sql(
        "UPDATE sync SET next_ordinal = next_ordinal + ?, profiles = profiles + ? WHERE id = ?", (new, new, place[0])
    )


def _key(entry: Acknowledged) -> Key:
    return entry.key


@cache
def _upsert(rows: int) -> str:
    values = ",".join(["(?,?,?,?,?)"] * rows)
    # WHERE true: without it SQLite would take ON for a join's (sqlite.org/lang_upsert.html, 2.2).
    return (
        "INSERT INTO profile (sync_id, acknowledged_at, run, key, distinct_id, fingerprint, shape_id, ordinal)"
        f" SELECT ?, ?, ?, column1, column2, column3, column4, column5 FROM (VALUES {values}) WHERE true"
        " ON CONFLICT (sync_id, key) DO UPDATE SET distinct_id = excluded.distinct_id,"
        " fingerprint = excluded.fingerprint, shape_id = excluded.shape_id,"
        " acknowledged_at = excluded.acknowledged_at, run = excluded.run"
    )
