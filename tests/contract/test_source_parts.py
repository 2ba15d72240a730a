"""A plan cut into parts, on every kind of database: every row is in exactly one part, whatever comes meanwhile."""

from __future__ import annotations

import pickle
import uuid
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from servers import LiveDatabase
from sources import FULL, keys_of_pages, model_of, numbers, since, source_of

from sync_profiles.core.types import BlockPart, KeyPart, Part, ScanPlan
from sync_profiles.errors import ConfigError
from sync_profiles.source.sql import SqlSource, open_source

COLLATED = {
    "postgresql": 'varchar(20) COLLATE "C"',
    "mariadb": "varchar(20) COLLATE utf8mb4_swedish_ci",
    "mysql": "varchar(20) COLLATE utf8mb4_swedish_ci",
    "sqlite": "varchar(20) COLLATE NOCASE",
}
BYTES = {"postgresql": "bytea", "mariadb": "varbinary(16)", "mysql": "varbinary(16)", "sqlite": "blob"}
WORDS = ["", " b", "10", "9", "B", "ab", "b'\"\\%:x", "z", "ä", "ß", "日本", "Zoë"]
KEYS: dict[str, tuple[str, Sequence[Any]]] = {
    "integers": ("bigint", range(-40, 60)),
    "integers far apart": ("bigint", [-(2**62), -5, 0, 1, 2, 10, 2**40, *range(2**53, 2**53 + 20), 2**62]),
    "texts": ("varchar(20)", WORDS),
    "uuids": ("char(36)", [str(uuid.UUID(int=number * 0x9E3779B97F4A7C15)) for number in range(30)]),
    "bytes": ("BYTES", [b"\x00", b"\x00\x01", b"'%\\", b"\x7f", b"\xff" * 16]),
    "collated": ("COLLATED", ["a", "B", "c", "D", "é", "F", "z", "Å"]),
}


def read(source: SqlSource, parts: Sequence[Part], plan: ScanPlan = FULL) -> list[str]:
    """All keys of all parts, each part after a journey as JSON and one by pickle."""
    travelled = [msgspec.json.decode(msgspec.json.encode(part), type=Part) for part in parts]
    found: list[str] = []
    for part in travelled:
        found += keys_of_pages(source.pages(plan, pickle.loads(pickle.dumps(part))))
    return found


def test_every_row_is_in_exactly_one_part_whatever_the_key_is(database: LiveDatabase) -> None:
    types = {"BYTES": BYTES[database.kind], "COLLATED": COLLATED[database.kind]}
    for place, (declared, values) in enumerate(KEYS.values()):
        table = f"users_{place}"
        database.execute(f"CREATE TABLE {table} (id {types.get(declared, declared)} PRIMARY KEY)")
        database.insert(f"INSERT INTO {table} VALUES (?)", [(value,) for value in values])
        source = source_of(database, ["id"], page_size=3, table=table)
        for count in (1, 2, 5, 1000):
            parts = source.parts(FULL, count)
            assert len(parts) <= count
            assert (parts[0].after, parts[-1].upto) == (None, None)
            assert sorted(read(source, parts)) == sorted(keys_of_pages(source.pages(FULL))), declared
            if 1 < count < len(values) / 2:
                sizes = [len(read(source, [part])) for part in parts]
                assert max(sizes) <= 3 * len(values) / count, "one part holds nearly all rows"


def test_keys_of_several_columns_are_cut_between_and_inside_equal_first_columns(database: LiveDatabase) -> None:
    database.execute(f"CREATE TABLE users (a {COLLATED[database.kind]}, b bigint, c varchar(5), PRIMARY KEY (a, b, c))")
    wanted = [(a, b, c) for a, last in (("x", 2), ("y", 12), ("z", 1)) for b in range(last) for c in ("p", "q")]
    database.insert("INSERT INTO users VALUES (?, ?, ?)", wanted)
    for page_size, count in ((1, 3), (4, 2), (4, 7), (1000, 40)):
        source = source_of(database, ["c"], page_size=page_size)
        parts = source.parts(FULL, count)
        assert count / 2 <= len(parts) <= count
        found = read(source, parts)
        assert found == keys_of_pages(source.pages(FULL))
        assert len(found) == len(wanted)


