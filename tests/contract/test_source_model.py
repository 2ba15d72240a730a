"""What is found of a table or query, and what is said when something does not fit."""

from __future__ import annotations

import pytest
from servers import LiveDatabase, Server
from sources import keys, model_of, opened, rows, since, source_of

from sync_profiles.core.types import Kind
from sync_profiles.errors import AccessError, ConfigError
from sync_profiles.source.sql import ModelSpec

ODD_NAMES = ["select", "Mixed Case", "größe", "a:b", "100%", "%s", "it's", "a.b", 'say "hi"', "back`tick"]


def quoted(database: LiveDatabase, name: str) -> str:
    mark = '"' if database.kind in {"postgresql", "sqlite"} else "`"
    return mark + name.replace(mark, mark * 2) + mark


def problem(database: LiveDatabase, **spec: object) -> str:
    with pytest.raises(ConfigError) as caught:
        model_of(database, **spec)
    return str(caught.value)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_name_may_be_anything_the_database_takes(database: LiveDatabase, name: str) -> None:
    """As table, key, cursor and column at once."""
    table, key, cursor = (quoted(database, part + name) for part in ("", "k", "c"))
    database.execute(
        f"CREATE TABLE {table} ({key} int PRIMARY KEY, {cursor} int)",
        f"INSERT INTO {table} VALUES (1, 10), (2, 20), (3, NULL)",
    )
    source = source_of(database, [f"c{name}"], table=name, cursor=f"c{name}", page_size=1, where=f"{key} <> 9")
    assert source.watermark().cursor == "20"
    assert rows(source) == [(10,), (20,), (None,)]
    assert keys(source, since("10")) == ["1", "2", "3"]
    assert source.read(["3"]).keys == ["3"]


def test_a_table_tells_its_columns_its_key_and_what_is_unique(database: LiveDatabase) -> None:
    database.execute(
        "CREATE TABLE users (a int, b int, email varchar(50), PRIMARY KEY (b, a))",
        "CREATE UNIQUE INDEX one ON users (email)",
        "CREATE UNIQUE INDEX two ON users (a, email)",
        "CREATE INDEX three ON users (a)",
    )
    model = model_of(database)
    assert list(model.columns) == ["a", "b", "email"]
    assert [column.kind for column in model.columns.values()] == [Kind.INTEGER, Kind.INTEGER, Kind.TEXT]
    assert model.primary_key == ("b", "a")
    assert set(model.unique) == {("b", "a"), ("email",), ("a", "email")}
    assert model.certain_key == (database.kind != "sqlite")


@pytest.mark.parametrize(
    ("key", "certain"),
    [
        ("id INTEGER PRIMARY KEY", True),
        ("id INTEGER PRIMARY KEY AUTOINCREMENT", True),
        ("id INT PRIMARY KEY", False),
        ("id TEXT PRIMARY KEY", False),
        ("id TEXT NOT NULL PRIMARY KEY", True),
        ("id INT NOT NULL, part INT, PRIMARY KEY (id, part)", False),
        ("id INT NOT NULL, part INT NOT NULL, PRIMARY KEY (id, part)", True),
    ],
)
def test_sqlite_lets_null_into_most_primary_keys(sqlite_database: LiveDatabase, key: str, certain: bool) -> None:
    sqlite_database.execute(f"CREATE TABLE users ({key})")
    assert model_of(sqlite_database).certain_key == certain


def test_an_index_of_some_rows_or_of_an_expression_makes_no_column_unique(database: LiveDatabase) -> None:
    database.execute("CREATE TABLE users (id int PRIMARY KEY, email varchar(50), deleted int)")
    if database.kind not in {"mariadb", "mysql"}:
        database.execute(
            "CREATE UNIQUE INDEX living ON users (email) WHERE deleted = 0",
            "CREATE UNIQUE INDEX folded ON users (lower(email))",
        )
    assert model_of(database).unique == (("id",),)


