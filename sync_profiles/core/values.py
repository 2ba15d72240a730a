"""One database value -> one JSON value.

A value goes through three steps: ``plain`` reads what the database handed over as a plain Python value, ``cast``
applies the ``type`` a user asked for, and ``forms.canonical`` or ``forms.sent`` make of it what msgspec encodes. The
canonical form is fingerprinted: 10.50 and 10.5 are one number, and the keys of JSON objects are sorted. The sent form
keeps the digits and the JSON text as stored. NULL is ``None`` in every step.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any, NamedTuple, TypeAlias

import msgspec

from sync_profiles.core import timestamps
from sync_profiles.core.forms import canonical, canonical_json, read_json, sent, text_of
from sync_profiles.core.problems import ValueProblem
from sync_profiles.core.types import Kind, ValueType

Convert: TypeAlias = Callable[[Any], Any]

# Where the canonical form is what is sent: texts, and values without stored digits.
EXACT_TYPES: frozenset[ValueType] = frozenset(("string", "boolean", "date", "datetime", "uuid"))

_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d{1,9})?", re.ASCII | re.IGNORECASE)
_DIGITS = re.compile(r"-?(?:0|[1-9]\d{0,299})(?:\.\d{1,16383})?", re.ASCII)  # as JSON writes them too
_EPOCH_DIGITS = re.compile(r"\d{9,15}(?:\.\d+)?", re.ASCII)  # fewer digits may be a compact date or a year
_ENDLESS = re.compile(r"[+-]?(?:s?nan|inf|infinity)", re.IGNORECASE)
_TRUE = frozenset(("t", "true", "1", "y", "yes", "on"))
_FALSE = frozenset(("f", "false", "0", "n", "no", "off"))


class Conversion(NamedTuple):
    """How the values of one column become JSON. ``sent`` None: what is sent is the canonical form itself.

    ``dated``: the results are dates. Both functions take None for NULL, may return None for it, and raise
    ``ValueProblem``.
    """

    canonical: Convert
    sent: Convert | None
    dated: bool


def conversion(kind: Kind, wanted: ValueType | None) -> Conversion:
    """The conversion of a column of ``kind`` to the ``type`` a property asks for."""
    if wanted in (None, "json"):
        if kind in (Kind.JSONB, Kind.LIST):
            return Conversion(_server_json, None, dated=False)
        if kind is Kind.JSON or (kind is Kind.TEXT and wanted == "json"):
            return Conversion(_json_form, _stored_json, dated=False)
    if kind is Kind.DECIMAL and wanted in (None, "number"):
        return Conversion(_canonical_decimal, _stored_decimal, dated=False)
    if kind in (Kind.INSTANT, Kind.DATETIME) and wanted in (None, "datetime"):
        return Conversion(_moment, None, dated=True)
    if kind in _DATED_KINDS and wanted == "string":
        return Conversion(lambda raw: _date_or_text(kind, raw), None, dated=False)
    exact = wanted in EXACT_TYPES if wanted else kind in _EXACT_KINDS
    return Conversion(
        canonical=lambda raw: canonical(cast(wanted, plain(kind, raw))),
        sent=None if exact else lambda raw: sent(cast(wanted, plain(kind, raw))),
        dated=wanted in ("date", "datetime") or (wanted is None and _KIND_TYPES.get(kind) in ("date", "datetime")),
    )


def plain(kind: Kind, raw: Any) -> Any:
    """A raw value as None, bool, int, float, Decimal, str, bytes, list or dict; dates are already the text to send.

    Takes native Python values for every kind, because SQLite and expressions hand over what they like.
    """
    if type(raw) is str:
        special = _TEXT_KINDS.get(kind)
        return special(raw) if special else cast(_KIND_TYPES.get(kind), raw)
    value = _native(raw)
    wanted = _KIND_TYPES.get(kind)
    return cast(wanted, value) if wanted in ("boolean", "date", "datetime") else value


def cast(wanted: ValueType | None, value: Any) -> Any:
    """A plain value as the plain value of another ``type``; raises ``ValueProblem`` where there is no sensible one."""
    return value if wanted is None or value is None else _CASTS[wanted](value)


# --- numbers and JSON as stored ------------------------------------------------------------------------------------


def _moment(raw: Any) -> Any:
    return None if raw is None else _datetime(raw if type(raw) is str else _native(raw))


def _date_or_text(kind: Kind, raw: Any) -> Any:
    """As text a date may be anything: ``type = "string"`` is the way to send what is no date."""
    try:
        return cast("string", plain(kind, raw))
    except ValueProblem:
        if isinstance(raw, str):
            return raw
        raise


def _canonical_decimal(raw: Any) -> Any:
    return canonical(plain(Kind.DECIMAL, raw))


def _stored_decimal(raw: Any) -> Any:
    if type(raw) is str and _DIGITS.fullmatch(raw):
        return msgspec.Raw(raw)
    return sent(plain(Kind.DECIMAL, raw))


def _json_form(raw: Any) -> Any:
    return canonical_json(raw) if type(raw) is str else canonical(plain(Kind.JSON, raw))


def _stored_json(raw: Any) -> Any:
    if type(raw) is not str:
        return sent(plain(Kind.JSON, raw))
    return None if read_json(raw) is None else msgspec.Raw(raw)


def _server_json(raw: Any) -> Any:
    """JSON that the database wrote in its own layout needs no second look."""
    if type(raw) is not str:
        return canonical(plain(Kind.JSON, raw))
    try:
        return None if raw == "null" else msgspec.Raw(raw)
    except UnicodeEncodeError as error:
        raise ValueProblem("bad_json", "holds text that is not valid JSON") from error


# --- casts ---------------------------------------------------------------------------------------------------------


def _string(value: Any) -> str:
    if not isinstance(value, bytes):
        return text_of(value)
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueProblem("bytes", "holds bytes that are not UTF-8") from error


def _number(value: Any) -> Any:
    if isinstance(value, str):
        text = value.strip()
        if _NUMBER.fullmatch(text):
            return Decimal(text)
        if _ENDLESS.fullmatch(text):
            return Decimal("NaN")  # not finite, in whatever form it is wanted
    elif isinstance(value, bool):
        return int(value)
    elif isinstance(value, int | float | Decimal):
        return value
    raise ValueProblem("bad_value", "holds something that is no number")


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value != 0  # as MySQL reads its tinyint(1)
    if isinstance(value, float | Decimal) and value in (0, 1):
        return bool(value)
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
    if isinstance(value, bytes) and value in (b"\x00", b"\x01"):  # a bit(1)
        return value == b"\x01"
    raise ValueProblem("bad_value", "holds something that is neither true nor false")


def _datetime(value: Any) -> str | None:
    if isinstance(value, str):
        epoch = _EPOCH_DIGITS.fullmatch(value)
        return timestamps.epoch_text(Decimal(value)) if epoch else timestamps.datetime_text(value)
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return timestamps.epoch_text(value)
    raise ValueProblem("bad_date", "holds something that is no date")


def _date(value: Any) -> str | None:
    stamp = _datetime(value)
    return None if stamp is None else stamp[:10]


def _list(value: Any) -> list[Any]:
    listed = read_json(value) if isinstance(value, str) else value
    if isinstance(listed, list):
        return listed
    raise ValueProblem("bad_value", "holds something that is no list")


def _json(value: Any) -> Any:
    return read_json(value) if isinstance(value, str) else value


def _uuid(value: Any) -> str:
    try:
        if isinstance(value, bytes):
            return str(uuid.UUID(bytes=value))
        if isinstance(value, str):
            return str(uuid.UUID(value.strip()))
    except ValueError as error:
        raise ValueProblem("bad_value", "holds something that is no UUID") from error
    raise ValueProblem("bad_value", "holds something that is no UUID")


_CASTS: dict[ValueType, Convert] = {
    "string": _string,
    "number": _number,
    "boolean": _boolean,
    "date": _date,
    "datetime": _datetime,
    "list": _list,
    "json": _json,
    "uuid": _uuid,
}

_KIND_TYPES: dict[Kind, ValueType] = {
    Kind.DECIMAL: "number",
    Kind.BOOLEAN: "boolean",
    Kind.INSTANT: "datetime",
    Kind.DATETIME: "datetime",
    Kind.DATE: "date",
    Kind.JSON: "json",
    Kind.JSONB: "json",
    Kind.LIST: "json",
}
_DATED_KINDS = frozenset((Kind.INSTANT, Kind.DATETIME, Kind.DATE, Kind.TIME))
_TEXT_KINDS: dict[Kind, Convert] = {
    Kind.TIME: timestamps.clock_text,
    Kind.INTERVAL: _number,
    Kind.SET: lambda text: sorted(text.split(",")) if text else [],
}
_EXACT_KINDS = frozenset(Kind) - {Kind.DECIMAL, Kind.JSON, Kind.JSONB, Kind.LIST, Kind.ANY}


# --- native Python values ------------------------------------------------------------------------------------------


def _native(raw: Any) -> Any:
    for base in type(raw).__mro__:
        convert = _NATIVE.get(base)
        if convert is not None:
            return convert(raw)
    raise ValueProblem("bad_value", f"holds a {type(raw).__name__}, which has no JSON form")


def _same(value: Any) -> Any:
    return value


def _seconds(span: timedelta) -> int | float:
    return span.total_seconds() if span.microseconds else span.days * 86400 + span.seconds


def _listed(values: Any) -> list[Any]:
    return [_native(value) for value in values]


_NATIVE: dict[type, Convert] = {
    type(None): _same,
    bool: _same,
    int: int,  # IntEnum and the like become what they are
    float: float,
    Decimal: Decimal,
    str: str,
    bytes: bytes,
    bytearray: bytes,
    memoryview: bytes,
    date: timestamps.moment_text,  # and its subclass datetime
    time: lambda clock: clock.isoformat("seconds"),
    timedelta: _seconds,
    uuid.UUID: str,
    list: _listed,
    tuple: _listed,
    set: lambda members: sorted(_listed(members), key=str),
    frozenset: lambda members: sorted(_listed(members), key=str),
    dict: lambda mapping: {text_of(_native(name)): _native(value) for name, value in mapping.items()},
}
