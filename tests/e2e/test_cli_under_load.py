"""Runs every second under applications that write all the time, killed at random: in the end Mixpanel holds the table.

PostgreSQL is read by row versions while transactions commit late, in two phases and with savepoints, and while the
table is frozen, rewritten and altered. MariaDB and SQLite are read in full, or by a cursor and in full at the end.
"""

from __future__ import annotations

import contextlib
import random
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from commands import Workplace, working
from dying import Forks
from servers import LiveDatabase, ServerMissingError, Servers, all_labels

ROWS = 400
SMALL_REQUESTS = "records_per_request = 60\nconcurrency = 3\n"
MAINTENANCE = (
    "VACUUM FREEZE users",
    "VACUUM FULL users",
    "CLUSTER users USING users_pkey",
    "ANALYZE users",
    "ALTER TABLE users ADD COLUMN extra{n} text DEFAULT 'x'",
    "ALTER TABLE users ALTER COLUMN plan TYPE varchar({size})",
)


class Application:
    """Threads that write until the block ends: inserts, updates, deletes, rollbacks, late and two-phase commits."""

    def __init__(self, database: LiveDatabase, seed: int, threads: int) -> None:
        self._database = database
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=(random.Random(f"{seed} {one}"), one, threads))
            for one in range(threads)
        ]
        self.errors: list[BaseException] = []
        self.commits = 0

    def __enter__(self) -> Application:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _work(self, chance: random.Random, one: int, of: int) -> None:
        engine = sa.create_engine(self._database.url, poolclass=sa.NullPool)
        if self._database.kind == "sqlite":
            sa.event.listen(engine, "connect", lambda driver, _: driver.execute("PRAGMA busy_timeout = 30000"))
        try:
            while not self._over.is_set():
                with engine.connect() as connection:
                    self._transaction(connection, chance, lambda: 1 + chance.randrange(ROWS // of) * of + one)
        except BaseException as error:
            self.errors.append(error)

    def _transaction(self, connection: sa.Connection, chance: random.Random, key: Callable[[], int]) -> None:
        """Each thread has rows of its own, so that none waits for another's row."""
        postgres = self._database.kind == "postgresql"
        for _ in range(chance.randint(1, 5)):
            if postgres and chance.random() < 0.3:
                with contextlib.suppress(_UndoneError), connection.begin_nested():
                    connection.exec_driver_sql(_edit(chance, key()))
                    if chance.random() < 0.5:
                        raise _UndoneError
            else:
                connection.exec_driver_sql(_edit(chance, key()))
        # SQLite has one writer at a time: who dawdles stops all the others.
        time.sleep(chance.choice([0, 0.01, 0.05, 0.3, 1.5] if self._database.kind != "sqlite" else [0, 0.01]))
        self._end(connection, chance)
        time.sleep(chance.choice([0, 0.01, 0.05]))

    def _end(self, connection: sa.Connection, chance: random.Random) -> None:
        fate = chance.random()
        if fate < 0.15:
            connection.rollback()
        elif fate < 0.3 and self._database.kind == "postgresql":
            name = f"load_{chance.randrange(10**12)}"
            connection.exec_driver_sql(f"PREPARE TRANSACTION '{name}'")
            connection.commit()
            time.sleep(chance.choice([0, 0.1, 0.8]))
            self._database.execute(f"{chance.choice(['COMMIT', 'COMMIT', 'ROLLBACK'])} PREPARED '{name}'")
        else:
            connection.commit()
        self.commits += 1


class _UndoneError(Exception):
    """A savepoint is rolled back."""


def _edit(chance: random.Random, key: int) -> str:
    """One statement; one update in five forgets the time of change."""
    value = f"v{chance.randrange(10**9)}"
    stamp = "" if chance.random() < 0.2 else ", updated_at = CURRENT_TIMESTAMP"
    absent = f" WHERE NOT EXISTS (SELECT 1 FROM users WHERE id = {key})"
    return chance.choice(
        [
            f"UPDATE users SET plan = '{value}'{stamp} WHERE id = {key}",
            f"UPDATE users SET email = NULL, name = '{value}'{stamp} WHERE id = {key}",
            f"DELETE FROM users WHERE id = {key} AND {chance.choice([0, 1])} = 1",
            f"INSERT INTO users (id, name, plan, updated_at) SELECT {key}, '{value}', 'new', CURRENT_TIMESTAMP{absent}",
        ]
    )


def live(place: Workplace, program: Forks, detect: str, seed: int, runs: int) -> str:
    """So many runs under load, then a quiet time; what happened, for the record."""
    chance = random.Random(f"{detect} {seed}")
    place.fill(ROWS)
    settings = f'table = "users"\ndetect = "{detect}"\non_delete = "delete"\nmax_delete = "100%"\nlookback = "2s"\n'
    place.write(settings + 'cursor = "updated_at"\npage_size = 70\n', mixpanel=SMALL_REQUESTS)
    killed = altered = 0
    with Application(place.database, seed, 1 if place.database.kind == "sqlite" else 4) as application:
        for number in range(runs):
            began = time.monotonic()
            die_at = chance.randint(1, 60) if chance.random() < 0.4 else 0
            outcome = program.run("run", cwd=place.folder, environ=place.environ, die_at=die_at)
            place.check_discreet(outcome.out + outcome.err)
            killed += outcome.code == -signal.SIGKILL
            assert outcome.code in {0, -signal.SIGKILL}, outcome.err
            if place.database.kind == "postgresql" and chance.random() < 0.4:
                altered += 1
                place.database.execute(chance.choice(MAINTENANCE).format(n=number, size=100 + number))
            time.sleep(max(0.0, began + 1.0 - time.monotonic()))
    assert application.errors == []
    assert application.commits > runs
    for _ in range(3):
        an_hour_passes(place)
        quiet = program.run("run", cwd=place.folder, environ=place.environ)
        assert quiet.code == 0, quiet
    if detect == "cursor":
        assert program.run("run", "--full", cwd=place.folder, environ=place.environ).code == 0
    place.assert_equal()
    assert place.sandbox.overlaps == frozenset()
    return f"{application.commits} transactions, {runs} runs, {killed} killed, {altered} times maintenance"


def an_hour_passes(place: Workplace) -> None:
    """What a killed run had under way may still be applied, so that a delete of it waits ten minutes."""
    earlier = "SET since = since - 3600, next_try_at = next_try_at - 3600"
    if "STATE_URL" in place.environ:
        with sa.create_engine(place.environ["STATE_URL"], poolclass=sa.NullPool).begin() as connection:
            connection.exec_driver_sql(f"UPDATE sync_profiles.pending {earlier}")
        return
    with contextlib.closing(sqlite3.connect(place.state)) as state, state:
        state.execute(f"UPDATE pending {earlier}")


LOADS = [
    (label, detect)
    for label in all_labels()
    for detect in (["xmin"] if label.startswith("postgres") else ["full", "cursor"])
]


@contextlib.contextmanager
def workplace(servers: Servers, label: str, folder: Path) -> Iterator[Workplace]:
    try:
        server = servers.get(label)
    except ServerMissingError as missing:
        pytest.skip(f"no {label} server here; get one with: {missing}")
    with server.fresh_database() as database, working(folder, database) as place:
        yield place


@pytest.mark.parametrize(("label", "detect"), [load for load in LOADS if load[1] == "full"])
def test_under_load_and_kills_the_runs_after_the_last_commit_make_all_equal(
    servers: Servers, program: Forks, tmp_path: Path, label: str, detect: str
) -> None:
    with workplace(servers, label, tmp_path) as place:
        live(place, program, detect, seed=0, runs=3)


@pytest.mark.proof
@pytest.mark.parametrize("seed", range(1, 21))
@pytest.mark.parametrize(("label", "detect"), LOADS)
def test_under_load_and_kills_again_and_again(
    servers: Servers, program: Forks, tmp_path: Path, label: str, detect: str, seed: int
) -> None:
    with workplace(servers, label, tmp_path) as place:
        print(f"{label}, {detect}, seed {seed}: {live(place, program, detect, seed, runs=12)}")


@pytest.mark.proof
@pytest.mark.parametrize("seed", range(1, 21))
def test_under_load_and_kills_again_and_again_with_the_state_on_a_server(
    server_place: Workplace, program: Forks, seed: int
) -> None:
    print(f"state on a server, seed {seed}: {live(server_place, program, 'full', seed, runs=12)}")
