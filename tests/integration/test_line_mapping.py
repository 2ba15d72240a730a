"""What is made of columns, and what a changed mapping sends: differences, and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from line import Line
from servers import LiveDatabase

from sync_profiles.sandbox.server import Sandbox


@pytest.fixture
def line(sqlite_database: LiveDatabase, tmp_path: Path) -> Iterator[Line]:
    with Sandbox() as sandbox:
        made = Line(sqlite_database, sandbox, tmp_path)
        made.table(4)
        yield made


def one(line: Line, key: str = "1") -> dict[str, object]:
    return line.sandbox.profiles[key]


def test_a_property_that_is_added_is_sent_to_everybody_and_nothing_else_is(line: Line) -> None:
    line.mapping = 'copy = ["plan"]'
    line.run()
    line.mapping = 'copy = ["plan", "seats"]'
    summary = line.run()
    assert (summary.why, summary.sent) == ("mapping changed", 4)
    assert one(line) == {"plan": "pro", "seats": 1}


def test_a_property_that_left_the_mapping_is_unset_once(line: Line) -> None:
    line.mapping = 'copy = ["plan", "seats"]'
    line.run()
    line.mapping = 'copy = ["plan"]'
    assert line.run().sent == 4
    assert one(line) == {"plan": "pro"}
    line.sandbox.clear_log()
    assert line.run(full=True).sent == 0


def test_a_mapping_that_is_written_in_another_order_sends_nothing(line: Line) -> None:
    line.mapping = 'copy = ["plan", "seats"]'
    line.run()
    line.mapping = 'copy = ["seats", "plan"]'
    assert line.run().sent == 0


def test_set_once_is_sent_for_keys_that_were_never_acknowledged_and_not_again(line: Line) -> None:
    line.mapping = 'copy = ["plan"]\n[sync.users.set_once]\n"$created" = "created_at"'
    line.run()
    line.change("UPDATE users SET created_at = '2030-01-01 00:00:00'")
    assert line.run().sent == 0
    line.change("UPDATE users SET plan = 'x' WHERE id = 1")
    assert line.run().sent == 1
    assert one(line)["$created"] == "2026-01-01T00:00:00"


def test_a_property_moved_from_set_to_set_once_stays(line: Line) -> None:
    line.mapping = 'copy = ["plan", "seats"]'
    line.run()
    line.mapping = 'copy = ["plan"]\n[sync.users.set_once]\nseats = "seats"'
    line.run()
    assert one(line) == {"plan": "pro", "seats": 1}


@pytest.mark.parametrize(
    ("on_null", "expected"),
    [("unset", {"plan": "pro"}), ("skip", {"plan": "pro", "seats": 1}), ("null", {"plan": "pro", "seats": None})],
)
def test_a_null_is_unset_skipped_or_sent(line: Line, on_null: str, expected: dict[str, object]) -> None:
    line.settings["on_null"] = f'"{on_null}"'
    line.mapping = 'copy = ["plan", "seats"]'
    line.run()
    line.change("UPDATE users SET seats = NULL WHERE id = 1")
    line.run()
    assert one(line) == expected
    assert line.run().sent == 0


def test_every_kind_of_property(line: Line) -> None:
    line.change(
        "ALTER TABLE users ADD COLUMN settings json",
        "ALTER TABLE users ADD COLUMN roles text",
        "ALTER TABLE users ADD COLUMN mrr text",
        """UPDATE users SET settings = '{"ui": {"theme": "dark"}}', roles = '["admin"]', mrr = '10.50' WHERE id = 1""",
    )
    line.mapping = """
        copy = ["plan"]
        [sync.users.set]
        label = { template = "{plan}/{seats}" }
        theme = { column = "settings", path = "ui.theme" }
        mrr = { column = "mrr", type = "number", default = 0 }
        hash = { column = "email", hash = "sha256" }
        source = { value = "app-db" }
        [sync.users.union]
        roles = { column = "roles", type = "list" }
    """
    line.run()
    assert one(line) == {
        "plan": "pro",
        "label": "pro/1",
        "theme": "dark",
        "mrr": 10.5,
        "hash": hashlib.sha256(b"u1@example.com").hexdigest(),
        "source": "app-db",
        "roles": ["admin"],
    }
    assert one(line, "2").keys() == {"plan", "label", "mrr", "source", "hash"}
    assert one(line, "2")["mrr"] == 0
    line.change("""UPDATE users SET roles = '["owner"]' WHERE id = 1""")
    assert line.run().sent == 1
    assert one(line)["roles"] == ["admin", "owner"], "a union adds and never takes away"


def test_updated_at_keep_leaves_mixpanels_own_time_alone(line: Line) -> None:
    line.mapping = 'copy = ["plan"]'
    line.run()
    touched = line.sandbox.profile("1")
    line.settings["updated_at"] = '"keep"'
    line.change("UPDATE users SET plan = 'x' WHERE id = 1")
    line.run()
    kept = line.sandbox.profile("1")
    assert touched is not None
    assert kept is not None
    assert kept.updated_at == touched.updated_at
    assert kept.properties["plan"] == "x"


def test_columns_that_look_like_secrets_are_refused_unless_they_are_asked_for_by_name(line: Line) -> None:
    line.change("ALTER TABLE users ADD COLUMN reset_token text")
    line.mapping = 'copy = ["plan", "reset_token"]'
    line.run()
    assert line.exit_code == 78
    assert "reset_token" in (line.result.summary.message or "")  # type: ignore[union-attr]  # a run has a result
    line.mapping = 'copy = ["plan"]\n[sync.users.set]\ntoken = { column = "reset_token", secret = true }'
    assert line.run().sent == 4


def test_group_profiles_go_to_their_group(line: Line) -> None:
    line.settings["group_key"] = '"company"'
    line.mapping = 'copy = ["plan"]'
    assert line.run().sent == 4
    assert line.sandbox.groups["company"]["1"] == {"plan": "pro"}
    assert line.sandbox.profiles == {}
    line.change("DELETE FROM users WHERE id = 1", "UPDATE users SET plan = NULL WHERE id = 2")
    line.run()
    assert line.sandbox.groups["company"] == {"2": {}, "3": {"plan": "pro"}, "4": {"plan": "free"}}


def test_a_hostile_value_rejects_its_row_names_the_column_and_no_value(line: Line) -> None:
    line.change(
        "UPDATE users SET plan = CAST(x'ff41' AS TEXT) WHERE id = 2", "UPDATE users SET plan = x'00ff' WHERE id = 3"
    )
    line.mapping = 'copy = ["plan"]'
    summary = line.run()
    assert (summary.sent, sorted(line.rejected_keys()), line.exit_code) == (2, ["2", "3"], 65)
    assert all('"plan"' in row.reason for row in line.waiting())
