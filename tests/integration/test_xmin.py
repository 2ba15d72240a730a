"""Nothing is missed on PostgreSQL: every way a change hides from a timestamp is delivered by the next run.

The table is real, the engine is the real one; Mixpanel takes everything and the state is in memory. "Delivered" is
equality of what Mixpanel holds with the table.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from clusters import burn
from servers import LiveDatabase
from syncing import Syncing

ROWS = 300


@pytest.fixture
def sync(postgres_database: LiveDatabase) -> Syncing:
    """A table of 300 users that was synced once; its ``updated_at`` is configured, and never touched here."""
    postgres_database.execute(
        "CREATE TABLE users (id bigint PRIMARY KEY, name text, plan text, updated_at timestamptz DEFAULT now())",
        f"INSERT INTO users SELECT n, 'n' || n, 'free' FROM generate_series(1, {ROWS}) AS s(n)",
    )
    syncing = Syncing(postgres_database, spec={"cursor": "updated_at"})
    first = syncing.run()
    assert (first.detection, first.why, first.sent) == ("full", "first run", ROWS)
    return syncing


def delivered(sync: Syncing, sent: int | None = None, why: str = "since the last run") -> None:
    """The next run is by row versions and delivers everything, ``sent`` profiles."""
    summary = sync.run()
    assert (summary.detection, summary.why) == ("xmin", why)
    assert sent is None or summary.sent == sent
    sync.assert_equal()


def read_in_full(sync: Syncing, why: str) -> None:
    """The next run reads everything, for this reason; the one after it goes by row versions again."""
    summary = sync.run()
    assert (summary.detection, summary.why) == ("full", why)
    sync.assert_equal()
    delivered(sync, 0)


@pytest.fixture
def session(sync: Syncing) -> Iterator[sa.Connection]:
    """An application's session with transactions of its own."""
    with sync.database.engine.connect().execution_options(isolation_level="READ COMMITTED") as connection:
        yield connection


# --- what a timestamp does not show --------------------------------------------------------------------------------


def test_a_change_that_touches_no_timestamp_is_delivered(sync: Syncing) -> None:
    sync.database.execute("UPDATE users SET plan = 'pro' WHERE id = 7", "INSERT INTO users VALUES (1001, 'new')")
    delivered(sync, 2)


def test_nothing_is_read_and_nothing_sent_when_nothing_changed(sync: Syncing) -> None:
    sync.run()  # reads again what was written by transactions that were the newest then
    summary = sync.run()
    assert (summary.detection, summary.scanned, summary.sent) == ("xmin", 0, 0)


def test_a_commit_that_comes_after_later_ones_were_synced_is_delivered(sync: Syncing, session: sa.Connection) -> None:
    with session.begin():
        session.exec_driver_sql("UPDATE users SET plan = 'late', updated_at = now() WHERE id = 1")
        session.exec_driver_sql("INSERT INTO users VALUES (1001, 'late')")
        for number in range(2, 5):
            sync.database.execute(f"UPDATE users SET plan = 'early', updated_at = now() WHERE id = {number}")
            delivered(sync, 1)
    delivered(sync, 2)


def test_what_was_rolled_back_is_not_sent_and_hides_nothing(sync: Syncing, session: sa.Connection) -> None:
    transaction = session.begin()
    session.exec_driver_sql("UPDATE users SET plan = 'never' WHERE id IN (1, 2)")
    delivered(sync, 0)
    transaction.rollback()
    delivered(sync, 0)
    sync.database.execute("UPDATE users SET plan = 'after' WHERE id = 2")
    delivered(sync, 1)


