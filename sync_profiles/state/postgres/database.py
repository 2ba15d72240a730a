"""The connection to the PostgreSQL database that keeps the state: transactions, translated errors, names of shapes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

import msgspec
import psycopg2  # type: ignore[import-untyped]  # its stubs are a package of their own
import sqlalchemy as sa
from psycopg2 import extensions
from sqlalchemy.pool import StaticPool

from sync_profiles.core.troubles import Trouble, of_no_connection, of_sqlstate, sayable
from sync_profiles.core.types import Shape
from sync_profiles.errors import (
    AccessError,
    ConfigError,
    FencedError,
    StateError,
    SyncProfilesError,
    TemporaryError,
)
from sync_profiles.state.sealed import DamageError
from sync_profiles.state.shapes import Shapes

SCHEMA = "sync_profiles"
"""Where everything is: a schema of its own in whatever database the URL names."""

Statement: TypeAlias = tuple[str, tuple[Any, ...]]
"""SQL with ``%s`` for each of its parameters."""


class Place(NamedTuple):
    """Whose rows they are: the sync, and the part of a run that is done by several processes (0: the run itself)."""

    sync_id: int
    part: int


LOCK_WAIT_S = 30
"""How long a statement waits for somebody else's lock; ours are far shorter."""

REBUILD = "restore the database from a backup, or run `sync-profiles state reset`; the next run then sends all again"