def test_a_table_with_few_rows_or_none_has_parts_that_hold_what_comes(database: LiveDatabase) -> None:
    for rows in (0, 1, 2):
        table = f"users_{rows}"
        database.execute(f"CREATE TABLE {table} (id varchar(9) PRIMARY KEY)")
        if rows:
            database.insert(f"INSERT INTO {table} VALUES (?)", [(f"k{row}",) for row in range(rows)])
        query = source_of(database, query=f"SELECT id FROM {table}", primary_key=("id",))
        cut = [(source, source.parts(FULL, 8)) for source in (source_of(database, ["id"], table=table), query)]
        assert [len(read(*one)) for one in cut] == [rows, rows]
        database.insert(f"INSERT INTO {table} VALUES (?)", [("",), ("k00",), ("zz",)])
        assert [len(read(*one)) for one in cut] == [rows + 3, rows + 3]


def test_rows_that_come_below_between_and_above_the_bounds_are_in_one_part_each(database: LiveDatabase) -> None:
    database.execute("CREATE TABLE users (id bigint PRIMARY KEY)")
    database.execute(f"INSERT INTO users SELECT n * 10 FROM {numbers(database, 100)}")
    source = source_of(database, ["id"], page_size=7)
    parts = source.parts(FULL, 5)
    database.execute("DELETE FROM users WHERE id IN (10, 200, 210, 1000)")
    database.insert("INSERT INTO users VALUES (?)", [(-7,), (201,), (805,), (99999,)])
    assert sorted(map(int, read(source, parts))) == sorted(map(int, keys_of_pages(source.pages(FULL))))


def test_a_query_is_cut_by_its_rows(database: LiveDatabase) -> None:
    database.execute("CREATE TABLE users (id bigint PRIMARY KEY, name varchar(20))")
    database.execute(f"INSERT INTO users SELECT n * n * 1003, 'n' FROM {numbers(database, 60)}")
    database.execute("UPDATE users SET name = CASE WHEN id % 2 = 0 THEN 'even:%s' ELSE 'odd' END")
    query = "SELECT id, name FROM users WHERE name <> ':never' AND id % 7 <> 3"
    for key in (("id",), ("name", "id")):
        source = source_of(database, ["id"], query=query, primary_key=key, page_size=4)
        parts = source.parts(FULL, 6)
        assert len(parts) > 2
        assert read(source, parts) == keys_of_pages(source.pages(FULL))


def test_what_a_backfill_leaves_out_is_in_no_part(database: LiveDatabase) -> None:
    database.execute("CREATE TABLE users (id bigint PRIMARY KEY, name varchar(20))")
    database.execute(f"INSERT INTO users SELECT n, 'n' FROM {numbers(database, 100)}")
    source = source_of(database, ["id"], where="id > 10", extra_where="id % 2 = 0")
    assert sorted(map(int, read(source, source.parts(FULL, 4)))) == list(range(12, 101, 2))


TIMESTAMP = {"postgresql": "timestamptz", "mariadb": "datetime(6)", "mysql": "datetime(6)", "sqlite": "datetime"}


def test_a_range_of_the_cursor_is_cut_along_the_cursor(database: LiveDatabase) -> None:
    """Ties are cut by key, and rows without a value are in no part unless the plan asks for them."""
    database.execute(f"CREATE TABLE users (id bigint PRIMARY KEY, at {TIMESTAMP[database.kind]} NULL)")
    stamps = [None, "2026-01-01 00:00:00", *["2026-01-02 00:00:00"] * 20, "2026-01-03 10:00:00", "2026-01-04 00:00:00"]
    database.insert("INSERT INTO users VALUES (?, ?)", list(enumerate(stamps)))
    source = source_of(database, ["id"], cursor="at", page_size=3)
    plan = since("2026-01-02 00:00:00", upper="2026-01-03 23:00:00", nulls=False)
    parts = source.parts(plan, 4)
    assert len(parts) == 4
    assert read(source, parts, plan) == [str(number) for number in range(2, 23)]
    every = since(None)
    assert sorted(map(int, read(source, source.parts(every, 4), every))) == list(range(len(stamps)))


