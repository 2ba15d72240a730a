"""PostgreSQL clusters in unusual circumstances: a standby, a copy of another one's disk, a counter about to wrap."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa
from servers import LiveDatabase, Server, new_cluster, run_as_server

SEGMENT_TRANSACTIONS = 32 * 32768
"""So many transactions have their outcome in one file of pg_xact."""


def standby_of(server: Server):
    """Makes a standby that streams from ``server``."""
    address = f"postgresql://postgres@{server.url.host}:{server.url.port}/postgres"

    def make(binaries: Path, data: Path) -> None:
        command = [
            binaries / "pg_basebackup",
            "-d",
            address,
            "-D",
            data,
            "-R",
            "-X",
            "stream",
            "-c",
            "fast",
            "--no-sync",
        ]
        run_as_server(command, data.parent)

    return make


def copy_of(server: Server):
    """Makes a copy of the disk of ``server`` as it is now, like a snapshot of a volume."""
    with connected(server.url) as connection:
        connection.exec_driver_sql("CHECKPOINT")
        source = Path(connection.exec_driver_sql("SHOW data_directory").scalar_one())
    copy = source.with_name("copy")
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("postmaster.*"), copy_function=_copy)
    _give_like(source, copy)

    def make(_binaries: Path, data: Path) -> None:
        shutil.copytree(copy, data, copy_function=_copy)
        _give_like(copy, data)

    return make


def wrapping_at(next_xid: int):
    """Makes a cluster whose next transaction is ``next_xid``, of 64 bit."""

    def make(binaries: Path, data: Path) -> None:
        new_cluster(binaries, data)
        for name in ("template1", "postgres"):  # what initdb wrote last would lie in the future
            run_as_server([binaries / "postgres", "--single", "-D", data, name], data.parent, b"VACUUM FREEZE\n")
        epoch, xid = divmod(next_xid, 2**32)
        outcomes = data / "pg_xact" / f"{xid // SEGMENT_TRANSACTIONS:04X}"
        outcomes.write_bytes(b"\0" * (SEGMENT_TRANSACTIONS // 4))
        _give_like(data, outcomes)
        run_as_server([binaries / "pg_resetwal", "-x", str(xid), "-e", str(epoch), "-D", data], data.parent)

    return make


@contextlib.contextmanager
def connected(url: sa.URL | str) -> Iterator[sa.Connection]:
    """A connection that commits each statement, closed at the end."""
    engine = sa.create_engine(url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection


def at(server: Server, database: LiveDatabase) -> LiveDatabase:
    """The database of the same name on another server."""
    url = server.url.set(database=sa.make_url(database.url).database)
    engine = sa.create_engine(url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    return LiveDatabase(database.kind, server.label, url.render_as_string(hide_password=False), engine)


def burn(database: LiveDatabase, transactions: int) -> None:
    """Use up so many transaction numbers."""
    database.execute(f"DO $$ BEGIN FOR i IN 1..{transactions} LOOP PERFORM txid_current(); COMMIT; END LOOP; END $$")


def _copy(source: str, target: str) -> None:
    with contextlib.suppress(FileNotFoundError):  # a file of a session that ended meanwhile
        shutil.copy2(source, target)


def _give_like(model: Path, path: Path) -> None:
    """Give a file or a folder to whom ``model`` belongs."""
    owner = model.stat()
    for each in (path, *path.rglob("*")):
        shutil.chown(each, owner.st_uid, owner.st_gid)
