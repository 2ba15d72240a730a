"""The state as files: rights, loss, damage, full disks, crashes in the middle, and several processes."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import builders as make
import msgspec
import pytest
import sqlalchemy as sa
from summaries import a_summary

from sync_profiles.core.types import Acknowledged, InFlight, Settlement, Verification
from sync_profiles.errors import GuardStop, StateError
from sync_profiles.state import journal, ordered, runs, schema
from sync_profiles.state.store import Store, open_store, start_over
from sync_profiles.state.sync import SyncState

NOW = 1_700_000_000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "state.db"


@contextmanager
def opened(path: Path, *, read_only: bool = False) -> Iterator[Store]:
    with closing(open_store(path, now=lambda: NOW, read_only=read_only)) as store:
        yield store


def acks(count: int, *, shape: tuple[str, ...] = ("plan",), start: int = 0) -> list[Acknowledged]:
    keys = [f"{number:08x}-0000-4000-8000-00000000000a" for number in range(start, start + count)]
    return [Acknowledged(key, key, b"f" * 16, shape) for key in keys]


def by_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for keys that come in no order."""
    monkeypatch.setattr(ordered, "STRANGERS_MAX", -1_000_000)


def a_run(store: Store, count: int = 10, *, name: str = "users", finish: bool = True) -> SyncState:
    state = store.sync(name)
    state.begin_run("run", NOW)
    for start in range(0, count, 1000):
        state.settle(Settlement(acknowledged=acks(min(1000, count - start), start=start)), NOW)
    if finish:
        state.finish_run(a_summary())
    return state


def a_state(path: Path, count: int = 10, *, finish: bool = True) -> None:
    with opened(path) as store:
        a_run(store, count, finish=finish)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


# --- rights and secrets --------------------------------------------------------------------------------------------


def test_only_its_owner_may_read_the_state(path: Path) -> None:
    with opened(path) as store:
        a_run(store, finish=False)
        assert mode(path.parent) == 0o700
        files = {file.name: mode(file) for file in path.parent.iterdir()}
        assert {"state.db", "state.db-wal", "state.db-shm"} <= set(files)
        assert {name: bits for name, bits in files.items() if name != "state.db.marker" and bits != 0o600} == {}


def test_a_file_that_others_could_read_is_closed_to_them_and_a_folder_is_left_alone(path: Path) -> None:
    a_state(path)
    path.chmod(0o644)
    path.parent.chmod(0o755)
    a_state(path)
    assert (mode(path), mode(path.parent)) == (0o600, 0o755)


def test_no_value_of_a_profile_is_ever_written(path: Path) -> None:
    """Neither what is in flight nor what is rejected may carry a value or the token into the file."""
    body = b'{"$token":"T0KEN","$distinct_id":"1","$set":{"plan":"S3CRET"}}'
    with opened(path) as store:
        state = store.sync("users")
        state.begin_run("run", NOW)
        profile = make.outgoing("1", body=body)
        state.settle(Settlement(dispatched=[InFlight(1, (profile,))], pending=[make.refused("2")]), NOW)
        written = b"".join(file.read_bytes() for file in path.parent.iterdir())
    written += b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"refused" in written
    assert b"S3CRET" not in written
    assert b"T0KEN" not in written


# --- loss ----------------------------------------------------------------------------------------------------------


def remove(path: Path) -> None:
    path.unlink()


def truncate(path: Path) -> None:
    path.write_bytes(b"")


