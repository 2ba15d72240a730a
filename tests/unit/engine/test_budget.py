"""Queries within an hour's budget, in time that moves on request."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sending import Time

from sync_profiles.engine.budget import AWAY_S, HOUR_S, THROTTLED_S, Budget, Cost, StoppedError, cost, queries_for
from sync_profiles.errors import AccessError, QuotaError, SessionLostError, TemporaryError


class Asking:
    """A budget whose queries fail as told, one after the other, and then succeed; ``at`` is when each was asked."""

    def __init__(self, *failures: Exception, per_hour: int = 3) -> None:
        self.time = Time(at=0.0)
        self.told: list[str] = []
        self.at: list[float] = []
        self.budget = Budget(self.time, self.time, self.told.append, per_hour)
        self._failures = list(failures)

    def __call__(self, times: int = 1) -> list[float]:
        for _ in range(times):
            assert self.budget.query(self._answer) == "profiles"
        return self.at

    def _answer(self) -> str:
        self.at.append(self.time.at)
        if self._failures:
            raise self._failures.pop(0)
        return "profiles"


def throttled(times: int, retry_after_s: float | None = None) -> list[Exception]:
    return [QuotaError("limit", retry_after_s=retry_after_s) for _ in range(times)]


@pytest.mark.parametrize(("count", "size", "queries"), [(0, 200, 0), (1, 200, 1), (200, 200, 1), (201, 200, 2)])
def test_queries_are_rounded_up(count: int, size: int, queries: int) -> None:
    assert queries_for(count, size) == queries


@pytest.mark.parametrize(
    ("queries", "seconds"), [(0, 0.0), (5, 10.0), (50, 100.0), (51, 51 * 72.0), (5000, 5000 * 72.0)]
)
def test_what_does_not_fit_into_an_hour_is_spread_evenly(queries: int, seconds: float) -> None:
    assert cost("ids", queries) == Cost("ids", queries, seconds)


def test_an_hour_has_so_many_queries_and_no_more() -> None:
    asking = Asking(per_hour=3)
    assert asking(7) == [0, 0, 0, HOUR_S, HOUR_S, HOUR_S, 2 * HOUR_S]
    assert asking.told == ["3 queries were asked within the hour; waiting 60 min"] * 2


def test_spread_queries_leave_room_for_others_at_any_moment() -> None:
    asking = Asking(per_hour=3)
    asking.budget.spread = True
    assert asking(5) == [0, 1200, 2400, 3600, 4800]
    assert asking.told == []


def test_any_hour_is_within_the_budget_however_queries_are_spaced() -> None:
    asking = Asking(per_hour=5)
    for pause_s in (0, 100, 1000, 0, 0, 2000, 0, 0, 0, 50, 0, 0, 3000, 0, 0, 0, 0, 0, 0):
        asking.time.at += pause_s
        asking()
    for begin in asking.at:
        assert sum(begin <= at < begin + HOUR_S for at in asking.at) <= 5


def test_after_a_429_it_waits_longer_and_longer_until_it_gives_way() -> None:
    asking = Asking(*throttled(3), per_hour=100)
    assert asking() == [0, 60, 360, 1260]
    assert asking.told[0] == "limit; waiting 60 s"
    assert asking.told[1] == "limit; waiting 5 min"


@pytest.mark.parametrize(("named_s", "waited_s"), [(7.0, 7.0), (0.0, 0.0), (1e9, HOUR_S)])
def test_a_time_that_mixpanel_names_is_kept_within_reason(named_s: float, waited_s: float) -> None:
    assert Asking(*throttled(1, named_s), per_hour=100)() == [0, waited_s]


def test_a_limit_that_outlasts_an_hour_is_given_up_after_the_last_try() -> None:
    asking = Asking(*throttled(99), per_hour=100)
    with pytest.raises(TemporaryError, match="did not give way") as caught:
        asking()
    assert not isinstance(caught.value, QuotaError)
    assert asking.at[-1] == sum(THROTTLED_S) > HOUR_S


def test_a_mixpanel_that_is_away_for_a_moment_is_asked_again() -> None:
    asking = Asking(TemporaryError("away"), TemporaryError("away"), per_hour=100)
    assert asking() == [0, AWAY_S[0], sum(AWAY_S)]
    with pytest.raises(TemporaryError, match="away"):
        Asking(*[TemporaryError("away")] * 3, per_hour=100)()


@pytest.mark.parametrize("error", [SessionLostError("gone"), AccessError("no")])
def test_what_waiting_does_not_cure_is_raised_at_once(error: Exception) -> None:
    asking = Asking(error)
    with pytest.raises(type(error)):
        asking()
    assert asking.at == [0]


@pytest.mark.parametrize(
    "until_a_wait",
    [
        lambda asking: asking(4),
        lambda asking: asking.budget.pause(10),
        lambda asking: Asking.__call__(asking, 2),
    ],
)
def test_a_stop_ends_every_wait(until_a_wait: Callable[[Asking], object]) -> None:
    asking = Asking(*throttled(1))
    asking.time.stop_at = 5
    with pytest.raises(StoppedError):
        until_a_wait(asking)
    assert asking.time.at == 5


def test_a_stop_that_was_asked_lets_no_query_through() -> None:
    asking = Asking()
    asking.time.stop_at = 0
    with pytest.raises(StoppedError):
        asking()
    assert asking.at == []
