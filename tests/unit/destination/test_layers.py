"""Retry and pace, without sockets and without waiting."""

from __future__ import annotations

import logging
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sending import Scripted, Time, batch_of

from sync_profiles.core.types import (
    Accepted,
    Batch,
    Invalid,
    Refused,
    Throttled,
    TooLarge,
    Uncertain,
    Verdict,
)
from sync_profiles.destination.layers import OnDemand, Pace, Paced, Retrying, paced

AWAY = Uncertain("HTTP 502")


def retrying(inner: Scripted, time: Time, *, patience_s: float = 300.0) -> Retrying:
    return Retrying(inner, stop=time, clock=time, jitter=lambda: 0.0, patience_s=patience_s)


# --- retry -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", [Accepted(), Invalid("bad"), TooLarge(), Refused("HTTP 401")])
def test_an_answer_that_settles_the_matter_is_not_asked_for_again(verdict: Verdict) -> None:
    inner, time = Scripted([verdict]), Time()
    assert retrying(inner, time).send(batch_of()) == verdict
    assert time.waits == []


def test_the_same_bytes_are_sent_again_with_growing_waits() -> None:
    inner, time = Scripted([Throttled(), Throttled(), Throttled(), Accepted()]), Time()
    assert retrying(inner, time).send(batch_of()) == Accepted()
    assert inner.bodies == [batch_of().body] * 4
    assert time.waits == [3, 5, 9]


@pytest.mark.parametrize("first", [[AWAY], [AWAY, Throttled()], [Throttled(), AWAY]])
def test_what_passes_after_an_attempt_without_an_answer_is_doubtful(first: list[Verdict]) -> None:
    assert retrying(Scripted([*first, Accepted()]), Time()).send(batch_of()) == Accepted(doubtful=True)


@pytest.mark.parametrize("first", [[Throttled()], [Throttled(1.0), Throttled()]])
def test_what_passes_after_a_429_is_not_doubtful(first: list[Verdict]) -> None:
    assert retrying(Scripted([*first, Accepted()]), Time()).send(batch_of()) == Accepted()


def test_retry_after_is_kept_and_may_only_grow_by_jitter() -> None:
    inner, time = Scripted([Throttled(42.0), Accepted()]), Time()
    layer = Retrying(inner, stop=time, clock=time, jitter=lambda: 0.5)
    assert layer.send(batch_of()) == Accepted()
    assert time.waits == [42.5]


def test_patience_bounds_the_whole_time_and_the_last_verdict_counts() -> None:
    inner, time = Scripted([Throttled()] * 50), Time()
    began = time.at
    assert retrying(inner, time).send(batch_of()) == Throttled()
    assert time.at - began <= 300


def test_a_retry_after_beyond_patience_is_not_waited_for() -> None:
    inner, time = Scripted([Throttled(301.0)]), Time()
    assert retrying(inner, time).send(batch_of()) == Throttled(301.0)
    assert time.waits == []


@pytest.mark.parametrize("remaining_s", [0.0, -5.0, 3.0])
def test_a_wait_that_would_pass_the_deadline_is_not_begun(remaining_s: float) -> None:
    time = Time()
    time.deadline = time.at + remaining_s
    assert retrying(Scripted([AWAY]), time).send(batch_of()) == AWAY
    assert time.waits == []


def test_a_429_after_an_attempt_without_an_answer_is_still_uncertain() -> None:
    verdict = retrying(Scripted([AWAY, *[Throttled()] * 50]), Time()).send(batch_of())
    assert verdict == Uncertain("HTTP 502, then HTTP 429")


def test_a_stop_wakes_the_wait_and_nothing_is_sent_after_it() -> None:
    time = Time()
    time.stop_at = time.at + 1
    inner = Scripted([AWAY, Accepted()])
    assert retrying(inner, time).send(batch_of()) == AWAY
    assert len(inner.bodies) == 1
    assert time.at == time.stop_at


def test_a_stop_asked_during_a_request_lets_it_end_and_does_not_repeat_it() -> None:
    time = Time()

    def ask_to_stop() -> None:
        time.stop_at = time.at

    inner = Scripted([Throttled(), Accepted()], on_send=ask_to_stop)
    assert retrying(inner, time).send(batch_of()) == Throttled()
    assert time.waits == []


def test_the_first_attempt_is_made_even_after_a_stop_was_asked() -> None:
    """The batch is written down as in flight already; whoever hands it out looks at the stop before."""
    time = Time()
    time.stop_at = time.at
    assert retrying(Scripted([Accepted()]), time).send(batch_of()) == Accepted()


