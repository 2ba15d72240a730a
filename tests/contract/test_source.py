"""Pages, on every kind of database: each row that a plan selects is read, and read once."""

from __future__ import annotations

import pytest
from servers import LiveDatabase
from sources import FULL, keys, numbers, rows, since, source_of

from sync_profiles.core.types import Watermark
from sync_profiles.errors import ConfigError

TIMESTAMP = {"postgresql": "timestamptz", "mariadb": "datetime(6)", "mysql": "datetime(6)", "sqlite": "datetime"}
BYTES = {"postgresql": "bytea", "mariadb": "varbinary(16)", "mysql": "varbinary(16)", "sqlite": "blob"}
FOREVER = "2000-01-01 00:00:00"


@pytest.fixture
def users(database: LiveDatabase) -> LiveDatabase:
    """A table ``users`` with a change column ``at``."""
    database.execute(
        f"CREATE TABLE users (id bigint PRIMARY KEY, name varchar(50), at {TIMESTAMP[database.kind]} NULL)",
        "CREATE INDEX users_at ON users (at, id)",
    )
    return database


def fill(database: LiveDatabase, *stamps: str | None) -> None:
    """Rows 1, 2, 3 … changed at these times."""
    database.insert(
        "INSERT INTO users (id, name, at) VALUES (?, ?, ?)",
        [(number, f"n{number}", stamp) for number, stamp in enumerate(stamps, start=1)],
    )


def fill_many(database: LiveDatabase, count: int, stamp: str) -> None:
    database.execute(f"INSERT INTO users SELECT n, 'n', '{stamp}' FROM {numbers(database, count)}")


# --- full passes ---------------------------------------------------------------------------------------------------

KEYS = {
    "integers": ("bigint", [-5, 0, 1, 2, 10, 2**53 + 1]),
    "texts": ("varchar(20)", ["", " b", "10", "9", "B", "ab", "b'\"\\%:x", "z", "ä", "ß", "日本"]),
    "decimals": ("decimal(30,2)", ["-1.50", "0.00", "9007199254740993.01", "9007199254740993.02"]),
    "dates": ("date", ["1900-01-01", "2024-02-29", "2024-03-01"]),
    "characters": ("char(36)", ["00000000-0000-0000-0000-000000000001", "a", "b"]),
}


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("page_size", [1, 3])
def test_a_full_pass_reads_every_row_once_whatever_the_key_is(
    database: LiveDatabase, kind: str, page_size: int
) -> None:
    declared, values = KEYS[kind]
    if database.kind == "sqlite" and kind == "decimals":
        values = ["-1.5", "0", "90071992547409.25"]  # SQLite has no decimals, only floats
    database.execute(f"CREATE TABLE users (id {declared} PRIMARY KEY)")
    database.insert("INSERT INTO users VALUES (?)", [(value,) for value in values])
    source = source_of(database, ["id"], page_size=page_size)
    read = keys(source)
    assert len(read) == len(values)
    assert {key.removeprefix("\\\\") for key in read} == {str(value) for value in values}
    assert sorted(source.read(read).keys) == sorted(read)


@pytest.mark.parametrize("page_size", [1, 2, 3, 1000])
def test_a_full_pass_over_a_key_of_several_columns_reads_every_row_once(database: LiveDatabase, page_size: int) -> None:
    database.execute("CREATE TABLE users (a varchar(5), b bigint, c varchar(5), PRIMARY KEY (a, b, c))")
    wanted = [(a, b, c) for a in ("x", "y", "z") for b in (1, 2, 10) for c in ("p", "q")]
    database.insert("INSERT INTO users VALUES (?, ?, ?)", wanted)
    source = source_of(database, ["c", "b", "a"], page_size=page_size)
    assert sorted(rows(source)) == sorted((c, b, a) for a, b, c in wanted)
    assert keys(source)[0] == '["x","1","p"]'
    assert set(source.read(keys(source)).keys) == set(keys(source))