def test_savepoints_have_numbers_of_their_own_and_are_delivered(sync: Syncing, session: sa.Connection) -> None:
    with session.begin():
        session.exec_driver_sql("UPDATE users SET plan = 'outer' WHERE id = 1")
        for number in range(2, 80):  # more than a session keeps at hand
            session.exec_driver_sql(f"SAVEPOINT s{number}")
            session.exec_driver_sql(f"UPDATE users SET plan = 'inner' WHERE id = {number}")
            if number % 3 == 0:
                session.exec_driver_sql(f"ROLLBACK TO s{number}")
            elif number % 3 == 1:
                session.exec_driver_sql(f"RELEASE s{number}")
            if number == 40:
                delivered(sync, 0)
        session.exec_driver_sql("UPDATE users SET plan = 'outer' WHERE id = 100")
        delivered(sync, 0)
    delivered(sync, 2 + 52)


def test_a_prepared_transaction_is_delivered_when_it_is_committed(sync: Syncing, session: sa.Connection) -> None:
    name = f"late_{random.randrange(10**9)}"
    session.exec_driver_sql("UPDATE users SET plan = 'prepared' WHERE id = 5")
    session.exec_driver_sql(f"PREPARE TRANSACTION '{name}'")
    try:
        sync.database.execute("UPDATE users SET plan = 'between' WHERE id = 6")
        delivered(sync, 1)
        delivered(sync, 0)
        sync.database.execute(f"COMMIT PREPARED '{name}'")
    except BaseException:
        sync.database.execute(f"ROLLBACK PREPARED '{name}'")
        raise
    delivered(sync, 1)


# --- what the server does to tables on its own ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "maintenance",
    [
        "VACUUM FREEZE users",
        "VACUUM FULL users",
        "CLUSTER users USING users_pkey",
        "VACUUM (FULL, FREEZE) users",
        "REINDEX TABLE users",
    ],
)
def test_maintenance_neither_hides_a_change_nor_invents_one(sync: Syncing, maintenance: str) -> None:
    sync.database.execute("UPDATE users SET plan = 'pro' WHERE id = 7", maintenance)
    delivered(sync, 1)
    sync.database.execute(maintenance)
    assert sync.run().sent == 0


def test_a_column_whose_default_was_added_without_writing_a_row_is_delivered(sync: Syncing) -> None:
    sync.database.execute("ALTER TABLE users DROP COLUMN plan, ADD COLUMN plan text DEFAULT 'gold'")
    assert sync.differing()
    read_in_full(sync, "schema changed")


def test_a_type_that_rewrites_the_table_is_delivered(sync: Syncing) -> None:
    sync.database.execute("ALTER TABLE users ALTER COLUMN plan TYPE text USING upper(plan)")
    sync.run()
    sync.assert_equal()
    sync.database.execute("ALTER TABLE users ALTER COLUMN plan TYPE int USING length(plan)")
    read_in_full(sync, "schema changed")


def test_a_label_of_an_enum_that_is_renamed_is_delivered(postgres_database: LiveDatabase) -> None:
    postgres_database.execute(
        "CREATE TYPE plan AS ENUM ('free', 'pro')",
        "CREATE TABLE users (id int PRIMARY KEY, plan plan)",
        "INSERT INTO users VALUES (1, 'free'), (2, 'pro')",
    )
    sync = Syncing(postgres_database, columns=("plan",))
    sync.run()
    postgres_database.execute("ALTER TYPE plan RENAME VALUE 'pro' TO 'paid'")
    read_in_full(sync, "schema changed")


# --- other tables under the same name ------------------------------------------------------------------------------


def test_a_table_that_was_truncated_and_filled_again_is_delivered(sync: Syncing) -> None:
    sync.database.execute("TRUNCATE users", "INSERT INTO users VALUES (1, 'again'), (1001, 'new')")
    assert sync.run().sent == 2
    sync.run(full=True)
    sync.assert_equal()


def test_a_table_that_was_made_anew_is_read_in_full(sync: Syncing) -> None:
    sync.database.execute(
        "DROP TABLE users",
        "CREATE TABLE users (id bigint PRIMARY KEY, name text, plan text, updated_at timestamptz)",
        "INSERT INTO users VALUES (1, 'only')",
    )
    read_in_full(sync, "table changed")


