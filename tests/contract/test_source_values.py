"""Values of every kind arrive in the raw form that ``core.types.Kind`` documents."""

from __future__ import annotations

from typing import Any

import pytest
from servers import LiveDatabase
from sources import keys, model_of, only_row, rows, since, source_of

from sync_profiles.core.types import Kind

POSTGRES = [
    ("text", "'a''b\\:%s ä'", Kind.TEXT, "a'b\\:%s ä"),
    ("varchar(9)", "'x'", Kind.TEXT, "x"),
    ("char(5)", "'x'", Kind.TEXT, "x"),
    ("mood", "'so so'", Kind.TEXT, "so so"),
    ("inet", "'10.0.0.1'", Kind.TEXT, "10.0.0.1"),
    ("inet", "'10.0.0.1/8'", Kind.TEXT, "10.0.0.1/8"),
    ("point", "'(1,2)'", Kind.TEXT, "(1,2)"),
    ("int4range", "'[1,5)'", Kind.TEXT, "[1,5)"),
    ("bit(3)", "B'101'", Kind.TEXT, "101"),
    ("timetz", "'10:00:00+02'", Kind.TEXT, "10:00:00+02"),
    ("smallint", "-5", Kind.INTEGER, -5),
    ("bigint", "9223372036854775807", Kind.INTEGER, 9223372036854775807),
    ("positive", "7", Kind.INTEGER, 7),
    ("numeric", "10.50", Kind.DECIMAL, "10.50"),
    ("numeric", "1e30", Kind.DECIMAL, "1000000000000000000000000000000"),
    ("numeric", "'NaN'", Kind.DECIMAL, "NaN"),
    ("float8", "0.1", Kind.FLOAT, 0.1),
    ("float4", "'-Infinity'", Kind.FLOAT, float("-inf")),
    ("boolean", "true", Kind.BOOLEAN, True),
    ("timestamptz", "'2025-07-01 12:00:00.5+02'", Kind.INSTANT, "2025-07-01 10:00:00.5+00"),
    ("timestamptz", "'infinity'", Kind.INSTANT, "infinity"),
    ("timestamptz", "'0044-03-15 12:00:00+00 BC'", Kind.INSTANT, "0044-03-15 12:00:00+00 BC"),
    ("timestamp", "'2025-07-01 12:00:00.123456'", Kind.DATETIME, "2025-07-01 12:00:00.123456"),
    ("date", "'2025-07-01'", Kind.DATE, "2025-07-01"),
    ("time", "'23:59:59.5'", Kind.TIME, "23:59:59.5"),
    ("interval", "'1 day 00:00:01.5'", Kind.INTERVAL, "86401.500000"),
    ("json", '\'{"b": 1,  "a": ":x"}\'', Kind.JSON, '{"b": 1,  "a": ":x"}'),
    ("jsonb", '\'{"b": 1.50,  "a": null}\'', Kind.JSONB, '{"a": null, "b": 1.50}'),
    ("text[]", "ARRAY['a,b', NULL, '\"']", Kind.LIST, '["a,b", null, "\\""]'),
    ("int[]", "'{{1,2},{3,4}}'", Kind.LIST, "[[1, 2], [3, 4]]"),
    ("uuid", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", Kind.UUID, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("bytea", "'\\x00ff'", Kind.BYTES, b"\x00\xff"),
]
MARIADB = [
    ("varchar(20)", "'a''b:%s ä'", Kind.TEXT, "a'b:%s ä"),
    ("varchar(9) CHARACTER SET latin1", "'ä'", Kind.TEXT, "ä"),
    ("longtext", "'x'", Kind.TEXT, "x"),
    ("enum('a','b')", "'b'", Kind.TEXT, "b"),
    ("set('a','b','c')", "'c,a'", Kind.SET, "a,c"),
    ("json", "'{\"b\": 1}'", Kind.TEXT, '{"b": 1}'),  # MariaDB's JSON is text
    ("tinyint(1)", "1", Kind.BOOLEAN, 1),
    ("bit(1)", "b'1'", Kind.BOOLEAN, 1),
    ("bit(9)", "b'100000001'", Kind.INTEGER, 257),
    ("tinyint(3)", "-7", Kind.INTEGER, -7),
    ("bigint unsigned", "18446744073709551615", Kind.INTEGER, 18446744073709551615),
    ("int(8) zerofill", "5", Kind.INTEGER, 5),
    ("year", "2025", Kind.INTEGER, 2025),
    ("decimal(20,2)", "10.50", Kind.DECIMAL, "10.50"),
    ("decimal(9,2) zerofill", "10.50", Kind.DECIMAL, "10.50"),
    ("double", "0.1", Kind.FLOAT, 0.1),
    ("datetime", "'2025-07-01 12:00:00'", Kind.DATETIME, "2025-07-01 12:00:00"),
    ("datetime(6)", "'2025-07-01 12:00:00.123456'", Kind.DATETIME, "2025-07-01 12:00:00.123456"),
    ("datetime", "'0000-00-00 00:00:00'", Kind.DATETIME, "0000-00-00 00:00:00"),
    ("timestamp(3)", "'2025-07-01 12:00:00.5'", Kind.DATETIME, "2025-07-01 12:00:00.500"),
    ("date", "'2025-00-00'", Kind.DATE, "2025-00-00"),
    ("time", "'-838:59:59'", Kind.TIME, "-838:59:59"),
    ("binary(4)", "'ab'", Kind.BYTES, b"ab\x00\x00"),
    ("blob", "x'00ff'", Kind.BYTES, b"\x00\xff"),
    ("uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", Kind.UUID, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("inet6", "'::1'", Kind.TEXT, "::1"),
]
SQLITE = [
    ("TEXT", "'a''b\\:%s ä'", Kind.TEXT, "a'b\\:%s ä"),
    ("VARCHAR(9)", "5", Kind.TEXT, "5"),
    ("INTEGER", "5", Kind.INTEGER, 5),
    ("BIGINT", "9223372036854775807", Kind.INTEGER, 9223372036854775807),
    ("REAL", "1", Kind.FLOAT, 1.0),
    ("DOUBLE", "9e999", Kind.FLOAT, float("inf")),
    ("BOOLEAN", "1", Kind.BOOLEAN, 1),
    ("DATETIME", "'2025-07-01 12:00:00.123456'", Kind.DATETIME, "2025-07-01 12:00:00.123456"),
    ("TIMESTAMP", "1751371200", Kind.DATETIME, 1751371200),
    ("DATE", "'2025-07-01'", Kind.DATE, "2025-07-01"),
    ("TIME", "'12:00:00'", Kind.TIME, "12:00:00"),
    ("JSON", "'{\"a\": 1}'", Kind.JSON, '{"a": 1}'),
    ("DECIMAL(10,2)", "10.5", Kind.ANY, 10.5),
    ("", "'x'", Kind.ANY, "x"),
    ("BLOB", "x'00ff'", Kind.BYTES, b"\x00\xff"),
]


def check(database: LiveDatabase, case: tuple[str, str, Kind, Any], *before: str) -> None:
    declared, literal, kind, raw = case
    database.execute(
        *before, f"CREATE TABLE users (id int PRIMARY KEY, v {declared})", f"INSERT INTO users VALUES (1, {literal})"
    )
    assert model_of(database).columns["v"].kind is kind
    (read,) = only_row(source_of(database, ["v"]))
    assert (type(read), read) == (type(raw), raw)
    database.execute("UPDATE users SET v = NULL")
    assert only_row(source_of(database, ["v"])) == (None,)


@pytest.mark.parametrize("case", POSTGRES, ids=str)
def test_postgresql_gives_a_value_in_its_raw_form(
    postgres_database: LiveDatabase, case: tuple[str, str, Kind, Any]
) -> None:
    types = {
        "mood": "CREATE TYPE mood AS ENUM ('so so')",
        "positive": "CREATE DOMAIN positive AS int CHECK (VALUE > 0)",
    }
    check(postgres_database, case, *(types[name] for name in types if name == case[0]))


def test_settings_of_the_user_change_no_raw_form(postgres_database: LiveDatabase) -> None:
    name = postgres_database.scalar("SELECT current_database()")
    for setting in (
        "TimeZone = 'Asia/Tokyo'",
        "DateStyle = 'German'",
        "bytea_output = 'escape'",
        "IntervalStyle = 'iso_8601'",
        "extra_float_digits = 0",
    ):
        postgres_database.execute(f"ALTER ROLE postgres IN DATABASE {name} SET {setting}")
    postgres_database.execute(
        "CREATE TABLE users (id int PRIMARY KEY, a timestamptz, b date, c bytea, d interval, e float8)",
        "INSERT INTO users VALUES (1, '2025-07-01 12:00:00+00', '2025-07-01', '\\x00ff', '1 hour', 0.1::float8 + 0.2)",
    )
    assert rows(source_of(postgres_database, list("abcde"))) == [
        ("2025-07-01 12:00:00+00", "2025-07-01", b"\x00\xff", "3600.000000", 0.1 + 0.2)
    ]


@pytest.mark.parametrize("case", MARIADB, ids=str)
def test_mariadb_gives_a_value_in_its_raw_form(
    mariadb_database: LiveDatabase, case: tuple[str, str, Kind, Any]
) -> None:
    check(mariadb_database, case, "SET sql_mode = ''")  # lets zero dates in, as many servers do


@pytest.mark.parametrize("case", SQLITE, ids=str)
def test_sqlite_gives_a_value_as_it_is_stored(sqlite_database: LiveDatabase, case: tuple[str, str, Kind, Any]) -> None:
    check(sqlite_database, case)


def test_citext_and_hstore_are_text_and_json(postgres_database: LiveDatabase) -> None:
    available = postgres_database.scalar(
        "SELECT count(*) FROM pg_available_extensions WHERE name IN ('citext', 'hstore')"
    )
    if available != 2:
        pytest.skip("this PostgreSQL comes without citext and hstore")
    postgres_database.execute(
        "CREATE EXTENSION citext",
        "CREATE EXTENSION hstore",
        "CREATE TABLE users (id citext PRIMARY KEY, v hstore)",
        "INSERT INTO users VALUES ('Ada', 'a=>1, b=>NULL'), ('bob', NULL)",
    )
    source = source_of(postgres_database, ["id", "v"], page_size=1)
    assert rows(source) == [("Ada", '{"a": "1", "b": null}'), ("bob", None)]
    assert source.read(["Ada", "BOB"]).keys == ["Ada"]


def test_text_that_is_not_utf8_spoils_no_other_row(sqlite_database: LiveDatabase) -> None:
    sqlite_database.execute(
        "CREATE TABLE users (id INTEGER PRIMARY KEY, v TEXT)",
        "INSERT INTO users VALUES (1, 'fine'), (2, CAST(x'ff41' AS TEXT)), (3, 'ü')",
    )
    assert rows(source_of(sqlite_database, ["v"], page_size=2)) == [("fine",), ("\udcffA",), ("ü",)]


def test_a_key_that_is_not_utf8_is_passed_by_and_read_again(sqlite_database: LiveDatabase) -> None:
    sqlite_database.execute(
        "CREATE TABLE users (id TEXT PRIMARY KEY)", "INSERT INTO users VALUES ('a'), (CAST(x'ff41' AS TEXT))"
    )
    source = source_of(sqlite_database, ["id"], page_size=1)
    read = keys(source)
    assert len(read) == 2
    assert source.read(read[1:]).rows == [("\udcffA",)]


def test_a_query_of_postgresql_knows_its_kinds(postgres_database: LiveDatabase) -> None:
    query = "SELECT 1 AS id, now() AS at, 1.50 AS n, ARRAY[1] AS a, 'x'::text AS t, NULL AS u, count(*) AS c"
    columns = model_of(postgres_database, query=query, primary_key=("id",)).columns
    kinds = [column.kind for column in columns.values()]
    assert kinds == [Kind.INTEGER, Kind.INSTANT, Kind.DECIMAL, Kind.LIST, Kind.TEXT, Kind.TEXT, Kind.INTEGER]


def test_a_query_of_mariadb_knows_numbers_and_times(mariadb_database: LiveDatabase) -> None:
    mariadb_database.execute(
        "CREATE TABLE users (id int PRIMARY KEY, b tinyint(1), at datetime, n decimal(9,2), t text, y varbinary(3))",
        "INSERT INTO users VALUES (1, 1, '2025-01-01 00:00:00', 1.5, 'ä', x'ff')",
    )
    spec: dict[str, Any] = {"query": "SELECT * FROM users", "primary_key": ("id",)}
    kinds = [column.kind for column in model_of(mariadb_database, **spec).columns.values()]
    assert kinds == [Kind.INTEGER, Kind.BOOLEAN, Kind.DATETIME, Kind.DECIMAL, Kind.ANY, Kind.ANY]
    read = only_row(source_of(mariadb_database, ["b", "at", "n", "t", "y"], **spec))
    assert read == (1, "2025-01-01 00:00:00", "1.50", "ä", b"\xff")


@pytest.mark.parametrize(
    ("declared", "values"),
    [
        ("uuid", ["00000000-0000-0000-0000-000000000001", "ffffffff-0000-0000-0000-000000000000"]),
        ('text COLLATE "C"', ["B", "a", "é"]),
        ("timestamptz", ["2025-01-01 00:00:00.000001+00", "2025-01-01 00:00:00.000002+00"]),
        ("mood", ["zzz", "aaa"]),
        ("boolean", ["false", "true"]),
        ("float8", ["-0.5", "0.1"]),
    ],
)
def test_postgresql_walks_along_keys_of_any_type(
    postgres_database: LiveDatabase, declared: str, values: list[str]
) -> None:
    postgres_database.execute(
        "CREATE TYPE mood AS ENUM ('zzz', 'aaa')", f"CREATE TABLE users (id {declared} PRIMARY KEY)"
    )
    postgres_database.insert("INSERT INTO users VALUES (?)", [(value,) for value in values])
    source = source_of(postgres_database, page_size=1)
    assert keys(source) == values
    assert source.read(values).keys == values


def test_a_collation_of_the_column_decides_the_order(postgres_database: LiveDatabase) -> None:
    found = postgres_database.scalar("SELECT count(*) FROM pg_collation WHERE collname = 'und-x-icu'")
    if not found:
        pytest.skip("this PostgreSQL comes without ICU")
    postgres_database.execute(
        "CREATE COLLATION folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
        "CREATE TABLE users (id text COLLATE folded PRIMARY KEY)",
        "INSERT INTO users VALUES ('b'), ('A'), ('ä'), ('C')",
    )
    source = source_of(postgres_database, page_size=1)
    assert keys(source) == ["A", "ä", "b", "C"]
    assert source.read(["a", "B", "C"]).keys == ["C"]


def test_mariadb_walks_along_keys_of_an_enum_and_of_a_collation(mariadb_database: LiveDatabase) -> None:
    mariadb_database.execute(
        "CREATE TABLE users (kind enum('z','a'), name varchar(9) COLLATE utf8mb4_general_ci, PRIMARY KEY (kind, name))",
        "INSERT INTO users VALUES ('z','b'), ('a','B'), ('z','A'), ('a','c')",
    )
    source = source_of(mariadb_database, page_size=1)
    assert keys(source) == ['["a","B"]', '["a","c"]', '["z","A"]', '["z","b"]']
    assert source.read(['["a","b"]', '["z","A"]']).keys == ['["z","A"]']


def test_a_rounded_second_is_found_from_its_own_watermark(mariadb_database: LiveDatabase) -> None:
    """DATETIME rounds, so a change may be dated up to half a second ahead of its time."""
    mariadb_database.execute(
        "CREATE TABLE users (id int PRIMARY KEY, at datetime)", "INSERT INTO users VALUES (1, NOW(6))"
    )
    source = source_of(mariadb_database, cursor="at")
    cursor = source.watermark().cursor
    assert cursor is not None
    assert keys(source, since(cursor, 2)) == ["1"]


def test_zero_dates_make_no_watermark(mariadb_database: LiveDatabase) -> None:
    mariadb_database.execute("CREATE TABLE users (id int PRIMARY KEY, at datetime)")
    mariadb_database.execute("SET sql_mode = ''", "INSERT INTO users VALUES (1, '0000-00-00 00:00:00')")
    assert source_of(mariadb_database, cursor="at").watermark().cursor is None
