"""The answers of Mixpanel: recorded ones to the letter, documented ones where no recording is public. Pure.

Recorded: ``1``, ``{"error":null,"status":1}`` with ``verbose=1``, and with ``strict=1``
``{"error":null,"errors":{},"num_good_events":N,"status":1}``. The failing form of ``strict=1`` is not public; here it
is the same object with ``errors`` by position. Keys stand in the alphabetical order of the recordings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from sync_profiles.sandbox.exchange import Reply
from sync_profiles.sandbox.faults import Fault

_DOCUMENTED = {
    400: b'{"code":400,"error":"some data points in the request failed validation","status":"Bad Request"}',
    401: b'{"error":"Invalid credentials","status":"error"}',
    403: b'{"error":"Forbidden","status":"error"}',
    404: b'{"error":"Not Found","status":"error"}',
    429: (
        b'{"code":429,"error":"Project exceeded rate limits. Please retry the request with exponential backoff.",'
        b'"status":"Too Many Requests"}'
    ),
}
_HTML = b"<html><head><title>Welcome</title></head><body><h1>It works</h1></body></html>"


def json_reply(status: int, content: object) -> Reply:
    """Answer with an object as compact JSON."""
    return Reply(status, msgspec.json.encode(content))


def error_reply(status: int, error: str) -> Reply:
    """Answer with an error of our own wording in Mixpanel's shape."""
    return json_reply(status, {"error": error, "status": "error"})


def too_large_reply(bytes_max: int) -> Reply:
    """Answer 413 in the words documented for /import, the only ones that are public."""
    error = f"request exceeds max limit of {bytes_max} bytes"
    return json_reply(413, {"code": 413, "error": error, "status": "Request Entity Too Large"})


def ingestion_reply(params: Mapping[str, str], good: int, errors: Mapping[str, Sequence[str]]) -> Reply:
    """Answer /engage or /groups: ``good`` records were taken, ``errors`` holds the reasons by position.

    ``status`` is 1 as soon as one record was good: that is what Mixpanel's reference says of it.
    """
    status = 1 if good else 0
    first = next((reasons[0] for reasons in errors.values()), None)
    if params.get("strict") == "1":
        return json_reply(200, {"error": first, "errors": errors, "num_good_events": good, "status": status})
    if params.get("verbose", "0") not in ("", "0"):
        return json_reply(200, {"error": None if good else first, "status": status})
    return Reply(200, b"%d" % status)


def faulty_reply(fault: Fault, honest: Reply, sent: int) -> Reply:
    """Return what the client gets instead of ``honest``, the answer to ``sent`` records."""
    match fault.kind:
        case "status":
            return _status_reply(fault)
        case "reset":
            return Reply(0, b"", ending="reset")
        case "timeout":
            return Reply(0, b"", ending="drop", hold_s=fault.seconds)
        case "zombie":
            return Reply(0, b"", ending="drop")
        case "html":
            return Reply(200, _HTML, "text/html; charset=utf-8")
        case "empty":
            return Reply(200, b"")
        case "bare":
            return Reply(200, b"1")
        case "wrong_count":
            return json_reply(200, {"error": None, "errors": {}, "num_good_events": sent - 1, "status": 1})
        case "truncated":
            return Reply(honest.status, honest.body, ending="truncate")
        case "slow":
            return honest


def _status_reply(fault: Fault) -> Reply:
    headers: list[tuple[str, str]] = []
    if fault.retry_after is not None:
        headers.append(("Retry-After", fault.retry_after))
    if fault.code in range(300, 400):
        headers.append(("Location", fault.location))
    if fault.code == 413:
        return too_large_reply(2_097_152)
    known = _DOCUMENTED.get(fault.code)
    if known is not None:
        return Reply(fault.code, known, headers=tuple(headers))
    # Gateways in front of the server answer the rest, in HTML.
    page = b"<html><body><h1>%d</h1></body></html>" % fault.code
    return Reply(fault.code, page, "text/html", tuple(headers))
