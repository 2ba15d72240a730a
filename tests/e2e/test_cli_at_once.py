"""Ten runs at the same moment: one works, the others say that it does, and a killed one has let go."""

from __future__ import annotations

import random

import pytest
from commands import Workplace
from dying import Forks

ROWS = 60
CONTENDERS = 10
SMALL_REQUESTS = "records_per_request = 20\nconcurrency = 2\n"


def contend(place: Workplace, program: Forks, chance: random.Random, rounds: int) -> int:
    """Each round changes the table and starts ten runs, of which one may be killed; how many were killed."""
    place.fill(ROWS)
    place.write(mixpanel=SMALL_REQUESTS)
    log = place.folder / "holders.log"
    killed = 0
    for number in range(rounds):
        place.database.execute(f"UPDATE users SET plan = 'p{number}' WHERE id % 2 = {number % 2}")
        log.write_text("")
        kill_s = chance.choice([None, chance.uniform(0.0, 0.3)])
        outcomes = program.at_once(
            "run", "--json", count=CONTENDERS, kill_s=kill_s, cwd=place.folder, environ=place.environ
        )
        died = [one for one in outcomes if one.code == -9]
        killed += len(died)
        finished = [one.json["outcome"] for one in outcomes if one.code != -9]
        assert len(died) <= 1
        assert {one.code for one in outcomes} <= {0, -9}, outcomes
        assert set(finished) <= {"ok", "skipped"}
        assert died or "ok" in finished
        one_after_the_other(log.read_text().split(), dead=bool(died))
    assert place.run("run", "--json").json["outcome"] == "ok"
    place.assert_equal()
    assert place.sandbox.overlaps == frozenset()
    return killed


def one_after_the_other(words: list[str], *, dead: bool) -> None:
    """Each holder went out before the next came in, but for one that was killed."""
    held = None
    for what, who in zip(words[::2], words[1::2], strict=True):
        if what == "in":
            assert held is None or dead, "two runs at once"
            dead = dead and held is None
            held = who
        else:
            assert who == held, "it gave back what it did not hold"
            held = None


def test_of_ten_runs_at_once_one_works(place: Workplace, program: Forks) -> None:
    contend(place, program, random.Random(1), rounds=2)


@pytest.mark.proof
def test_of_ten_runs_at_once_one_works_a_hundred_times(place: Workplace, program: Forks) -> None:
    killed = contend(place, program, random.Random(2), rounds=100)
    print(f"100 rounds of {CONTENDERS} runs at once, {killed} of them killed in their middle")
    assert killed > 5