def test_a_view_is_read_like_a_table_and_needs_to_be_told_its_key(database: LiveDatabase) -> None:
    database.execute(
        "CREATE TABLE people (id int PRIMARY KEY, name varchar(9), at timestamp NULL)",
        "INSERT INTO people VALUES (1, 'ada', '2025-01-01 00:00:00'), (2, 'bob', NULL)",
        "CREATE VIEW users AS SELECT id AS uid, name, at FROM people",
    )
    assert (
        problem(database) == 'primary_key: "users" has none of its own; name the columns that tell one row from another'
    )
    source = source_of(database, ["name"], primary_key=("uid",), cursor="at")
    assert rows(source) == [("ada",), ("bob",)]
    assert source.watermark().cursor is not None


QUERY = """
-- who: everybody; not only 'customers'
WITH chosen AS (  /* a % sign; and a :colon */
    SELECT id, name, '100%' AS share, ':1 \\: %s' AS odd FROM people WHERE name LIKE '%a%'
)
SELECT * FROM chosen ; -- the end; really
/* :x */
"""


def test_a_query_may_hold_what_sql_holds(database: LiveDatabase) -> None:
    database.execute(
        "CREATE TABLE people (id int PRIMARY KEY, name varchar(9))",
        "INSERT INTO people VALUES (1, 'ada'), (2, 'bob'), (3, 'eva')",
    )
    source = source_of(
        database, ["name", "share", "odd"], query=QUERY, primary_key=("id",), page_size=1, where="id < 9 -- all;"
    )
    odd = ":1 : %s" if database.kind in {"mariadb", "mysql"} else ":1 \\: %s"  # there a backslash escapes
    assert rows(source) == [("ada", "100%", odd), ("eva", "100%", odd)]
    assert source.read(["3", "2"]).keys == ["3"]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"table": "user"}, 'table: "user" does not exist; did you mean "users"?'),
        (
            {"table": "app.users"},
            'table: "app.users" does not exist; another schema is written schema = "app", table = "users"',
        ),
        ({"table": "zzz"}, 'table: "zzz" does not exist (there is: users)'),
        ({"primary_key": ("uid",)}, 'primary_key: there is no column "uid"; did you mean "id"?'),
        ({"cursor": "updated_at"}, 'cursor: there is no column "updated_at"; did you mean "updated"?'),
        ({"schema": "nowhere"}, 'schema: there is no schema "nowhere", or no table in it that this user can see'),
        ({"where": "id = 1; SELECT 2"}, "where: holds more than one statement"),
        ({"where": "-- nothing"}, "where: is empty"),
        (
            {"query": "SELECT 1 AS id, 2 AS id", "primary_key": ("id",)},
            'query: gives two columns the name "id"; rename one with AS',
        ),
        ({"query": "SELECT 1 AS id"}, "primary_key: a query has none; name the columns that tell one row from another"),
    ],
)
def test_what_does_not_fit_is_named_with_its_cure(database: LiveDatabase, spec: dict[str, object], said: str) -> None:
    if spec.get("schema") and database.kind == "sqlite":
        pytest.skip("SQLite has no schemas")
    if "AS id, 2 AS id" in str(spec.get("query")) and database.kind == "sqlite":
        pytest.skip("SQLite gives the second one another name")
    if "AS id, 2 AS id" in str(spec.get("query")) and database.kind in {"mariadb", "mysql"}:
        said = "query: Duplicate column name 'id'"  # the server says it first
    database.execute("CREATE TABLE users (id int PRIMARY KEY, updated int)")
    assert problem(database, **spec) == said


@pytest.mark.parametrize(
    ("setting", "spec"),
    [
        ("where", {"where": "emial IS NULL"}),
        ("where", {"where": "id ="}),
        ("query", {"query": "SELECT emial AS id FROM users", "primary_key": ("id",)}),
        ("query", {"query": "SELECT * FROM nowhere", "primary_key": ("id",)}),
    ],
)
def test_sql_that_the_database_refuses_is_blamed_on_its_setting(
    database: LiveDatabase, setting: str, spec: dict[str, object]
) -> None:
    database.execute("CREATE TABLE users (id int PRIMARY KEY, email varchar(9))")
    said = problem(database, **spec)
    assert said.startswith(f"{setting}: ")
    assert "\n" not in said
    if "emial" in str(spec):
        assert "emial" in said