def replace_by_an_empty_database(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("VACUUM")
        connection.execute("PRAGMA user_version = 0")
    assert path.stat().st_size > 0


@pytest.mark.parametrize("loss", [remove, truncate, replace_by_an_empty_database])
def test_a_lost_state_stops_everything_until_somebody_decides(path: Path, loss: Callable[[Path], None]) -> None:
    a_state(path)
    loss(path)
    with pytest.raises(GuardStop, match="is lost") as stop, opened(path):
        pass
    assert "state reset" in (stop.value.hint or "")
    with pytest.raises(GuardStop), opened(path):
        pass
    start_over(path, now=lambda: NOW)
    with opened(path) as store:
        assert store.sync("users").known_count() == 0


def test_a_lost_state_is_no_empty_one_for_those_who_only_look_either(path: Path) -> None:
    a_state(path)
    path.unlink()
    with pytest.raises(GuardStop), opened(path, read_only=True):
        pass


def test_a_database_without_its_marker_gets_a_new_one(path: Path) -> None:
    a_state(path)
    marker = path.with_name("state.db.marker")
    marker.unlink()
    with opened(path) as store:
        assert store.sync("users").known_count() == 10
    assert marker.exists()


def test_starting_over_keeps_the_former_file(path: Path) -> None:
    a_state(path)
    content = path.read_bytes()
    kept = start_over(path, now=lambda: NOW)
    assert kept is not None
    assert kept.read_bytes() == content
    assert kept.parent == path.parent
    with opened(path) as store:
        assert store.sync("users").known_count() == 0
    assert start_over(path.with_name("other.db"), now=lambda: NOW) is None


def test_one_sync_can_be_started_over_alone(path: Path) -> None:
    with opened(path) as store:
        for name in ("users", "companies"):
            state = a_run(store, name=name)
            state.set_identity(make.identity())
        store.sync("users").reset()
        users, companies = store.sync("users"), store.sync("companies")
        assert (users.known_count(), users.identity()) == (0, None)
        assert (companies.known_count(), companies.identity()) == (10, make.identity())


# --- damage --------------------------------------------------------------------------------------------------------


def test_a_file_that_is_no_database_is_refused_with_the_cure(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database, but rather some text " * 500)
    with pytest.raises(StateError, match="damaged") as refusal, opened(path):
        pass
    assert "move the file away and run `sync-profiles state reset`" in (refusal.value.hint or "")


def test_a_truncated_file_is_refused(path: Path) -> None:
    a_state(path, 2000)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(StateError, match="damaged"), opened(path):
        pass


def test_a_file_that_was_cut_within_its_last_page_is_refused_although_sqlite_would_read_zeros(path: Path) -> None:
    a_state(path, 600)
    content = path.read_bytes()
    for read_only in (False, True):
        path.write_bytes(content[:-3000])
        with pytest.raises(StateError, match="cut short"), opened(path, read_only=read_only):
            pass


KEYS = [entry.key for entry in acks(3)]


def test_a_known_row_whose_numbers_became_text_is_read_with_numbers(path: Path) -> None:
    a_state(path, 3)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE profile SET run = 'x', acknowledged_at = x'00', ordinal = '1.5'")
    with opened(path) as store:
        assert {(known.run, known.ordinal) for known in store.reader("users").known(KEYS).values()} == {(0, 1)}


def test_a_shape_that_is_gone_is_damage(path: Path) -> None:
    a_state(path, 3)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE profile SET shape_id = 99")
    with opened(path) as store, pytest.raises(StateError, match="damaged"):
        store.reader("users").known(KEYS)


@pytest.mark.parametrize("finish", [True, False])
def test_a_damaged_page_is_never_an_empty_start(path: Path, finish: bool) -> None:
    """Each page in turn is overwritten: the state is refused, at the start or when the page is read, or it is whole."""
    a_state(path, 600, finish=finish)
    content = path.read_bytes()
    keys = [entry.key for entry in acks(600)]
    reasons: list[str] = []
    whole = refused_at_start = refused_later = 0
    for page in range(len(content) // 4096):
        damaged = bytearray(content)
        damaged[page * 4096 : page * 4096 + 64] = b"\xa5" * 64
        path.write_bytes(damaged)
        path.with_name("state.db-wal").unlink(missing_ok=True)
        begun = False
        try:
            with opened(path) as store:
                begun = True
                state = store.sync("users")
                state.begin_run("run", NOW)
                found = state.known(keys)
                state.settle(Settlement(acknowledged=acks(1, start=700)), NOW)
                state.finish_run(a_summary())
                assert len(found) == 600, "rows vanished without a word"
                whole += 1
        except StateError as refusal:
            reasons.append(refusal.message)
            refused_later += begun
            refused_at_start += not begun
    assert [text for text in reasons if not re.search("damaged|lacks its table|belongs to", text)] == []
    assert refused_at_start > 0
    assert whole + refused_at_start + refused_later == len(content) // 4096
    if finish:
        assert refused_later > 0
    else:
        assert refused_later == 0, "after a run that died every page is looked at first"


def test_the_file_of_another_application_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE users (id INTEGER PRIMARY KEY)")
    before = path.read_bytes()
    for read_only in (False, True):
        with pytest.raises(StateError, match="belongs to another application"), opened(path, read_only=read_only):
            pass
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("users",)]
    assert len(path.read_bytes()) == len(before)


def test_a_state_of_a_newer_version_is_refused(path: Path) -> None:
    a_state(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {len(schema.MIGRATIONS) + 2}")
    for read_only in (False, True):
        with pytest.raises(StateError, match="newer sync-profiles"), opened(path, read_only=read_only):
            pass


def test_an_older_version_is_brought_up_to_date_once_and_keeps_what_it_knows(path: Path) -> None:
    a_state(path)
    calls: list[str] = []

    def add_note(connection: sa.Connection) -> None:
        calls.append("note")
        connection.exec_driver_sql("ALTER TABLE sync ADD COLUMN note TEXT")

    migrations = (*schema.MIGRATIONS, add_note)
    engine = sa.create_engine(f"sqlite:///{path}")
    for _ in range(2):
        with engine.begin() as connection:
            schema.ensure_schema(connection, migrations)
    with engine.begin() as connection:
        assert connection.exec_driver_sql("PRAGMA user_version").scalar_one() == len(migrations) + 1
        assert connection.exec_driver_sql("SELECT profiles, note FROM sync").all() == [(10, None)]
    engine.dispose()
    assert calls == ["note"]


def test_a_state_of_the_first_version_can_be_looked_at_and_becomes_one_of_today(path: Path) -> None:
    a_state(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE verification")
        connection.execute("PRAGMA user_version = 1")
    with opened(path, read_only=True) as store:
        assert (store.reader("users").known_count(), store.reader("users").verification()) == (10, None)
    progress = Verification(NOW, "m", 8, b"\x01")
    with opened(path) as store:
        assert store.sync("users").verification() is None
        store.sync("users").keep_verification(progress)
    with opened(path, read_only=True) as store:
        assert store.reader("users").verification() == progress


def test_what_was_in_flight_in_a_state_of_the_first_version_is_looked_at_again(path: Path) -> None:
    """Then it was written down profile by profile."""
    a_state(path)
    first = msgspec.msgpack.encode(
        [["1", None, 1, False, ""], ["2", "two", 1, False, ""], ["3", None, 1, True, "deleted"]]
    )
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TABLE verification")
        connection.execute("PRAGMA user_version = 1")
        sync_id = connection.execute("SELECT id FROM sync").fetchone()[0]
        connection.execute("INSERT INTO inflight (sync_id, number, profiles) VALUES (?, 1, ?)", (sync_id, first))
    with opened(path) as store:
        state = store.sync("users")
        assert state.begin_run("next", NOW).interrupted == 3
        found = {(row.kind, row.key, row.distinct_id) for row in state.due(10, NOW)}
    assert found == {("row", "1", "1"), ("row", "2", "two"), ("gone", "3", "3")}


# --- disks ---------------------------------------------------------------------------------------------------------

Usage = namedtuple("Usage", "total used free")


def test_a_run_does_not_start_on_a_nearly_full_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_state(path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 10**9 - 10**6, 10**6))
    with pytest.raises(StateError, match="only 1 MB are free"), opened(path):
        pass
    with opened(path, read_only=True) as store:
        assert store.reader("users").known_count() == 10, "looking needs no room"


def test_a_disk_that_fills_up_loses_nothing_that_was_settled(path: Path) -> None:
    with opened(path) as store:
        state = a_run(store, 1000, finish=False)
        with store._database.reading() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 2}")
        lost = acks(1000, start=1000, shape=("a new one",))
        with pytest.raises(StateError, match="the disk is full") as refusal:
            state.settle(Settlement(acknowledged=lost, pending=[make.pending("1")]), NOW)
        assert refusal.value.exit_code == 74
        assert state.pending_count() == 0
        assert state.known([entry.key for entry in lost]) == {}
        with store._database.reading() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
        state.settle(Settlement(acknowledged=lost), NOW)
        state.finish_run(a_summary())
        assert state.known_count() == 2000
        assert {known.shape for known in state.known([entry.key for entry in lost]).values()} == {("a new one",)}


FILL_UP = """
import resource, signal, sys, time
sys.path[:0] = sys.argv[2:]
from test_state_files import a_run, opened
from pathlib import Path
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from sync_profiles.errors import StateError
with opened(Path(sys.argv[1])) as store:
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
    try:
        a_run(store, 50_000)
    except StateError as error:
        print(error.exit_code, error.message)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are a Unix thing")
def test_a_write_that_fails_is_a_state_error_and_the_next_run_goes_on(path: Path) -> None:
    tests = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    command = [sys.executable, "-c", FILL_UP, str(path), *tests]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.startswith("74 the state ")
    with opened(path) as store:
        state = store.sync("users")
        state.begin_run("next", NOW)
        assert state.known_count() % 1000 == 0
        assert state.known_count() > 0
        state.finish_run(a_summary())


def test_a_folder_that_cannot_be_made_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StateError, match="cannot use the state"), opened(tmp_path / "file" / "state.db"):
        pass


@pytest.mark.parametrize(("in_order", "bytes_max"), [(True, 90), (False, 150)])
def test_a_profile_takes_few_bytes_on_disk(
    path: Path, monkeypatch: pytest.MonkeyPatch, in_order: bool, bytes_max: int
) -> None:
    """With keys of 36 characters, at the proportions of a million rows: what the journal took is part of the file."""
    monkeypatch.setattr(journal, "MERGE_ROWS", journal.MERGE_ROWS // 50)
    if not in_order:
        by_journal(monkeypatch)
    for _ in range(2):
        a_state(path, 20_000)
        assert sum(file.stat().st_size for file in path.parent.iterdir()) / 20_000 <= bytes_max


# --- looking only --------------------------------------------------------------------------------------------------


def test_looking_at_a_state_that_does_not_exist_yet_sees_nothing_and_leaves_nothing(path: Path) -> None:
    with opened(path, read_only=True) as store:
        reader = store.reader("users")
        assert (reader.known(["1"]), reader.known_count(), reader.watermark()) == ({}, 0, None)
        assert (list(reader.everything()), reader.due(9, NOW), store.history("users", 9)) == ([], [], [])
    assert not path.parent.exists()


def test_who_only_looks_cannot_write(path: Path) -> None:
    a_state(path)
    with opened(path, read_only=True) as store:
        with pytest.raises(StateError, match="cannot be opened for writing"):
            store.sync("a new one")
        with pytest.raises(StateError):
            store.sync("users").settle(Settlement(forgotten=["1"]), NOW)
        assert store.reader("users").known_count() == 10


def test_a_run_can_be_looked_at_while_it_goes_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_journal(monkeypatch)
    with opened(path) as store:
        state = a_run(store)
        state.begin_run("second", NOW)
        new, old = acks(1, start=50)[0], acks(2)
        state.settle(
            Settlement(acknowledged=[new, Acknowledged(old[0].key, "moved", b"n" * 16, ())], forgotten=[old[1].key]),
            NOW,
        )
        with opened(path, read_only=True) as other:
            reader = other.reader("users")
            known = reader.known([new.key, old[0].key, old[1].key])
            assert {key: entry.distinct_id for key, entry in known.items()} == {new.key: new.key, old[0].key: "moved"}
            assert known[new.key].ordinal >= reader.ordinal_limit(), "it has none of its own yet"
            assert reader.known_count() == 10
            assert len({key for chunk in reader.everything() for key in chunk}) == 10
            assert reader.owners(["moved", new.key, old[1].key]) == {"moved": [old[0].key], new.key: [new.key]}
        assert state.known_count() == 10


# --- history -------------------------------------------------------------------------------------------------------


def test_the_history_is_newest_first_and_of_one_sync(path: Path) -> None:
    with opened(path) as store:
        for name, run in (("users", "1"), ("companies", "2"), ("users", "3")):
            state = store.sync(name)
            state.begin_run(run, NOW)
            state.finish_run(a_summary(run=run))
        store.sync("users").begin_run("dead", NOW)
        assert [summary.run for summary in store.history("users", 9)] == ["3", "1"]
        assert [summary.run for summary in store.history("users", 1)] == ["3"]
        assert store.history("none", 9) == []


def test_old_runs_are_dropped_but_the_last_good_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "HISTORY_RUNS", 20)
    with opened(path) as store:
        state = store.sync("users")
        for number in range(25):
            state.begin_run(str(number), NOW)
            state.finish_run(a_summary(run=str(number), started_at=str(number), outcome="failed" if number else "ok"))
        kept = [summary.run for summary in store.history("users", 9999)]
        assert len(kept) == 21
        assert kept[-2:] == ["5", "0"]
        assert state.last_success_at() == "0"


# --- merging -------------------------------------------------------------------------------------------------------


class DiedError(BaseException):
    """The process is gone."""


def test_keys_in_order_are_written_at_once_and_those_far_apart_by_the_journal(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ordered, "STRANGERS_MAX", 5)
    with opened(path) as store:
        state = a_run(store, 30)
        state.begin_run("second", NOW)
        entries = acks(60)
        waiting = {}
        for name, some in {
            "in order": entries[30:40],
            "again": entries[10:20],
            "far apart": [entries[0], entries[39], entries[50]],
            "beside one in the journal": entries[50:55],
            "elsewhere": entries[20:30],
        }.items():
            state.settle(Settlement(acknowledged=some), NOW)
            with store._database.reading() as connection:
                waiting[name] = connection.exec_driver_sql("SELECT count(*) FROM journal").scalar_one()
        # Once the keys are in order again, what leapt out of it is merged.
        assert waiting == {"in order": 0, "again": 0, "far apart": 3, "beside one in the journal": 8, "elsewhere": 0}
        known = state.known([entry.key for entry in entries])
        assert sorted(known) == [entry.key for entry in entries[:40] + entries[50:55]]
        assert {entry.ordinal for entry in known.values()} == set(range(state.known_count())), "without gaps"


@pytest.mark.parametrize("after", range(5))
def test_a_merge_that_dies_halfway_is_done_again(path: Path, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    by_journal(monkeypatch)
    monkeypatch.setattr(journal, "CHUNK_ROWS", 10)
    merge_chunk, calls = journal._merge_chunk, 0

    def dying(*arguments: object) -> None:
        nonlocal calls
        calls += 1
        if calls > after:
            raise DiedError
        merge_chunk(*arguments)  # type: ignore[arg-type]  # handed on as they came

    with opened(path) as store:
        state = a_run(store, 30)
        state.begin_run("second", NOW)
        state.settle(Settlement(acknowledged=acks(40, start=20), forgotten=[acks(1)[0].key]), NOW)
        monkeypatch.setattr(journal, "_merge_chunk", dying)
        with pytest.raises(DiedError):
            state.finish_run(a_summary())
    monkeypatch.setattr(journal, "_merge_chunk", merge_chunk)
    with opened(path) as store:
        state = store.sync("users")
        state.begin_run("third", NOW)
        known = state.known([entry.key for entry in acks(70)])
        assert set(known) == {entry.key for entry in acks(59, start=1)}
        assert state.known_count() == 59
        assert len({entry.ordinal for entry in known.values()}) == 59


def test_a_long_journal_is_merged_during_the_run(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_journal(monkeypatch)
    monkeypatch.setattr(journal, "MERGE_ROWS", 100)
    with opened(path) as store:
        a_run(store, 1000, finish=False)
        with store._database.reading() as connection:
            assert not connection.exec_driver_sql("SELECT count(*) FROM journal").scalar_one()
            assert connection.exec_driver_sql("SELECT count(*) FROM profile").scalar_one() == 1000


# --- several processes ---------------------------------------------------------------------------------------------

SETTLES = """
import sys
sys.path[:0] = sys.argv[2:]
from test_state_files import NOW, Settlement, acks, opened
from pathlib import Path
with opened(Path(sys.argv[1])) as store:
    state = store.sync("users")
    state.begin_run("run", NOW)
    for start in range(0, 10**9, 50):
        state.settle(Settlement(acknowledged=acks(50, start=start)), NOW)
        print(start + 50, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9 on this system")
def test_what_was_settled_survives_a_kill(path: Path) -> None:
    tests = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    process = subprocess.Popen([sys.executable, "-c", SETTLES, str(path), *tests], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    settled = 0
    while settled < 1000:
        settled = int(process.stdout.readline())
    process.kill()
    settled = max([settled, *[int(line) for line in process.communicate()[0].split("\n")[:-1]]])
    with opened(path) as store:
        state = store.sync("users")
        state.begin_run("next", NOW)
        assert state.known_count() >= settled
        assert state.known_count() % 50 == 0, "half a settlement"
        assert len(state.known([entry.key for entry in acks(settled)])) == settled


RUNS = """
import sys
sys.path[:0] = sys.argv[3:]
from test_state_files import a_run, acks, opened
from pathlib import Path
for _ in range(3):
    with opened(Path(sys.argv[1])) as store:
        state = a_run(store, 3000, name=sys.argv[2])
        assert state.known_count() == 3000
        assert len(state.known([entry.key for entry in acks(3000)])) == 3000
print("fine")
"""


def test_different_syncs_run_at_the_same_time_in_one_file(path: Path) -> None:
    a_state(path)
    tests = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    started = [
        subprocess.Popen([sys.executable, "-c", RUNS, str(path), name, *tests], stdout=subprocess.PIPE, text=True)
        for name in ("companies", "devices")
    ]
    assert [process.communicate()[0].strip() for process in started] == ["fine", "fine"]
    with opened(path) as store:
        counts = {name: store.sync(name).known_count() for name in ("users", "companies", "devices")}
    assert counts == {"users": 10, "companies": 3000, "devices": 3000}
