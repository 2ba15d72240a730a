"""The state store: one SQLite file for all syncs of a configuration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import sqlalchemy as sa

from sync_profiles.core.types import RunSummary
from sync_profiles.state import schema
from sync_profiles.state.database import Database
from sync_profiles.state.files import StateFiles, path_of
from sync_profiles.state.reader import SyncReader
from sync_profiles.state.sync import SyncState

NOBODY = -1
"""No sync has this number."""


def open_store(url_or_path: str | Path, *, now: Callable[[], float], read_only: bool = False) -> Store:
    """Open the state, creating it the first time.

    ``read_only`` writes nothing: a state that does not exist yet reads as empty. Raises ``GuardStop`` when there was a
    state and it is lost, ``StateError`` when it cannot be read or written, is damaged, or is of a newer version.
    """
    files = StateFiles(path_of(url_or_path))
    if not files.has_database:
        files.refuse_loss()
        if read_only:
            database = Database(None)
            with database.writing() as connection:
                schema.ensure_schema(connection)
            return Store(database, now)
    if not read_only:
        files.prepare()
    database = Database(files.database, read_only=read_only)
    try:
        _check(database, read_only=read_only)
    except BaseException:
        database.close()
        raise
    if not read_only:
        files.protect()
        files.mark()
    return Store(database, now)


def start_over(url_or_path: str | Path, *, now: Callable[[], float]) -> Path | None:
    """Begin with an empty state, whatever is there; returns where a file that was there is kept now."""
    files = StateFiles(path_of(url_or_path))
    kept = files.set_aside(now())
    files.remove()
    open_store(url_or_path, now=now).close()
    return kept


def _check(database: Database, *, read_only: bool) -> None:
    """Bring the schema up to date; look at every page when the last run did not come to its end."""
    if read_only:
        with database.reading() as connection:
            schema.ensure_schema(connection, schema.MIGRATIONS)
        return
    with database.writing() as connection:
        schema.ensure_schema(connection)
        unfinished = sa.select(sa.func.count()).select_from(schema.run).where(schema.run.c.summary.is_(None))
        died = connection.execute(unfinished).scalar_one() > 0
    if died:
        database.check_pages()


class Store:
    """The opened state; ``sync(name)`` is what a run reads and writes. Not for several threads."""

    def __init__(self, database: Database, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def sync(self, name: str) -> SyncState:
        """The state of one sync, to be written; empty if it is new."""
        number = self._number(name)
        if number is None:
            with self._database.writing() as connection:
                connection.execute(sa.insert(schema.sync).prefix_with("OR IGNORE").values(name=name))
            number = self._number(name)
            assert number is not None, "it was written just now"  # noqa: S101 - narrows the type
        return SyncState(self._database, number, self._now)

    def reader(self, name: str) -> SyncReader:
        """The state of one sync, to be looked at; empty if it is new."""
        number = self._number(name)
        return SyncReader(self._database, number if number is not None else NOBODY)

    def history(self, name: str, limit: int) -> Sequence[RunSummary]:
        """The last runs of a sync that came to an end, newest first."""
        table = schema.run
        query = (
            sa.select(table.c.summary)
            .join(schema.sync, schema.sync.c.id == table.c.sync_id)
            .where(schema.sync.c.name == name, table.c.summary.is_not(None))
            .order_by(table.c.number.desc())
            .limit(limit)
        )
        with self._database.reading() as connection:
            texts = connection.execute(query).scalars().all()
        return [msgspec.json.decode(text, type=RunSummary) for text in texts]

    def _number(self, name: str) -> int | None:
        with self._database.reading() as connection:
            return connection.execute(sa.select(schema.sync.c.id).where(schema.sync.c.name == name)).scalar()