def test_every_attempt_is_counted_with_its_size_before_it_leaves() -> None:
    counted: list[int] = []
    time = Time()
    inner = Scripted([AWAY, Accepted()], on_send=lambda: counted.append(-1))
    layer = Retrying(inner, stop=time, clock=time, jitter=lambda: 0.0, count=counted.append)
    layer.send(batch_of())
    assert counted == [batch_of().size, -1, batch_of().size, -1]


def test_an_exception_of_the_inner_layer_passes_through_at_once() -> None:
    def break_down() -> None:
        raise ZeroDivisionError

    time = Time()
    with pytest.raises(ZeroDivisionError):
        retrying(Scripted([], on_send=break_down), time).send(batch_of())
    assert time.waits == []


def test_each_repetition_is_told_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "sync_profiles"):
        retrying(Scripted([AWAY, Throttled(), Accepted()]), Time()).send(batch_of())
    assert [record.getMessage() for record in caplog.records] == [
        "attempt 1: HTTP 502; again in 3.0 s",
        "attempt 2: HTTP 429; again in 5.0 s",
    ]


# --- pace ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pace", "verdict", "era", "after"),
    [
        (Pace(8, 8), Throttled(), 0, Pace(4, 8, era=1)),
        (Pace(5, 8, streak=3), Throttled(), 0, Pace(2, 8, era=1)),
        (Pace(1, 8), Throttled(), 0, Pace(1, 8, era=1)),
        (Pace(4, 8, era=1), Throttled(), 0, Pace(4, 8, era=1)),
        (Pace(4, 8, era=1), Throttled(), 1, Pace(2, 8, era=2)),
        (Pace(2, 8), Accepted(), 0, Pace(2, 8, streak=1)),
        (Pace(2, 8, streak=1), Accepted(), 0, Pace(3, 8)),
        (Pace(1, 8, era=3), Accepted(doubtful=True), 3, Pace(2, 8, era=3)),
        (Pace(8, 8, streak=7), Accepted(), 0, Pace(8, 8, streak=8)),
        (Pace(4, 8, streak=3), AWAY, 0, Pace(4, 8)),
        (Pace(4, 8, streak=3), Invalid("bad"), 0, Pace(4, 8, streak=3)),
        (Pace(4, 8, streak=3), TooLarge(), 0, Pace(4, 8, streak=3)),
        (Pace(4, 8, streak=3), Refused("no"), 0, Pace(4, 8, streak=3)),
    ],
)
def test_the_limit_halves_on_429_and_grows_by_one_after_as_many_acceptances(
    pace: Pace, verdict: Verdict, era: int, after: Pace
) -> None:
    assert paced(pace, verdict, era) == after


@settings(deadline=None)  # a busy machine is no failure
@given(st.integers(1, 32), st.lists(st.tuples(st.sampled_from([Accepted(), Throttled(), AWAY]), st.booleans())))
def test_the_limit_stays_between_one_and_its_ceiling(ceiling: int, verdicts: list[tuple[Verdict, bool]]) -> None:
    pace = Pace(ceiling, ceiling)
    for verdict, is_late in verdicts:
        pace = paced(pace, verdict, pace.era - is_late)
        assert 1 <= pace.limit <= ceiling


def test_many_429s_of_one_overload_halve_once() -> None:
    """Eight requests are in flight when the overload begins, and all of them hear of it."""
    flight = threading.Barrier(8)
    layer = Paced(Simultaneous(flight), limit=8)
    threads = [threading.Thread(target=layer.send, args=(batch_of(),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert layer.limit == 4


class Simultaneous:
    """Answers 429 once all expected requests have arrived."""

    def __init__(self, flight: threading.Barrier) -> None:
        self._flight = flight

    def send(self, batch: Batch) -> Verdict:
        self._flight.wait(timeout=10)
        return Throttled()


def test_retry_around_pace_lets_pace_see_every_429() -> None:
    time = Time()
    pace = Paced(Scripted([Throttled(), Throttled(), Accepted(), Accepted()]), limit=8)
    layer = Retrying(pace, stop=time, clock=time, jitter=lambda: 0.0)
    assert layer.send(batch_of()) == Accepted()
    assert pace.limit == 2
    layer.send(batch_of())
    assert pace.limit == 3


# --- on demand -------------------------------------------------------------------------------------------------------


def test_a_destination_is_made_by_the_first_batch_and_once_for_all_threads() -> None:
    made: list[Scripted] = []

    def make() -> Scripted:
        made.append(Scripted([Accepted()] * 8))
        return made[-1]

    destination = OnDemand(make)
    assert made == []
    threads = [threading.Thread(target=destination.send, args=(batch_of(1),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
