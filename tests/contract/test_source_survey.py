"""What is found out about a database that nobody has described, on every kind of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from servers import LiveDatabase
from sources import opened
from user_tables import DJANGO

from sync_profiles.core.survey import Link
from sync_profiles.errors import UsageError
from sync_profiles.source.survey import HEAVY_ROWS, SAMPLE_ROWS, Surveyor


@contextlib.contextmanager
def surveying(database: LiveDatabase) -> Iterator[Surveyor]:
    with opened(database) as reader:
        yield Surveyor(reader)


def test_tables_are_described_with_their_keys(database: LiveDatabase) -> None:
    database.execute(
        "CREATE TABLE users (id integer PRIMARY KEY, org integer NOT NULL, code varchar(20) NOT NULL)",
        "CREATE UNIQUE INDEX one_code ON users (org, code)",
        "CREATE VIEW visible AS SELECT id FROM users",
    )
    with surveying(database) as surveyor:
        tables = {table.name: table for table in surveyor.tables()}
        assert tables.keys() == {"users", "visible"}
        assert tables["users"].primary_key == ("id",)
        assert ("org", "code") in tables["users"].unique
        assert [column.name for column in tables["visible"].columns] == ["id"]
        assert surveyor.table("USERS").name == "users"
        with pytest.raises(UsageError, match='did you mean "users"'):
            surveyor.table("usres")


def test_rows_are_sampled_and_what_is_secret_is_not_even_read(database: LiveDatabase) -> None:
    """Reading the password of this view would fail on a server, and be seen in a file."""
    trap = "CAST(name AS integer)" if database.kind == "postgresql" else "name"
    database.execute(
        "CREATE TABLE people (id integer PRIMARY KEY, name varchar(300))",
        "INSERT INTO people VALUES (1, 'Ada'), (2, NULL), (3, ''), (4, '" + "x" * 300 + "')",
        f"CREATE VIEW users AS SELECT id, name, {trap} AS password FROM people",
    )
    with surveying(database) as surveyor:
        survey = surveyor.survey(surveyor.table("users"))
    assert survey.sampled == 4
    assert survey.size == "4 rows"
    look = survey.look("name")
    assert (look.nulls, look.blanks, look.longs, look.faulty) == (1, 1, 1, 0)
    assert "password" not in survey.looks


def test_of_a_large_table_the_first_rows_are_read(database: LiveDatabase) -> None:
    database.execute("CREATE TABLE users (id integer PRIMARY KEY)")
    database.insert("INSERT INTO users VALUES (?)", [(number,) for number in range(SAMPLE_ROWS + 5)])
    with surveying(database) as surveyor:
        survey = surveyor.survey(surveyor.table("users"))
    assert (survey.sampled, survey.more) == (SAMPLE_ROWS, True)
    assert survey.size == "" or survey.size.startswith("about ")


def test_of_heavy_rows_few_are_read(database: LiveDatabase) -> None:
    text = "longtext" if database.kind == "mariadb" else "text"
    database.execute(f"CREATE TABLE users (id integer PRIMARY KEY, essay {text})")
    database.insert("INSERT INTO users VALUES (?, ?)", [(number, "x" * 20_000) for number in range(HEAVY_ROWS + 5)])
    with surveying(database) as surveyor:
        survey = surveyor.survey(surveyor.table("users"))
    assert (survey.sampled, survey.more) == (HEAVY_ROWS, True)
    assert survey.look("essay").longs == HEAVY_ROWS


def test_links_to_other_tables_are_seen_and_permissions_are_not(database: LiveDatabase) -> None:
    DJANGO.make(database)
    with surveying(database) as surveyor:
        survey = surveyor.survey(surveyor.table("auth_user"))
    assert survey.links == (Link("auth_user_groups", "user_id", "group_id", "auth_group", "id", "name"),)
    assert survey.row_versions is (database.kind == "postgresql")


def test_who_sets_the_change_column_is_seen(database: LiveDatabase) -> None:
    body = "'BEGIN NEW.updated_at := now(); RETURN NEW; END'"
    before = "CREATE TRIGGER stamp BEFORE UPDATE ON users FOR EACH ROW"
    triggers = {
        "postgresql": (
            f"CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS {body}",
            f"{before} EXECUTE FUNCTION stamp()",
        ),
        "sqlite": ("CREATE TRIGGER stamp AFTER UPDATE ON users BEGIN UPDATE users SET updated_at = 1; END",),
    }
    database.execute("CREATE TABLE users (id integer PRIMARY KEY, updated_at timestamp NULL)")
    with surveying(database) as surveyor:
        assert surveyor.survey(surveyor.table("users")).stamped_by is None
        database.execute(*triggers.get(database.kind, (f"{before} SET NEW.updated_at = NOW()",)))
        assert surveyor.survey(surveyor.table("users")).stamped_by == "trigger"


def test_tables_beside_it_that_may_not_be_read_are_a_bonus_lost(postgres_database: LiveDatabase) -> None:
    DJANGO.make(postgres_database)
    postgres_database.execute(
        "DROP ROLE IF EXISTS survey_reader",
        "CREATE ROLE survey_reader LOGIN PASSWORD 'x'",
        "GRANT SELECT ON auth_user TO survey_reader",
    )
    url = postgres_database.url.replace("postgres@", "survey_reader:x@")
    reader = LiveDatabase(postgres_database.kind, postgres_database.label, url, postgres_database.engine)
    try:
        with surveying(reader) as surveyor:
            assert [table.name for table in surveyor.tables()] == ["auth_user"]
            assert surveyor.survey(surveyor.table("auth_user")).links == ()
    finally:
        postgres_database.execute("DROP OWNED BY survey_reader", "DROP ROLE survey_reader")


def test_names_of_attributes_are_collected(database: LiveDatabase) -> None:
    database.execute(
        "CREATE TABLE user_attributes (id integer PRIMARY KEY, user_id integer, name varchar(20), value varchar(20))",
        "INSERT INTO user_attributes VALUES (1, 1, 'plan', 'pro'), (2, 2, 'plan', 'free'), (3, 2, '', 'x'),"
        " (4, 2, NULL, 'x'), (5, 1, 'locale', 'de')",
    )
    with surveying(database) as surveyor:
        assert surveyor.survey(surveyor.table("user_attributes")).attributes == ("locale", "plan")
