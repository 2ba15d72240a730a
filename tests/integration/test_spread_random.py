"""Divided passes with workers that die at random, edits meanwhile and faults: in the end Mixpanel holds the table.

A worker that dies settles nothing more, while requests that it sent are answered to nobody.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import test_line_random as rows
import test_line_random_ids as ids
from divided import KilledError, Turns
from fakes import MemoryState
from line import Impatient, Line
from servers import LiveDatabase
from syncing import FreeLock

from sync_profiles import wiring
from sync_profiles.core import cutting
from sync_profiles.core.spreading import Assignment, Errand, Lost, PartReport
from sync_profiles.core.types import Settlement
from sync_profiles.engine.course import Surroundings
from sync_profiles.engine.following import Following
from sync_profiles.engine.part import take_part
from sync_profiles.engine.parts import Division, Sync
from sync_profiles.sandbox.server import Sandbox

SEEDS = range(3)
MANY = range(3, 300)


class Mortal:
    """The state as a worker sees it that dies at its ``last``-th settlement, before or after that is written."""

    def __init__(self, state: MemoryState, last: int | None, *, after: bool) -> None:
        self._state, self._left, self._after = state, last, after
        self._dead = False

    def __getattr__(self, name: str) -> Any:
        if self._dead:
            raise KilledError
        return getattr(self._state, name)

    def settle(self, settlement: Settlement, now: float) -> None:
        if self._left is not None:
            self._left -= 1
        self._dead = self._dead or self._left == 0
        if self._after or not self._dead:
            self._state.settle(settlement, now)
        if self._dead:
            self._after = False
            raise KilledError


class DividedLine(Line):
    """The line with its full passes divided among workers that take turns; between two parts the table is edited."""

    def __init__(self, database: LiveDatabase, sandbox: Sandbox, folder: Path, chance: random.Random) -> None:
        super().__init__(database, sandbox, folder)
        self.chance = chance
        self.state = MemoryState(self.clock.now)
        self.edit = lambda: None
        self.killed = 0

    @contextlib.contextmanager
    def opened(self, where: str | None = None) -> Iterator[tuple[Any, Surroundings]]:
        self.stop = Impatient()
        self.events = []
        config = self.config()
        around = Surroundings(self.clock, self.stop, self.events.append, wiring._new_run_id)

        def sync(state: Any, stop: Any) -> Sync:
            return Sync(
                name="users",
                state=state,
                lock=FreeLock(),
                open_parts=lambda: wiring.open_parts(config, config.syncs[0], where=where),
                open_outlet=lambda attempt: wiring._open_outlet(config, stop, attempt),
            )

        def work(errand: Errand, assignment: Assignment) -> PartReport:
            last = self.chance.randint(1, 4) if self.chance.random() < 0.15 else None
            mortal: Any = Mortal(self.state, last, after=self.chance.random() < 0.5)
            stop = Following(mortal, self.clock)
            stop.wait = lambda _seconds: stop.cause is not None  # type: ignore[method-assign]
            surroundings = msgspec.structs.replace(around, stop=stop)
            try:
                return take_part(sync(mortal, stop), mortal, errand, assignment, surroundings)
            except KilledError:
                self.killed += 1
                raise

        def between(_assignment: Assignment, _attempt: int) -> Lost | None:
            if self.chance.random() < 0.3:
                self.edit()
            return Lost("at once") if self.chance.random() < 0.05 else None

        def crew(errand: Errand) -> Turns:
            return Turns(errand, self.chance.randint(1, 4), work, self.state, between)

        with self._watched():
            division = Division(self.state, crew, 3)
            yield msgspec.structs.replace(sync(self.state, self.stop), division=division), around

    def end_well(self) -> None:
        """Faults and deaths are over."""
        self.sandbox.faults.clear()
        self.sandbox.land()
        self.chance = random.Random(0)
        self.chance.random = lambda: 1.0  # type: ignore[method-assign]
        for _ in range(3):
            self.later(25)
            self.run(allow_mass_delete=True)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "PART_ROWS", 5)


def rows_world(seed: int, database: LiveDatabase, folder: Path) -> int:
    """One world of rows that keep their IDs; how many workers were killed in it."""
    chance = random.Random(seed)
    with Sandbox() as sandbox:
        line = DividedLine(database, sandbox, folder, chance)
        line.settings |= {"detect": '"full"', "deleted": '"deleted_at"', "max_delete": '"100%"', "page_size": "7"}
        line.mixpanel |= {"records_per_request": "4", "concurrency": str(chance.choice([1, 3])), "timeout": '"1s"'}
        line.table(40)
        line.edit = lambda: rows.edits(line, chance)
        for _ in range(chance.randint(2, 5)):
            rows.edits(line, chance)
            rows.trouble(line, chance)
            line.run(full=True) if chance.random() < 0.5 else line.backfill(restart=chance.random() < 0.2)
            sandbox.land()
            line.later(chance.choice([0, 1, 1, 30]))
        line.end_well()
        line.assert_equal()
        assert line.state.rejected() == []
        assert (line.run().sent, line.run().requests) == (0, 0)
        assert sandbox.overlaps == frozenset()
        return line.killed


def ids_world(seed: int, database: LiveDatabase, folder: Path) -> int:
    """One world of IDs that wander between rows."""
    chance = random.Random(seed)
    with Sandbox() as sandbox:
        line = DividedLine(database, sandbox, folder, chance)
        line.settings |= {"distinct_id": '"email"', "deleted": '"deleted_at"', "max_delete": '"100%"'}
        line.settings |= {"detect": '"full"', "max_reject": '"100%"', "on_delete": '"delete"', "page_size": "4"}
        line.mapping = 'copy = ["plan", "seats"]'
        line.mixpanel |= {"records_per_request": "4", "concurrency": str(chance.choice([1, 3])), "timeout": '"1s"'}
        line.table()
        for key in range(1, 11):
            line.add(key, email=f"n{key}")
        line.edit = lambda: ids.edits(line, chance)
        for _ in range(chance.randint(2, 5)):
            ids.edits(line, chance)
            ids.trouble(line, chance)
            line.run(full=True) if chance.random() < 0.5 else line.backfill()
            sandbox.land()
            line.later(chance.choice([0, 1, 1, 30]))
        line.change(
            "DELETE FROM users WHERE deleted_at IS NULL AND (email IS NULL OR email NOT LIKE 'n%' OR email = 'null')",
            "DELETE FROM users WHERE deleted_at IS NULL AND id NOT IN"
            " (SELECT max(id) FROM users WHERE deleted_at IS NULL GROUP BY email)",
        )
        line.end_well()
        assert sandbox.profiles == ids.expected(line)
        assert line.state.rejected() == []
        assert (line.run().sent, line.run().requests) == (0, 0)
        return line.killed


@pytest.mark.parametrize("world", [rows_world, ids_world])
@pytest.mark.parametrize("seed", SEEDS)
def test_whoever_dies_mixpanel_holds_the_table_in_the_end(
    world: Any, seed: int, sqlite_database: LiveDatabase, tmp_path: Path
) -> None:
    world(seed, sqlite_database, tmp_path)


@pytest.mark.proof
@pytest.mark.parametrize("world", [rows_world, ids_world])
@pytest.mark.parametrize("seed", MANY)
def test_whoever_dies_in_many_worlds(world: Any, seed: int, sqlite_database: LiveDatabase, tmp_path: Path) -> None:
    world(seed, sqlite_database, tmp_path)
