"""Rows that move from block to block while a pass reads the table block by block: none is missed, none called gone.

A rewrite of the table (VACUUM FULL, CLUSTER, pg_repack) moves rows without writing them, so that they keep the number
of the transaction that wrote them; nothing that asks for later numbers finds them again.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from servers import LiveDatabase
from syncing import Syncing

from sync_profiles.source import versions

ROWS = 600
WIDE = "repeat('x', 1900)"
"""Four rows a block."""


@pytest.fixture(autouse=True)
def small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    """A range is 40 blocks, so that the table has several."""
    monkeypatch.setattr(versions, "blocks_a_range", lambda _size, *, all_rows: 40 + all_rows)


@pytest.fixture
def wide(postgres_database: LiveDatabase) -> Syncing:
    """Users in the order of their keys, with an index in the opposite one, synced once."""
    postgres_database.execute(
        "CREATE TABLE users (id bigint PRIMARY KEY, plan text, padding text, backwards bigint)"
        " WITH (autovacuum_enabled = off)",
        "CREATE INDEX opposite ON users (backwards)",
        f"INSERT INTO users SELECT n, 'free', {WIDE}, -n FROM generate_series(1, {ROWS}) AS s(n)",
    )
    sync = Syncing(postgres_database, columns=("plan",), spec={"page_size": 100})
    sync.run()
    sync.assert_equal()
    return sync


def after_page(sync: Syncing, number: int, *statements: str) -> Callable[[], None]:
    """Once, after that page of the next pass, the statements are run; what is returned asserts that they were."""
    ran: list[int] = []

    def interrupt(page: int) -> None:
        if page == number and not ran:
            ran.append(page)
            sync.database.execute(*statements)

    def assert_ran() -> None:
        assert ran, "the pass had so many pages"

    sync.after_page = interrupt
    return assert_ran


REWRITES = {
    "CLUSTER": ("CLUSTER users USING opposite",),
    "VACUUM FULL": (
        f"DELETE FROM users WHERE id < {ROWS // 2}",
        "VACUUM FULL users",
        f"INSERT INTO users SELECT n, 'again', {WIDE}, -n FROM generate_series(1, {ROWS // 2 - 1}) AS s(n)",
    ),
    "another table under its name": (
        "CREATE TABLE other (LIKE users INCLUDING ALL)",
        "INSERT INTO other SELECT * FROM users ORDER BY id DESC",
        "ALTER TABLE users RENAME TO former",
        "ALTER TABLE other RENAME TO users",
        "ALTER INDEX opposite RENAME TO formerly_opposite",
        "ALTER INDEX other_backwards_idx RENAME TO opposite",
    ),
}
CHANGED_AT_THE_END = f"UPDATE users SET plan = 'pro' WHERE id > {ROWS - 50}"


@pytest.mark.parametrize("how", REWRITES)
def test_a_change_that_a_rewrite_moves_behind_the_reader_is_delivered(wide: Syncing, how: str) -> None:
    wide.database.execute(CHANGED_AT_THE_END)
    assert_ran = after_page(wide, 1, *REWRITES[how])
    assert wide.run().detection == "xmin"
    assert_ran()
    wide.run()
    wide.assert_equal()
    assert wide.state.pending_count() == 0


@pytest.mark.parametrize("how", REWRITES)
def test_no_row_is_missed_or_removed_by_a_full_pass_during_which_the_table_is_rewritten(
    wide: Syncing, how: str
) -> None:
    wide.mirror.profiles.clear()
    wide.mirror.deleted = 0
    assert_ran = after_page(wide, 3, *REWRITES[how])
    assert wide.backfill().sent >= ROWS
    assert_ran()
    wide.run()
    wide.assert_equal()
    assert_ran = after_page(wide, 3, *REWRITES["CLUSTER"])
    wide.run(full=True)
    wide.assert_equal()
    assert wide.mirror.deleted == 0


def test_a_table_that_is_rewritten_again_and_again_is_read_by_key(wide: Syncing) -> None:
    wide.database.execute(CHANGED_AT_THE_END)
    rewritten = 0

    def interrupt(_page: int) -> None:
        nonlocal rewritten
        rewritten += 1
        order = "opposite" if rewritten % 2 else "users_pkey"
        wide.database.execute(f"CLUSTER users USING {order}")

    wide.after_page = interrupt
    summary = wide.run()
    assert summary.detection == "xmin"
    assert rewritten < 20, "it comes to an end"
    wide.assert_equal()


def test_what_moves_no_row_does_not_begin_the_pass_again(wide: Syncing) -> None:
    """An update in the same block, a lock on rows, an aborted update, VACUUM and ANALYZE."""
    wide.database.execute("VACUUM (FULL) users")
    wide.run()
    wide.database.execute(CHANGED_AT_THE_END)
    assert_ran = after_page(
        wide,
        1,
        "UPDATE users SET plan = 'hot' WHERE id IN (1, 300, 600)",
        "SELECT id FROM users WHERE id % 3 = 0 FOR UPDATE",
        "SELECT id FROM users WHERE id % 3 = 0 FOR KEY SHARE",
        "DO $$ BEGIN UPDATE users SET plan = 'never'; RAISE 'no'; EXCEPTION WHEN raise_exception THEN NULL; END $$",
        "VACUUM users",
        "ANALYZE users",
    )
    assert wide.run().scanned <= 50 + 3, "no page was read twice"
    assert_ran()
    assert wide.run().detection == "xmin"
    wide.assert_equal()


# --- partitions ----------------------------------------------------------------------------------------------------


@pytest.fixture
def partitioned(postgres_database: LiveDatabase) -> Syncing:
    """Two partitions, and a table that may become the third."""
    postgres_database.execute(
        "CREATE TABLE users (id bigint, region text, plan text, padding text, PRIMARY KEY (id, region))"
        " PARTITION BY LIST (region)",
        "CREATE TABLE users_eu PARTITION OF users FOR VALUES IN ('eu') WITH (autovacuum_enabled = off)",
        "CREATE TABLE users_us PARTITION OF users FOR VALUES IN ('us') WITH (autovacuum_enabled = off)",
        "CREATE TABLE users_jp (LIKE users INCLUDING ALL)",
        f"INSERT INTO users SELECT n, CASE n % 2 WHEN 0 THEN 'eu' ELSE 'us' END, 'free', {WIDE}"
        f" FROM generate_series(1, {ROWS}) AS s(n)",
        f"INSERT INTO users_jp SELECT n, 'jp', 'free', {WIDE} FROM generate_series({ROWS + 1}, {ROWS + 100}) AS s(n)",
    )
    sync = Syncing(postgres_database, columns=("region", "plan"), spec={"primary_key": ("id",), "page_size": 100})
    sync.run()
    sync.assert_equal()
    return sync


def test_a_partition_that_comes_or_goes_during_a_pass_is_delivered_by_the_next(partitioned: Syncing) -> None:
    partitioned.database.execute(CHANGED_AT_THE_END)
    assert_ran = after_page(partitioned, 1, "ALTER TABLE users ATTACH PARTITION users_jp FOR VALUES IN ('jp')")
    partitioned.run()
    assert_ran()
    assert partitioned.run().why == "schema changed"
    partitioned.assert_equal()
    partitioned.database.execute("UPDATE users SET plan = 'gold' WHERE id < 10")
    assert_ran = after_page(partitioned, 1, "ALTER TABLE users DETACH PARTITION users_us")
    partitioned.run()
    assert_ran()
    assert partitioned.run().why == "schema changed"
    partitioned.assert_equal()


@pytest.mark.parametrize("full", [False, True])
def test_a_partition_that_was_away_for_a_part_of_a_pass_is_delivered_by_the_next(
    partitioned: Syncing, *, full: bool
) -> None:
    """When it is back everything is as it was at the beginning, but for the pages that were read without it."""
    partitioned.database.execute("UPDATE users SET plan = 'gold' WHERE region = 'us'")
    steps = {
        1: "ALTER TABLE users DETACH PARTITION users_us",
        2: "ALTER TABLE users ATTACH PARTITION users_us FOR VALUES IN ('us')",
    }

    def interrupt(page: int) -> None:
        if page in steps:
            partitioned.database.execute(steps.pop(page))

    partitioned.after_page = interrupt
    partitioned.run(full=full)
    assert not steps
    assert partitioned.mirror.deleted == 0
    assert partitioned.run().why == "schema changed"
    partitioned.assert_equal()
    assert partitioned.run().why == "since the last run"
