"""Every row of "reply -> verdict"."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sending import TOKEN, outgoing

from sync_profiles.core.masking import masking
from sync_profiles.core.reply import ANSWER_BYTES_MAX, reply_verdict, retry_after_s
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


@settings(deadline=None)  # a busy machine is no failure
@given(st.binary(max_size=200), st.integers(1, 2_000))
def test_no_random_answer_is_an_acknowledgement(body: bytes, sent: int) -> None:
    verdict = reply_verdict(200, {}, body, sent)
    assert not isinstance(verdict, Accepted) or (body.strip() == b"1" and sent == 1)


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 4) | st.floats(allow_nan=False) | st.sampled_from(["", "1", "ok", "x"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)


@settings(deadline=None)  # a busy machine is no failure
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