def test_a_table_that_took_over_the_name_is_read_in_full_although_its_rows_are_old(sync: Syncing) -> None:
    sync.database.execute(
        "CREATE TABLE other (LIKE users INCLUDING ALL)", "INSERT INTO other SELECT id, 'other' FROM users"
    )
    delivered(sync, 0)
    sync.database.execute("ALTER TABLE users RENAME TO former", "ALTER TABLE other RENAME TO users")
    assert sync.differing()
    read_in_full(sync, "table changed")


# --- partitions ----------------------------------------------------------------------------------------------------


@pytest.fixture
def partitioned(postgres_database: LiveDatabase) -> Syncing:
    postgres_database.execute(
        "CREATE TABLE users (id bigint, region text, plan text, PRIMARY KEY (id, region)) PARTITION BY LIST (region)",
        "CREATE TABLE users_eu PARTITION OF users FOR VALUES IN ('eu')",
        "CREATE TABLE users_us PARTITION OF users FOR VALUES IN ('us')",
        "CREATE TABLE users_jp (LIKE users INCLUDING ALL)",
        "INSERT INTO users SELECT n, CASE n % 2 WHEN 0 THEN 'eu' ELSE 'us' END, 'free' FROM generate_series(1, 99) n",
        "INSERT INTO users_jp SELECT n, 'jp', 'free' FROM generate_series(100, 110) n",
    )
    sync = Syncing(postgres_database, columns=("region", "plan"), spec={"primary_key": ("id",)})
    sync.run()
    sync.assert_equal()
    return sync


def test_a_row_that_moves_to_another_partition_is_delivered(partitioned: Syncing) -> None:
    partitioned.database.execute(
        "UPDATE users SET region = 'us' WHERE id = 2", "UPDATE users SET plan = 'pro' WHERE id = 4"
    )
    delivered(partitioned, 2)


def test_a_partition_that_comes_or_goes_is_delivered(partitioned: Syncing) -> None:
    partitioned.database.execute("ALTER TABLE users ATTACH PARTITION users_jp FOR VALUES IN ('jp')")
    assert partitioned.differing()
    read_in_full(partitioned, "schema changed")
    partitioned.database.execute("ALTER TABLE users DETACH PARTITION users_us")
    assert partitioned.differing()
    read_in_full(partitioned, "schema changed")


# --- choosing ------------------------------------------------------------------------------------------------------


def test_a_full_pass_is_made_as_often_as_was_asked_and_finds_what_is_gone(sync: Syncing) -> None:
    """A row that was never sent hides the gone one from the count of rows."""
    sync.database.execute("UPDATE users SET id = 100000, plan = repeat('x', 1000001) WHERE id = 9")
    hidden = sync.tried().summary
    assert (hidden.rejected, hidden.deleted) == (1, 0)
    sync.database.execute("UPDATE users SET plan = 'free' WHERE id = 100000")
    sync.time.at += 24 * 3600
    read_in_full(sync, "full_every")


def test_another_way_of_finding_changes_begins_with_everything(sync: Syncing) -> None:
    sync.spec = {"detect": "full"}
    assert sync.run().why == "no change column"
    sync.spec = {}
    sync.database.execute("UPDATE users SET plan = 'pro' WHERE id = 7")
    read_in_full(sync, "detection changed")


def test_a_backfill_by_blocks_sends_every_row_and_the_next_run_goes_on_from_it(sync: Syncing) -> None:
    sync.mirror.profiles.clear()
    assert sync.backfill().sent == ROWS
    sync.assert_equal()
    sync.database.execute("UPDATE users SET plan = 'pro' WHERE id = 7")
    delivered(sync, 1)


