"""What one HTTP answer means. Pure.

An acknowledgement is proof (promise 4): HTTP 200, JSON, ``status`` 1, no error, no ``errors``, the count that was sent.
Whatever is not understood is neither an acknowledgement nor a refusal. The shapes are those recorded from the live
server and documented in Mixpanel's reference; nobody documents the failing form of ``strict=1``.
"""

from __future__ import annotations

import email.utils
import json
import re
from collections.abc import Callable, Mapping
from typing import Final

from sync_profiles.core.masking import Mask, shortened
from sync_profiles.core.types import Accepted, Invalid, Json, Refused, Throttled, TooLarge, Uncertain, Verdict
from sync_profiles.errors import AccessError, ConfigError

ANSWER_BYTES_MAX = 1_000_000
"""Mixpanel's answers have about a hundred bytes; what is longer is not one."""

REASON_BYTES_MAX = 2_000
"""So much of an answer without structure is looked at for its reason."""

DENIED = frozenset({401, 402, 403, 407})
MISPLACED = frozenset({404, 405, 406, 410, 411, 414, 415, 421, 426})
"""4xx by which HTTP promises that the request was not carried out; other unknown codes promise nothing."""


def reply_verdict(
    status: int, headers: Mapping[str, str], body: bytes, sent: int, *, mask: Mask = str, now_s: float | None = None
) -> Verdict:
    """The verdict on one HTTP answer to a request of ``sent`` records.

    ``headers`` have lower-case names. ``mask`` takes the token and our values out of the answer's own words. ``now_s``
    (unix seconds) is needed to understand a ``Retry-After`` that is a date.
    """
    if status == 200:
        return _answer_verdict(body, sent, mask)
    if status == 400:
        return Invalid(_http_reason(status, body, mask))
    if status == 413:
        return TooLarge()
    if status == 429:
        return Throttled(retry_after_s(headers.get("retry-after", ""), now_s))
    if status in DENIED:
        return Refused(_http_reason(status, body, mask), AccessError.exit_code)
    if status in MISPLACED:
        return Refused(_http_reason(status, body, mask), ConfigError.exit_code)
    if 300 <= status < 400:
        return Refused(f"HTTP {status}: a redirect, which is never followed", ConfigError.exit_code)
    return Uncertain(f"HTTP {status}", failed=status >= 500)


def retry_after_s(value: str, now_s: float | None) -> float | None:
    """Seconds of a ``Retry-After`` header, a number or an HTTP date; None when it says nothing usable."""
    text = value.strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]+)?", text):
        return float(text)
    try:
        moment = email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
    return max(moment - now_s, 0.0) if now_s is not None else None


def _answer_verdict(body: bytes, sent: int, mask: Mask) -> Verdict:
    answer = _parsed(body)
    if isinstance(answer, dict):
        return _object_verdict(answer, sent, mask)
    if type(answer) is int and answer == 0:
        return Invalid("answered 0: no record was valid")
    if type(answer) is int and answer == 1:
        # "One or more objects are valid" is proof only when there was one.
        return (
            Accepted(counted=False) if sent == 1 else Uncertain("answered 1 without saying how many records were good")
        )
    return Uncertain("the answer is not Mixpanel's" if body.strip() else "an empty answer")


def _object_verdict(answer: dict[str, Json], sent: int, mask: Mask) -> Verdict:
    """All fields that are there must be good; a bad one counts as a refusal only beside a ``status``."""
    found = {name: judge(answer[name], sent) for name, judge in _FIELDS.items() if name in answer}
    if found.get("status") is None:
        return Uncertain("the answer is not Mixpanel's: it has no status")
    if False in found.values():
        return Invalid(shortened(_complaint(answer) or _counts(answer, sent), mask))
    strange = [name for name, good in found.items() if good is None]
    if strange:
        return Uncertain(f"the answer is not Mixpanel's: its {strange[0]} is of an unknown kind")
    counted = not found.keys().isdisjoint(_COUNTS)
    if answer["status"] != 1 and not counted:
        # Half the web answers {"status": "ok"}.
        return Uncertain("the answer may not be Mixpanel's: it says ok and nothing else")
    return Accepted(counted=counted)


def _judge_status(value: Json, _sent: int) -> bool | None:
    if isinstance(value, str):
        return value.lower() == "ok" if value else None
    return bool(value) if type(value) is int and value in (0, 1) else None


def _judge_error(value: Json, _sent: int) -> bool | None:
    return True if value is None else False if value and isinstance(value, str | list | dict) else None


def _judge_errors(value: Json, _sent: int) -> bool | None:
    return True if value is None else not value if isinstance(value, list | dict) else None


def _judge_count(value: Json, sent: int) -> bool | None:
    return value == sent if type(value) is int else None


def _judge_code(value: Json, _sent: int) -> bool | None:
    return value == 200 if type(value) is int else None


_COUNTS = ("num_good_events", "num_records_imported")
_FIELDS: Final[Mapping[str, Callable[[Json, int], bool | None]]] = {
    "status": _judge_status,
    "error": _judge_error,
    "errors": _judge_errors,
    "failed_records": _judge_errors,
    "code": _judge_code,
    **dict.fromkeys(_COUNTS, _judge_count),
}
"""Field -> True: as it should be; False: a refusal; None: not understood."""


def _parsed(body: bytes) -> Json:
    """The JSON value of an answer; None when it is no strict JSON: UTF-8 without BOM, nothing behind, no name twice."""
    if len(body) > ANSWER_BYTES_MAX:
        return None
    try:
        return json.loads(body.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name occurs twice")
    return members


def _no_constant(name: str) -> Json:
    raise ValueError(f"{name} is not JSON")


def _http_reason(status: int, body: bytes, mask: Mask) -> str:
    """``HTTP 400: …`` with the answer's own words, where it has some; a page made for browsers has none."""
    answer = _parsed(body)
    if isinstance(answer, dict):
        words = _complaint(answer)
    else:
        words = body[:REASON_BYTES_MAX].decode("utf-8", "replace")
        words = "" if words.lstrip().startswith("<") else words
    return shortened(f"HTTP {status}: {words}" if words else f"HTTP {status}", mask)


def _complaint(answer: Mapping[str, Json]) -> str:
    """The first words of a refusal; empty when it has none."""
    texts = (_words(answer.get(name), depth=4) for name in ("error", "errors", "failed_records"))
    status = answer.get("status")
    return next((text for text in texts if text), f"status {status}" if isinstance(status, str) else "")


def _words(value: Json, depth: int) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and isinstance(value.get("message"), str):
        return ": ".join(text for text in (value.get("field"), value["message"]) if isinstance(text, str) and text)
    members = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return next((text for text in (_words(member, depth - 1) for member in members[:10]) if text), "") if depth else ""


def _counts(answer: Mapping[str, Json], sent: int) -> str:
    count = next((answer[name] for name in _COUNTS if type(answer.get(name)) is int), None)
    return f"{count} of {sent} records were good, no reason given" if count is not None else "refused, no reason given"
