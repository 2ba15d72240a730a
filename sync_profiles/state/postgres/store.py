"""Opening and closing the state of all syncs in PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec

from sync_profiles.core.facts import StateFacts
from sync_profiles.core.types import RunSummary
from sync_profiles.state.postgres import schema
from sync_profiles.state.postgres.database import SCHEMA, Database, Place
from sync_profiles.state.postgres.lock import ServerLock
from sync_profiles.state.postgres.reader import ServerReader
from sync_profiles.state.postgres.sync import ServerState
from sync_profiles.state.store import NOBODY, Store

LEAVE_WAIT_S = 1


class ServerStore(Store):
    """The open state in PostgreSQL, on one connection. Not for several threads."""

    _database: Database

    def __init__(self, database: Database, now: Callable[[], float], url: str) -> None:
        super().__init__(database, now)
        self._url = url

    def sync(self, name: str) -> ServerState:
        """The state of one sync, to be written; begun now if there is none."""
        number = self._number(name)
        if number is None:
            with self._database.writing((schema.MIGRATING, ())) as connection:
                query = f"INSERT INTO {SCHEMA}.sync (name) VALUES (%s) ON CONFLICT DO NOTHING RETURNING id"
                made = connection.exec_driver_sql(query, (name,)).scalar_one_or_none()
                if made is not None:
                    connection.exec_driver_sql(f"CREATE SEQUENCE {schema.ordinals(made)} MINVALUE 0 START 0")
            number = self._number(name)
            assert number is not None, "it was written just now"  # noqa: S101 - narrows the type
        return ServerState(self._database, Place(number, 0), self._now)

    def reader(self, name: str) -> ServerReader:
        """The state of one sync, to be looked at; empty if there is none."""
        return ServerReader(self._database, self._number(name) or NOBODY)

    def lock(self, name: str) -> ServerLock:
        """What keeps two runs of one sync apart; it hangs on this store's own connection where it can."""
        return ServerLock(self._database, name, connect=partial(Database, self._url), now=self._now)


def open_server_store(url: str, *, now: Callable[[], float], read_only: bool) -> ServerStore | None:
    """Open the state, and create it where there was none; None when there is none and it is only looked at.

    Raises ``TemporaryError`` when the database is away, ``AccessError`` when it refuses, ``GuardStop`` when the state
    is lost, ``StateError`` when it is of a newer version or lacks something.
    """
    database = Database(url)
    try:
        if not read_only:
            schema.ensure_schema(database)
        elif schema.exists(database):
            schema.look_at(database)
            database.forbid_writing()
        else:
            database.close()
            return None
    except BaseException:
        database.close()
        raise
    return ServerStore(database, now, url)


def leave_server_run(url: str, summary: RunSummary) -> None:
    """As ``state.store.leave_run``."""
    database = Database(url)
    wait = f"SELECT pg_catalog.set_config('lock_timeout', '{LEAVE_WAIT_S}s', true)"
    text = msgspec.json.encode(summary).decode()
    update = f"UPDATE {SCHEMA}.run SET outcome = %s, summary = %s WHERE run_id = %s AND summary IS NULL"
    try:
        database.send([(wait, ()), (update, (summary.outcome, text, summary.run))])
    finally:
        database.close()


def start_server_over(url: str) -> None:
    """As ``state.store.start_over``; nothing of the former state is kept."""
    database = Database(url)
    try:
        schema.ensure_schema(database, start_over=True)
    finally:
        database.close()


def lone_server_lock(url: str, sync: str) -> ServerLock:
    """The lock of a sync whose state may be in no order to be opened."""
    return ServerLock(Database(url), sync, connect=partial(Database, url))


_FACTS = f"""
SELECT coalesce((SELECT sum(pg_catalog.pg_total_relation_size(c.oid)) FROM pg_catalog.pg_class c
                 WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'S')), 0)::bigint,
       NOT pg_catalog.pg_is_in_recovery() AND CASE
         WHEN n.oid IS NULL THEN pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')
         WHEN t.oid IS NULL THEN pg_catalog.has_schema_privilege(n.oid, 'CREATE')
         ELSE pg_catalog.has_table_privilege(t.oid, 'INSERT') AND pg_catalog.has_table_privilege(t.oid, 'DELETE') END
FROM (SELECT 1) AS one LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = '{SCHEMA}'
LEFT JOIN pg_catalog.pg_class t ON t.relnamespace = n.oid AND t.relname = 'profile'
"""


def server_facts(url: str) -> StateFacts:
    """Where the state is kept, for ``check``. Raises like ``open_server_store``."""
    database = Database(url)
    try:
        with database.reading() as connection:
            size, writable = connection.exec_driver_sql(_FACTS).one()
        return StateFacts(database.label, writable, None, None, size_bytes=size, pooled=not database.is_direct)
    finally:
        database.close()