def test_a_transaction_that_never_ends_is_named_after_three_runs(sync: Syncing, session: sa.Connection) -> None:
    with session.begin():
        session.exec_driver_sql("UPDATE users SET plan = 'held' WHERE id = 1")
        sync.run()
        told = []
        for number in range(2, 6):
            sync.database.execute(f"UPDATE users SET plan = 'p{number}' WHERE id = {number}")
            sync.run()
            told.append("horizon_stuck" in sync.warned)
        assert told == [False, False, True, True]
        assert "a transaction open for" in sync.warned["horizon_stuck"]
    delivered(sync, 1)
    burn(sync.database, 1)
    sync.run()
    assert "horizon_stuck" not in sync.warned


# --- everything at once --------------------------------------------------------------------------------------------


class Writers:
    """Applications that write all the time: updates, inserts, savepoints, rollbacks, late and prepared commits."""

    def __init__(self, database: LiveDatabase, seed: int, count: int = 3) -> None:
        self._database = database
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(seed * 100 + one,)) for one in range(count)]
        self.errors: list[BaseException] = []
        self.commits = 0

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _write(self, seed: int) -> None:
        choose = random.Random(seed)
        engine = sa.create_engine(self._database.url, poolclass=sa.NullPool)
        try:
            with engine.connect() as connection:
                while not self._over.is_set():
                    self._transaction(connection, choose, seed)
        except BaseException as error:
            self.errors.append(error)

    def _transaction(self, connection: sa.Connection, choose: random.Random, seed: int) -> None:
        # Each writer has rows of its own, so that none waits for another.
        for _ in range(choose.randint(1, 4)):
            key = choose.randrange(1, 100) * 100 + seed % 100
            savepoint = choose.random() < 0.3
            if savepoint:
                connection.exec_driver_sql("SAVEPOINT one")
            value = f"{seed}-{choose.random()}"
            connection.exec_driver_sql(
                f"INSERT INTO users VALUES ({key}, '{value}', '{value}')"
                f" ON CONFLICT (id) DO UPDATE SET plan = '{value}'"
            )
            if savepoint and choose.random() < 0.5:
                connection.exec_driver_sql("ROLLBACK TO one")
        time.sleep(choose.choice([0, 0, 0.001, 0.02]))
        if choose.random() < 0.2:
            connection.rollback()
        elif choose.random() < 0.2:
            name = f"p{seed}_{choose.randrange(10**9)}"
            connection.exec_driver_sql(f"PREPARE TRANSACTION '{name}'")
            connection.commit()
            time.sleep(choose.choice([0, 0.01]))
            with self._database.engine.connect() as other:
                other.exec_driver_sql(f"COMMIT PREPARED '{name}'")
        else:
            connection.commit()
        self.commits += 1


def work_under_load(database: LiveDatabase, seed: int, runs: int) -> None:
    database.execute("CREATE TABLE users (id bigint PRIMARY KEY, name text, plan text) WITH (fillfactor = 50)")
    sync = Syncing(database, spec={"page_size": 20}, full_every_s=7 * 3600.0)
    why = set()
    with Writers(database, seed) as writers:
        for number in range(runs):
            why.add(sync.run().why)
            if number % 4 == 3:
                database.execute(random.Random(seed + number).choice(["VACUUM FREEZE users", "VACUUM FULL users"]))
    assert writers.errors == []
    assert writers.commits > runs
    delivered(sync)
    assert sync.run().sent == 0, "what was delivered is not sent again"
    assert {"first run", "since the last run"} <= why


def test_under_writers_of_every_kind_the_run_after_the_last_commit_makes_all_equal(
    postgres_database: LiveDatabase,
) -> None:
    work_under_load(postgres_database, seed=1, runs=12)


@pytest.mark.proof
@pytest.mark.parametrize("seed", range(2, 22))
def test_under_writers_of_every_kind_again_and_again(postgres_database: LiveDatabase, seed: int) -> None:
    print(f"seed {seed}")
    work_under_load(postgres_database, seed, runs=60)
