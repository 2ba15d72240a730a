"""One database value -> one JSON value.

A value goes through three steps: ``plain`` reads what the database handed over as a plain Python value, ``cast``
applies the ``type`` a user asked for, and ``canonical`` or ``sent`` make of it what msgspec encodes. The canonical form
is fingerprinted: 10.50 and 10.5 are one number, and the keys of JSON objects are sorted. The sent form keeps the digits
and the JSON text as stored. NULL is ``None`` in every step.
"""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Callable
from datetime import date, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple, TypeAlias

import msgspec

from sync_profiles.core import timestamps
from sync_profiles.core.problems import ValueProblem
from sync_profiles.core.types import Kind, ValueType

Convert: TypeAlias = Callable[[Any], Any]

INTEGER_MAX = 2**53  # the largest range in which every integer is exact as an IEEE double, which JSON readers use
DOUBLE_EXPONENT_MAX = 308
SCALE_MAX = 20_000  # PostgreSQL's numeric ends at 16383; written out, a hostile exponent would fill the memory

_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d{1,9})?", re.ASCII | re.IGNORECASE)
_EPOCH_DIGITS = re.compile(r"\d{9,15}(?:\.\d+)?", re.ASCII)  # fewer digits may be a compact date or a year
_ENDLESS = re.compile(r"[+-]?(?:s?nan|inf|infinity)", re.IGNORECASE)
_ENDLESS_TEXT = "holds NaN or infinity, which are not JSON; `default` would replace them"
_TOO_BIG_TEXT = "holds a number beyond the range of JSON readers; `default` would replace it"
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
            return Conversion(_canonical_json, _stored_json, dated=False)
    exact = wanted in _EXACT_TYPES if wanted else kind in _EXACT_KINDS
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


def canonical(value: Any) -> Any:
    """The form of a plain value that is fingerprinted: what msgspec encodes, equal bytes for equal values."""
    if type(value) in (list, dict):
        return _sorted(_nested(value, canonical_number))
    return _leaf(value, canonical_number)


def sent(value: Any) -> Any:
    """The form of a plain value that is sent: what msgspec encodes, digits as stored."""
    if type(value) in (list, dict):
        return _nested(value, _stored_number)
    return _leaf(value, _stored_number)


