"""One HTTP exchange as values: what was asked, what is answered, what the log remembers. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias
from urllib.parse import parse_qsl

import msgspec

Ending: TypeAlias = Literal["answer", "truncate", "drop", "reset"]
"""How an exchange ends: whole, cut in the middle of the body, closed without a byte, or reset without a byte."""


_Bytes: TypeAlias = bytes  # inside Request the name is taken by a field


class Call(msgspec.Struct, frozen=True):
    """A request. ``path`` has no trailing slash, header names are lower-case, ``connection`` counts from 1."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    connection: int

    @property
    def content_type(self) -> str:
        """Media type of the body without its parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def form(self) -> Mapping[str, str]:
        """Fields of a form body; nothing when the body is not a form."""
        if self.content_type != "application/x-www-form-urlencoded":
            return {}
        return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))


class Reply(msgspec.Struct, frozen=True):
    """An answer. ``hold_s`` seconds pass before it (or its absence) reaches the client."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    ending: Ending = "answer"
    hold_s: float = 0.0


class Request(msgspec.Struct, frozen=True):
    """One line of the log. ``reply`` is the answer's text, cut at 500 characters, empty when none was sent.

    ``records`` were sent, ``applied`` of them were applied before the answer; ``fault`` is the kind of the fault that
    struck; ``body`` is the records' JSON text when the sandbox keeps bodies. ``at`` is unix seconds.
    """

    number: int
    method: str
    path: str
    params: Mapping[str, str]
    records: int
    applied: int
    bytes: int
    status: int
    reply: str
    fault: str | None
    at: float
    connection: int
    body: _Bytes | None = None


class Sent(msgspec.Struct, frozen=True):
    """What a request to /engage or /groups carries: parameters, records, and their JSON text.

    ``refusal`` says why there are no records.
    """

    params: Mapping[str, str]
    records: Sequence[Any] = ()
    text: bytes = b""
    refusal: str | None = None


_NOT_RECORDS = "non-standard format"
"""Mixpanel's own words for a body it cannot read."""


def read_sent(call: Call) -> Sent:
    """Unwrap the records of a request.

    Four forms are known to be taken by the live server: a JSON array, and ``data`` as JSON or base64, in a form body
    or in the query string.
    """
    form = call.form
    params = {**call.query, **form}
    wrapped = params.pop("data", None)
    bare = b"" if form else call.body
    text = bare if wrapped is None else _unwrapped(wrapped)
    if not text:
        return Sent(params, refusal="data, missing or empty")
    try:
        decoded = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Sent(params, text=text, refusal=_NOT_RECORDS)
    if isinstance(decoded, dict) and wrapped is not None:
        decoded = [decoded]
    if not isinstance(decoded, list):
        return Sent(params, text=text, refusal=_NOT_RECORDS)
    return Sent(params, decoded, text, None if decoded else "data, missing or empty")


def _unwrapped(wrapped: str) -> bytes:
    text = wrapped.strip()
    if text.startswith(("{", "[")):
        return text.encode("utf-8", "replace")
    try:
        # A plus sign of base64 that nobody escaped arrives as a space.
        return base64.b64decode(text.replace(" ", "+"), validate=True)
    except (binascii.Error, ValueError):
        return text.encode("utf-8", "replace")
