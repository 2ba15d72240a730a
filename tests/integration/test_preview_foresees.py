"""``preview --changed`` names exactly the profiles that the run after it sends and removes."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from line import Line, fault
from servers import LiveDatabase

from sync_profiles import wiring
from sync_profiles.engine.preview import Survey
from sync_profiles.sandbox.server import Sandbox
from sync_profiles.state.store import open_store


@pytest.fixture
def line(sqlite_database: LiveDatabase, tmp_path: Path) -> Iterator[Line]:
    """Five users by e-mail address, sent; changes are found by the change column."""
    with Sandbox(keep_bodies=True) as sandbox:
        line = Line(sqlite_database, sandbox, tmp_path)
        line.mapping = 'copy = ["plan"]\n'
        line.settings |= {"distinct_id": '"email"', "cursor": '"updated_at"'}
        line.table(5)
        line.run()
        yield line


def foreseen(line: Line, *keys: str) -> list[tuple[str, str]]:
    """Reason and distinct ID of everything that a run would send or remove, or a full pass of these keys."""
    config = line.config()
    store = open_store(line.state_file, now=line.clock.now, read_only=True)
    with contextlib.closing(store):
        parts = wiring.open_parts(config, config.syncs[0], masked=True)
        survey = Survey(parts, store.reader("users"), line.clock.now())
        found = list(survey.changed_of(keys) if keys else survey.changed(survey.plan(asked_full=False)))
    assert all(record.startswith(b'{"$token":"***"') for finding in found for record in finding.records)
    return sorted((finding.why, finding.distinct_id or "") for finding in found)


def happened(line: Line) -> set[tuple[bool, str]]:
    """Of the run that follows: distinct IDs, and whether they were removed."""
    before = len(line.sandbox.requests)
    line.run()
    sent = [json.loads(request.body or "[]") for request in line.sandbox.requests[before:]]
    return {("$delete" in record, record["$distinct_id"]) for records in sent for record in records}


MOMENT = "updated_at = '2026-02-01 00:00:00'"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param(
            [f"UPDATE users SET email = 'new', {MOMENT} WHERE id = 1"],
            [("changed", "new"), ("deleted", "u1@example.com")],
            id="a row leaves its ID",
        ),
        pytest.param(
            [
                f"UPDATE users SET email = 'x', {MOMENT} WHERE id = 1",
                f"UPDATE users SET email = 'u1@example.com', {MOMENT} WHERE id = 2",
            ],
            [("changed", "u1@example.com"), ("changed", "x"), ("deleted", "u2@example.com")],
            id="another row takes it over",
        ),
        pytest.param(
            [f"UPDATE users SET plan = 'x', {MOMENT} WHERE id = 1", "INSERT INTO users (id, email) VALUES (9, 'nine')"],
            [("changed", "u1@example.com"), ("new", "nine")],
            id="changed and new",
        ),
    ],
)
def test_the_next_run_does_what_was_foreseen(line: Line, changes: list[str], expected: list[tuple[str, str]]) -> None:
    line.change(*changes)
    assert foreseen(line) == expected
    assert happened(line) == {(why == "deleted", distinct_id) for why, distinct_id in expected}
    assert foreseen(line) == [], "the repetition of a delete is no difference"


def test_a_removal_that_is_pending_is_foreseen_once(line: Line) -> None:
    line.change(f"UPDATE users SET email = 'new', {MOMENT} WHERE id = 1")
    line.sandbox.faults.add(fault("status", code=404, skip=1))
    line.run()
    assert line.exit_code == 78
    assert foreseen(line) == [("deleted", "u1@example.com")]
    assert happened(line) == {(True, "u1@example.com")}


def test_with_ignore_nothing_is_removed(line: Line) -> None:
    line.settings["on_delete"] = '"ignore"'
    line.change(f"UPDATE users SET email = 'new', {MOMENT} WHERE id = 1")
    assert foreseen(line) == [("changed", "new")]


def test_of_keys_that_are_named_every_change_is_seen_whatever_the_change_column_says(line: Line) -> None:
    line.change("UPDATE users SET plan = 'x' WHERE id IN (1, 2)", "DELETE FROM users WHERE id = 3")
    line.change("UPDATE users SET email = 'new' WHERE id = 4")
    assert foreseen(line, "1", "3", "4", "5", "99") == [
        ("changed", "new"),
        ("changed", "u1@example.com"),
        ("deleted", "u3@example.com"),
        ("deleted", "u4@example.com"),
    ]
    line.settings["on_delete"] = '"ignore"'
    assert foreseen(line, "3", "4") == [("changed", "new")]


def test_a_named_row_that_is_rejected_is_named_again(line: Line) -> None:
    line.change(f"UPDATE users SET plan = 'a' || char(0), {MOMENT} WHERE id = 1")
    line.run()
    assert foreseen(line) == []
    assert foreseen(line, "1", "2") == [("rejected", "u1@example.com")]