def test_several_problems_are_told_at_once(database: LiveDatabase) -> None:
    database.execute("CREATE TABLE users (id int PRIMARY KEY)")
    with pytest.raises(ConfigError) as caught:
        model_of(database, primary_key=("x",), cursor="y")
    assert [text.partition(":")[0] for text in caught.value.problems] == ["primary_key", "cursor"]


def test_an_unknown_column_or_a_wrong_condition_of_a_backfill_is_refused(database: LiveDatabase) -> None:
    database.execute("CREATE TABLE users (id int PRIMARY KEY)")
    with pytest.raises(ConfigError, match='there is no column "idd"; did you mean "id"'):
        source_of(database, ["idd"])
    with pytest.raises(ConfigError, match=r"--where: .*nope"):
        source_of(database, extra_where="nope = 1")


def test_rows_without_a_key_are_refused_and_never_left_out_silently(database: LiveDatabase) -> None:
    database.execute("CREATE TABLE users (id int, name varchar(9))", "INSERT INTO users VALUES (1, 'a'), (NULL, 'b')")
    with pytest.raises(ConfigError, match="primary_key: id is NULL in some rows"):
        keys(source_of(database, primary_key=("id",)))
    assert keys(source_of(database, primary_key=("id",), where="id IS NOT NULL")) == ["1"]


def test_a_key_that_is_not_unique_is_refused(database: LiveDatabase) -> None:
    database.execute("CREATE TABLE users (id int, name varchar(9))", "INSERT INTO users VALUES (1, 'a'), (1, 'b')")
    with pytest.raises(ConfigError, match="primary_key: id is not unique"):
        keys(source_of(database, primary_key=("id",)))


def test_a_condition_applies_to_every_read(database: LiveDatabase) -> None:
    database.execute(
        "CREATE TABLE users (id int PRIMARY KEY, at int, name varchar(9))",
        "INSERT INTO users VALUES (1, 1, 'a%'), (2, 2, 'b:'), (3, NULL, 'c')",
    )
    source = source_of(
        database,
        cursor="at",
        where="name LIKE '%\\%' ESCAPE '\\' OR name = 'b:'"
        if database.kind not in {"mariadb", "mysql"}
        else "name LIKE '%\\%' OR name = 'b:'",
    )
    assert keys(source) == keys(source, since(None)) == ["1", "2"]
    assert source.read(["1", "3"]).keys == ["1"]


def test_models_are_told_apart_by_name_and_by_what_they_select(database: LiveDatabase) -> None:
    database.execute("CREATE TABLE users (id int PRIMARY KEY, x int)", "CREATE TABLE accounts (id int PRIMARY KEY)")
    with opened(database) as reader:
        users, accounts, fewer = (
            reader.model(spec)
            for spec in (ModelSpec("users"), ModelSpec("accounts"), ModelSpec("users", where="id > 5"))
        )
        again = reader.model(ModelSpec("users", cursor="x", page_size=5))
    assert users.name != accounts.name
    assert users.name == fewer.name
    assert len({users.selection, accounts.selection, fewer.selection}) == 3
    assert users.selection == again.selection


# --- PostgreSQL ----------------------------------------------------------------------------------------------------


def test_a_schema_is_part_of_the_address(postgres_database: LiveDatabase) -> None:
    postgres_database.execute(
        'CREATE SCHEMA "App"',
        'CREATE TABLE "App".users (id int PRIMARY KEY, n text)',
        "INSERT INTO \"App\".users VALUES (1, 'app')",
        "CREATE TABLE users (id int PRIMARY KEY, n text)",
        "INSERT INTO users VALUES (1, 'public')",
    )
    assert rows(source_of(postgres_database, ["n"])) == [("public",)]
    assert rows(source_of(postgres_database, ["n"], schema="App", where="users.n = 'app'")) == [("app",)]
    assert model_of(postgres_database, schema="App").name == "App.users"
    assert model_of(postgres_database).name == model_of(postgres_database, schema="public").name == "public.users"


