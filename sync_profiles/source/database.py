"""A database that is read: connecting, trying again, errors translated once."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa

from sync_profiles.core.troubles import Trouble
from sync_profiles.core.types import Row
from sync_profiles.errors import ConfigError
from sync_profiles.source.dialect import Dialect
from sync_profiles.source.failures import failure, retriable
from sync_profiles.source.model import Model, ModelSpec, look_up

T = TypeVar("T")
RETRY_WAITS_S = (1.0, 5.0)
"""Between three tries: a restart or a failed-over proxy often takes a few seconds."""
_DRIVERS = {
    "postgres": "postgresql+psycopg2",
    "postgresql": "postgresql+psycopg2",
    "postgresql+psycopg2": "postgresql+psycopg2",
    "mysql": "mysql+pymysql",
    "mysql+pymysql": "mysql+pymysql",
    "mariadb": "mysql+pymysql",
    "mariadb+pymysql": "mysql+pymysql",
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
}
_SUPPORTED = "postgresql://, mysql://, mariadb:// or sqlite:///"


class Database:
    """One database, read only. Nothing is connected before the first question."""

    def __init__(
        self, url: sa.URL, dialect: Dialect, engine: sa.Engine, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.dialect = dialect
        self._url = url
        self._engine = engine
        self._sleep = sleep

    def model(self, spec: ModelSpec) -> Model:
        """Look at a table or query.

        Raises ``ConfigError`` with everything that does not fit, each problem as ``setting: what is wrong``.
        """
        return look_up(self, spec)

    def identity(self) -> tuple[str, str]:
        """A hash of which database this is, and a label for messages that names neither host nor user."""
        url, dialect = self._url, self.dialect
        if dialect.name == "sqlite":
            path = Path((url.database or ":memory:").removeprefix("file:"))
            parts = [dialect.name, str(path.absolute())]
            label = path.name
        else:
            host = (url.host or str(url.query.get("host") or url.query.get("unix_socket") or "localhost")).lower()
            label = url.database or url.username or ""
            parts = [dialect.name, host, str(url.port or url.query.get("port") or dialect.port), label]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32], f"{dialect.name} {label}"

    def fetch(self, statement: sa.Executable, *, place: str | None = None) -> list[Row]:
        """All rows of a statement, as the driver gives them; ``place`` is the setting to blame when it is wrong."""

        def read(connection: sa.Connection) -> list[Row]:
            with connection.execute(statement) as result:
                # The driver's own tuples: SQLAlchemy's rows would add nothing but their cost.
                return list(result.cursor.fetchall()) if result.cursor is not None else []

        return self.within(read, place=place)

    def within(self, read: Callable[[sa.Connection], T], *, place: str | None = None) -> T:
        """What ``read`` makes of a connection; three tries when the database is away or slow.

        Raises ``TemporaryError``, ``AccessError`` or ``ConfigError``.
        """
        for wait_s in (*RETRY_WAITS_S, None):
            try:
                return self._once(read)
            except (sa.exc.DBAPIError, self._driver_error) as error:
                original = getattr(error, "orig", None) or error
                trouble = self.dialect.trouble(original)
                if wait_s is None or not retriable(trouble):
                    raise self._failure(trouble, original, place) from error
                self._sleep(wait_s)
            except UnicodeDecodeError as error:
                text = "holds text that is not valid in the database's encoding"
                raise failure(Trouble.WRONG, text, self.identity()[1], place=place) from error
            except RuntimeError as error:
                if "cryptography" not in str(error):
                    raise
                hint = "pip install 'sync-profiles[mysql]'"
                raise ConfigError(
                    "source.url: this server's log-in needs the package cryptography", hint=hint
                ) from error
        raise AssertionError("unreachable: the last try returns or raises")

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    @property
    def _driver_error(self) -> type[Exception]:
        error: type[Exception] = self._engine.dialect.loaded_dbapi.Error
        return error

    def _once(self, read: Callable[[sa.Connection], T]) -> T:
        with self._engine.connect() as connection:
            try:
                with self.dialect.transaction(connection):
                    return read(connection)
            except (sa.exc.DBAPIError, self._driver_error) as error:
                if not self.dialect.recover(error, connection):
                    raise
                return read(connection)

    def _failure(self, trouble: Trouble, error: BaseException, place: str | None) -> Exception:
        text = str(error.args[1]) if len(error.args) > 1 else str(error)
        if self._url.password:
            text = text.replace(str(self._url.password), "***")
        return failure(trouble, text, self.identity()[1], place=place)


def driver_url(url: str) -> sa.URL:
    """``url`` with its driver named, since SQLAlchemy's own choice differs between its versions.

    Raises ``ConfigError`` when it is no URL, or names a database or driver that is not supported.
    """
    try:
        # Before SQLAlchemy sees it: its own error would quote the password.
        parsed = sa.make_url(url)
        return parsed.set(drivername=_DRIVERS[parsed.drivername])
    except KeyError:
        known = f'"{url.partition(":")[0]}://" is not supported'
        raise ConfigError(f"source.url: {known}", hint=f"write {_SUPPORTED}") from None
    except (sa.exc.ArgumentError, ValueError):
        raise ConfigError("source.url: is not a database URL", hint=f"write {_SUPPORTED}") from None


def open_database(url: str, *, statement_timeout_s: float, sleep: Callable[[float], None] = time.sleep) -> Database:
    """The database at an SQLAlchemy URL; ``statement_timeout_s`` bounds each statement, in seconds.

    Raises ``ConfigError`` like ``driver_url``.
    """
    parsed = driver_url(url)
    dialect = _dialect(parsed.get_backend_name())
    return Database(parsed, dialect, dialect.engine(parsed, statement_timeout_s), sleep)


def _dialect(backend: str) -> Dialect:
    """Imported when needed: each brings its driver."""
    match backend:
        case "postgresql":
            from sync_profiles.source.postgres import PostgreSQL

            return PostgreSQL()
        case "mysql":
            from sync_profiles.source.mysql import MySQL

            return MySQL()
        case _:
            from sync_profiles.source.sqlite import SQLite

            return SQLite()
