"""Tables that changed under a mapping: the run stops before anything is sent, and says what changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from line import Line
from servers import LiveDatabase

from sync_profiles.sandbox.server import Sandbox


@pytest.fixture
def line(database: LiveDatabase, tmp_path: Path) -> Iterator[Line]:
    with Sandbox() as sandbox:
        line = Line(database, sandbox, tmp_path)
        line.table(4)
        assert line.run().sent == 4
        sandbox.clear_log()
        yield line


def retype(line: Line, column: str) -> None:
    """Another type under the same name, and other values."""
    if line.database.kind == "postgresql":
        line.change(f"ALTER TABLE users ALTER COLUMN {column} TYPE text USING '#' || {column}")
    elif line.database.kind == "sqlite":
        line.change(
            f"ALTER TABLE users RENAME COLUMN {column} TO former",
            f"ALTER TABLE users ADD COLUMN {column} text",
            f"UPDATE users SET {column} = '#' || former",
        )
    else:
        line.change(
            f"ALTER TABLE users MODIFY {column} varchar(50)", f"UPDATE users SET {column} = CONCAT('#', {column})"
        )


def test_a_mapped_column_of_another_type_stops_the_run_until_it_is_accepted(line: Line) -> None:
    retype(line, "seats")
    summary = line.run()
    assert (summary.outcome, line.exit_code) == ("stopped", 3)
    assert '"seats" was ' in (summary.message or "")
    assert " and is " in (summary.message or "")
    assert "--full" in (line.result.hint if line.result and line.result.hint else "")
    assert line.sandbox.requests == ()
    assert line.run(full=True).sent == 4
    line.assert_equal()
    assert line.run().requests == 0


def test_another_type_is_accepted_with_another_source_too(line: Line) -> None:
    retype(line, "seats")
    assert line.run(accept_new_source=True).sent == 4
    line.assert_equal()


def test_a_column_that_is_not_mapped_may_become_what_it_likes(line: Line) -> None:
    retype(line, "updated_at")
    assert line.run().outcome == "ok"
    assert line.sandbox.requests == ()


def test_a_mapped_column_that_vanished_stops_the_run_and_the_nearest_name_is_told(line: Line) -> None:
    line.change("ALTER TABLE users RENAME COLUMN seats TO seat")
    summary = line.run()
    assert (summary.outcome, line.exit_code) == ("failed", 78)
    assert 'unknown column "seats"; did you mean "seat"?' in (summary.message or "")
    assert line.sandbox.requests == ()


def test_a_wider_column_stops_nothing(mariadb_database: LiveDatabase, tmp_path: Path) -> None:
    with Sandbox() as sandbox:
        line = Line(mariadb_database, sandbox, tmp_path)
        line.table(4)
        line.run()
        line.change("ALTER TABLE users MODIFY plan varchar(300)")
        assert line.run().outcome == "ok"
