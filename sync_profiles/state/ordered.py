"""Keys that lie close together: looked up as one range, and written where they belong at once.

A pass in the order of the keys, which a first run and a backfill mostly are, touches a few pages of the file for
thousands of rows. Then the way through the journal would only double the work and the size of the file.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple

import sqlalchemy as sa

from sync_profiles.core.types import Acknowledged, Key, Outgoing
from sync_profiles.state.database import Database

STRANGERS_MAX = 1000
"""So many known keys may lie between those that are wanted beyond as many as there are of these."""

STRANGERS_A_NUMBER = 12
"""So many for each where keys are numbers: in the order of texts all of 120000 to 129999 lie between 12 and 13."""

INSERT_ROWS = 250
"""One statement with this many rows costs two thirds of as many executions."""

_WITHIN = "FROM profile p WHERE p.sync_id = ? AND p.key BETWEEN ? AND ?"
_TOUCH = "UPDATE profile SET acknowledged_at = ?, run = ? WHERE sync_id = ? AND key BETWEEN ? AND ?"
_NEW = "FROM profile WHERE sync_id = :sync AND key BETWEEN :least AND :largest AND ordinal >= :next"
_COUNT_NEW = f"SELECT count(*) {_NEW}"
_CLOSE_GAPS = f"""
UPDATE profile SET ordinal = ranked.ordinal FROM (
  SELECT key, :next - 1 + row_number() OVER (ORDER BY ordinal) AS ordinal {_NEW}) AS ranked
WHERE profile.sync_id = :sync AND profile.key = ranked.key
"""


class Range(NamedTuple):
    """Keys of one or more rows, and from which to which they lie; ``digits``: numbers of so many, none with others."""

    keys: Sequence[Key]
    least: Key
    largest: Key
    digits: int | None


def ranges(keys: Collection[Key]) -> list[Range]:
    """Keys as the ranges they lie in: numbers of as many digits each, which are in the order of their texts then."""
    joined = "".join(keys)
    if not (joined.isascii() and joined.isdigit()):
        return [Range(list(keys), min(keys), max(keys), None)] if keys else []
    several = {digits: [key for key in keys if len(key) == digits] for digits in set(map(len, keys))}
    return [Range(some, min(some), max(some), digits) for digits, some in several.items()]


def are_close(connection: sa.Connection, sync_id: int, several: Sequence[Range]) -> bool:
    """Whether so few keys are known in each of the ranges that walking along them is cheap."""
    for each in several:
        limit = STRANGERS_MAX + len(each.keys) * (STRANGERS_A_NUMBER if each.digits else 1)
        place = (sync_id, each.least, each.largest, limit + 1)
        found = connection.exec_driver_sql(f"SELECT count(*) FROM (SELECT 1 {_WITHIN} LIMIT ?)", place)
        if found.scalar_one() > limit:
            return False
    return True


def neighbours(
    connection: sa.Connection, sync_id: int, keys: Collection[Key], columns: str
) -> Sequence[Sequence[Any]] | None:
    """What is known of the ranges that ``keys`` lie in; None when they are not close.

    Reading a range costs a third of asking for each of its keys.
    """
    several = ranges(keys)
    if not are_close(connection, sync_id, several):
        return None
    rows: list[Sequence[Any]] = []
    for each in several:
        condition, place = _condition(each, sync_id)
        rows += fetched(connection.exec_driver_sql(f"SELECT {columns} {_WITHIN}{condition}", place))
    return rows


def fetched(result: sa.CursorResult[Any]) -> Sequence[Sequence[Any]]:
    """All rows as the driver's own tuples: SQLAlchemy's rows would cost as much again."""
    with result:
        return result.cursor.fetchall() if result.cursor is not None else ()


def write(
    database: Database,
    connection: sa.Connection,
    place: tuple[int, int, int],
    within: Range,
    acknowledged: Sequence[Acknowledged | Outgoing],
) -> None:
    """Write acknowledgements of one key each, those of a range, into ``profile``.

    ``place`` is (sync, acknowledged at, run). Where all is as it is known only the last two change.
    """
    others = [entry for entry in acknowledged if not entry.confirms]
    few = len(others) < min(len(acknowledged), INSERT_ROWS)
    if few and _touched(connection, place, within, [entry.key for entry in others]):
        acknowledged = others
    if acknowledged:
        _write(database, connection, place, acknowledged)


def _touched(connection: sa.Connection, place: tuple[int, int, int], within: Range, others: Sequence[Key]) -> bool:
    """Note the time and the run of all keys of a range but ``others``; False if more or less are known there."""
    condition, values = _condition(within, place[0])
    condition += f" AND key NOT IN (VALUES {','.join(['(?)'] * len(others))})" if others else ""
    known = connection.exec_driver_sql(f"SELECT count(*) {_WITHIN}{condition}", (*values, *others)).scalar_one()
    if known != len(within.keys) - len(others):
        return False
    connection.exec_driver_sql(f"{_TOUCH}{condition}", (*place[1:], *values, *others))
    return True


def _write(
    database: Database,
    connection: sa.Connection,
    place: tuple[int, int, int],
    acknowledged: Sequence[Acknowledged | Outgoing],
) -> None:
    ordered = sorted(acknowledged, key=attrgetter("key"))
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


def _condition(within: Range, sync_id: int) -> tuple[str, tuple[object, ...]]:
    """What is to be added to a walk along a range, and the values of both."""
    place = (sync_id, within.least, within.largest)
    return ("", place) if within.digits is None else (" AND length(key) = ?", (*place, within.digits))


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
