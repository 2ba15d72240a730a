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
    Failing,
    Invalid,
    Outgoing,
    Refused,
    Suspicion,
    Throttled,
    TooLarge,
    Uncertain,
    Verdict,
)
from sync_profiles.core.verdict import (
    PASSED_S,
    Step,
    backoff_s,
    concluded,
    fails_alone,
    leaves_early,
    next_step,
    pending_backoff_s,
)

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


# --- batches that Mixpanel fails at ----------------------------------------------------------------------------------

SUSPECT, WAITED = Suspicion(10.0), Suspicion(10.0, waited=True)


@pytest.mark.parametrize(
    ("passed_at", "now", "alone"),
    [(float("-inf"), 10.0, False), (9.0, 10.0, False), (10.5, 11.0, True), (10.5, 10.6 + PASSED_S, False)],
)
def test_a_batch_fails_alone_when_another_passed_since_and_not_long_ago(
    passed_at: float, now: float, alone: bool
) -> None:
    assert fails_alone(10.0, passed_at, now) is alone


@pytest.mark.parametrize(
    ("suspicion", "alone", "failures"),
    [
        (None, True, 4),
        (None, False, 4),
        (SUSPECT, True, 2),
        (SUSPECT, False, 2),
        (WAITED, True, 2),
        (WAITED, False, None),
    ],
)
def test_how_many_failures_a_batch_is_sent_through(
    suspicion: Suspicion | None, alone: bool, failures: int | None
) -> None:
    """None: until patience is over."""
    tries = [n for n in range(10) if leaves_early(n, suspicion, alone=alone)]
    assert (tries[0] if tries else None) == failures


def failing_step(
    count: int, *, alone: bool, may_cut: bool = True, may_probe: bool = True, suspicion: Suspicion | None = None
) -> Step:
    batch = Batch(1, batch_of(count).profiles, suspicion=suspicion)
    return next_step(batch, Failing("HTTP 500", 10.0, alone), may_cut=may_cut, may_probe=may_probe)


def test_a_batch_that_fails_alone_is_halved_at_once_and_its_single_profile_named() -> None:
    step = failing_step(3, alone=True)
    assert ([keys(half) for half in step.again], step.later, step.suspicion) == ([["0"], ["1", "2"]], (), SUSPECT)
    ((profile, reason),) = failing_step(1, alone=True).failing
    assert (profile.key, reason) == ("0", "Mixpanel fails at it and takes others: HTTP 500")


def test_a_batch_that_may_fail_alone_is_halved_when_all_others_were_sent_and_its_parts_at_once() -> None:
    step = failing_step(2, alone=False)
    assert (step.again, [keys(half) for half in step.later], step.suspicion) == ((), [["0"], ["1"]], SUSPECT)
    step = failing_step(2, alone=False, suspicion=SUSPECT)
    assert ([keys(half) for half in step.again], step.later, step.suspicion) == ([["0"], ["1"]], (), SUSPECT)


@pytest.mark.parametrize(
    ("count", "may_probe", "before", "after"),
    [
        (1, True, None, SUSPECT),
        (5, False, None, SUSPECT),
        (1, True, SUSPECT, WAITED),
        (5, False, SUSPECT, WAITED),
        (5, False, WAITED, WAITED),
    ],
)
def test_what_can_tell_nothing_more_lets_the_others_go_first(
    count: int, may_probe: bool, before: Suspicion | None, after: Suspicion
) -> None:
    step = failing_step(count, alone=False, may_probe=may_probe, suspicion=before)
    assert ([len(cut) for cut in step.later], step.suspicion, step.stop) == ([count], after, None)


def test_a_batch_that_fails_alone_after_many_others_waits_for_the_next_run_and_stops_nothing() -> None:
    step = failing_step(5, alone=True, may_cut=False)
    assert (len(step.unanswered), step.stop) == (5, None)


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("count", [1, 2])
def test_whatever_failed_may_still_be_applied(alone: bool, count: int) -> None:
    step = failing_step(count, alone=alone)
    parts = [p for cut in (*step.again, *step.later) for p in cut] + [p for p, _ in step.failing]
    assert [profile.doubt for profile in parts] == ["late"] * count


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
