"""The connection to the state file: transactions, translated errors, and the names of shapes."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from sync_profiles.core.types import Shape
from sync_profiles.errors import StateError
from sync_profiles.state import schema
from sync_profiles.state.sealed import DamageError

BUSY_S = 30.0
"""How long a transaction waits for another process; ours are far shorter."""

SQLITE_MIN = (3, 33)
"""``UPDATE … FROM``; Enterprise Linux 9 and Debian 11 have 3.34."""

SHAPES_CACHED_MAX = 10_000
"""A table with many nullable columns may have very many shapes; memory stays bounded."""

_PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "cache_size = -8000",
    "journal_size_limit = 4000000",
    # Deleted rows are overwritten where it costs no extra write; some builds would rewrite every freed page.
    "secure_delete = FAST",
)

_FULL = ("the disk is full", "free some space; whatever was acknowledged before is safe")
_DAMAGED = ("the file is damaged", schema.REBUILD)
_RIGHTS = ("it cannot be opened for writing", "look at the rights and the owner of the file and its folder")
_CAUSES: dict[int, tuple[str, str | None]] = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_READONLY: _RIGHTS,
    sqlite3.SQLITE_CANTOPEN: _RIGHTS,
    sqlite3.SQLITE_PERM: _RIGHTS,
    sqlite3.SQLITE_BUSY: (f"another process kept it locked for {BUSY_S:.0f} s", "find out who has the file open"),
    sqlite3.SQLITE_IOERR: ("the disk reports an error", "look at the system's log; a full disk can be the reason"),
}


class Database:
    """One connection to one state file; ``path`` None is an empty state in memory.

    Everything happens inside ``reading()`` or ``writing()``, and every error of SQLite leaves them as ``StateError``.
    Not for several threads.
    """

    def __init__(self, path: Path | None) -> None:
        if sqlite3.sqlite_version_info < SQLITE_MIN:
            raise StateError(f"SQLite {sqlite3.sqlite_version} is too old", hint="3.33 or newer is needed")
        self._path = path
        self._begin = "BEGIN"
        self._ids: dict[Shape, int] = {}
        self._shapes: dict[int, Shape] = {}
        if path is not None:
            # Large sorts spill into files; the state's own folder is private and, unlike /tmp, surely writable.
            os.environ.setdefault("SQLITE_TMPDIR", str(path.parent))
        self._engine = sa.create_engine(
            sa.URL.create("sqlite", database=str(path) if path is not None else None),
            poolclass=StaticPool,
            hide_parameters=True,
            connect_args={"timeout": BUSY_S, "isolation_level": None},
        )
        sa.event.listen(self._engine, "connect", _configure)
        sa.event.listen(self._engine, "begin", self._on_begin)
        with self._translated():
            self._connection = self._engine.connect()

    def forbid_writing(self) -> None:
        """Let every further write fail."""
        with self.reading() as connection:
            connection.exec_driver_sql("PRAGMA query_only = ON")

    def _on_begin(self, connection: sa.Connection) -> None:
        connection.exec_driver_sql(self._begin)

    def close(self) -> None:
        """Close the connection; SQLite then folds its log into the file."""
        with self._translated():
            self._connection.close()
            self._engine.dispose()

    # --- transactions ------------------------------------------------------------------------------------------

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that sees one moment of the state."""
        with self._translated():
            self._begin = "BEGIN"
            with self._connection.begin():
                yield self._connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that holds the file's one write lock; durable when the block is left."""
        try:
            with self._translated():
                self._begin = "BEGIN IMMEDIATE"
                with self._connection.begin():
                    yield self._connection
        except BaseException:
            self._ids.clear()  # some of them may have been rolled back
            self._shapes.clear()
            raise

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sa.exc.DBAPIError, sqlite3.Error) as error:
            raise _state_error(self._path, error) from error
        except (UnicodeDecodeError, msgspec.DecodeError, DamageError, sa.exc.NoResultFound) as error:
            raise _refusal(self._path, *_DAMAGED) from error

    # --- checks ------------------------------------------------------------------------------------------------

    def check_pages(self) -> None:
        """Look at every page of the file; about 0.2 s for 100 MB."""
        with self.reading() as connection:
            found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
        if found != "ok":
            raise _refusal(self._path, *_DAMAGED)

    # --- shapes ------------------------------------------------------------------------------------------------

    def shape_id(self, connection: sa.Connection, shape: Shape) -> int:
        """The number of a shape, given to it now if it has none; within ``writing()``."""
        known = self._ids.get(shape)
        if known is not None:
            return known
        names = msgspec.json.encode(shape).decode()
        table = schema.shape
        connection.execute(sa.insert(table).prefix_with("OR IGNORE").values(names=names))
        number: int = connection.execute(sa.select(table.c.id).where(table.c.names == names)).scalar_one()
        if len(self._ids) >= SHAPES_CACHED_MAX:
            self._ids.clear()
        self._ids[shape] = number
        return number

    def shape_numbers(self, connection: sa.Connection, shapes: Sequence[Shape]) -> list[int]:
        """``shape_id`` of each of many shapes, few of which differ."""
        places = list(map(id, shapes))  # hashing each tuple of names would cost more than all the rest
        if len(set(places)) == 1:
            return [self.shape_id(connection, shapes[0])] * len(shapes)
        numbers = {
            place: self.shape_id(connection, shape) for place, shape in dict(zip(places, shapes, strict=True)).items()
        }
        return [numbers[place] for place in places]

    def shape(self, connection: sa.Connection, number: int) -> Shape:
        """The shape behind a number."""
        known = self._shapes.get(number)
        if known is not None:
            return known
        table = schema.shape
        names = connection.execute(sa.select(table.c.names).where(table.c.id == number)).scalar_one()
        if len(self._shapes) >= SHAPES_CACHED_MAX:
            self._shapes.clear()
        shape = self._shapes[number] = msgspec.json.decode(names, type=tuple[str, ...])
        return shape


def _configure(driver: sqlite3.Connection, _: object) -> None:
    for pragma in _PRAGMAS:
        driver.execute(f"PRAGMA {pragma}")


def _state_error(path: Path | None, error: Exception) -> StateError:
    cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    code: int = getattr(cause, "sqlite_errorcode", 0)
    name = getattr(cause, "sqlite_errorname", type(cause).__name__)
    # The low byte is the primary result code, the rest says more about it (sqlite.org/rescode.html).
    what, hint = _CAUSES.get(code & 0xFF, (f"SQLite says {name}", None))
    return _refusal(path, what, hint)


def _refusal(path: Path | None, what: str, hint: str | None) -> StateError:
    return StateError(f"the state {path or 'in memory'}: {what}", hint=hint)
