"""What goes wrong between the program and a database, and what may never go right: writing."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from servers import LiveDatabase
from sources import FULL, keys, opened, source_of

from sync_profiles.errors import AccessError, ConfigError, TemporaryError
from sync_profiles.source.sql import Database, ModelSpec, open_database, open_source

SLEEP = {
    "postgresql": "SELECT pg_sleep(30) AS id",
    "mariadb": "SELECT SLEEP(30) AS id",
    "mysql": "SELECT SLEEP(30) AS id",
    "sqlite": "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s) SELECT count(*) AS id FROM s",
}
NOWHERE = "127.0.0.1:1"  # a port that nobody listens on


@pytest.fixture
def users(database: LiveDatabase) -> LiveDatabase:
    database.execute("CREATE TABLE users (id int PRIMARY KEY)", "INSERT INTO users VALUES (1), (2), (3)")
    return database


def run(reader: Database, statement: str) -> Any:
    return reader.within(lambda connection: connection.exec_driver_sql(statement))


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO users VALUES (9)",
        "UPDATE users SET id = 9",
        "DELETE FROM users",
        "CREATE TABLE x (a int)",
        "DROP TABLE users",
    ],
)
def test_the_session_itself_refuses_to_write(users: LiveDatabase, statement: str) -> None:
    with opened(users) as reader, pytest.raises(ConfigError, match=r"(?i)read.?only|query_only"):
        run(reader, statement)
    assert users.scalar("SELECT count(*) FROM users") == 3


def test_a_statement_over_its_time_limit_is_tried_three_times_and_then_later(database: LiveDatabase) -> None:
    waits: list[float] = []
    reader = open_database(database.url, statement_timeout_s=0.2, sleep=waits.append)
    with pytest.raises(TemporaryError) as caught:
        run(reader, SLEEP[database.kind])
    reader.close()
    assert len(waits) == 2
    assert caught.value.hint is not None
    assert "statement_timeout" in caught.value.hint


def test_a_connection_cut_between_two_pages_costs_no_row(users: LiveDatabase) -> None:
    if users.kind == "sqlite":
        pytest.skip("SQLite has no connection to cut")
    pages = source_of(users, page_size=1).pages(FULL)
    read = list(next(pages).keys)
    cut(users)
    read += [key for page in pages for key in page.keys]
    assert read == ["1", "2", "3"]


def cut(database: LiveDatabase) -> None:
    """End every other connection to the database."""
    if database.kind == "postgresql":
        database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return
    with database.engine.connect() as connection:
        others = connection.exec_driver_sql(
            "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
        )
        for (number,) in others.all():
            connection.exec_driver_sql(f"KILL {number}")


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_a_server_that_is_away_is_tried_three_times_and_then_later(scheme: str) -> None:
    waits: list[float] = []
    reader = open_database(f"{scheme}://ada:geheim@{NOWHERE}/app", statement_timeout_s=1, sleep=waits.append)
    with pytest.raises(TemporaryError) as caught:
        reader.model(ModelSpec("users"))
    assert len(waits) == 2
    assert str(caught.value).startswith(f"{scheme} app: ")
    assert "geheim" not in repr(caught.value)


def test_a_wrong_password_is_refused_without_being_told(postgres_database: LiveDatabase) -> None:
    postgres_database.execute("DROP ROLE IF EXISTS sp_locked", "CREATE ROLE sp_locked LOGIN PASSWORD 'right'")
    url = postgres_database.url.replace("postgres@", "sp_locked:wr0ng-secret@")
    said = refusal(url, AccessError)
    assert "password authentication failed" in said
    assert "wr0ng-secret" not in said
    assert "127.0.0.1" not in said


def test_a_wrong_password_is_refused_by_mariadb_too(mariadb_database: LiveDatabase) -> None:
    url = sa.make_url(mariadb_database.url).set(password="wr0ng-secret").render_as_string(hide_password=False)
    said = refusal(url, AccessError)
    assert "Access denied" in said
    assert "wr0ng-secret" not in said


def test_a_database_that_does_not_exist_is_a_matter_of_configuration(database: LiveDatabase) -> None:
    assert refusal(f"{database.url}_nowhere", ConfigError).count("\n") == 0


def refusal(url: str, error: type[Exception]) -> str:
    """What is said, the whole chain of causes included."""
    reader = open_database(url, statement_timeout_s=5)
    with pytest.raises(error) as caught:
        reader.model(ModelSpec("users"))
    reader.close()
    return str(caught.value)


def test_looking_creates_no_file(sqlite_database: LiveDatabase) -> None:
    url = f"{sqlite_database.url}.other"
    refusal(url, ConfigError)
    refusal(url, ConfigError)


def test_a_file_is_read_while_somebody_writes_to_it(sqlite_database: LiveDatabase) -> None:
    """With a write-ahead log, as applications use it."""
    sqlite_database.execute("PRAGMA journal_mode = WAL", "CREATE TABLE users (id int PRIMARY KEY)")
    source = source_of(sqlite_database)
    with sqlite_database.engine.connect() as writer:
        writer.exec_driver_sql("INSERT INTO users VALUES (1)")
        writer.exec_driver_sql("BEGIN IMMEDIATE")
        writer.exec_driver_sql("INSERT INTO users VALUES (2)")
        assert keys(source) == ["1"]
        writer.exec_driver_sql("COMMIT")
    assert keys(source) == ["1", "2"]


def test_a_conversion_that_fails_on_some_row_does_not_quote_it(postgres_database: LiveDatabase) -> None:
    postgres_database.execute(
        "CREATE TABLE users (id int PRIMARY KEY, v text)", "INSERT INTO users VALUES (1, 'ada@example.com')"
    )
    with pytest.raises(ConfigError) as caught:
        keys(source_of(postgres_database, where="v::int > 0"))
    assert "invalid input syntax" in str(caught.value)
    assert "ada@example.com" not in str(caught.value)


def test_a_deadlock_or_a_conflict_passes_when_tried_again(postgres_database: LiveDatabase) -> None:
    postgres_database.execute(
        "CREATE FUNCTION stumble() RETURNS int LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION 'canceling statement due to conflict with recovery' USING ERRCODE = '40001'; END $$",
    )
    waits: list[float] = []
    reader = open_database(postgres_database.url, statement_timeout_s=5, sleep=waits.append)
    with pytest.raises(TemporaryError, match="conflict with recovery"):
        run(reader, "SELECT stumble()")
    reader.close()
    assert len(waits) == 2


# --- poolers -------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["refuses", "drops"])
def pooled(request: pytest.FixtureRequest, postgres_database: LiveDatabase) -> Iterator[LiveDatabase]:
    """The same database through something like PgBouncer, which refuses start-up options or silently drops them."""
    parsed = sa.make_url(postgres_database.url)
    pooler = Pooler((parsed.host or "", parsed.port or 0), refuses=request.param == "refuses")
    url = parsed.set(host="127.0.0.1", port=pooler.port).render_as_string(hide_password=False)
    yield LiveDatabase("postgresql", request.param, url, postgres_database.engine)
    pooler.close()


class Pooler:
    """Passes bytes on, after a look at PostgreSQL's start-up message."""

    def __init__(self, server: tuple[str, int], *, refuses: bool) -> None:
        self._server = server
        self._refuses = refuses
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        message = self._startup(client)
        fields = message[8:].rstrip(b"\0").split(b"\0")
        pairs = dict(zip(fields[::2], fields[1::2], strict=False))
        if b"options" in pairs and self._refuses:
            said = b"SFATAL\0C08P01\0Munsupported startup parameter: options\0\0"
            client.sendall(b"E" + struct.pack("!I", len(said) + 4) + said)
            client.close()
            return
        pairs.pop(b"options", None)
        body = message[4:8] + b"".join(name + b"\0" + value + b"\0" for name, value in pairs.items()) + b"\0"
        server = socket.create_connection(self._server)
        server.sendall(struct.pack("!I", len(body) + 4) + body)
        threading.Thread(target=pump, args=(server, client), daemon=True).start()
        pump(client, server)

    def _startup(self, client: socket.socket) -> bytes:
        while True:
            length = client.recv(4, socket.MSG_WAITALL)
            rest = client.recv(struct.unpack("!I", length)[0] - 4, socket.MSG_WAITALL)
            if struct.unpack("!I", rest[:4])[0] == 196608:  # protocol 3.0; anything else asks for encryption
                return length + rest
            client.sendall(b"N")


def pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while block := source.recv(65536):
            sink.sendall(block)
    except OSError:
        pass
    finally:
        source.close()
        sink.close()


def test_a_pooler_that_forgets_settings_is_told_them_with_every_transaction(pooled: LiveDatabase) -> None:
    pooled.execute(
        "CREATE TABLE users (id int PRIMARY KEY, at timestamptz)",
        "INSERT INTO users VALUES (1, '2025-01-01 12:00:00+00'), (2, NULL)",
    )
    name = pooled.scalar("SELECT current_database()")
    pooled.execute(f"ALTER ROLE postgres IN DATABASE {name} SET TimeZone = 'Asia/Tokyo'")
    with opened(pooled, timeout_s=0.3) as reader:
        model = reader.model(ModelSpec("users", page_size=1))
        source = open_source(model, ["at"], distinct_id=None)
        assert [page.rows for page in source.pages(FULL)] == [[("2025-01-01 12:00:00+00",)], [(None,)]]
        with pytest.raises(ConfigError, match="read-only"):
            run(reader, "DELETE FROM users")
        with pytest.raises(TemporaryError, match="statement timeout"):
            run(reader, "SELECT pg_sleep(10)")
        assert [page.keys for page in source.pages(FULL)] == [["1"], ["2"]]


def test_no_transaction_is_left_open_behind_a_pooler(pooled: LiveDatabase) -> None:
    with opened(pooled) as reader:
        run(reader, "SELECT 1")
        with pytest.raises(ConfigError):
            run(reader, "SELECT nonsense")
        states = pooled.scalar(
            "SELECT string_agg(state, ',') FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'"
        )
    assert states is None