def test_an_index_that_is_not_valid_promises_nothing(postgres_database: LiveDatabase) -> None:
    postgres_database.execute(
        "CREATE TABLE users (id int PRIMARY KEY, a text, b text, c text)",
        "CREATE UNIQUE INDEX broken ON users (a)",
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'broken'::regclass",
        "CREATE UNIQUE INDEX covering ON users (b) INCLUDE (c)",
    )
    assert model_of(postgres_database).unique == (("id",), ("b",))


def test_an_index_does_not_reach_over_to_inheriting_tables(postgres_database: LiveDatabase) -> None:
    postgres_database.execute("CREATE TABLE users (id int PRIMARY KEY)", "CREATE TABLE admins () INHERITS (users)")
    model = model_of(postgres_database)
    assert model.primary_key == ("id",)
    assert model.unique == ()
    assert not model.certain_key


def test_a_partitioned_table_and_a_materialised_view_are_read(postgres_database: LiveDatabase) -> None:
    postgres_database.execute(
        "CREATE TABLE users (id int PRIMARY KEY) PARTITION BY RANGE (id)",
        "CREATE TABLE low PARTITION OF users FOR VALUES FROM (0) TO (10)",
        "CREATE TABLE high PARTITION OF users FOR VALUES FROM (10) TO (20)",
        "INSERT INTO users VALUES (5), (15)",
        "CREATE MATERIALIZED VIEW kept AS SELECT id FROM users",
    )
    assert keys(source_of(postgres_database, page_size=1)) == ["5", "15"]
    assert keys(source_of(postgres_database, table="kept", primary_key=("id",))) == ["5", "15"]


def test_columns_that_may_not_be_read_are_not_there(postgres_database: LiveDatabase) -> None:
    database, url = postgres_database, reader_url(postgres_database)
    database.execute(
        "CREATE TABLE users (id int PRIMARY KEY, name text, password text)",
        "GRANT SELECT (id, name) ON users TO sp_reader",
        "CREATE TABLE hidden (id int PRIMARY KEY)",
    )
    restricted = LiveDatabase(database.kind, database.label, url, database.engine)
    assert list(model_of(restricted).columns) == ["id", "name"]
    assert keys(source_of(restricted, ["name"])) == []
    with pytest.raises(AccessError, match='no column of "hidden" may be read'):
        model_of(restricted, table="hidden")
    with pytest.raises(AccessError, match="permission denied"):
        model_of(restricted, query="SELECT password AS id FROM users", primary_key=("id",))


def reader_url(database: LiveDatabase) -> str:
    database.execute("DROP ROLE IF EXISTS sp_reader", "CREATE ROLE sp_reader LOGIN PASSWORD 'right'")
    return database.url.replace("postgres@", "sp_reader:right@")


# --- MySQL and MariaDB ---------------------------------------------------------------------------------------------


def test_a_schema_of_mariadb_is_another_database(mariadb: Server, mariadb_database: LiveDatabase) -> None:
    with mariadb.fresh_database() as other:
        other.execute("CREATE TABLE users (id int PRIMARY KEY)", "INSERT INTO users VALUES (7)")
        assert keys(source_of(mariadb_database, schema=other.url.rpartition("/")[2])) == ["7"]


def test_tables_that_differ_only_in_case_are_not_mixed_up(mariadb_database: LiveDatabase) -> None:
    mariadb_database.execute("CREATE TABLE users (id int PRIMARY KEY)", "CREATE TABLE Users (uid int PRIMARY KEY)")
    assert model_of(mariadb_database).primary_key == ("id",)
    assert model_of(mariadb_database, table="Users").primary_key == ("uid",)
    assert problem(mariadb_database, table="USERS").startswith('table: "USERS" does not exist; did you mean')
