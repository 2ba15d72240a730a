"""The state of a simulated world: the real store, or the model in memory; each write is a point to die at."""

from __future__ import annotations

import copy
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fakes import MemoryState

from sync_profiles.core.types import DistinctId, Identity, RunSummary, Settlement, Watermark
from sync_profiles.state import database
from sync_profiles.state.postgres.database import SCHEMA
from sync_profiles.state.store import Store, open_store, start_over

SYNC = "users"

UNSYNCED = tuple(pragma.replace("synchronous = FULL", "synchronous = OFF") for pragma in database._PRAGMAS)
"""No power is lost here: a process that dies loses nothing that it wrote, and waiting for the disk proves nothing."""


class FileStore:
    """The real store. A process that dies leaves its files as they are: they are copied, and the copy is opened."""

    def __init__(self, folder: Path, now: Callable[[], float]) -> None:
        self._folder = folder
        self._now = now
        self._number = 0
        self._store: Store | None = None

    @property
    def _path(self) -> Path:
        return self._folder / str(self._number) / "state.db"

    def open(self) -> Any:
        self._store = self._opened(read_only=False)
        return self._store.sync(SYNC)

    def reader(self) -> Any:
        self._store = self._opened(read_only=True)
        return self._store.reader(SYNC)

    def _opened(self, *, read_only: bool) -> Store:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(database, "_PRAGMAS", UNSYNCED)
            return open_store(self._path, now=self._now, read_only=read_only)

    def close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None

    def image(self) -> Any:
        """The files as they are on disk now."""
        return {path.name: path.read_bytes() for path in self._path.parent.iterdir() if not path.name.endswith("-shm")}

    def die(self, image: Any = None) -> None:
        """Leave everything as it is, or as it was in an earlier image."""
        files = image if image is not None else self.image()
        self.close()
        shutil.rmtree(self._path.parent)
        self._number += 1
        self._path.parent.mkdir(parents=True)
        for name, content in files.items():
            (self._path.parent / name).write_bytes(content)

    def dump(self) -> Any:
        """Everything that is remembered."""
        connection = sqlite3.connect(self._path)
        try:
            return list(connection.iterdump())
        finally:
            connection.close()


class ServerStore:
    """The real store in an empty PostgreSQL database. What was committed there is not lost with the process."""

    def __init__(self, url: str, now: Callable[[], float]) -> None:
        self._url = url
        self._now = now
        self._store: Store | None = None
        start_over(url, now=now)

    def open(self) -> Any:
        self._store = open_store(self._url, now=self._now)
        return self._store.sync(SYNC)

    def reader(self) -> Any:
        self._store = open_store(self._url, now=self._now, read_only=True)
        return self._store.reader(SYNC)

    def close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None

    def image(self) -> None:
        """Nobody can set a server back unseen."""

    def die(self, image: Any = None) -> None:
        assert image is None
        self.close()

    def dump(self) -> Any:
        """Everything that is remembered."""
        engine = sa.create_engine(self._url)
        with engine.connect() as connection:
            tables = sa.inspect(connection).get_table_names(SCHEMA)
            found = {
                table: sorted(connection.exec_driver_sql(f"SELECT t::text FROM {SCHEMA}.{table} t").scalars())
                for table in sorted(tables)
            }
        engine.dispose()
        return found


class MemoryStore:
    """The model, which is faster."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._state = MemoryState(now)

    def open(self) -> Any:
        return self._state

    reader = open  # noqa: A003 - the method above, not the builtin

    def close(self) -> None:
        pass

    def image(self) -> Any:
        return {name: copy.copy(value) for name, value in vars(self._state).items()}

    def die(self, image: Any = None) -> None:
        if image is not None:
            self._state = MemoryState(self._now)
            vars(self._state).update(image)

    def dump(self) -> Any:
        return self.image()


class WatchedState:
    """A state whose every commit is a step of the world, before and after; whoever is dead writes no more."""

    def __init__(self, inner: Any, step: Callable[[str], None], committed: Callable[[Settlement], None]) -> None:
        self._inner = inner
        self._step = step
        self._committed = committed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def begin_run(self, run: str, started_at: float, *, forced: str | None = None, restart: bool = False) -> Any:
        self._step("before begin_run")
        begun = self._inner.begin_run(run, started_at, forced=forced, restart=restart)
        self._step("after begin_run")
        return begun

    def settle(self, settlement: Settlement, now: float) -> None:
        self._step("before settle")
        self._inner.settle(settlement, now)
        self._committed(settlement)
        self._step("after settle")

    def move_watermark(self, watermark: Watermark) -> None:
        self._step("before move_watermark")
        self._inner.move_watermark(watermark)
        self._step("after move_watermark")

    def set_identity(self, identity: Identity) -> None:
        self._step("before set_identity")
        self._inner.set_identity(identity)
        self._step("after set_identity")

    def hasten(self, ids: Sequence[DistinctId] | None = None) -> int:
        self._step("before hasten")
        count: int = self._inner.hasten(ids)
        self._step("after hasten")
        return count

    def forget(self) -> None:
        self._step("before forget")
        self._inner.forget()
        self._step("after forget")

    def finish_run(self, summary: RunSummary, *, forced_done: bool = False) -> None:
        self._step("before finish_run")
        self._inner.finish_run(summary, forced_done=forced_done)
        self._step("after finish_run")
