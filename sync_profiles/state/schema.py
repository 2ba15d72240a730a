"""The tables of the state and the way from an older version to this one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import sqlalchemy as sa

from sync_profiles.errors import StateError

APPLICATION_ID = 0x53795072
"""Stands in the header of every state file ("SyPr"), so that no other SQLite file is mistaken for one."""

REBUILD = "move the file away and run `sync-profiles state reset`; the next run then sends every profile again"

Migration = Callable[[sa.Connection], None]

metadata = sa.MetaData()


def _number(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=nullable)


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=nullable)


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False, server_default="0")


sync = sa.Table(
    "sync",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    _text("watermark", nullable=True),
    _text("identity", nullable=True),
    _count("profiles"),
    _count("next_ordinal"),
    _count("last_number"),
    _text("forced", nullable=True),
    _count("forced_since"),
)
"""One row a sync. ``profiles`` counts its rows in ``profile``; ``forced`` is the backfill that is not finished."""

profile = sa.Table(
    "profile",
    metadata,
    _number("sync_id"),
    _text("key"),
    _text("distinct_id", nullable=True),
    sa.Column("fingerprint", sa.LargeBinary, nullable=False),
    _number("shape_id"),
    _number("acknowledged_at"),
    _number("run"),
    _number("ordinal"),
    sa.PrimaryKeyConstraint("sync_id", "key"),
    sqlite_with_rowid=False,
)
"""What Mixpanel acknowledged; ``distinct_id`` is NULL where it equals the key, which halves the size of a row.

No index on it: whoever asks for the owners of an ID (before a removal, which is rare) pays with a scan, instead of
every acknowledgement with a random write.
"""

journal = sa.Table(
    "journal",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True),
    _number("sync_id"),
    _text("key"),
    _text("distinct_id", nullable=True),
    sa.Column("fingerprint", sa.LargeBinary, nullable=True),
    _number("shape_id", nullable=True),
    _number("acknowledged_at"),
    _number("run"),
)
"""Acknowledgements in the order they came, not yet merged into ``profile``; without fingerprint: forgotten."""

shape = sa.Table(
    "shape", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("names", sa.Text, unique=True)
)
"""Each set of property names once, as a JSON array."""

pending = sa.Table(
    "pending",
    metadata,
    _number("sync_id"),
    _text("kind"),
    _text("key"),
    _text("gone_id"),
    _text("distinct_id", nullable=True),
    _text("code"),
    _text("reason"),
    sa.Column("rejected", sa.Boolean, nullable=False),
    _number("attempts"),
    sa.Column("since", sa.Float, nullable=False),
    sa.Column("next_try_at", sa.Float, nullable=False),
    sa.Column("fingerprint", sa.LargeBinary, nullable=True),
    _number("shape_id"),
    sa.PrimaryKeyConstraint("sync_id", "kind", "key", "gone_id"),
    sqlite_with_rowid=False,
)
"""One row a key of kind "row", one a key and ID (``gone_id``) of kind "gone"."""

inflight = sa.Table(
    "inflight",
    metadata,
    _number("sync_id"),
    _number("number"),
    sa.Column("profiles", sa.LargeBinary, nullable=False),
    sa.PrimaryKeyConstraint("sync_id", "number"),
)
"""Batches whose answer is not settled: keys, IDs and shapes, never what was sent."""

run = sa.Table(
    "run",
    metadata,
    _number("sync_id"),
    _number("number"),
    _text("run_id"),
    sa.Column("started_at", sa.Float, nullable=False),
    _text("outcome", nullable=True),
    _text("summary", nullable=True),
    sa.PrimaryKeyConstraint("sync_id", "number"),
)
"""Runs; without ``summary``: under way, or dead."""


verification = sa.Table(
    "verification",
    metadata,
    sa.Column("sync_id", sa.Integer, primary_key=True),
    _text("progress"),
)
"""How far a verification of all profiles has come; no row when none is under way."""


def _add_verification(connection: sa.Connection) -> None:
    connection.exec_driver_sql(
        "CREATE TABLE verification (sync_id INTEGER NOT NULL PRIMARY KEY, progress TEXT NOT NULL)"
    )


def _columns_in_flight(connection: sa.Connection) -> None:
    """What is in flight was written down profile by profile, and is so column by column now."""
    rows = connection.exec_driver_sql("SELECT sync_id, number, profiles FROM inflight").all()
    for sync_id, number, blob in rows:
        profiles = msgspec.msgpack.decode(blob)
        keys, ids, shape_ids, removals, causes = map(list, zip(*profiles, strict=True)) if profiles else ([],) * 5
        flying = msgspec.msgpack.encode(
            [
                keys,
                ids,
                shape_ids,
                [index for index, removal in enumerate(removals) if removal],
                {index: cause for index, cause in enumerate(causes) if cause},
            ]
        )
        connection.exec_driver_sql(
            "UPDATE inflight SET profiles = ? WHERE sync_id = ? AND number = ?", (flying, sync_id, number)
        )


MIGRATIONS: tuple[Migration, ...] = (_add_verification, _columns_in_flight)
"""``MIGRATIONS[i]`` leads from version ``i + 1`` to ``i + 2``; the tables above are always the newest version."""


def is_empty(connection: sa.Connection) -> bool:
    """Whether the database holds nothing at all yet."""
    return not connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar_one()


def ensure_schema(connection: sa.Connection, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Create the tables in an empty database, or bring an older version up to date, within one transaction.

    Raises ``StateError`` for a database that is not a state, that is of a newer version, or that lacks a table.
    """
    current = len(migrations) + 1
    if is_empty(connection):
        metadata.create_all(connection)
        connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.exec_driver_sql(f"PRAGMA user_version = {current}")
        return
    if connection.exec_driver_sql("PRAGMA application_id").scalar_one() != APPLICATION_ID:
        raise StateError(
            "the SQLite file named as the state belongs to another application", hint="[state] url: name another file"
        )
    version: int = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    if version > current:
        raise StateError(
            f"the state was written by a newer sync-profiles (its version is {version}, this one knows {current})",
            hint="update sync-profiles, or run `sync-profiles state reset`",
        )
    for step in migrations[version - 1 :]:
        step(connection)
    if version < current:
        connection.exec_driver_sql(f"PRAGMA user_version = {current}")
    present = set(connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").scalars())
    for missing in sorted(set(metadata.tables) - present):
        raise StateError(f"the state lacks its table {missing!r}", hint=REBUILD)
