"""The tables of the state in PostgreSQL, and the way from an older version to this one."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from sync_profiles.errors import GuardStop, StateError
from sync_profiles.state.postgres.database import REBUILD, SCHEMA, Database
from sync_profiles.state.schema import APPLICATION_ID

MIGRATING = f"SELECT pg_catalog.pg_advisory_xact_lock({APPLICATION_ID}, 0)"

# Keys and IDs are compared byte by byte, as SQLite does: the same order everywhere, and no collation that changes.
# Wide columns first: PostgreSQL aligns them.
_TABLES = {
    "version": "number integer NOT NULL",
    "sync": """
        id integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY, name text COLLATE "C" NOT NULL UNIQUE,
        watermark text, identity text, last_number integer NOT NULL DEFAULT 0, forced text,
        forced_since integer NOT NULL DEFAULT 0""",
    "holder": 'sync text COLLATE "C" PRIMARY KEY, label text NOT NULL, token text, until timestamptz',
    "tally": """
        profiles bigint NOT NULL, sync_id integer NOT NULL, part integer NOT NULL, PRIMARY KEY (sync_id, part)""",
    "profile": """
        acknowledged_at bigint NOT NULL, ordinal bigint NOT NULL, sync_id integer NOT NULL, shape_id integer NOT NULL,
        run integer NOT NULL, key text COLLATE "C" NOT NULL, distinct_id text COLLATE "C", fingerprint bytea NOT NULL,
        PRIMARY KEY (sync_id, key)""",
    "shape": 'id integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY, names text COLLATE "C" NOT NULL UNIQUE',
    "pending": """
        since double precision NOT NULL, next_try_at double precision NOT NULL, sync_id integer NOT NULL,
        shape_id integer NOT NULL, attempts integer NOT NULL, rejected boolean NOT NULL, kind text COLLATE "C" NOT NULL,
        key text COLLATE "C" NOT NULL, gone_id text COLLATE "C" NOT NULL, distinct_id text COLLATE "C",
        code text NOT NULL, reason text NOT NULL, fingerprint bytea, PRIMARY KEY (sync_id, kind, key, gone_id)""",
    "inflight": """
        sync_id integer NOT NULL, part integer NOT NULL, number integer NOT NULL, profiles bytea NOT NULL,
        PRIMARY KEY (sync_id, part, number)""",
    "cut": "sync_id integer PRIMARY KEY, parts text NOT NULL",
    "part": """
        done_at double precision NOT NULL, sync_id integer NOT NULL, part integer NOT NULL, run integer NOT NULL,
        counts text NOT NULL, PRIMARY KEY (sync_id, part)""",
    "attempt": """
        sync_id integer NOT NULL, part integer NOT NULL, number integer NOT NULL, PRIMARY KEY (sync_id, part)""",
    "board": "sync_id integer PRIMARY KEY, run integer NOT NULL, halvings integer NOT NULL DEFAULT 0, stop text",
    "run": """
        started_at double precision NOT NULL, sync_id integer NOT NULL, number integer NOT NULL, run_id text NOT NULL,
        outcome text, summary text, PRIMARY KEY (sync_id, number)""",
    "verification": "sync_id integer PRIMARY KEY, progress text NOT NULL",
}

MIGRATIONS: tuple[str, ...] = ()
"""``MIGRATIONS[i]`` is the SQL from version ``i + 1`` to ``i + 2``; the tables above are always the newest version."""


def ordinals(sync_id: int) -> str:
    """The sequence that gives out the ordinals of one sync."""
    return f"{SCHEMA}.ordinal_{sync_id}"


def exists(database: Database) -> bool:
    """Whether a state was made in this database. Needs no right but to connect."""
    query = (
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = 'version' AND c.relkind = 'r')"
    )
    with database.reading() as connection:
        return bool(connection.exec_driver_sql(query, (SCHEMA,)).scalar_one())


def ensure_schema(database: Database, migrations: Sequence[str] = MIGRATIONS, *, start_over: bool = False) -> None:
    """Create the tables, or bring an older version up to date; whoever comes at the same time waits.

    ``start_over``: what is there is dropped first, whatever it is. Raises ``StateError`` for a newer version or when
    a table is missing, ``GuardStop`` when what was in the tables is gone.
    """
    current = len(migrations) + 1
    if not start_over and exists(database):
        with database.reading() as connection:
            if _version(database, connection, current) == current:
                _refuse_gaps(database, connection)
                return
    with database.writing((MIGRATING, ())) as connection:
        if start_over:
            _drop(connection)
        _migrate(database, connection, migrations)


def look_at(database: Database) -> None:
    """Refuse, like ``ensure_schema``, what cannot be read, and change nothing; of an older version too."""
    current = len(MIGRATIONS) + 1
    with database.reading() as connection:
        if _version(database, connection, current) < current:
            raise StateError(f"{database.label} is of an older version", hint="the next run brings it up to date")
        _refuse_gaps(database, connection)


def _migrate(database: Database, connection: sa.Connection, migrations: Sequence[str]) -> None:
    present = _present(connection)
    current = len(migrations) + 1
    if "version" in present:
        for step in migrations[_version(database, connection, current) - 1 :]:
            connection.exec_driver_sql(step)
        connection.exec_driver_sql(f"UPDATE {SCHEMA}.version SET number = %s", (current,))
        _refuse_gaps(database, connection)
        return
    if connection.exec_driver_sql("SHOW server_encoding").scalar_one() != "UTF8":
        raise StateError(f"{database.label}: the database is not in UTF-8", hint="[state] url: name another database")
    # IF NOT EXISTS would ask for the right to create schemas even where there is one already.
    found = connection.exec_driver_sql("SELECT FROM pg_catalog.pg_namespace WHERE nspname = %s", (SCHEMA,)).first()
    if found is None:
        connection.exec_driver_sql(f"CREATE SCHEMA {SCHEMA}")
    for name, columns in _TABLES.items():
        connection.exec_driver_sql(f"CREATE TABLE {SCHEMA}.{name} ({columns})")
    connection.exec_driver_sql(f"INSERT INTO {SCHEMA}.version VALUES (%s)", (current,))


def _version(database: Database, connection: sa.Connection, current: int) -> int:
    version: int | None = connection.exec_driver_sql(f"SELECT max(number) FROM {SCHEMA}.version").scalar_one()
    if version is None:
        raise GuardStop(
            f"{database.label} is lost: its tables are there, and empty",
            hint="restore it from a backup, or run `sync-profiles state reset`; "
            "the next run then sends every profile again",
        )
    if version > current:
        raise StateError(
            f"{database.label} was written by a newer sync-profiles (its version is {version}, this one knows "
            f"{current})",
            hint="update sync-profiles, or run `sync-profiles state reset`",
        )
    return version


def _refuse_gaps(database: Database, connection: sa.Connection) -> None:
    for missing in sorted(set(_TABLES) - _present(connection)):
        raise StateError(f"{database.label} lacks its table {missing!r}", hint=REBUILD)


def _present(connection: sa.Connection) -> set[str]:
    """Our tables and sequences that are there."""
    query = (
        "SELECT c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relkind IN ('r', 'S')"
    )
    return set(connection.exec_driver_sql(query, (SCHEMA,)).scalars())


def _drop(connection: sa.Connection) -> None:
    for name in sorted(_present(connection)):
        if name in _TABLES:
            connection.exec_driver_sql(f"DROP TABLE {SCHEMA}.{name} CASCADE")
        elif name.startswith("ordinal_"):
            connection.exec_driver_sql(f'DROP SEQUENCE {SCHEMA}."{name}"')
