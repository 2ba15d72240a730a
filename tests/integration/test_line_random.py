"""Random edits of the table and random faults between runs: when the faults are over, Mixpanel holds the table."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from line import Line, random_fault
from servers import LiveDatabase

from sync_profiles.sandbox.server import Sandbox

SEEDS = range(12)


def edits(line: Line, chance: random.Random) -> None:
    """A few statements of an application at work; about one in four does not touch updated_at."""
    stamp = f"updated_at = '2026-02-{chance.randint(1, 28):02} {chance.randint(0, 23):02}:00:00'"

    def silent_or(statement: str) -> str:
        return statement if chance.random() < 0.25 else statement.replace("SET ", f"SET {stamp}, ")

    some = lambda: chance.randint(1, 60)  # noqa: E731 - one line
    choices: list[Callable[[], str]] = [
        lambda: silent_or(f"UPDATE users SET plan = 'p{some()}' WHERE id = {some()}"),
        lambda: silent_or(f"UPDATE users SET email = NULL, seats = NULL WHERE id = {some()}"),
        lambda: silent_or(f"UPDATE users SET seats = {some()} WHERE id BETWEEN {some()} AND {some()}"),
        lambda: f"DELETE FROM users WHERE id = {some()}",
        lambda: silent_or(f"UPDATE users SET deleted_at = '2026-02-01 00:00:00' WHERE id = {some()}"),
        lambda: silent_or(f"UPDATE users SET deleted_at = NULL WHERE id = {some()}"),
        lambda: (
            f"INSERT OR IGNORE INTO users (id, email, plan, created_at, updated_at) VALUES"
            f" ({some()}, 'n{some()}@example.com', 'new', '2026-01-01 00:00:00', '2026-02-03 00:00:00')"
        ),
    ]
    for _ in range(chance.randint(1, 8)):
        line.change(chance.choice(choices)())


def trouble(line: Line, chance: random.Random) -> None:
    for _ in range(chance.randint(0, 3)):
        line.sandbox.faults.add(random_fault(chance))
    if chance.random() < 0.3:
        line.stop_after(chance.randint(1, 4))


@pytest.mark.parametrize("detect", ["full", "cursor"])
@pytest.mark.parametrize("seed", SEEDS)
def test_after_the_faults_mixpanel_holds_the_table(
    seed: int, detect: str, sqlite_database: LiveDatabase, tmp_path: object
) -> None:
    chance = random.Random(f"{seed} {detect}")
    with Sandbox() as sandbox:
        line = Line(sqlite_database, sandbox, tmp_path)  # type: ignore[arg-type]  # pytest's path
        line.settings |= {"detect": f'"{detect}"', "cursor": '"updated_at"', "deleted": '"deleted_at"'}
        line.settings["max_delete"] = '"100%"'
        line.mixpanel |= {"records_per_request": "8", "concurrency": str(chance.choice([1, 3])), "timeout": '"1s"'}
        line.table(40)
        for _ in range(chance.randint(2, 6)):
            edits(line, chance)
            trouble(line, chance)
            line.run(full=chance.random() < 0.2) if chance.random() < 0.85 else line.backfill()
            sandbox.land()  # what is applied late is applied before the second look, ten minutes on
            line.later(chance.choice([0, 1, 1, 30]))
        line.settle()
        line.assert_equal()
        assert line.waiting() == []
        assert (line.run().sent, line.run().requests) == (0, 0)
        assert sandbox.overlaps == frozenset()