def test_a_full_pass_over_keys_of_bytes_reads_every_row_once(database: LiveDatabase) -> None:
    database.execute(f"CREATE TABLE users (id {BYTES[database.kind]} PRIMARY KEY)")
    values = [b"\x00", b"\x00\x01", b"'%\\", b"\xff" * 16]
    database.insert("INSERT INTO users VALUES (?)", [(value,) for value in values])
    source = source_of(database, ["id"], page_size=1)
    assert rows(source) == [(value,) for value in values]
    assert keys(source) == [f"\\x{value.hex()}" for value in values]
    assert source.read(["\\x0001"]).keys == ["\\x0001"]


def test_an_empty_table_gives_no_page(users: LiveDatabase) -> None:
    source = source_of(users, ["name"], cursor="at")
    assert list(source.pages(FULL)) == []
    assert list(source.pages(since(None))) == []


def test_rows_hold_the_columns_asked_for_in_that_order_and_nothing_else(users: LiveDatabase) -> None:
    fill(users, FOREVER)
    assert rows(source_of(users, ["name", "id"], cursor="at")) == [("n1", 1)]
    assert rows(source_of(users, [])) == [()]


def test_rows_that_come_and_go_while_a_full_pass_runs_disturb_no_other_row(users: LiveDatabase) -> None:
    fill(users, *[FOREVER] * 10)
    pages = source_of(users, ["name"], page_size=3).pages(FULL)
    read = list(next(pages).keys)
    users.execute("DELETE FROM users WHERE id = 3", "INSERT INTO users VALUES (0, 'late', NULL), (11, 'late', NULL)")
    read += [key for page in pages for key in page.keys]
    assert read == ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"]


def test_a_narrowed_source_scans_less_and_still_knows_every_key(users: LiveDatabase) -> None:
    """What a backfill's --where leaves out has not been deleted."""
    fill(users, *[FOREVER] * 4)
    source = source_of(users, ["name"], extra_where="id % 2 = 0 OR name LIKE '%3' -- ; the odd ones")
    assert keys(source) == ["2", "3", "4"]
    assert sorted(source.read(["1", "2"]).keys) == ["1", "2"]
    if users.kind not in {"mariadb", "mysql"}:
        assert source.estimate(FULL) is not None


# --- by the cursor -------------------------------------------------------------------------------------------------


def test_a_bulk_update_that_ties_twenty_thousand_rows_is_read_once_and_whole(users: LiveDatabase) -> None:
    fill_many(users, 20_000, "2025-05-05 05:05:05.123456")
    read = keys(source_of(users, ["id"], cursor="at", page_size=3000), since("2025-05-05 05:05:05.123456"))
    assert read == [str(number) for number in range(1, 20_001)]


@pytest.mark.parametrize("page_size", [1, 2, 4, 5, 100])
def test_rows_come_in_the_order_of_their_changes_and_those_without_one_last(
    users: LiveDatabase, page_size: int
) -> None:
    fill(users, None, "2025-01-03 00:00:00", "2025-01-01 00:00:00", "2025-01-03 00:00:00", None)
    source = source_of(users, ["name"], cursor="at", page_size=page_size)
    assert keys(source, since(None)) == ["3", "2", "4", "1", "5"]
    assert keys(source, since(None, nulls=False)) == ["3", "2", "4"]


def test_the_bounds_are_inclusive_to_the_microsecond(users: LiveDatabase) -> None:
    fill(users, *(f"2025-01-01 00:00:00.{part}" for part in ("000001", "000002", "000003", "000004")))
    source = source_of(users, ["name"], cursor="at", page_size=1)
    lower, upper = "2025-01-01 00:00:00.000002", "2025-01-01 00:00:00.000003"
    # SQLite keeps times as text: there a bound begins with its second, which reads too much and never too little.
    assert keys(source, since(lower, upper=upper)) == ["1", "2", "3"][users.kind != "sqlite" :]


