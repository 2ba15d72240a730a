"""Rows that share a distinct ID are asked of the database: too many may come back, never too few."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from servers import LiveDatabase
from sources import keys_of_pages, source_of

from sync_profiles.core.types import Property
from sync_profiles.source.sql import SqlSource

EMAIL = Property(column="email")
NAMES = Property(template="{first}-{{}}-{id}{last}")
HASHED = Property(column="email", hash="sha256")
THEME = Property(column="settings", path="ui.user id")
DEFAULTED = Property(column="email", default="x@y.z")
UUID = Property(column="email", type="uuid")
JSON = {"postgresql": "jsonb", "mariadb": "longtext", "mysql": "json", "sqlite": "json"}


@pytest.fixture
def users(database: LiveDatabase) -> LiveDatabase:
    database.execute(
        "CREATE TABLE users (id int PRIMARY KEY, email varchar(50), first varchar(9), last varchar(9), "
        f"number decimal(9,2), at timestamp NULL, settings {JSON[database.kind]})"
    )
    return database


def add(database: LiveDatabase, *rows: tuple[Any, ...], columns: str = "id, email") -> None:
    marks = ", ".join("?" * len(rows[0]))
    database.insert(f"INSERT INTO users ({columns}) VALUES ({marks})", list(rows))


def duplicates(source: SqlSource) -> set[str]:
    return set(keys_of_pages(source.duplicates()))


def sharing(source: SqlSource, *ids: str) -> set[str]:
    return set(source.sharing(ids).keys)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("page_size", [1, 100])
def test_rows_with_one_distinct_id_are_found_wherever_they_are(users: LiveDatabase, page_size: int) -> None:
    add(users, (1, "a@x"), (2, "b@x"), (3, "a@x"), (4, None), (5, None), (6, "a@x"))
    source = source_of(users, ["email"], distinct_id=EMAIL, page_size=page_size)
    assert duplicates(source) == {"1", "3", "6"}
    assert sharing(source, "b@x", "a@x", "nobody", "a\0") == {"1", "2", "3", "6"}
    assert source.sharing(["b@x"]).rows == [("b@x",)]
    assert sharing(source) == set()


def test_ids_in_other_letters_are_compared_by_whoever_asked(users: LiveDatabase) -> None:
    """A collation that takes them for the same may hand over both; those that are equal are never missing."""
    add(users, (1, "Ada"), (2, "ada"), (3, "Ada"))
    source = source_of(users, distinct_id=EMAIL)
    assert {"1", "3"} <= duplicates(source) <= {"1", "2", "3"}
    assert {"1", "3"} <= sharing(source, "Ada") <= {"1", "2", "3"}
    assert "2" in sharing(source, "ada")


@pytest.mark.parametrize("given", [None, Property(column="id"), EMAIL, Property(column="email", type="string")])
def test_where_a_constraint_forbids_it_nothing_is_asked(users: LiveDatabase, given: Property | None) -> None:
    users.execute("CREATE UNIQUE INDEX one ON users (email)")
    add(users, (1, "a"), (2, "b"))
    source = source_of(users, distinct_id=given)
    assert duplicates(source) == set()
    assert sharing(source, "a", "1") == set()


def test_an_index_over_more_than_the_id_forbids_nothing(users: LiveDatabase) -> None:
    users.execute("CREATE UNIQUE INDEX one ON users (email, first)")
    add(users, (1, "a", "x"), (2, "a", "y"), columns="id, email, first")
    assert duplicates(source_of(users, distinct_id=EMAIL)) == {"1", "2"}


def test_a_default_makes_rows_without_an_id_share_one_whatever_is_unique(users: LiveDatabase) -> None:
    users.execute("CREATE UNIQUE INDEX one ON users (email)")
    add(users, (1, "a"), (2, None), (3, None), (4, "x@y.z"))
    source = source_of(users, distinct_id=DEFAULTED)
    assert duplicates(source) == {"2", "3", "4"}
    assert sharing(source, "x@y.z") == {"2", "3", "4"}


def test_a_template_is_put_together_by_the_database(users: LiveDatabase) -> None:
    add(users, (1, "a", "b"), (11, "a", None), (2, "a", "c"), columns="id, first, last")
    source = source_of(users, distinct_id=NAMES)
    assert duplicates(source) == set()
    assert sharing(source, "a-{}-1b", "a-{}-11") == {"1"}


def test_a_template_that_comes_to_the_same_is_found(users: LiveDatabase) -> None:
    add(users, (1, "a", "bc"), (2, "ab", "c"), (3, "x", "y"), columns="id, first, last")
    source = source_of(users, distinct_id=Property(template="{first}{last}"))
    assert duplicates(source) == {"1", "2"}
    assert sharing(source, "xy") == {"3"}


def test_a_hash_is_computed_by_the_database(users: LiveDatabase) -> None:
    add(users, (1, "ä@x"), (2, "b@x"), (3, "ä@x"))
    source = source_of(users, distinct_id=HASHED)
    assert duplicates(source) == {"1", "3"}
    assert sharing(source, sha256("b@x"), sha256("ä@x")) == {"1", "2", "3"}
    assert sharing(source, sha256("b@x")) == {"2"}


def test_an_id_inside_json_is_found_and_text_that_is_no_json_passed_by(users: LiveDatabase) -> None:
    documents = ['{"ui": {"user id": "a"}}', '{"ui": {"user id": "b"}}', '{"ui":{"user id":"a"}}', "{}", "null"]
    add(users, *enumerate(documents, 1), columns="id, settings")
    if users.kind != "postgresql":
        add(users, (9, "{no json"), columns="id, settings")
    source = source_of(users, distinct_id=THEME)
    assert duplicates(source) == {"1", "3"}
    assert sharing(source, "b") == {"2"}


def test_numbers_that_are_equal_may_share_an_id(users: LiveDatabase) -> None:
    add(users, (1, "7.50"), (2, "7.5"), (3, "8"), columns="id, number")
    source = source_of(users, distinct_id=Property(column="number"))
    assert {"1", "2"} <= duplicates(source)
    assert {"1", "2"} <= sharing(source, "7.50")


def test_a_uuid_is_the_same_in_every_spelling(users: LiveDatabase) -> None:
    plain = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
    add(users, (1, plain), (2, plain.upper()), (3, "{" + plain.replace("-", "") + "}"), (4, plain[:-1] + "2"))
    source = source_of(users, distinct_id=UUID)
    assert duplicates(source) == {"1", "2", "3"}
    assert sharing(source, plain) == {"1", "2", "3"}


@pytest.mark.parametrize(
    "given",
    [
        Property(column="at"),  # cut to milliseconds
        Property(column="email", type="number"),
        Property(template="{at}"),
        Property(value="everybody"),
        Property(column="settings", path="ui.0"),
    ],
)
def test_what_sql_cannot_tell_makes_every_row_a_candidate(users: LiveDatabase, given: Property) -> None:
    add(users, (1, "1"), (2, "1.0"), (3, "2"))
    source = source_of(users, ["email"], distinct_id=given, page_size=2)
    assert duplicates(source) == sharing(source, "1") == {"1", "2", "3"}


def test_the_condition_of_the_sync_counts_and_that_of_a_backfill_does_not(users: LiveDatabase) -> None:
    add(users, (1, "a"), (2, "a"), (3, "a"))
    source = source_of(users, distinct_id=EMAIL, where="id < 3", extra_where="id = 1")
    assert duplicates(source) == {"1", "2"}
    assert sharing(source, "a") == {"1", "2"}


def test_a_key_of_several_columns_names_the_rows_that_share(database: LiveDatabase) -> None:
    database.execute("CREATE TABLE users (a int, b int, email varchar(9), PRIMARY KEY (a, b))")
    database.insert("INSERT INTO users VALUES (?, ?, ?)", [(1, 1, "x"), (1, 2, "x"), (2, 1, "y")])
    source = source_of(database, distinct_id=EMAIL)
    assert duplicates(source) == {'["1","1"]', '["1","2"]'}
    assert sharing(source, "y") == {'["2","1"]'}


def test_many_ids_are_asked_for_in_one_call(users: LiveDatabase) -> None:
    add(users, *((number, f"u{number}") for number in range(1, 1301)))
    assert len(sharing(source_of(users, distinct_id=EMAIL), *(f"u{number}" for number in range(5000)))) == 1300


@pytest.mark.parametrize(
    ("declared", "values", "wanted"),
    [
        ("uuid", ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"] * 2, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("bigint", ["5", "5"], "5"),
        ("mood", ["so so", "so so"], "so so"),
        ("char(9)", ["x", "x"], "x"),
    ],
)
def test_ids_of_postgresql_types_are_found(
    postgres_database: LiveDatabase, declared: str, values: list[str], wanted: str
) -> None:
    postgres_database.execute(
        "CREATE TYPE mood AS ENUM ('so so')", f"CREATE TABLE users (id int PRIMARY KEY, v {declared})"
    )
    postgres_database.insert("INSERT INTO users VALUES (?, ?)", list(enumerate(values, 1)))
    source = source_of(postgres_database, distinct_id=Property(column="v"))
    assert duplicates(source) == {"1", "2"}
    assert sharing(source, wanted, "no such", "99999999999999999999999") == {"1", "2"}
