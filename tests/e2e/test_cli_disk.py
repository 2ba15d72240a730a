"""A disk that fails: no state is ever taken for an empty one, and what was settled before is kept.

The program is the real one; the file system refuses writes beyond a size, bytes of the state flip, files are cut short.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable

import pytest
from commands import Outcome, Workplace
from dying import Forks

ROWS = 150
CURSOR = 'table = "users"\ncursor = "updated_at"\non_delete = "delete"\nmax_delete = "100%"\n'
SMALL_REQUESTS = "records_per_request = 40\nconcurrency = 1\n"
CHANGED = 10


def run(place: Workplace, program: Forks, *arguments: str, file_bytes_max: int | None = None) -> Outcome:
    outcome = program.run("run", *arguments, cwd=place.folder, environ=place.environ, file_bytes_max=file_bytes_max)
    place.check_discreet(outcome.out + outcome.err)
    return outcome


# --- writes --------------------------------------------------------------------------------------------------------


def refused_at_every_size(place: Workplace, program: Forks, prepare: Callable[[], None], step: int) -> int:
    """No file may grow beyond a size; a larger one each time, until the run ends unharmed. How often it was refused."""
    for refused, size in enumerate(range(0, 2_000_000, step)):
        prepare()
        outcome = run(place, program, file_bytes_max=size)
        if outcome.code == 0:
            place.assert_equal()
            return refused
        assert outcome.code == 74, (size, outcome)
        assert "the state" in outcome.err or "cannot lock" in outcome.err, (size, outcome)
        after = run(place, program)
        assert after.code == 0, (size, outcome, after)
        place.assert_equal()
    raise AssertionError("it never ends well")


def fail_at_every_write(place: Workplace, program: Forks, step: int) -> tuple[int, int]:
    place.fill(ROWS)
    place.write(CURSOR, mixpanel=SMALL_REQUESTS)
    plans = iter(range(1_000_000))

    def nothing_yet() -> None:
        shutil.rmtree(place.state.parent, ignore_errors=True)
        place.sandbox.reset()

    def change() -> None:
        place.database.execute(f"UPDATE users SET plan = 'p{next(plans)}', updated_at = '2026-02-01'")

    first = refused_at_every_size(place, program, nothing_yet, step)
    return first, refused_at_every_size(place, program, change, step)


def test_a_disk_that_refuses_writes_beyond_some_sizes(place: Workplace, program: Forks) -> None:
    assert min(fail_at_every_write(place, program, 40_000)) > 1


@pytest.mark.proof
def test_a_disk_that_refuses_writes_beyond_any_size(place: Workplace, program: Forks) -> None:
    refused = fail_at_every_write(place, program, 1024)
    print(f"refused {refused[0]} first and {refused[1]} hourly runs")
    assert min(refused) > 20


# --- damage --------------------------------------------------------------------------------------------------------


class Damage:
    """A workplace with a good state, which is put back, damaged, before each run; a change waits in the table."""

    def __init__(self, place: Workplace, program: Forks) -> None:
        self.place, self.program = place, program
        place.fill(ROWS)
        place.write(CURSOR)
        assert run(place, program).code == 0
        self.good = place.state.read_bytes()
        self.rounds = self.refused = 0

    def run_on(self, damaged: bytes, what: str) -> None:
        """Refused by the state's name, with nothing sent; or the change is delivered, and not everything else again."""
        place = self.place
        self.rounds += 1
        change = f"UPDATE users SET plan = 'p{self.rounds}', updated_at = '2026-02-01' WHERE id <= {CHANGED}"
        place.database.execute(change)
        place.state.write_bytes(damaged)
        for suffix in ("-wal", "-shm"):
            place.state.with_name(place.state.name + suffix).unlink(missing_ok=True)
        place.sandbox.clear_log()
        outcome = run(place, self.program, "--json")
        if outcome.code in {74, 3}:
            self.refused += 1
            assert "the state" in outcome.err, (what, outcome)
            assert len(place.sandbox.requests) <= 1, (what, outcome)
            return
        assert outcome.code == 0, (what, outcome)
        assert outcome.json["sent"] < ROWS / 2, (what, "a silent empty start", outcome)
        place.assert_equal()

    def flip_each_page(self, chance: random.Random, flips: int) -> None:
        for page in range(len(self.good) // 4096):
            for _ in range(flips):
                damaged = bytearray(self.good)
                offset, mask = page * 4096 + chance.randrange(4096), 1 << chance.randrange(8)
                damaged[offset] ^= mask
                self.run_on(bytes(damaged), f"byte {offset} ^ {mask}: {self.good[offset - 20 : offset + 20]!r}")

    def cut_short(self, step: int) -> None:
        for size in range(0, len(self.good), step):
            self.run_on(self.good[:size], f"cut at {size}")


def test_a_flipped_byte_or_a_cut_file_is_refused_or_does_no_harm(place: Workplace, program: Forks) -> None:
    damage = Damage(place, program)
    damage.flip_each_page(random.Random(1), 1)
    damage.cut_short(17_000)
    assert 3 < damage.refused < damage.rounds


@pytest.mark.proof
@pytest.mark.parametrize("seed", range(4))
def test_any_flipped_byte_or_cut_is_refused_or_does_no_harm(place: Workplace, program: Forks, seed: int) -> None:
    damage = Damage(place, program)
    damage.flip_each_page(random.Random(seed), 25)
    damage.cut_short(1500)
    print(f"seed {seed}: {damage.rounds} damaged states, {damage.refused} of them refused")