_CONNECTING: dict[str, Any] = {
    "application_name": "sync-profiles state",
    "connect_timeout": 10,
    "client_encoding": "utf8",
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
_FENCE_FELL = "22012"
"""Division by zero: how a statement of ``fence`` fails, and nothing else here."""

# Said in each transaction, since a session may not be ours. A server that answers before its commit is safe would
# let a batch leave that nobody knows of after a crash.
_SETTINGS = (
    f"SELECT pg_catalog.set_config('lock_timeout', '{LOCK_WAIT_S}s', true),"
    " CASE WHEN pg_catalog.current_setting('synchronous_commit') = 'off'"
    " THEN pg_catalog.set_config('synchronous_commit', 'local', true) END"
)
_BYTES = extensions.new_type(
    (17,), "SYNC_PROFILES_BYTES", lambda value, cursor: value and bytes(psycopg2.BINARY(value, cursor))
)


class Database:
    """One connection to one database.

    It is opened once: when it is lost, everything fails from then on, because the lock of a run may hang on it.
    Every error of the driver leaves as one of ours. Not for several threads.
    """

    def __init__(self, url: str) -> None:
        self._url = _with_driver(url)
        self.label = f"the state in the PostgreSQL database {self._url.database or self._url.username or ''}".strip()
        self._shapes = Shapes()
        self._writable = True
        self._lost = False
        self.locked_pid: int | None = None
        """The server process that holds the lock of this run for us; None when the lock does not hang on a session."""
        engine = sa.create_engine(
            self._url,
            poolclass=StaticPool,
            hide_parameters=True,
            isolation_level="AUTOCOMMIT",
            pool_reset_on_return=None,
            use_native_hstore=False,
            connect_args={name: value for name, value in _CONNECTING.items() if name not in self._url.query},
        )
        sa.event.listen(engine, "connect", lambda driver, _: extensions.register_type(_BYTES, driver))
        self._engine = engine
        with self._translated():
            self._connection = engine.connect().execution_options(schema_translate_map={None: SCHEMA})

    def forbid_writing(self) -> None:
        """Let every further write fail."""
        self._writable = False

    def close(self) -> None:
        """Close the connection, lost or not."""
        with contextlib.suppress(sa.exc.SQLAlchemyError, psycopg2.Error):
            self._connection.close()
            self._engine.dispose()

    @property
    def is_direct(self) -> bool:
        """Whether nobody stands between us and the server process that answers.

        The number that the protocol names at the start is the server process's own; a pooler has to name another one
        (postgresql.org/docs/current/protocol-flow.html, BackendKeyData), since its server processes change.
        """
        with self.reading() as connection:
            answers = connection.exec_driver_sql("SELECT pg_catalog.pg_backend_pid()").scalar_one()
            driver: Any = connection.connection.driver_connection
        return bool(answers == driver.info.backend_pid)

    # --- transactions ------------------------------------------------------------------------------------------

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Each statement sees the moment it begins."""
        with self._translated(), self._connection.begin():
            yield self._connection

    @contextmanager
    def writing(self, *fences: Statement) -> Iterator[sa.Connection]:
        """A transaction that begins with ``fences``; durable when the block is left, undone when it fails."""
        self._refuse_writing()
        with self._translated(), self._connection.begin():
            try:
                self._execute([("BEGIN", ()), (_SETTINGS, ()), *fences])
                yield self._connection
                self._connection.exec_driver_sql("COMMIT")
            except BaseException:
                self._shapes.clear()
                with contextlib.suppress(sa.exc.SQLAlchemyError):  # a connection that is lost has rolled back
                    self._connection.exec_driver_sql("ROLLBACK")
                raise

    def send(self, statements: Sequence[Statement]) -> None:
        """All of them as one transaction and one message: PostgreSQL commits what one message holds together.

        (postgresql.org/docs/current/protocol-flow.html, Multiple Statements in a Simple Query.) When the connection
        breaks nobody knows whether it was committed; whoever sends it again must mean the same by twice as by once.
        """
        self._refuse_writing()
        with self._translated(), self._connection.begin():
            self._execute([(_SETTINGS, ()), *statements])

    def _execute(self, statements: Sequence[Statement]) -> None:
        parameters = tuple(value for _, values in statements for value in values)
        self._connection.exec_driver_sql(";\n".join(sql for sql, _ in statements), parameters)

    def _refuse_writing(self) -> None:
        if not self._writable:
            raise StateError(f"{self.label} was opened for reading only")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        if self._lost:
            raise _away(self.label, "the connection was lost")
        try:
            yield
        except (sa.exc.DBAPIError, psycopg2.Error) as error:
            cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
            self._lost = self._lost or bool(getattr(error, "connection_invalidated", False))
            raise self._translation(cause) from error
        except (UnicodeDecodeError, msgspec.DecodeError, DamageError, sa.exc.NoResultFound) as error:
            raise StateError(f"{self.label} is damaged", hint=REBUILD) from error

    def _translation(self, error: BaseException | None) -> SyncProfilesError:
        code, text = getattr(error, "pgcode", None), str(error)
        if code == _FENCE_FELL:
            return FencedError(
                f"{self.label}: the lock of this run was lost, and another run may have begun",
                hint="nothing is lost: what was not recorded is looked at again by the next run",
            )
        if self._url.password:
            text = text.replace(str(self._url.password), "***")
        trouble = of_sqlstate(code) if code else of_no_connection(text)
        said = sayable(text, values=trouble is Trouble.VALUE)
        if trouble in {Trouble.AWAY, Trouble.SLOW} or code == "25006":
            return _away(self.label, said)
        if trouble is Trouble.REFUSED:
            hint = "check user and password in [state] url; the rights it needs stand in docs/operating.md"
            return AccessError(f"{self.label}: {said}", hint=hint)
        hint = REBUILD if code and code.startswith("42") else "look at [state] url and at the server's log"
        return StateError(f"{self.label}: {said}", hint=hint)

    # --- shapes ------------------------------------------------------------------------------------------------

    def shape_numbers(self, connection: sa.Connection, shapes: Sequence[Shape]) -> list[int]:
        """The number of each shape, given to it now if it has none; they stay even when the transaction does not."""
        known: dict[Shape, Any] = {shape: self._shapes.numbers.get(shape) for shape in set(shapes)}
        names = {msgspec.json.encode(shape).decode(): shape for shape, number in known.items() if number is None}
        if names:
            wanted = (sorted(names),)
            connection.exec_driver_sql(
                f"INSERT INTO {SCHEMA}.shape (names) SELECT unnest(%s::text[]) EXCEPT SELECT names FROM {SCHEMA}.shape"
                " ON CONFLICT (names) DO NOTHING",
                wanted,
            )
            query = f"SELECT names, id FROM {SCHEMA}.shape WHERE names = ANY(%s)"
            for text, number in connection.exec_driver_sql(query, wanted).all():
                known[names[text]] = number
                self._shapes.learn(names[text], number)
        return [known[shape] for shape in shapes]

    def shape(self, connection: sa.Connection, number: int) -> Shape:
        """The shape behind a number."""
        known = self._shapes.shapes.get(number)
        if known is not None:
            return known
        query = f"SELECT names FROM {SCHEMA}.shape WHERE id = %s"
        names = connection.exec_driver_sql(query, (number,)).scalar_one()
        shape = msgspec.json.decode(names, type=tuple[str, ...])
        self._shapes.learn(shape, number)
        return shape


def _with_driver(url: str) -> sa.URL:
    try:
        # Before SQLAlchemy sees it: its own error would quote the password.
        return sa.make_url(url).set(drivername="postgresql+psycopg2")
    except (sa.exc.ArgumentError, ValueError):
        raise ConfigError("[state] url: is not a database URL", hint="write postgresql://user@host/database") from None


def _away(label: str, said: str) -> TemporaryError:
    return TemporaryError(f"{label}: {said}", hint="nothing is lost: the next run carries on")