def text_of(value: Any) -> str:
    """A plain value as text: for templates, hashes, distinct IDs and ``type = "string"``."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueProblem("bytes", "holds bytes that are not UTF-8") from error
    return _encode(sent(value) if isinstance(value, Decimal) else canonical(value)).decode()


def canonical_number(number: Decimal) -> msgspec.Raw:
    """The one JSON text of a number, without trailing zeros and exponent."""
    digits = format(_bounded(number), "f")
    if "." in digits:
        digits = digits.rstrip("0").rstrip(".")
    return msgspec.Raw("0" if digits == "-0" else digits)


# --- encoding ------------------------------------------------------------------------------------------------------


def _json_number(text: str) -> msgspec.Raw:
    return canonical_number(_decimal(text))


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise ValueProblem("not_finite", "holds a number beyond the range of JSON readers") from error


_encode = msgspec.json.Encoder().encode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.Decoder(float_hook=_decimal).decode
_decode_canonical = msgspec.json.Decoder(float_hook=_json_number).decode


def _sorted(value: Any) -> msgspec.Raw:
    try:
        return msgspec.Raw(_encode_sorted(value))
    except UnicodeEncodeError as error:
        raise ValueProblem("bad_value", "holds text with a lone surrogate, which is not Unicode") from error


def _bounded(number: Decimal) -> Decimal:
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int):
        raise ValueProblem("not_finite", _ENDLESS_TEXT)
    if exponent < -SCALE_MAX or number.adjusted() > DOUBLE_EXPONENT_MAX:
        raise ValueProblem("not_finite", _TOO_BIG_TEXT)
    return number


def _stored_number(number: Decimal) -> msgspec.Raw:
    return msgspec.Raw(format(_bounded(number), "f"))


def _leaf(value: Any, number: Convert) -> Any:
    kind = type(value)
    if kind is int:
        return value if -INTEGER_MAX <= value <= INTEGER_MAX else str(value)
    if kind is Decimal:
        return number(value)
    if kind is float and not math.isfinite(value):
        raise ValueProblem("not_finite", _ENDLESS_TEXT)
    if kind is bytes:
        cure = '`type = "string"` sends UTF-8, `type = "uuid"` 16 bytes as a UUID'
        raise ValueProblem("bytes", f"holds bytes, which are not JSON; {cure}")
    return value


def _nested(value: Any, number: Convert) -> Any:
    """Inside JSON integers of any size stay numbers: it is the same JSON."""
    try:
        return _walk(value, number)
    except RecursionError as error:
        raise ValueProblem("bad_json", "holds JSON that is nested too deeply") from error


def _walk(value: Any, number: Convert) -> Any:
    if type(value) is list:
        return [_walk(element, number) for element in value]
    if type(value) is dict:
        return {name: _walk(element, number) for name, element in value.items()}
    return value if type(value) is int else _leaf(value, number)


# --- JSON ----------------------------------------------------------------------------------------------------------


def _parse(text: str | bytes, decode: Convert) -> Any:
    try:
        return decode(text)
    except RecursionError as error:
        raise ValueProblem("bad_json", "holds JSON that is nested too deeply") from error
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise ValueProblem("bad_json", "holds text that is not valid JSON") from error


def _canonical_json(raw: Any) -> Any:
    if type(raw) is not str:
        return canonical(plain(Kind.JSON, raw))
    value = _parse(raw, _decode_canonical)
    return None if value is None else _sorted(value)


def _stored_json(raw: Any) -> Any:
    if type(raw) is not str:
        return sent(plain(Kind.JSON, raw))
    return None if _parse(raw, _decode) is None else msgspec.Raw(raw)


def _server_json(raw: Any) -> Any:
    """JSON that the database wrote in its own layout needs no second look."""
    if type(raw) is not str:
        return canonical(plain(Kind.JSON, raw))
    if raw == "null":
        return None
    try:
        return msgspec.Raw(raw)
    except UnicodeEncodeError as error:
        raise ValueProblem("bad_json", "holds text that is not valid JSON") from error


# --- casts ---------------------------------------------------------------------------------------------------------


def _number(value: Any) -> Any:
    if isinstance(value, str):
        text = value.strip()
        if _NUMBER.fullmatch(text):
            return _decimal(text)
        if _ENDLESS.fullmatch(text):
            raise ValueProblem("not_finite", _ENDLESS_TEXT)
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
    word = value.strip().lower() if isinstance(value, str) else value
    if word in _TRUE or word == b"\x01":
        return True
    if word in _FALSE or word == b"\x00":
        return False
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
    listed = _parse(value, _decode) if isinstance(value, str) else value
    if isinstance(listed, list):
        return listed
    raise ValueProblem("bad_value", "holds something that is no list")


def _json(value: Any) -> Any:
    return _parse(value, _decode) if isinstance(value, str) else value


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
    "string": text_of,
    "number": _number,
    "boolean": _boolean,
    "date": _date,
    "datetime": _datetime,
    "list": _list,
    "json": _json,
    "uuid": _uuid,
}

_KIND_TYPES: dict[Kind, ValueType] = {
    Kind.INTEGER: "number",
    Kind.DECIMAL: "number",
    Kind.FLOAT: "number",
    Kind.BOOLEAN: "boolean",
    Kind.INSTANT: "datetime",
    Kind.DATETIME: "datetime",
    Kind.DATE: "date",
    Kind.JSON: "json",
    Kind.JSONB: "json",
    Kind.LIST: "json",
}
_TEXT_KINDS: dict[Kind, Convert] = {
    Kind.TIME: timestamps.clock_text,
    Kind.INTERVAL: _number,
    Kind.SET: lambda text: sorted(text.split(",")) if text else [],
}
# Where the canonical form is what is sent: texts, and numbers that have no stored digits.
_EXACT_TYPES = frozenset(("string", "boolean", "date", "datetime", "uuid"))
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
