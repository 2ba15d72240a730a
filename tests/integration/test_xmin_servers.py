"""Transaction numbers that are given out again, or that start over: failover, a disk set back, the wrap at 32 bit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from clusters import at, burn, connected, copy_of, standby_of, wrapping_at
from servers import POSTGRES_INSTALL, LiveDatabase, Server, postgres_binaries, running_postgres
from syncing import Syncing

from sync_profiles.core.types import ScanSinceXid
from sync_profiles.engine.parts import Parts

ROWS = 50
BINARIES = postgres_binaries()
pytestmark = pytest.mark.skipif(not BINARIES, reason=f"no PostgreSQL binaries here; get some with: {POSTGRES_INSTALL}")


@pytest.fixture(params=BINARIES)
def binaries(request: pytest.FixtureRequest) -> Path:
    return BINARIES[request.param]


@pytest.fixture
def primary(binaries: Path) -> Iterator[Server]:
    """A server that may be copied and left behind."""
    with running_postgres(binaries) as server:
        yield server


@pytest.fixture
def users(primary: Server) -> Iterator[LiveDatabase]:
    with primary.fresh_database() as database:
        database.execute(
            "CREATE TABLE users (id bigint PRIMARY KEY, name text, plan text)",
            f"INSERT INTO users SELECT n, 'n', 'free' FROM generate_series(1, {ROWS}) AS s(n)",
        )
        yield database


def next_xid(database: LiveDatabase) -> int:
    return int(database.scalar("SELECT txid_snapshot_xmax(txid_current_snapshot())"))


def horizon_of(sync: Syncing) -> int:
    watermark = sync.state.watermark()
    assert watermark is not None
    assert watermark.horizon is not None
    return watermark.horizon.xmin


def change_with_a_number_used_before(database: LiveDatabase, sync: Syncing) -> None:
    """A row changes below the horizon that is remembered, and the counter goes on past it."""
    database.execute("UPDATE users SET plan = 'with an old number' WHERE id = 7")
    burn(database, horizon_of(sync) - next_xid(database) + 10)
    assert next_xid(database) > horizon_of(sync)
    parts: Parts = sync.moved_to(database)._parts()
    unseen = ScanSinceXid(horizon_of(sync), "without a look at where the number comes from")
    assert "7" not in [key for page in parts.source.pages(unseen) for key in page.keys], "the trap is set"


def test_an_update_on_a_promoted_standby_is_delivered_although_its_number_was_used_before(
    binaries: Path, primary: Server, users: LiveDatabase
) -> None:
    with running_postgres(binaries, "standby", standby_of(primary)) as standby:
        follower = at(standby, users)
        sync = Syncing(users)
        sync.run()
        wait_for_replay(primary, standby)
        with connected(standby.url) as administration:
            cut_off(administration)
        burn(users, 200)
        assert sync.run().detection == "xmin"  # up to here the old primary was read, and then it is gone
        assert follower.scalar("SELECT pg_promote()")
        change_with_a_number_used_before(follower, sync)
        moved = sync.moved_to(follower)
        assert moved.run().why == "timeline changed"
        moved.assert_equal()
        follower.execute("UPDATE users SET plan = 'after' WHERE id = 8")
        assert moved.run().why == "since the last run"
        moved.assert_equal()


def wait_for_replay(primary: Server, standby: Server) -> None:
    with connected(primary.url) as ahead, connected(standby.url) as behind:
        ahead.exec_driver_sql("SELECT pg_switch_wal()")
        reached = ahead.exec_driver_sql("SELECT pg_current_wal_flush_lsn()").scalar_one()
        until = f"SELECT pg_last_wal_replay_lsn() >= '{reached}'::pg_lsn"
        for _ in range(2000):
            if behind.exec_driver_sql(until).scalar_one():
                return
            behind.exec_driver_sql("SELECT pg_sleep(0.01)")
        raise AssertionError("the standby does not follow")


def cut_off(standby: sa.Connection) -> None:
    """From now on nothing reaches the standby; what the primary still commits is lost with it."""
    standby.exec_driver_sql("ALTER SYSTEM SET primary_conninfo = ''")
    standby.exec_driver_sql("SELECT pg_reload_conf()")
    for _ in range(2000):
        if not standby.exec_driver_sql("SELECT count(*) FROM pg_stat_wal_receiver").scalar_one():
            return
        standby.exec_driver_sql("SELECT pg_sleep(0.01)")
    raise AssertionError("the standby still follows")


def test_a_standby_is_read_as_it_follows(binaries: Path, primary: Server, users: LiveDatabase) -> None:
    with running_postgres(binaries, "standby", standby_of(primary)) as standby:
        sync = Syncing(at(standby, users))
        wait_for_replay(primary, standby)
        assert sync.run().sent == ROWS
        for number in range(1, 4):
            users.execute(f"UPDATE users SET plan = 'p{number}' WHERE id = {number}")
            wait_for_replay(primary, standby)
            summary = sync.run()
            assert (summary.why, summary.sent) == ("since the last run", 1)
            sync.assert_equal()


def test_a_disk_that_was_set_back_is_noticed_although_its_timeline_is_the_same(
    binaries: Path, primary: Server, users: LiveDatabase
) -> None:
    sync = Syncing(users)
    sync.run()
    snapshot = copy_of(primary)
    burn(users, 200)
    assert sync.run().detection == "xmin"
    with running_postgres(binaries, "restored", snapshot) as restored:
        set_back = at(restored, users)
        change_with_a_number_used_before(set_back, sync)
        moved = sync.moved_to(set_back)
        assert moved.run().why == "server restarted"
        moved.assert_equal()


@pytest.mark.parametrize("wrap", [2**32, 2 * 2**32])
def test_no_change_is_lost_when_the_counter_wraps_at_32_bit(binaries: Path, wrap: int) -> None:
    with running_postgres(binaries, "wrapping", wrapping_at(wrap - 300)) as server, server.fresh_database() as users:
        users.execute(
            "CREATE TABLE users (id bigint PRIMARY KEY, name text, plan text)",
            f"INSERT INTO users SELECT n, 'n', 'free' FROM generate_series(1, {ROWS}) AS s(n)",
        )
        sync = Syncing(users)
        sync.run()
        assert horizon_of(sync) < wrap
        burn(users, 100)
        for number in range(1, ROWS + 1):
            users.execute(f"UPDATE users SET plan = 'p{number}' WHERE id = {number}")
            burn(users, 10)
            if number % 10 == 0:
                summary = sync.run()
                assert (summary.why, summary.sent) == ("since the last run", 10)
                sync.assert_equal()
        assert horizon_of(sync) > wrap
        assert sync.run().scanned == 0