def test_the_lookback_reaches_behind_the_lower_bound(users: LiveDatabase) -> None:
    fill(users, "2025-01-01 00:44:59", "2025-01-01 00:45:00", "2025-01-01 01:00:00")
    assert keys(source_of(users, cursor="at"), since("2025-01-01 01:00:00", 900)) == ["2", "3"]


def test_a_row_changed_while_the_scan_runs_comes_again_and_no_other_is_lost(users: LiveDatabase) -> None:
    fill(users, *(f"2025-01-0{day} 00:00:00" for day in range(1, 7)))
    pages = source_of(users, cursor="at", page_size=2).pages(since(None))
    read = list(next(pages).keys)
    users.execute("UPDATE users SET at = '2025-02-01 00:00:00' WHERE id = 1", "DELETE FROM users WHERE id = 2")
    read += [key for page in pages for key in page.keys]
    assert read == ["1", "2", "3", "4", "5", "6", "1"]


def test_a_scan_from_its_own_watermark_finds_the_newest_rows_again(users: LiveDatabase) -> None:
    fill(users, "2025-01-01 00:00:00.5", "2025-01-02 00:00:00.123456", "2025-01-02 00:00:00.123456")
    source = source_of(users, cursor="at")
    watermark = source.watermark()
    assert watermark.detection == "cursor"
    assert keys(source, since(watermark.cursor)) == ["2", "3"]


@pytest.mark.parametrize("stamps", [[], [None]])
def test_without_a_change_there_is_no_watermark(users: LiveDatabase, stamps: list[str | None]) -> None:
    fill(users, *stamps)
    assert source_of(users, cursor="at").watermark() == Watermark("cursor", None)


def test_a_change_dated_ahead_does_not_hide_those_of_today(users: LiveDatabase) -> None:
    fill(users, "2900-01-01 00:00:00", "2025-01-01 00:00:00")
    source = source_of(users, cursor="at")
    cursor = source.watermark().cursor
    assert cursor is not None
    assert "2025" < cursor < "2900"
    assert keys(source, since(cursor)) == ["1"]


def test_without_a_cursor_the_watermark_says_full(users: LiveDatabase) -> None:
    source = source_of(users)
    assert source.watermark() == Watermark("full")
    with pytest.raises(ConfigError, match="cursor"):
        keys(source, since(None))


@pytest.mark.parametrize("scale", [1, 1000, 1_000_000])
def test_a_cursor_of_unix_time_looks_back_in_its_own_unit(database: LiveDatabase, scale: int) -> None:
    start = 1_700_000_000
    database.execute("CREATE TABLE users (id bigint PRIMARY KEY, at bigint)")
    stamps = [start - 901, start - 900, start, 9_000_000_000]
    database.insert("INSERT INTO users VALUES (?, ?)", [(n, stamp * scale) for n, stamp in enumerate(stamps, 1)])
    source = source_of(database, cursor="at", page_size=1)
    assert keys(source, since(str(start * scale), 900)) == ["2", "3", "4"]
    cursor = source.watermark().cursor
    assert cursor is not None
    assert start * scale < int(cursor) < 9_000_000_000 * scale


def test_a_cursor_that_counts_versions_is_no_time(database: LiveDatabase) -> None:
    database.execute("CREATE TABLE users (id bigint PRIMARY KEY, version int)")
    database.insert("INSERT INTO users VALUES (?, ?)", [(1, 7), (2, 8), (3, 9)])
    source = source_of(database, cursor="version")
    assert source.watermark().cursor == "9"
    assert keys(source, since("9", 1)) == ["2", "3"]


def test_a_cursor_of_dates_reads_the_last_day_again(database: LiveDatabase) -> None:
    database.execute("CREATE TABLE users (id bigint PRIMARY KEY, at date)")
    days = ["2025-01-01", "2025-01-02", "2025-01-03", "2025-01-03"]
    database.insert("INSERT INTO users VALUES (?, ?)", list(enumerate(days, 1)))
    source = source_of(database, cursor="at", page_size=1)
    assert source.watermark().cursor == "2025-01-03"
    assert keys(source, since("2025-01-03", 900)) == ["2", "3", "4"]


