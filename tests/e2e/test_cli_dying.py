"""The program dies before or after any commit, request or page: the next runs make good what it left behind.

Every point is a new death of a real process, after which everything must be equal; then the next point, until a run
comes to its end unharmed. Three stages: the first run, an hourly run with all kinds of changes, a backfill.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable

import pytest
from commands import Workplace
from dying import DEATHS, Forks, How
from servers import LiveDatabase

ROWS = 40
POINTS_MAX = 400
CONFIG = 'table = "users"\non_delete = "delete"\nmax_delete = "100%"\npage_size = 15\n'
SMALL_REQUESTS = "records_per_request = 12\nconcurrency = 2\n"


class Stages:
    """A workplace in which each stage can be brought about again and again, and every point of it died at."""

    def __init__(self, place: Workplace, program: Forks, state: LiveDatabase | None = None) -> None:
        self.place, self.program, self.state = place, program, state
        place.fill(ROWS)
        place.write(CONFIG, mixpanel=SMALL_REQUESTS)
        self.rounds = 0

    def run(self, *arguments: str, die_at: int = 0, how: How = "kill -9") -> int:
        place = self.place
        outcome = self.program.run(*arguments, cwd=place.folder, environ=place.environ, die_at=die_at, how=how)
        place.check_discreet(outcome.out + outcome.err)
        return outcome.code

    def nothing_yet(self) -> None:
        """Before the first run."""
        shutil.rmtree(self.place.state.parent, ignore_errors=True)
        if self.state is not None:
            self.state.execute("DROP SCHEMA IF EXISTS sync_profiles CASCADE")
        self.place.sandbox.reset()

    def changes(self) -> None:
        """New, changed, emptied and deleted rows since the last run."""
        self.rounds += 1
        first = self.rounds * 7 % ROWS
        self.place.database.execute(
            f"UPDATE users SET plan = 'p{self.rounds}' WHERE id BETWEEN {first} AND {first + 12}",
            f"UPDATE users SET email = NULL WHERE id = {first + 1}",
            f"DELETE FROM users WHERE id IN ({first + 2}, {ROWS + self.rounds - 3})",
            f"INSERT INTO users (id, name, plan) VALUES ({ROWS + self.rounds}, 'new', 'free')",
        )

    def deaths(self, prepare: Callable[[], None], *arguments: str, how: How, step: int = 1) -> int:
        """Die at every ``step``-th point; how many deaths that were."""
        for point in range(1, POINTS_MAX, step):
            prepare()
            self.place.sandbox.clear_log()
            code = self.run(*arguments, die_at=point, how=how)
            if code == 0:
                self.check(point, arguments)
                return point // step
            assert code == DEATHS[how], f"point {point}"
            assert self.run(*arguments) == 0, f"point {point}"
            self.check(point, arguments)
        raise AssertionError(f"more than {POINTS_MAX} points")

    def check(self, point: int, arguments: tuple[str, ...]) -> None:
        """Equal after one more run, and the run after it has nothing to do but to repeat a delete."""
        assert self.run("run") == 0
        self.place.assert_equal()
        self.place.sandbox.clear_log()
        assert self.run("run") == 0
        sent = [record for request in self.place.sandbox.requests for record in json.loads(request.body or "[]")]
        assert [record for record in sent if "$delete" not in record] == [], f"point {point} of {arguments}"


def die_everywhere(
    place: Workplace, program: Forks, how: How, step: int = 1, state: LiveDatabase | None = None
) -> list[int]:
    stages = Stages(place, program, state)
    return [
        stages.deaths(stages.nothing_yet, "run", how=how, step=step),
        stages.deaths(stages.changes, "run", how=how, step=step),
        stages.deaths(stages.changes, "backfill", how=how, step=step),
    ]


@pytest.mark.parametrize("step", [17])
def test_a_run_may_die_at_some_points(place: Workplace, program: Forks, step: int) -> None:
    assert min(die_everywhere(place, program, "kill -9", step)) > 1


@pytest.mark.proof
@pytest.mark.parametrize("how", DEATHS)
def test_a_run_may_die_at_any_point(everywhere: Workplace, program: Forks, how: How) -> None:
    deaths = die_everywhere(everywhere, program, how)
    print(f"{everywhere.database.label}, {how}: {deaths} deaths in first run, hourly run, backfill")
    assert min(deaths) > 20


@pytest.mark.parametrize("step", [29])
def test_a_run_whose_state_is_on_a_server_may_die_at_some_points(
    server_place: Workplace, program: Forks, state_database: LiveDatabase, step: int
) -> None:
    assert min(die_everywhere(server_place, program, "kill -9", step, state_database)) >= 1


@pytest.mark.proof
@pytest.mark.parametrize("how", DEATHS)
def test_a_run_whose_state_is_on_a_server_may_die_at_any_point(
    server_place: Workplace, program: Forks, state_database: LiveDatabase, how: How
) -> None:
    deaths = die_everywhere(server_place, program, how, state=state_database)
    print(f"state on {state_database.label}, {how}: {deaths} deaths in first run, hourly run, backfill")
    assert min(deaths) > 20
