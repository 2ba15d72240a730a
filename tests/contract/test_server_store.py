"""What a state in PostgreSQL promises beyond the port: rights, versions, parts of several processes, its errors."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import builders as make
import pytest
import sqlalchemy as sa
from servers import LiveDatabase, Servers, labels
from summaries import a_summary

from sync_profiles.core.spreading import Board, Cut
from sync_profiles.core.types import Acknowledged, BlockPart, InFlight, KeyPart, Settlement, Watermark
from sync_profiles.errors import AccessError, ConfigError, FencedError, GuardStop, StateError, TemporaryError
from sync_profiles.state.postgres import schema
from sync_profiles.state.postgres.arrays import bytes_array, number_array, text_array
from sync_profiles.state.postgres.database import Database
from sync_profiles.state.postgres.store import ServerStore, open_server_store
from sync_profiles.state.postgres.sync import ServerState
from sync_profiles.state.store import leave_run, open_store, start_over, state_facts

NOW = 1_700_000_000.0
PAGE = (Path(__file__).parents[2] / "docs" / "operating.md").read_text("utf-8")
SECTION = PAGE.partition("\n## The state in PostgreSQL")[2].partition("\n## ")[0]
DOCUMENTED = re.findall(r"```sql\n(.+?)```", SECTION, re.DOTALL)


@pytest.fixture
def database(servers: Servers) -> Iterator[LiveDatabase]:
    with servers.get(labels("postgres")[0]).fresh_database() as fresh:
        yield fresh


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def store_of(url: str, opened: ExitStack) -> ServerStore:
    store = open_server_store(url, now=lambda: NOW, read_only=False)
    assert store is not None
    return opened.enter_context(closing(store))


def acks(*keys: str) -> Settlement:
    return Settlement(acknowledged=[Acknowledged(key, key, b"f" * 16, ("plan",)) for key in keys])


# --- rights and versions -------------------------------------------------------------------------------------------


@pytest.fixture
def role(database: LiveDatabase) -> Iterator[str]:
    name = f"role_{sa.make_url(database.url).database}"
    yield name
    database.execute(f"DROP SCHEMA IF EXISTS sync_profiles CASCADE; DROP OWNED BY {name}; DROP ROLE {name}")


def test_the_rights_are_documented() -> None:
    assert len(DOCUMENTED) == 2


@pytest.mark.parametrize("block", DOCUMENTED)
def test_the_documented_rights_are_enough(database: LiveDatabase, role: str, opened: ExitStack, block: str) -> None:
    text = re.sub(r"(ROLE|TO|AUTHORIZATION) sync_profiles\b", rf"\1 {role}", block)
    text = text.replace("DATABASE ops", f"DATABASE {sa.make_url(database.url).database}")
    database.execute(*(part.strip() for part in text.split(";") if part.strip()))
    url = sa.make_url(database.url).set(username=role, password="choose-one").render_as_string(hide_password=False)
    store = store_of(url, opened)
    lock, state = store.lock("users"), store.sync("users")
    assert lock.acquire()
    state.begin_run("first", NOW)
    state.settle(acks("1"), NOW)
    state.finish_run(a_summary())
    lock.release()
    store.close()
    assert state_facts(url).writable
    assert start_over(url, now=lambda: NOW) is None
    assert store_of(url, opened).reader("users").known_count() == 0


def test_who_may_only_look_is_told_so_and_may_look(database: LiveDatabase, role: str, opened: ExitStack) -> None:
    store_of(database.url, opened).sync("users")
    database.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'choose-one'")
    url = sa.make_url(database.url).set(username=role, password="choose-one").render_as_string(hide_password=False)
    with pytest.raises(AccessError, match="permission denied"):
        open_store(url, now=lambda: NOW, read_only=True)
    for kind in ("TABLES", "SEQUENCES"):
        database.execute(f"GRANT SELECT ON ALL {kind} IN SCHEMA sync_profiles TO {role}")
    database.execute(f"GRANT USAGE ON SCHEMA sync_profiles TO {role}")
    assert not state_facts(url).writable
    with closing(open_store(url, now=lambda: NOW, read_only=True)) as store:
        reader = store.reader("users")
        assert (reader.known_count(), reader.ordinal_limit(), reader.pending_count()) == (0, 0, 0)
        assert store.history("users", 9) == []
        with pytest.raises(StateError, match="for reading only"):
            store.sync("companies")


def test_two_that_open_a_new_state_at_once_both_can(database: LiveDatabase, opened: ExitStack) -> None:
    failures: list[Exception] = []

    def open_it() -> None:
        try:
            store_of(database.url, opened).sync("users")
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert database.scalar("SELECT count(*) FROM sync_profiles.sync") == 1


def test_a_newer_version_is_refused_and_an_older_one_is_brought_up_to_date(
    database: LiveDatabase, opened: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_of(database.url, opened)
    base = Database(database.url)
    opened.callback(base.close)
    step = "CREATE TABLE sync_profiles.later (id integer)"
    monkeypatch.setattr(schema, "MIGRATIONS", (step,))
    with pytest.raises(StateError, match="older version"):
        open_store(database.url, now=lambda: NOW, read_only=True)
    schema.ensure_schema(base, (step,))
    assert database.scalar("SELECT count(*) FROM sync_profiles.later") == 0
    assert database.scalar("SELECT number FROM sync_profiles.version") == 2
    monkeypatch.setattr(schema, "MIGRATIONS", ())
    for read_only in (True, False):
        with pytest.raises(StateError, match="newer sync-profiles"):
            open_store(database.url, now=lambda: NOW, read_only=read_only)


def test_a_state_whose_rows_are_gone_is_lost_and_one_that_lacks_a_table_is_damaged(
    database: LiveDatabase, opened: ExitStack
) -> None:
    store_of(database.url, opened)
    database.execute("DROP TABLE sync_profiles.run")
    with pytest.raises(StateError, match="lacks its table 'run'"):
        store_of(database.url, opened)
    database.execute("DELETE FROM sync_profiles.version")
    with pytest.raises(GuardStop, match="lost"):
        store_of(database.url, opened)
    start_over(database.url, now=lambda: NOW)
    assert store_of(database.url, opened).sync("users").known_count() == 0


def test_a_flipped_position_is_refused(database: LiveDatabase, opened: ExitStack) -> None:
    state = store_of(database.url, opened).sync("users")
    state.set_identity(make.identity())
    database.execute("UPDATE sync_profiles.sync SET identity = replace(identity, 'source', 'sourcf')")
    with pytest.raises(StateError, match="damaged"):
        state.identity()


# --- errors --------------------------------------------------------------------------------------------------------


def test_no_error_names_a_password_or_an_address(database: LiveDatabase) -> None:
    url = sa.make_url(database.url).set(password="s3cret")
    for broken, kind in (
        (url.set(port=1), TemporaryError),
        (url.set(username="nobody-at-all"), AccessError),
        (url.set(database="there-is-none"), StateError),
    ):
        with pytest.raises(kind) as refusal:
            open_store(broken.render_as_string(hide_password=False), now=lambda: NOW)
        assert "s3cret" not in f"{refusal.value}{refusal.value.hint}"
        assert "127.0.0.1" not in str(refusal.value)
        assert refusal.value.hint is not None
    with pytest.raises(ConfigError, match="not a database URL"):
        open_store("postgresql://user:s3cret@host:port/x", now=lambda: NOW)


def test_a_run_that_is_left_behind_is_remembered(database: LiveDatabase, opened: ExitStack) -> None:
    store = store_of(database.url, opened)
    summary = a_summary(outcome="deferred")
    store.sync("users").begin_run(summary.run, NOW)
    leave_run(database.url, summary)
    assert store.history("users", 9) == [summary]


def test_a_settlement_that_fails_in_its_middle_changes_nothing(database: LiveDatabase, opened: ExitStack) -> None:
    state = store_of(database.url, opened).sync("users")
    state.begin_run("first", NOW)
    database.execute("ALTER TABLE sync_profiles.inflight ADD CHECK (number < 9)")
    with pytest.raises(StateError):
        state.settle(
            Settlement(
                acknowledged=acks("1").acknowledged,
                pending=[make.pending("2")],
                dispatched=[InFlight(9, (make.outgoing("3"),))],
            ),
            NOW,
        )
    assert (state.known_count(), state.known(["1"]), state.pending_count()) == (0, {}, 0)
    state.settle(acks("1"), NOW)
    assert state.known_count() == 1


def test_a_settlement_is_one_message_and_so_is_a_look_up(database: LiveDatabase, opened: ExitStack) -> None:
    store = store_of(database.url, opened)
    state = store.sync("users")
    state.begin_run("first", NOW)
    settlement = Settlement(
        acknowledged=acks("1", "2").acknowledged,
        forgotten=["3"],
        resolved=[("row", "4", None)],
        pending=[make.pending("5", shape=("plan",))],
        landed=[1],
        dispatched=[InFlight(2, (make.outgoing("6", shape=("plan",)),))],
    )
    state.settle(settlement, NOW)
    state.known(["1"])
    said: list[str] = []
    sa.event.listen(store._database._engine, "before_cursor_execute", lambda *told: said.append(told[2]))
    state.settle(settlement, NOW)
    assert len(said) == 1
    state.known(["1", "2", "3"])
    assert len(said) == 2


def test_a_look_up_finds_keys_close_together_and_far_apart(database: LiveDatabase, opened: ExitStack) -> None:
    state = store_of(database.url, opened).sync("users")
    state.begin_run("first", NOW)
    keys = [f"{number:05}" for number in range(3000)]
    state.settle(acks(*keys), NOW)
    state.settle(Settlement(forgotten=keys[5:10]), NOW)
    for wanted in (keys[:20], keys[::100], [keys[0], keys[-1]], [*keys[3:8], "none", "zzz"]):
        assert set(state.known(wanted)) == set(wanted) & (set(keys) - set(keys[5:10]))
    assert state.known_count() == 2995


def test_a_reason_with_what_postgresql_cannot_hold_is_kept_without_it(
    database: LiveDatabase, opened: ExitStack
) -> None:
    state = store_of(database.url, opened).sync("users")
    state.begin_run("first", NOW)
    state.settle(Settlement(pending=[make.refused("1", distinct_id="a\0b", reason="no \0 please")]), NOW)
    (row,) = state.rejected()
    assert (row.distinct_id, row.reason) == ("a�b", "no � please")


# --- parts of several processes ------------------------------------------------------------------------------------


def test_parts_write_the_same_run_and_count_together(database: LiveDatabase, opened: ExitStack) -> None:
    """Each from a connection of its own, all at once, some keys in two of them."""
    coordinator = store_of(database.url, opened).sync("users")
    number = coordinator.begin_run("first", NOW).number
    failures: list[Exception] = []

    def work(part: int) -> None:
        try:
            state = store_of(database.url, opened).sync("users")
            state.begin_part(number, part, 0)
            for start in range(0, 300, 50):
                keys = [f"{part}-{key:03}" for key in range(start, start + 50)]
                state.settle(acks(*keys, *[f"both-{key:03}" for key in range(start, start + 10)]), NOW)
            state.finish_part({"sent": 300, "part": part})
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(part,)) for part in (1, 2, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    known = coordinator.known([f"{part}-{key:03}" for part in (1, 2, 3, 4) for key in range(300)])
    assert len(known) == 1200
    assert coordinator.known_count() == 1260 == database.scalar("SELECT count(*) FROM sync_profiles.profile")
    assert database.scalar("SELECT count(DISTINCT ordinal) FROM sync_profiles.profile") == 1260
    assert 1260 <= coordinator.ordinal_limit() <= 1260 + 4 * 60, (
        "the bitmap of a sweep stays about as large as the rows"
    )
    assert coordinator.parts_done() == {part: {"sent": 300, "part": part} for part in (1, 2, 3, 4)}


def test_what_a_part_had_in_flight_is_its_own(database: LiveDatabase, opened: ExitStack) -> None:
    store = store_of(database.url, opened)
    run = store.sync("users").begin_run("first", NOW).number

    def begun(part: int) -> ServerState:
        state = store.sync("users")
        state.begin_part(run, part, 0)
        return state

    for part, key in ((1, "a"), (2, "b")):
        begun(part).settle(Settlement(dispatched=[InFlight(1, (make.outgoing(key),))]), NOW)
    begun(1)
    assert set(store.reader("users").waiting(["a", "b"])) == {"a"}
    begun(1)
    assert store.sync("users").begin_run("second", NOW).interrupted == 1
    assert set(store.reader("users").waiting(["a", "b"])) == {"a", "b"}


def a_cut(forced_since: int = 1) -> Cut:
    watermark = Watermark("cursor", "2026-11-24 10:00:00")
    return Cut(forced_since, "mapping", watermark, (BlockPart(0, 99, "f"), KeyPart(None, "7"), KeyPart("7")))


def test_parts_that_are_done_stay_done_for_as_long_as_the_cut_is_kept(
    database: LiveDatabase, opened: ExitStack
) -> None:
    store = store_of(database.url, opened)

    def done(part: int) -> None:
        state = store.sync("users")
        state.begin_part(run, part, run)
        state.finish_part({"sent": part})
        state.finish_part({"sent": 99})

    state = store.sync("users")
    assert state.cut() is None
    run = state.begin_run("first", NOW, forced="all").number
    state.keep_cut(a_cut())
    done(1)
    run = state.begin_run("an hourly one in between", NOW).number
    assert (store.sync("users").cut(), dict(state.parts_done())) == (a_cut(), {1: {"sent": 1}})
    run = state.begin_run("the same again", NOW, forced="all").number
    done(2)
    assert dict(state.parts_done()) == {1: {"sent": 1}, 2: {"sent": 2}}
    state.keep_cut(a_cut(2))
    assert (state.cut(), dict(state.parts_done())) == (a_cut(2), {})
    done(2)
    state.keep_cut(None)
    assert (state.cut(), dict(state.parts_done())) == (None, {})
    state.keep_cut(a_cut())
    store.sync("users").reset()
    assert state.cut() is None


def test_workers_hear_of_halvings_and_of_a_stop_on_the_board(database: LiveDatabase, opened: ExitStack) -> None:
    store = store_of(database.url, opened)
    first, one, two = (store.sync("users") for _ in range(3))
    run = first.begin_run("first", NOW).number
    one.begin_part(run, 1, 0)
    two.begin_part(run, 2, 0)
    assert one.look(0) == Board()
    assert one.look(0, halve=True) == Board(1)
    assert two.look(0, halve=True) == Board(1), "both heard of the same overload"
    assert two.look(1, halve=True) == Board(2)
    first.ask_stop("SIGTERM")
    first.ask_stop("failure")
    assert one.look(2) == Board(2, "SIGTERM")
    first.begin_run("second", NOW)
    assert first.look(0) == Board()
    assert one.look(2).stop == "failure", "another run has begun"


def test_a_run_that_does_not_exist_cannot_be_joined(database: LiveDatabase, opened: ExitStack) -> None:
    with pytest.raises(FencedError):
        store_of(database.url, opened).sync("users").begin_part(5, 1, 0)


# --- arrays --------------------------------------------------------------------------------------------------------


def test_arrays_arrive_as_they_were(database: LiveDatabase, opened: ExitStack) -> None:
    texts = ["", "NULL", None, "a,b", '"', "\\", "{}", " ", "'", "%s", "\n", "漢", '\\"\\\\', "null"]
    blobs = [b"", b"\0\xff", None, b"\\x00"]
    numbers = [1.5, None, -0.1, 1e300, 1_700_000_000.123456]
    base = Database(database.url)
    opened.callback(base.close)
    with base.reading() as connection:
        query = "SELECT %s::text[], %s::bytea[], %s::float8[]"
        found = connection.exec_driver_sql(query, (text_array(texts), bytes_array(blobs), number_array(numbers))).one()
        unnested = connection.exec_driver_sql("SELECT unnest(%s::bytea[])", (bytes_array(blobs),)).scalars().all()
    assert found[0] == texts
    assert unnested == blobs
    assert found[2] == numbers
