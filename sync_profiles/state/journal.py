"""Acknowledgements as they come in, and their merge into the order of the keys.

Writing them in the order of the keys right away would rewrite one page of the file for almost every row. So they are
appended to a journal, which is merged into the table ``profile`` in key order: at the end of a run, at the start of
the next one after a crash, and whenever it has grown long.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, TypeVar

import sqlalchemy as sa

from sync_profiles.core.types import Key
from sync_profiles.state.database import Database

MERGE_ROWS = 250_000
"""A longer journal is merged; bounds the memory for its keys' hashes and what is left to do after a crash."""

CHUNK_ROWS = 10_000
"""Rows of one transaction of a merge: nobody else waits longer than a fraction of a second."""

INSERT_ROWS = 100
"""One statement with this many rows costs two thirds of as many executions."""

T = TypeVar("T")


def blocks(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """``values`` in slices of at most ``size``."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


@cache
def _insert(rows: int) -> str:
    values = ",".join(["(?,?,?,?)"] * rows)
    return (
        "INSERT INTO journal (sync_id, acknowledged_at, run, key, distinct_id, fingerprint, shape_id)"
        f" SELECT ?, ?, ?, column1, column2, column3, column4 FROM (VALUES {values})"
    )


class Journal:
    """The journal of one sync while it runs.

    ``rows`` counts them; the hashes of their keys tell whether a look-up in ``profile`` could miss something.
    """

    def __init__(self, database: Database, sync_id: int) -> None:
        self._database = database
        self._sync_id = sync_id
        self._clear()

    def _clear(self) -> None:
        self.rows = 0
        self._keys: set[int] = set()

    def note(self, keys: Sequence[Key]) -> None:
        """Remember what was appended; called once it is committed."""
        self.rows += len(keys)
        self._keys.update(map(hash, keys))

    def may_hold(self, keys: Sequence[Key]) -> bool:
        """Whether one of ``keys`` may be in the journal; False is certain."""
        return bool(self._keys) and not self._keys.isdisjoint(map(hash, keys))

    def merge(self) -> None:
        """Bring the journal into key order and empty it."""
        merge(self._database, self._sync_id)
        self._clear()


def append(connection: sa.Connection, place: tuple[int, int, int], columns: Sequence[Sequence[object]]) -> None:
    """Append rows; ``place`` is (sync, acknowledged at, run), the columns are keys, IDs, fingerprints and shapes.

    An ID is None where it is the key. A row of None but for its key says that the key is no longer known.
    """
    total = len(columns[0])
    for start in range(0, total, INSERT_ROWS):
        count = min(INSERT_ROWS, total - start)
        flat: list[object] = [None] * (4 * count)
        for index, column in enumerate(columns):
            flat[index::4] = column[start : start + count]
        connection.exec_driver_sql(_insert(count), (*place, *flat))


def has_rows(connection: sa.Connection, sync_id: int) -> bool:
    """Whether this sync has anything in the journal."""
    found = connection.exec_driver_sql("SELECT EXISTS (SELECT 1 FROM journal WHERE sync_id = ?)", (sync_id,))
    return bool(found.scalar_one())


# --- merging -------------------------------------------------------------------------------------------------------

# With one max() SQLite takes the other columns from the row that holds it (sqlite.org/lang_select.html, 2.5): the
# last word on each key. GROUP BY sorts, so the positions follow the order of the keys.
_SORT = """
INSERT INTO temp.merging (key, distinct_id, fingerprint, shape_id, acknowledged_at, run)
SELECT key, distinct_id, fingerprint, shape_id, acknowledged_at, run FROM (
  SELECT key, distinct_id, fingerprint, shape_id, acknowledged_at, run, max(seq)
  FROM journal WHERE sync_id = ? GROUP BY key ORDER BY key)
"""
_INSERT_NEW = """
INSERT INTO profile (sync_id, key, distinct_id, fingerprint, shape_id, acknowledged_at, run, ordinal)
SELECT :sync, key, distinct_id, fingerprint, shape_id, acknowledged_at, run, :next + pos - :after - 1
FROM temp.merging WHERE pos > :after AND pos <= :upto AND fingerprint IS NOT NULL
ORDER BY pos ON CONFLICT (sync_id, key) DO NOTHING
"""
_CLOSE_GAPS = """
UPDATE profile SET ordinal = ranked.ordinal FROM (
  SELECT p.key AS key, :next - 1 + row_number() OVER (ORDER BY m.pos) AS ordinal
  FROM temp.merging m CROSS JOIN profile p ON p.sync_id = :sync AND p.key = m.key
  WHERE m.pos > :after AND m.pos <= :upto AND p.ordinal >= :next) AS ranked
WHERE profile.sync_id = :sync AND profile.key = ranked.key
"""
# Every row is there by now, so this only updates; it is cheaper than UPDATE … FROM.
_UPDATE_ALL = """
INSERT INTO profile (sync_id, key, distinct_id, fingerprint, shape_id, acknowledged_at, run, ordinal)
SELECT :sync, key, distinct_id, fingerprint, shape_id, acknowledged_at, run, 0
FROM temp.merging WHERE pos > :after AND pos <= :upto AND fingerprint IS NOT NULL
ORDER BY pos ON CONFLICT (sync_id, key) DO UPDATE SET distinct_id = excluded.distinct_id,
  fingerprint = excluded.fingerprint, shape_id = excluded.shape_id, acknowledged_at = excluded.acknowledged_at,
  run = excluded.run
"""
_DELETE_FORGOTTEN = """
DELETE FROM profile WHERE sync_id = :sync AND key IN (
  SELECT key FROM temp.merging WHERE pos > :after AND pos <= :upto AND fingerprint IS NULL)
"""


def merge(database: Database, sync_id: int) -> None:
    """Merge the journal of one sync into ``profile`` in key order, in short transactions.

    It empties the journal last: a crash in between leaves it whole, and merging it again changes nothing.
    """
    with database.reading() as connection:
        if not has_rows(connection, sync_id):
            return
        connection.exec_driver_sql(
            "CREATE TEMP TABLE IF NOT EXISTS merging (pos INTEGER PRIMARY KEY, key TEXT, distinct_id TEXT,"
            " fingerprint BLOB, shape_id INTEGER, acknowledged_at INTEGER, run INTEGER)"
        )
        connection.exec_driver_sql("DELETE FROM temp.merging")
        connection.exec_driver_sql(_SORT, (sync_id,))
        total: int = connection.exec_driver_sql("SELECT coalesce(max(pos), 0) FROM temp.merging").scalar_one()
        last: int = connection.exec_driver_sql("SELECT max(seq) FROM journal").scalar_one()
    for after in range(0, total, CHUNK_ROWS):
        with database.writing() as connection:
            _merge_chunk(connection, sync_id, after, min(after + CHUNK_ROWS, total))
    with database.writing() as connection:
        _empty(connection, sync_id, last)
        connection.exec_driver_sql("DELETE FROM temp.merging")


def _merge_chunk(connection: sa.Connection, sync_id: int, after: int, upto: int) -> None:
    next_ordinal = connection.exec_driver_sql("SELECT next_ordinal FROM sync WHERE id = ?", (sync_id,)).scalar_one()
    place: Any = {"sync": sync_id, "next": next_ordinal, "after": after, "upto": upto}
    inserted = connection.exec_driver_sql(_INSERT_NEW, place).rowcount
    removed = 0
    if inserted < upto - after:
        if inserted:
            connection.exec_driver_sql(_CLOSE_GAPS, place)
        connection.exec_driver_sql(_UPDATE_ALL, place)
        removed = connection.exec_driver_sql(_DELETE_FORGOTTEN, place).rowcount
    connection.exec_driver_sql(
        "UPDATE sync SET next_ordinal = next_ordinal + ?, profiles = profiles + ? WHERE id = ?",
        (inserted, inserted - removed, sync_id),
    )


def _empty(connection: sa.Connection, sync_id: int, last: int) -> None:
    others = connection.exec_driver_sql(
        "SELECT EXISTS (SELECT 1 FROM journal WHERE sync_id <> ? OR seq > ?)", (sync_id, last)
    )
    if others.scalar_one():
        connection.exec_driver_sql("DELETE FROM journal WHERE sync_id = ? AND seq <= ?", (sync_id, last))
    else:
        connection.exec_driver_sql("DELETE FROM journal")  # without WHERE SQLite drops the pages unread
