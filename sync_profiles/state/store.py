"""Opening and closing the state of all syncs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec
import sqlalchemy as sa

from sync_profiles.core.facts import StateFacts
from sync_profiles.core.types import RunSummary
from sync_profiles.errors import StateError
from sync_profiles.state import schema
from sync_profiles.state.database import Database
from sync_profiles.state.files import StateFiles, is_server, path_of
from sync_profiles.state.lock import RunLock
from sync_profiles.state.looking import Looking
from sync_profiles.state.place import place_of
from sync_profiles.state.reader import SyncReader
from sync_profiles.state.rows import StateDatabase
from sync_profiles.state.runs import Runs
from sync_profiles.state.sync import SyncState

NOBODY = 0
"""The number of a sync that has no row: nothing is known of it."""

NOWHERE = StateFiles(Path("nowhere"))
"""Of a state that is only looked at and is not there."""


class Lock(Protocol):
    """One run of a sync at a time; as ``engine.parts.RunLock``."""

    def acquire(self) -> bool:
        """Take the lock, or say False at once."""
        ...

    def release(self) -> None:
        """Give it back."""
        ...

    @property
    def holder(self) -> str:
        """Who has it, for a message."""
        ...


class Store(ABC):
    """The open state; ``sync(name)`` is the part of one sync. Not for several threads."""

    def __init__(self, database: StateDatabase, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now

    @abstractmethod
    def sync(self, name: str) -> Runs[Any]:
        """The state of one sync, to be written; begun now if there is none."""

    @abstractmethod
    def reader(self, name: str) -> Looking[Any]:
        """The state of one sync, to be looked at; empty if there is none."""

    @abstractmethod
    def lock(self, name: str) -> Lock:
        """What keeps two runs of one sync apart."""

    def history(self, sync: str, limit: int) -> Sequence[RunSummary]:
        """The last runs of a sync that came to an end of whatever kind, newest first."""
        table = schema.run
        query = (
            sa.select(table.c.summary)
            .join(schema.sync, schema.sync.c.id == table.c.sync_id)
            .where(schema.sync.c.name == sync, table.c.summary.is_not(None))
            .order_by(table.c.number.desc())
            .limit(limit)
        )
        with self._database.reading() as connection:
            texts = connection.execute(query).scalars().all()
            return [msgspec.json.decode(text, type=RunSummary) for text in texts]

    def close(self) -> None:
        """Give up the connection. A run that was not finished counts as dead."""
        self._database.close()

    def _number(self, name: str) -> int | None:
        query = sa.select(schema.sync.c.id).where(schema.sync.c.name == name)
        with self._database.reading() as connection:
            return connection.execute(query).scalar_one_or_none()


class FileStore(Store):
    """The open state file."""

    _database: Database

    def __init__(self, database: Database, now: Callable[[], float], files: StateFiles) -> None:
        super().__init__(database, now)
        self._files = files

    def sync(self, name: str) -> SyncState:
        """The state of one sync, to be written; begun now if there is none."""
        number = self._number(name)
        if number is None:
            with self._database.writing() as connection:
                connection.execute(sa.insert(schema.sync).prefix_with("OR IGNORE").values(name=name))
            number = self._number(name)
            assert number is not None, "it was written just now"  # noqa: S101 - narrows the type
        return SyncState(self._database, number, self._now)

    def reader(self, name: str) -> SyncReader:
        """The state of one sync, to be looked at; empty if there is none."""
        number = self._number(name)
        return SyncReader(self._database, number if number is not None else NOBODY)

    def lock(self, name: str) -> RunLock:
        """A lock file beside the state."""
        return RunLock(self._files.lock(name))


def open_store(url_or_path: str | Path, *, now: Callable[[], float], read_only: bool = False) -> Store:
    """Open the state, and create it where there was none.

    ``read_only``: nothing is created, a missing state reads as an empty one, and whoever writes gets a ``StateError``.
    The URL decides whether it is a file or a PostgreSQL database. Raises ``GuardStop`` when a state was here before and
    is lost, ``StateError`` when it cannot be read or written, is damaged, or is of a newer version; of a database also
    ``TemporaryError`` when it is away and ``AccessError`` when it refuses.
    """
    if is_server(url_or_path):
        from sync_profiles.state.postgres.store import open_server_store

        return open_server_store(str(url_or_path), now=now, read_only=read_only) or FileStore(_nothing(), now, NOWHERE)
    files = StateFiles(path_of(url_or_path))
    if not files.has_database:
        files.refuse_loss()
        if read_only:
            return FileStore(_nothing(), now, files)
    if not read_only:
        files.prepare()
    if files.is_cut_short:
        raise StateError(f"the state {files.database}: the file is damaged: it was cut short", hint=schema.REBUILD)
    database = Database(files.database)
    try:
        if read_only:
            _look_at(database)
        else:
            _make_ready(database, files)
    except BaseException:
        database.close()
        raise
    return FileStore(database, now, files)


def leave_run(url_or_path: str | Path, summary: RunSummary) -> None:
    """Keep the summary of a run that hangs and is left behind; on a connection of its own, from any thread.

    The run's own connection may be in a transaction: then this waits for a second and raises ``StateError`` (of a
    server ``TemporaryError``).
    """
    if is_server(url_or_path):
        from sync_profiles.state.postgres.store import leave_server_run

        leave_server_run(str(url_or_path), summary)
        return
    database = Database(path_of(url_or_path))
    with database.reading() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout = 1000")
    with database.writing() as connection:
        this = (schema.run.c.run_id == summary.run) & schema.run.c.summary.is_(None)
        text = msgspec.json.encode(summary).decode()
        connection.execute(sa.update(schema.run).where(this).values(outcome=summary.outcome, summary=text))
    database.close()


def start_over(url_or_path: str | Path, *, now: Callable[[], float]) -> Path | None:
    """Begin with an empty state, whatever became of the old one; the caller holds the locks of its syncs.

    Returns where the former file is kept; None when there was none, or when it was no file.
    """
    if is_server(url_or_path):
        from sync_profiles.state.postgres.store import start_server_over

        start_server_over(str(url_or_path))
        return None
    kept = StateFiles(path_of(url_or_path)).set_aside(now())
    open_store(url_or_path, now=now).close()
    return kept


def lone_lock(url_or_path: str | Path, sync: str) -> Lock:
    """The lock of a sync whose state may be in no order to be opened; it lasts until it is released."""
    if is_server(url_or_path):
        from sync_profiles.state.postgres.store import lone_server_lock

        return lone_server_lock(str(url_or_path), sync)
    return RunLock(StateFiles(path_of(url_or_path)).lock(sync))


def state_facts(url_or_path: str | Path) -> StateFacts:
    """Where the state is kept, for ``check``; nothing is made."""
    if is_server(url_or_path):
        from sync_profiles.state.postgres.store import server_facts

        return server_facts(str(url_or_path))
    return place_of(path_of(url_or_path))


def _nothing() -> Database:
    database = Database(None)
    _look_at(database)
    return database


def _look_at(database: Database) -> None:
    with database.reading() as connection:
        schema.ensure_schema(connection)
    database.forbid_writing()


def _make_ready(database: Database, files: StateFiles) -> None:
    with database.writing() as connection:
        if schema.is_empty(connection):
            files.refuse_loss()
        schema.ensure_schema(connection)
        dead = sa.select(sa.exists().where(schema.run.c.summary.is_(None)))
        died = connection.execute(dead).scalar_one()
    if died:
        # Damage is most likely after a run that did not end. Otherwise the start stays quick, and a damaged page is
        # refused when it is read.
        database.check_pages()
    files.protect()
    files.mark()
