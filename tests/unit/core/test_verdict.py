"""Attempts -> verdict, and every row of "verdict -> step"."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sending import batch_of, outgoing

from sync_profiles.core.types import (
    Accepted,
    Batch,
    Doubt,
    Invalid,
    Outgoing,
    Refused,
    Throttled,
    TooLarge,
    Uncertain,
    Verdict,
)
from sync_profiles.core.verdict import backoff_s, concluded, next_step, pending_backoff_s

# --- several attempts ------------------------------------------------------------------------------------------------

LOST = Uncertain("no answer in time")


@pytest.mark.parametrize(
    ("last", "whole"),
    [
        (Accepted(counted=False), Accepted(counted=False, doubtful=True)),
        (Invalid("bad"), Invalid("bad", doubtful=True)),
        (TooLarge(), TooLarge(doubtful=True)),
        (Refused("HTTP 404", 78), Refused("HTTP 404", 78, doubtful=True)),
        (Throttled(5.0), Uncertain("no answer in time, then HTTP 429")),
        (Uncertain("HTTP 502"), Uncertain("HTTP 502")),
    ],
)
def test_an_attempt_without_an_answer_leaves_its_doubt_on_whatever_comes_after(last: Verdict, whole: Verdict) -> None:
    assert concluded(last, LOST) == whole
    assert concluded(last, None) == last


def test_waits_double_from_2_to_60_seconds_plus_1_to_5() -> None:
    assert [backoff_s(attempt, 0.0) for attempt in (1, 2, 3, 4, 5, 6, 5_000)] == [3, 5, 9, 17, 33, 61, 61]
    assert backoff_s(1, 1.0) == 7


def test_rejected_rows_wait_an_hour_doubling_to_a_day() -> None:
    hours = [pending_backoff_s(attempts) / 3600 for attempts in (0, 1, 2, 3, 4, 5, 6, 5_000)]
    assert hours == [1, 1, 2, 4, 8, 16, 24, 24]


# --- verdict -> step -------------------------------------------------------------------------------------------------


def keys(profiles: tuple[Outgoing, ...]) -> list[str]:
    return [profile.key for profile in profiles]


def test_accepted_profiles_are_acknowledged() -> None:
    batch = batch_of(3)
    step = next_step(batch, Accepted())
    assert step.acknowledged == batch.profiles
    assert step.stop is None


@pytest.mark.parametrize(("doubtful", "doubt"), [(True, "none"), (False, "late"), (True, "stored")])
def test_profiles_accepted_after_a_lost_attempt_are_looked_at_again(doubtful: bool, doubt: Doubt) -> None:
    batch = batch_of(2, doubt=doubt)
    assert next_step(batch, Accepted(doubtful=doubtful)).doubtful == batch.profiles


def test_only_the_profiles_of_a_lost_attempt_are_looked_at_again() -> None:
    batch = Batch(1, (outgoing("a"), outgoing("b", doubt="late"), outgoing("c", doubt="stored")))
    step = next_step(batch, Accepted())
    assert (keys(step.acknowledged), keys(step.doubtful)) == (["a", "c"], ["b"])


def test_an_invalid_batch_is_halved_between_profiles() -> None:
    step = next_step(batch_of(5), Invalid("bad"))
    assert [keys(half) for half in step.again] == [["0", "1"], ["2", "3", "4"]]
    assert step.rejected == ()


def test_a_single_profile_that_is_invalid_is_rejected_however_many_records_it_has() -> None:
    profile = outgoing("a", records=3)
    assert next_step(Batch(1, (profile,)), Invalid("bad")).rejected == ((profile, "bad"),)


def test_a_batch_that_is_too_large_is_halved_by_bytes() -> None:
    batch = Batch(1, (outgoing("a", body=b"x" * 900), outgoing("b", body=b"x"), outgoing("c", body=b"x")))
    assert [keys(half) for half in next_step(batch, TooLarge()).again] == [["a"], ["b", "c"]]


def test_a_single_profile_that_is_too_large_is_rejected_with_its_size() -> None:
    batch = Batch(1, (outgoing("a", body=b"x" * 998),))
    ((profile, reason),) = next_step(batch, TooLarge()).rejected
    assert profile.key == "a"
    assert reason == "too large for Mixpanel: 1000 bytes (HTTP 413)"


@pytest.mark.parametrize(
    ("verdict", "before", "after"),
    [
        (Invalid("bad"), "none", "stored"),
        (Invalid("bad"), "stored", "stored"),
        (Invalid("bad"), "late", "late"),
        (Invalid("bad", doubtful=True), "none", "late"),
        (Invalid("bad", doubtful=True), "stored", "late"),
        (TooLarge(), "none", "none"),
        (TooLarge(), "stored", "stored"),
        (TooLarge(), "late", "late"),
        (TooLarge(doubtful=True), "none", "late"),
    ],
)
def test_halves_carry_what_the_answer_left_open(verdict: Verdict, before: Doubt, after: Doubt) -> None:
    step = next_step(batch_of(4, doubt=before), verdict)
    assert [profile.doubt for half in step.again for profile in half] == [after] * 4


@pytest.mark.parametrize(
    ("verdict", "code", "exit_code"),
    [
        (Throttled(), "throttled", 75),
        (Refused("HTTP 401"), "refused", 77),
        (Refused("HTTP 404", 78), "refused", 78),
    ],
)
def test_a_request_that_was_turned_away_stops_the_run_and_rejects_nothing(
    verdict: Verdict, code: str, exit_code: int
) -> None:
    batch = Batch(1, (outgoing("a"), outgoing("b", doubt="stored"), outgoing("c", doubt="late")))
    step = next_step(batch, verdict)
    assert (keys(step.untouched), keys(step.unanswered), step.rejected) == (["a"], ["b", "c"], ())
    assert step.stop is not None
    assert (step.stop.code, step.stop.exit_code) == (code, exit_code)
    assert step.stop.hint


@pytest.mark.parametrize(
    ("verdict", "exit_code"), [(Uncertain("HTTP 502"), 75), (Refused("HTTP 401", doubtful=True), 77)]
)
def test_profiles_of_a_request_without_an_answer_are_unanswered_and_the_run_stops(
    verdict: Verdict, exit_code: int
) -> None:
    batch = batch_of(2)
    step = next_step(batch, verdict)
    assert step.unanswered == batch.profiles
    assert step.stop is not None
    assert step.stop.exit_code == exit_code


VERDICTS: list[Verdict] = [
    *(Accepted(doubtful=doubtful) for doubtful in (False, True)),
    *(Invalid("bad", doubtful=doubtful) for doubtful in (False, True)),
    *(TooLarge(doubtful=doubtful) for doubtful in (False, True)),
    *(Refused("HTTP 401", doubtful=doubtful) for doubtful in (False, True)),
    Throttled(),
    Uncertain("HTTP 502"),
]


@settings(deadline=None)  # a busy machine is no failure
@given(
    st.lists(st.sampled_from(["none", "stored", "late"]), min_size=1, max_size=9),
    st.sampled_from(VERDICTS),
)
def test_every_profile_is_in_exactly_one_field(doubts: list[Doubt], verdict: Verdict) -> None:
    batch = Batch(1, tuple(outgoing(str(index), doubt=doubt) for index, doubt in enumerate(doubts)))
    step = next_step(batch, verdict)
    placed = [
        *step.acknowledged,
        *step.doubtful,
        *step.unanswered,
        *step.untouched,
        *(profile for profile, _ in step.rejected),
        *(profile for half in step.again for profile in half),
    ]
    assert sorted(keys(tuple(placed))) == sorted(keys(batch.profiles))


@settings(deadline=None)  # a busy machine is no failure
@given(st.integers(1, 300), st.sets(st.integers(0, 299), max_size=6))
def test_bisecting_rejects_exactly_the_bad_profiles_at_the_promised_cost(count: int, bad: set[int]) -> None:
    bad_keys = {str(number) for number in bad if number < count}
    waiting, requests, good, rejected = [batch_of(count).profiles], 0, set[str](), set[str]()
    while waiting:
        batch = Batch(requests, waiting.pop())
        requests += 1
        step = next_step(batch, Accepted() if bad_keys.isdisjoint(keys(batch.profiles)) else Invalid("bad"))
        good.update(keys(step.acknowledged))
        rejected.update(profile.key for profile, _ in step.rejected)
        waiting += step.again
    assert rejected == bad_keys
    assert len(good) == count - len(bad_keys)
    assert requests <= 2 * len(bad_keys) * (count - 1).bit_length() + 1


def test_a_step_never_changes_what_is_sent() -> None:
    batch = batch_of(4)
    halves = next_step(batch, Invalid("bad", doubtful=True)).again
    restored = [msgspec.structs.replace(profile, doubt="none") for half in halves for profile in half]
    assert tuple(restored) == batch.profiles
