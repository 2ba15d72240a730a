"""What check asks of a database, each thing caused for real, on every kind of database."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pytest
import sqlalchemy as sa
from servers import LiveDatabase
from sources import no_wait

from sync_profiles.core.facts import Count, IdFacts, TableFacts
from sync_profiles.core.types import MappingSpec, Property
from sync_profiles.source.facts import SourceFacts
from sync_profiles.source.sql import ModelSpec, open_database

EMAIL = Property(column="email")
STAMP = {"sqlite": "timestamp", "postgresql": "timestamptz"}


def facts(
    database: LiveDatabase, *, url: str | None = None, mapping: Mapping[str, Any] | None = None, **spec: Any
) -> SourceFacts:
    opened = open_database(url or database.url, statement_timeout_s=60, sleep=no_wait)
    detect = "cursor" if "cursor" in spec else "full"
    table = None if "query" in spec else "users"
    model = opened.model(ModelSpec(**{"table": table, "detect": detect, **spec}))
    return SourceFacts(model, MappingSpec(**{"set": {"plan": Property(column="plan")}, **(mapping or {})}))


def table(database: LiveDatabase, **more: Any) -> TableFacts:
    return facts(database, **more).table()


def ids(database: LiveDatabase, distinct_id: Property | None = EMAIL, **more: Any) -> IdFacts:
    return facts(database, mapping={"distinct_id": distinct_id, **more}).ids()


@pytest.fixture
def users(database: LiveDatabase) -> LiveDatabase:
    """Keys 1 to 4 with plain e-mail addresses, a secret and a change column."""
    stamp = STAMP.get(database.kind, "datetime(6)")
    database.execute(
        "CREATE TABLE users (id bigint NOT NULL PRIMARY KEY, email varchar(400), plan varchar(40),"
        f" api_token varchar(40), active boolean, updated_at {stamp} NULL)"
    )
    database.insert(
        "INSERT INTO users VALUES (?, ?, 'pro', 'x', ?, '2026-01-01 00:00:00')",
        [(number, f"u{number}@example.com", True) for number in range(1, 5)],
    )
    return database


def emails(database: LiveDatabase, *values: str | None) -> None:
    """Give keys 1, 2, … these addresses."""
    for number, value in enumerate(values, 1):
        with database.engine.connect() as connection:
            connection.execute(
                sa.text("UPDATE users SET email = :email WHERE id = :id"), {"email": value, "id": number}
            )


# --- the table -----------------------------------------------------------------------------------------------------


def test_a_table_in_order_is_counted_and_its_session_cannot_write(users: LiveDatabase) -> None:
    found = table(users)
    assert (found.rows, found.key, found.null_keys, found.shared_keys) == (4, ("id",), 0, 0)
    assert found.certain_key
    assert found.read_only
    assert (found.detection, found.cursor) == ("full", None)
    assert abs(found.now - time.time()) < 5


def test_only_rows_of_the_predicate_are_counted(users: LiveDatabase) -> None:
    assert table(users, where="id > 1").rows == 3


def test_columns_that_look_like_secrets_are_told_apart_by_whether_they_are_sent(users: LiveDatabase) -> None:
    assert (table(users).secrets, table(users).sent_secrets) == (("api_token",), ())
    sent = {"set": {"t": Property(column="api_token", secret=True)}}
    assert table(users, mapping=sent).sent_secrets == ("api_token",)
    hashed = {"set": {"t": Property(column="api_token", secret=True, hash="sha256")}}
    assert table(users, mapping=hashed).sent_secrets == ()
    template = {"set": {"t": Property(template="-{api_token}-", secret=True)}}
    assert table(users, mapping=template).sent_secrets == ("api_token",)


def test_a_query_whose_key_is_no_key_is_found_out(users: LiveDatabase) -> None:
    users.execute("UPDATE users SET plan = 'free' WHERE id = 1", "UPDATE users SET plan = NULL WHERE id = 2")
    found = table(users, query="SELECT plan, email FROM users", primary_key=("plan",))
    assert (found.rows, found.null_keys, found.shared_keys, found.certain_key) == (4, 1, 2, False)


# --- the change column ---------------------------------------------------------------------------------------------


def test_a_change_column_without_index_and_without_anybody_who_sets_it(users: LiveDatabase) -> None:
    cursor = table(users, cursor="updated_at").cursor
    assert cursor is not None
    assert (cursor.indexed, cursor.stamped_by, cursor.nulls, cursor.ahead) == (False, None, 0, False)


def test_an_index_that_begins_with_the_change_column_counts_and_one_that_does_not_does_not(users: LiveDatabase) -> None:
    users.execute("CREATE INDEX second ON users (plan, updated_at)")
    cursor = table(users, cursor="updated_at").cursor
    assert cursor is not None
    assert cursor.indexed is False
    users.execute("CREATE INDEX first ON users (updated_at, plan)")
    cursor = table(users, cursor="updated_at").cursor
    assert cursor is not None
    assert cursor.indexed is True


def test_nulls_and_a_future_in_the_change_column_are_seen(users: LiveDatabase) -> None:
    users.execute(
        "UPDATE users SET updated_at = NULL WHERE id <= 2", "UPDATE users SET updated_at = '2100-01-01' WHERE id = 3"
    )
    cursor = table(users, cursor="updated_at").cursor
    assert cursor is not None
    assert (cursor.nulls, cursor.ahead) == (2, True)


TRIGGERS = {
    "sqlite": [
        (
            "CREATE TRIGGER touch AFTER UPDATE ON users BEGIN"
            " UPDATE users SET updated_at = CURRENT_TIMESTAMP WHERE id = new.id; END"
        )
    ],
    "postgresql": [
        "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.updated_at = now(); RETURN NEW; END'",
        "CREATE TRIGGER touch BEFORE UPDATE ON users FOR EACH ROW EXECUTE PROCEDURE touch()",
    ],
    "mariadb": ["CREATE TRIGGER touch BEFORE UPDATE ON users FOR EACH ROW SET NEW.updated_at = NOW(6)"],
}


def test_a_trigger_that_sets_the_change_column_is_seen(users: LiveDatabase) -> None:
    users.execute(*TRIGGERS["mariadb" if users.kind == "mysql" else users.kind])
    cursor = table(users, cursor="updated_at").cursor
    assert cursor is not None
    assert cursor.stamped_by == "trigger"


def test_a_column_that_stamps_itself_is_seen(mariadb_database: LiveDatabase) -> None:
    mariadb_database.execute(
        "CREATE TABLE users (id int PRIMARY KEY, plan text,"
        " updated_at timestamp DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP)"
    )
    cursor = table(mariadb_database, cursor="updated_at").cursor
    assert cursor is not None
    assert cursor.stamped_by == "column"


def test_of_a_query_nobody_can_say_whether_its_change_column_is_indexed(users: LiveDatabase) -> None:
    query = "SELECT id, plan, updated_at FROM users"
    cursor = table(users, query=query, primary_key=("id",), cursor="updated_at").cursor
    assert cursor is not None
    assert (cursor.indexed, cursor.stamped_by) == (None, None)


# --- rights --------------------------------------------------------------------------------------------------------


def test_the_owner_of_a_table_may_do_too_much_and_sqlite_knows_no_rights(users: LiveDatabase) -> None:
    rights = table(users).may_write
    assert ("UPDATE" in rights) == (users.kind != "sqlite")


def test_a_user_that_may_only_select_has_no_right_too_many_on_postgresql(postgres_database: LiveDatabase) -> None:
    role = f"reader_{time.monotonic_ns()}"
    postgres_database.execute(
        "CREATE TABLE users (id int PRIMARY KEY, plan text)",
        f"CREATE ROLE {role} LOGIN PASSWORD 'p'",
        f"GRANT SELECT ON users TO {role}",
    )
    url = sa.make_url(postgres_database.url).set(username=role, password="p").render_as_string(hide_password=False)
    try:
        assert table(postgres_database, url=url).may_write == ()
        postgres_database.execute(f"GRANT DELETE ON users TO {role}")
        assert table(postgres_database, url=url).may_write == ("DELETE",)
    finally:
        postgres_database.execute(f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_a_user_that_may_only_select_has_no_right_too_many_on_mariadb(mariadb_database: LiveDatabase) -> None:
    name = f"r{time.monotonic_ns()}"
    mariadb_database.execute(
        "CREATE TABLE users (id int PRIMARY KEY, plan text)",
        f"CREATE USER {name}@'%' IDENTIFIED BY 'p'",
        f"GRANT SELECT ON users TO {name}@'%'",
    )
    url = sa.make_url(mariadb_database.url).set(username=name, password="p").render_as_string(hide_password=False)
    try:
        assert table(mariadb_database, url=url).may_write == ()
        mariadb_database.execute(f"GRANT UPDATE ON users TO {name}@'%'")
        assert table(mariadb_database, url=url).may_write == ("UPDATE",)
    finally:
        mariadb_database.execute(f"DROP USER {name}@'%'")


# --- distinct IDs --------------------------------------------------------------------------------------------------


def test_ids_in_order_give_nothing_to_count(users: LiveDatabase) -> None:
    assert ids(users) == IdFacts({}, judged=True, compared=True)
    assert ids(users, None) == IdFacts({}, judged=True, compared=True)


WRONG = {
    "null": [None],
    "blank": ["", "  "],
    "padded": [" a", "b ", "c\t"],
    "long": ["x" * 256, "é" * 128],
    "refused": ["null", "Anonymous", "-1"],
}
UNUSUAL = ["x" * 255, "in the middle", "nulls", "é", "100%", "O'Neil", "nüll", "back\\slash"]


def test_an_id_that_cannot_be_sent_is_counted_by_what_is_wrong(users: LiveDatabase) -> None:
    values = [(name, value) for name, several in WRONG.items() for value in several]
    users.insert("INSERT INTO users (id, email) VALUES (?, ?)", [(n, v) for n, (_, v) in enumerate(values, 11)])
    expected = {
        name: Count(len(several), tuple(str(n) for n, (of, _) in enumerate(values, 11) if of == name)[:3])
        for name, several in WRONG.items()
    }
    assert dict(ids(users).counts) == expected


def test_an_unusual_id_that_can_be_sent_is_not_counted(users: LiveDatabase) -> None:
    users.insert("INSERT INTO users (id, email) VALUES (?, ?)", list(enumerate(UNUSUAL, 11)))
    assert ids(users).counts == {}


def test_equal_ids_are_counted_with_examples(users: LiveDatabase) -> None:
    emails(users, "same", "same", "same")
    assert dict(ids(users).counts) == {"duplicate": Count(3, ("1", "2", "3"))}


def test_ids_that_differ_by_case_only_are_twins_and_no_duplicates(users: LiveDatabase) -> None:
    emails(users, "Ann", "ann", "bob", "bob")
    assert dict(ids(users).counts) == {"case_twin": Count(2, ("1", "2")), "duplicate": Count(2, ("3", "4"))}


def test_a_row_that_counts_as_deleted_shares_its_id_with_nobody(users: LiveDatabase) -> None:
    emails(users, "same", "same")
    users.execute("UPDATE users SET active = NULL", "UPDATE users SET active = true WHERE id = 2")
    assert "duplicate" in ids(users).counts
    assert ids(users, deleted="active").counts == {}


def test_a_number_as_id_is_refused_where_mixpanel_refuses_it(users: LiveDatabase) -> None:
    users.execute("INSERT INTO users (id, email) VALUES (0, 'a'), (-1, 'b')")
    assert dict(ids(users, None).counts) == {"refused": Count(2, ("-1", "0"))}


def test_ids_of_a_template_are_judged_and_compared(users: LiveDatabase) -> None:
    emails(users, "a", "a", "b")
    found = ids(users, Property(template="{plan}-{email}"))
    assert (found.judged, found.compared) == (True, True)
    assert dict(found.counts) == {"duplicate": Count(2, ("1", "2"))}


def test_hashed_ids_are_compared_and_not_judged(users: LiveDatabase) -> None:
    emails(users, "a", "a", " ")
    found = ids(users, Property(column="email", hash="sha256"))
    assert (found.judged, found.compared) == (False, True)
    assert dict(found.counts) == {"duplicate": Count(2, ("1", "2"))}


def test_what_sql_cannot_compute_is_said(users: LiveDatabase) -> None:
    found = ids(users, Property(column="email", type="date"))
    assert (found.judged, found.compared, dict(found.counts)) == (False, False, {})


# --- keys ----------------------------------------------------------------------------------------------------------


def test_the_newest_keys_come_from_the_end_of_the_table(users: LiveDatabase) -> None:
    assert list(facts(users).newest_keys(2)) == ["4", "3"]


def test_keys_of_two_columns_are_named_in_their_one_text_form(database: LiveDatabase) -> None:
    database.execute("CREATE TABLE users (a int, b varchar(9), plan varchar(9), PRIMARY KEY (a, b))")
    database.insert("INSERT INTO users VALUES (?, ?, ?)", [(1, "x", "p"), (1, "y", "p"), (2, "x", "q")])
    found = ids(database, Property(column="plan"))
    assert dict(found.counts) == {"duplicate": Count(2, ('["1","x"]', '["1","y"]'))}
