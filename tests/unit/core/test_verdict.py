"""Every row of "reply -> verdict" and of "verdict -> step"."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sending import TOKEN, batch_of, outgoing

from sync_profiles.core.masking import masking
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
from sync_profiles.core.verdict import (
    ANSWER_BYTES_MAX,
    backoff_s,
    concluded,
    next_step,
    pending_backoff_s,
    reply_verdict,
    retry_after_s,
)

GOOD: dict[str, Any] = {"error": None, "errors": {}, "num_good_events": 3, "status": 1}
NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


def verdict_on(answer: object, *, status: int = 200, sent: int = 3) -> Verdict:
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return reply_verdict(status, {}, body, sent)


def good_but(**fields: object) -> dict[str, object]:
    return {**GOOD, **fields}


def good_without(*names: str) -> dict[str, object]:
    return {name: value for name, value in GOOD.items() if name not in names}


# --- what is an acknowledgement --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "sent", "counted"),
    [
        (GOOD, 3, True),
        (good_but(num_good_events=1), 1, True),
        (good_but(errors=[]), 3, True),
        (good_but(errors=None), 3, True),
        (good_but(more="of it"), 3, True),
        (good_but(status="ok"), 3, True),
        (good_but(status="OK", code=200), 3, True),
        ({"status": 1, "error": None}, 3, False),
        ({"status": 1}, 3, False),
        (good_without("num_good_events"), 3, False),
        ({"code": 200, "num_records_imported": 3, "status": "OK"}, 3, True),
        ({"status": 1, "failed_records": [], "num_records_imported": 3}, 3, True),
        (b' \n{"status":1, "error":null, "num_good_events":3}\r\n', 3, True),
        (1, 1, False),
        (b" 1\n", 1, False),
    ],
)
def test_an_acknowledgement_is_fully_positive(answer: object, sent: int, counted: bool) -> None:
    assert verdict_on(answer, sent=sent) == Accepted(counted=counted)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"status": 0, "error": "$token, missing or empty"}, "$token, missing or empty"),
        ({"status": 0, "error": None}, "refused, no reason given"),
        ({"status": 0}, "refused, no reason given"),
        (good_but(status=0), "3 of 3 records were good, no reason given"),
        (good_but(error="bad record"), "bad record"),
        (good_but(error={"message": "bad"}), "bad"),
        (good_but(errors={"0": ["name too long", "x"]}), "name too long"),
        (good_but(errors=[{"field": "$set", "message": "no object"}]), "$set: no object"),
        (good_but(errors={"0": True}), "3 of 3 records were good, no reason given"),
        (good_but(num_good_events=2), "2 of 3 records were good, no reason given"),
        (good_but(num_good_events=0), "0 of 3 records were good, no reason given"),
        (good_but(num_good_events=4), "4 of 3 records were good, no reason given"),
        (good_but(failed_records=["a text"]), "a text"),
        (good_but(code=400), "3 of 3 records were good, no reason given"),
        (
            {"code": 400, "status": "Bad Request", "num_records_imported": 2, "failed_records": [{"message": "m"}]},
            "m",
        ),
        ({"status": "error", "error": "no"}, "no"),
        ({"status": "Bad Request"}, "Bad Request"),
        (0, "answered 0: no record was valid"),
    ],
)
def test_a_refusal_of_records_is_invalid_with_its_reason(answer: object, reason: str) -> None:
    verdict = verdict_on(answer)
    assert isinstance(verdict, Invalid)
    assert verdict.reason in (reason, f"status {reason}")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"  \n",
        b"<html><body>It works</body></html>",
        b"OK",
        b"null",
        b"true",
        b"[]",
        b"[1]",
        b"{}",
        b'"1"',
        b"1",
        b"2",
        b"-1",
        b"1.0",
        b"11",
        b"NaN",
        b'{"status":1',
        b'{"status":1}{"status":1}',
        b'{"status":1} trailing',
        b'{"status":0,"status":1}',
        b'{"status":1,"errors":{"0":["bad"]},"errors":{}}',
        b'{"status":1,"errors":{"a":1,"a":2}}',
        b'{"status":1,"num_good_events":NaN}',
        b'\xef\xbb\xbf{"status":1}',
        '{"status":1}'.encode("utf-16"),
        b'{"status":1,"x":"\xff"}',
        b"[" * 100_000,
        b'{"status":1,"x":' + b"9" * 5_000 + b"}",
        b'{"status":1,"x":"' + b"a" * ANSWER_BYTES_MAX + b'"}',
        {"error": None, "errors": {}, "num_good_events": 3},
        {"error": "gateway says no"},
        good_but(status=None),
        good_but(status=True),
        good_but(status=1.0),
        good_but(status=2),
        good_but(status=""),
        good_but(status=[1]),
        good_but(error=""),
        good_but(error=False),
        good_but(error=0),
        good_but(errors=""),
        good_but(errors=0),
        good_but(errors=False),
        good_but(num_good_events=None),
        good_but(num_good_events="3"),
        good_but(num_good_events=3.0),
        good_but(num_good_events=True),
        good_but(code="200"),
        good_but(failed_records=0),
        {"status": "ok"},
        {"status": "ok", "error": None},
    ],
)
def test_what_is_not_understood_is_neither_an_acknowledgement_nor_a_refusal(answer: object) -> None:
    assert isinstance(verdict_on(answer), Uncertain)


@pytest.mark.parametrize("flag", [True, False])
def test_a_boolean_is_never_a_count(flag: bool) -> None:
    assert isinstance(verdict_on(good_but(num_good_events=flag), sent=int(flag)), Uncertain)


@given(st.binary(max_size=200), st.integers(1, 2_000))
def test_no_random_answer_is_an_acknowledgement(body: bytes, sent: int) -> None:
    verdict = reply_verdict(200, {}, body, sent)
    assert not isinstance(verdict, Accepted) or (body.strip() == b"1" and sent == 1)


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 4) | st.floats(allow_nan=False) | st.sampled_from(["", "1", "ok", "x"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from([*GOOD, "code", "failed_records", "num_records_imported", "x"]), JSONS))
def test_an_object_is_an_acknowledgement_only_when_each_known_field_is(answer: dict[str, Any]) -> None:
    if not isinstance(verdict_on(answer), Accepted):
        return
    assert answer["status"] in (1, "ok")
    assert answer.get("error") is None
    assert not answer.get("errors")
    assert answer.get("num_good_events", 3) == 3


# --- the other statuses ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind", "exit_code"),
    [
        (100, Uncertain, None),
        (103, Uncertain, None),
        (201, Uncertain, None),
        (202, Uncertain, None),
        (204, Uncertain, None),
        (206, Uncertain, None),
        (301, Refused, 78),
        (302, Refused, 78),
        (307, Refused, 78),
        (308, Refused, 78),
        (400, Invalid, None),
        (401, Refused, 77),
        (402, Refused, 77),
        (403, Refused, 77),
        (404, Refused, 78),
        (405, Refused, 78),
        (407, Refused, 77),
        (408, Uncertain, None),
        (409, Uncertain, None),
        (413, TooLarge, None),
        (418, Uncertain, None),
        (425, Uncertain, None),
        (429, Throttled, None),
        (499, Uncertain, None),
        (500, Uncertain, None),
        (502, Uncertain, None),
        (503, Uncertain, None),
        (504, Uncertain, None),
        (524, Uncertain, None),
        (999, Uncertain, None),
    ],
)
def test_a_status_other_than_200_never_acknowledges_even_with_a_good_body(
    status: int, kind: type[Verdict], exit_code: int | None
) -> None:
    verdict = verdict_on(GOOD, status=status)
    assert type(verdict) is kind
    assert getattr(verdict, "exit_code", None) == exit_code


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, b"", "HTTP 400"),
        (400, b"Unable to authenticate request", "HTTP 400: Unable to authenticate request"),
        (400, b" <html>proxy</html>", "HTTP 400"),
        (
            400,
            b'{"code":400,"error":"some data points failed","status":"Bad Request"}',
            "HTTP 400: some data points failed",
        ),
        (400, b'{"failed_records":[{"field":"$set","message":"bad"}]}', "HTTP 400: $set: bad"),
        (400, b'{"x":1}', "HTTP 400"),
        (400, b"\xff\xfe", "HTTP 400: \ufffd\ufffd"),
    ],
)
def test_a_400_gives_its_own_words_as_the_reason(status: int, body: bytes, reason: str) -> None:
    assert reply_verdict(status, {}, body, 3) == Invalid(reason)


def test_a_401_gives_its_own_words_too() -> None:
    assert reply_verdict(401, {}, b'{"error":"Invalid credentials","status":"error"}', 3) == Refused(
        "HTTP 401: Invalid credentials", 77
    )


@pytest.mark.parametrize("status", [200, 400, 401, 404])
def test_no_reason_repeats_the_token_or_a_value(status: int) -> None:
    batch = Batch(1, (outgoing("user-4711"),))
    answer = {"status": 0, "error": f"{TOKEN} user-4711 ann@x.example"}
    verdict = reply_verdict(status, {}, json.dumps(answer).encode(), 1, mask=masking(TOKEN, batch.body))
    assert isinstance(verdict, Invalid | Refused)
    said = verdict.reason if isinstance(verdict, Invalid) else verdict.why
    assert said.endswith("*** *** ***")


def test_a_hostile_reason_is_cut_and_printable() -> None:
    verdict = verdict_on({"status": 0, "error": "\x1b]0;x\x07" + "y" * 5_000 + "\ud800"})
    assert isinstance(verdict, Invalid)
    assert len(verdict.reason) == 200
    assert verdict.reason.isprintable()


def test_a_reason_buried_too_deep_is_left_there() -> None:
    deep: Any = "words"
    for _ in range(300):
        deep = [deep]
    assert verdict_on({"status": 0, "errors": deep}) == Invalid("refused, no reason given")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("", None),
        ("0", 0.0),
        ("120", 120.0),
        (" 1.5 ", 1.5),
        ("-5", None),
        ("1e9", None),
        ("soon", None),
        ("99999999999999999999", None),
        ("٣", None),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60.0),
        ("Tue, 14 Nov 2023 22:13:19 GMT", 0.0),
        ("Tue, 99 Nov 2023 22:13:20 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_garbage_is_ignored(value: str, seconds: float | None) -> None:
    assert retry_after_s(value, NOW) == seconds
    assert reply_verdict(429, {"retry-after": value}, b"", 3, now_s=NOW) == Throttled(seconds)


def test_a_date_says_nothing_without_a_clock() -> None:
    assert retry_after_s("Tue, 14 Nov 2023 22:14:20 GMT", None) is None


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