def test_a_cursor_of_text_sorts_as_the_database_sorts_it(database: LiveDatabase) -> None:
    database.execute("CREATE TABLE users (id bigint PRIMARY KEY, ulid varchar(30))")
    database.insert("INSERT INTO users VALUES (?, ?)", [(1, "01J0"), (2, "01J2"), (3, "01J1")])
    source = source_of(database, cursor="ulid", page_size=1)
    assert source.watermark().cursor == "01J2"
    assert keys(source, since("01J1", 900)) == ["3", "2"]


# --- by key, and how many ------------------------------------------------------------------------------------------


def test_reading_by_key_gives_the_rows_that_exist(users: LiveDatabase) -> None:
    fill_many(users, 1500, FOREVER)
    source = source_of(users, ["id"], page_size=100)
    page = source.read([str(number) for number in range(1000, 2200)])
    assert sorted(page.rows) == [(number,) for number in range(1000, 1501)]
    assert page.keys == [str(number) for (number,) in page.rows]


@pytest.mark.parametrize("key", ["", "x", "1x", "01", "1.0", "99999999999999999999", "\\x00", "\\", "a\0b", "'; --"])
def test_a_key_that_cannot_be_one_is_simply_not_there(users: LiveDatabase, key: str) -> None:
    fill(users, FOREVER)
    assert source_of(users, ["id"]).read([key, "1"]).keys == ["1"]


def test_a_key_in_other_letters_is_another_key(database: LiveDatabase) -> None:
    """Also where the database takes them for the same."""
    collation = {"sqlite": "COLLATE NOCASE", "mariadb": "COLLATE utf8mb4_general_ci"}.get(database.kind, "")
    database.execute(f"CREATE TABLE users (id varchar(9) {collation} PRIMARY KEY)", "INSERT INTO users VALUES ('Ada')")
    source = source_of(database, ["id"])
    assert source.read(["ada", "ADA"]).keys == []
    assert source.read(["Ada"]).keys == ["Ada"]


def test_the_number_of_rows_is_guessed_near_enough_for_a_progress_bar(users: LiveDatabase) -> None:
    fill_many(users, 5000, FOREVER)
    if users.kind == "postgresql":
        users.execute("ANALYZE users")
    elif users.kind != "sqlite":
        users.execute("ANALYZE TABLE users")
    estimate = source_of(users, cursor="at").estimate(FULL)
    assert estimate is not None
    assert 4000 <= estimate <= 6000


# --- what a change column hides ------------------------------------------------------------------------------------


def test_rows_without_a_change_time_are_counted_while_they_are_read(users: LiveDatabase) -> None:
    fill(users, "2026-01-01 10:00:00", None, None)
    source = source_of(users, cursor="at")
    assert source.notes() == ()
    assert len(keys(source, since(FOREVER))) == 3
    ((code, message),) = source.notes()
    assert (code, message[:14]) == ("null_cursor", "2 rows have no")


@pytest.mark.parametrize(("stamp", "codes"), [("2999-01-01 00:00:00", ["future_cursor"]), ("2026-01-01 10:00:00", [])])
def test_a_change_time_in_the_future_is_said(users: LiveDatabase, stamp: str, codes: list[str]) -> None:
    fill(users, "2026-01-01 09:00:00", stamp)
    source = source_of(users, cursor="at")
    source.watermark()
    assert [code for code, _ in source.notes()] == codes


@pytest.mark.parametrize(("version", "codes"), [(5, []), (1_700_000_000, []), (9_000_000_000, ["future_cursor"])])
def test_a_number_is_in_the_future_only_when_it_looks_like_a_time(
    database: LiveDatabase, version: int, codes: list[str]
) -> None:
    database.execute("CREATE TABLE users (id bigint PRIMARY KEY, v bigint)", f"INSERT INTO users VALUES (1, {version})")
    source = source_of(database, cursor="v")
    source.watermark()
    assert [code for code, _ in source.notes()] == codes