def test_rows_without_a_key_are_refused_before_anything_is_cut(database: LiveDatabase) -> None:
    database.execute("CREATE TABLE users (id bigint, name varchar(9))")
    database.insert("INSERT INTO users VALUES (?, ?)", [(1, "a"), (None, "b")])
    source = source_of(database, ["name"], primary_key=("id",))
    with pytest.raises(ConfigError, match="NULL in some rows"):
        source.parts(FULL, 2)


# --- PostgreSQL's blocks -------------------------------------------------------------------------------------------


def by_block(database: LiveDatabase, page_size: int = 50) -> SqlSource:
    return open_source(model_of(database, detect="xmin", page_size=page_size), ["id"], distinct_id=None)


PARTITIONED = (
    "CREATE TABLE users (id bigint PRIMARY KEY, filler text) PARTITION BY RANGE (id)",
    "CREATE TABLE low PARTITION OF users FOR VALUES FROM (MINVALUE) TO (300)",
    "CREATE TABLE high PARTITION OF users FOR VALUES FROM (300) TO (MAXVALUE)",
)
PLAIN = ("CREATE TABLE users (id bigint PRIMARY KEY, filler text)",)


@pytest.mark.parametrize("statements", [PLAIN, PARTITIONED], ids=["plain", "partitioned"])
def test_blocks_are_cut_and_what_a_growing_table_adds_is_in_the_last_part(
    postgres_database: LiveDatabase, statements: Sequence[str]
) -> None:
    postgres_database.execute(*statements)
    fill = "INSERT INTO users SELECT n, repeat('x', 400) FROM generate_series({}, {}) AS s(n)"
    postgres_database.execute(fill.format(1, 900))
    source = by_block(postgres_database)
    if not isinstance(source.parts(FULL, 1)[0], BlockPart):
        pytest.skip("this PostgreSQL does not read ranges of blocks")
    cut = [source.parts(FULL, count) for count in (1, 3, 10_000)]
    assert len(cut[0]) == 1 < len(cut[1]) <= 3 < len(cut[2])
    postgres_database.execute(fill.format(901, 1500))
    for parts in cut:
        assert sorted(map(int, read(source, parts))) == list(range(1, 1501))
        assert source.whole(parts)


def test_an_empty_table_of_blocks_is_one_part_that_grows(postgres_database: LiveDatabase) -> None:
    postgres_database.execute(*PLAIN)
    source = by_block(postgres_database)
    parts = source.parts(FULL, 8)
    assert len(parts) == 1
    postgres_database.execute("INSERT INTO users VALUES (1, ''), (2, '')")
    assert sorted(read(source, parts)) == ["1", "2"]


def test_parts_of_a_table_that_was_written_anew_are_not_whole_and_parts_by_key_are(
    postgres_database: LiveDatabase,
) -> None:
    postgres_database.execute(*PLAIN, "INSERT INTO users SELECT n, 'x' FROM generate_series(1, 900) AS s(n)")
    source = by_block(postgres_database)
    blocks, by_key = source.parts(FULL, 3), source.parts(FULL, 3, by_key=True)
    assert isinstance(by_key[0], KeyPart)
    assert source.whole([*blocks, *by_key])
    postgres_database.execute("VACUUM FULL users")
    assert source.whole(blocks) is not isinstance(blocks[0], BlockPart)
    assert source.whole(by_key)
    assert len(set(read(source, by_key))) == 900
