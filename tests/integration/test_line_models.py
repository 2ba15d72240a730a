"""What a sync may read and send: keys of every type, queries in files, schemas, groups, flags; on every database."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from line import Line
from openapi import assert_valid_bodies
from servers import LiveDatabase

from sync_profiles.sandbox.server import Sandbox

TEXT = "varchar(60)"


@pytest.fixture
def line(database: LiveDatabase, tmp_path: Path) -> Iterator[Line]:
    with Sandbox(keep_bodies=True) as sandbox:
        yield Line(database, sandbox, tmp_path)
        assert sandbox.overlaps == frozenset(), "one distinct ID was in two requests at once"
        assert_valid_bodies(sandbox)


def test_uuids_are_keys_and_distinct_ids(line: Line) -> None:
    kind = {"sqlite": "text", "postgresql": "uuid"}.get(line.database.kind, "uuid")
    ids = [str(uuid.UUID(int=(7919 * number) << 90 | number)) for number in range(1, 8)]
    line.change(f"CREATE TABLE users (id {kind} PRIMARY KEY, plan {TEXT})")
    line.database.insert("INSERT INTO users VALUES (?, ?)", [(one, f"p{number}") for number, one in enumerate(ids)])
    line.settings["page_size"] = "2"
    line.mapping = 'copy = ["plan"]'
    assert line.run().sent == 7
    assert line.sandbox.profiles == {one: {"plan": f"p{number}"} for number, one in enumerate(ids)}
    line.change(f"UPDATE users SET plan = 'new' WHERE id = '{ids[3]}'", f"DELETE FROM users WHERE id = '{ids[4]}'")
    summary = line.run(full=True)
    assert (summary.sent, summary.deleted) == (1, 1)
    assert line.sandbox.profiles.keys() == {*ids} - {ids[4]}
    assert line.sandbox.profiles[ids[3]] == {"plan": "new"}


def test_text_keys_in_any_spelling_are_read_in_pages_and_none_is_lost(line: Line) -> None:
    """Letters of both cases, of other alphabets, quotes and percent signs: the database alone compares them."""
    exact = {"sqlite": "", "postgresql": ""}.get(line.database.kind, "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
    keys = ["a", "A", "b", "B", "ä", "Ä", "z", "Z", "ß", "ss", "it's", '"q"', "50%", "a_b", "a:b", "я", "😀", "10", "9"]
    line.change(f"CREATE TABLE users (id {TEXT} {exact} PRIMARY KEY, plan {TEXT})")
    line.database.insert("INSERT INTO users VALUES (?, ?)", [(key, f"p {key}") for key in keys])
    line.settings["page_size"] = "3"
    line.mapping = 'copy = ["plan"]'
    assert line.run().sent == len(keys)
    assert line.sandbox.profiles == {key: {"plan": f"p {key}"} for key in keys}
    line.change("UPDATE users SET plan = 'new'", "DELETE FROM users WHERE id = 'A'")
    summary = line.run(full=True)
    assert (summary.sent, summary.deleted) == (len(keys) - 1, 1)
    assert line.sandbox.profiles == {key: {"plan": "new"} for key in keys if key != "A"}
    line.run()
    assert line.run(full=True).requests == 0


def test_a_query_in_a_file_joins_what_a_profile_needs(line: Line) -> None:
    line.table(4)
    line.change("CREATE TABLE orders (id integer PRIMARY KEY, buyer integer)", "INSERT INTO orders VALUES (1, 3)")
    (line.folder / "people.sql").write_text(
        "-- who bought how often\nSELECT u.id, u.plan, count(o.id) AS orders\nFROM users u"
        " LEFT JOIN orders o ON o.buyer = u.id\nGROUP BY u.id, u.plan;\n",
        "utf-8",
    )
    del line.settings["table"]
    line.settings |= {"query_file": '"people.sql"', "primary_key": '"id"'}
    line.mapping = 'copy = ["plan", "orders"]'
    assert line.run().sent == 4
    assert line.sandbox.profiles["3"] == {"plan": "pro", "orders": 1}
    assert line.sandbox.profiles["4"] == {"plan": "free", "orders": 0}
    line.change("INSERT INTO orders VALUES (2, 3), (3, 4)", "DELETE FROM users WHERE id = 1")
    summary = line.run()
    assert (summary.sent, summary.deleted, summary.detection) == (2, 1, "full")
    assert {key: profile["orders"] for key, profile in line.sandbox.profiles.items()} == {"2": 0, "3": 2, "4": 1}
    assert line.backfill(where="orders > 0").sent == 2


def test_a_table_of_another_schema_is_not_mixed_up_with_one_of_the_same_name(
    postgres_database: LiveDatabase, tmp_path: Path
) -> None:
    with Sandbox() as sandbox:
        line = Line(postgres_database, sandbox, tmp_path)
        line.table(2)
        line.change("CREATE SCHEMA app", "CREATE TABLE app.users AS SELECT id, 'app' AS plan FROM users")
        line.change("ALTER TABLE app.users ADD PRIMARY KEY (id)")
        line.mapping = 'copy = ["plan"]'
        line.settings["schema"] = '"app"'
        line.run()
        assert sandbox.profiles == {"1": {"plan": "app"}, "2": {"plan": "app"}}
        line.settings["schema"] = '"public"'
        assert (line.run().outcome, line.exit_code) == ("stopped", 3)


def test_groups_are_sent_changed_cleared_and_deleted_like_users(line: Line) -> None:
    line.table(5)
    line.settings |= {"group_key": '"company"', "distinct_id": '{ template = "acme {id}" }'}
    line.mapping = 'copy = ["plan", "seats"]\n[sync.users.set_once]\n"$created" = "created_at"'
    assert line.run().sent == 5
    created = {"$created": "2026-01-01T00:00:00"}
    assert line.sandbox.groups["company"]["acme 1"] == {"plan": "pro", "seats": 1, **created}
    line.change("UPDATE users SET seats = NULL WHERE id = 1", "UPDATE users SET plan = 'team' WHERE id = 2")
    line.change("DELETE FROM users WHERE id = 3")
    summary = line.run(full=True)
    assert (summary.sent, summary.deleted) == (2, 1)
    assert line.sandbox.groups["company"] == {
        "acme 1": {"plan": "pro", **created},
        "acme 2": {"plan": "team", "seats": 2, **created},
        "acme 4": {"plan": "free", "seats": 4, **created},
        "acme 5": {"plan": "pro", "seats": 5, **created},
    }
    assert line.sandbox.profiles == {}
    assert {request.path for request in line.sandbox.requests} == {"/groups"}
    line.run()
    assert line.run(full=True).requests == 0


@pytest.mark.parametrize("policy", ["unset", "delete"])
def test_a_flag_that_says_deleted_is_a_deletion_and_its_no_is_none(line: Line, policy: str) -> None:
    """Beside timestamps a soft delete may be a boolean that is never NULL."""
    line.table(4)
    line.change("ALTER TABLE users ADD COLUMN gone boolean NOT NULL DEFAULT false")
    line.settings |= {"deleted": '"gone"', "on_delete": f'"{policy}"'}
    assert line.run().sent == 4
    line.change("UPDATE users SET gone = true WHERE id = 2")
    assert line.run().deleted == 1
    assert line.sandbox.profiles.get("2") == ({} if policy == "unset" else None)
    line.run()
    assert line.run(full=True).requests == 0
    line.change("UPDATE users SET gone = false WHERE id = 2")
    assert line.run().sent == 1
    line.assert_equal()


def test_every_operation_and_default_arrives(line: Line) -> None:
    line.table(3)
    line.change("UPDATE users SET email = NULL WHERE id = 2")
    line.mapping = """
        copy = ["plan"]
        [sync.users.set]
        "$name" = { template = "{plan} {seats}" }
        contact = { column = "email", default = "none" }
        seats = { column = "seats", type = "string" }
        source = { value = ["app", "db"] }
        [sync.users.set_once]
        "$created" = "created_at"
        [sync.users.union]
        plans = "plan"
    """
    assert line.run().sent == 3
    assert line.sandbox.profiles["2"] == {
        "plan": "free",
        "$name": "free 2",
        "contact": "none",
        "seats": "2",
        "source": ["app", "db"],
        "$created": "2026-01-01T00:00:00",
        "plans": ["free"],
    }
    line.change("UPDATE users SET plan = 'pro' WHERE id = 2")
    line.run()
    assert line.sandbox.profiles["2"]["plans"] == ["free", "pro"]
    assert line.sandbox.profiles["2"]["$name"] == "pro 2"
    assert line.run(full=True).requests == 0
