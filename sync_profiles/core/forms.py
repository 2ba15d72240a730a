"""Plain values (see ``values.plain``) as what msgspec encodes: the canonical form, the sent form, and text.

Numbers of the database are ``Decimal`` here, so no digit is lost; inside JSON too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from sync_profiles.core.problems import ValueProblem

INTEGER_MAX = 2**53
"""Up to here every integer is exact as an IEEE double, which is what JSON readers make of a number."""

_DOUBLE_EXPONENT_MAX = 308
_SCALE_MAX = 20_000  # PostgreSQL's numeric ends at 16383; written out, a hostile exponent would fill the memory
_ENDLESS = "holds NaN or infinity, which are not JSON; `default` would replace them"
_TOO_BIG = "holds a number beyond the range of JSON readers; `default` would replace it"


def canonical(value: Any) -> Any:
    """The form of a plain value that is fingerprinted: what msgspec encodes, equal bytes for equal values."""
    if type(value) in (list, dict):
        return _sorted(_nested(value, _number))
    return _leaf(value, _number)


def sent(value: Any) -> Any:
    """The form of a plain value that is sent: what msgspec encodes, digits as stored."""
    if type(value) in (list, dict):
        return _nested(value, _stored_number)
    return _leaf(value, _stored_number)


def text_of(value: Any) -> str:
    """A plain value as text: for templates, hashes, distinct IDs and ``type = "string"``; bytes are not text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return _encode(sent(value) if isinstance(value, Decimal) else canonical(value)).decode()


def read_json(text: str) -> Any:
    """The plain value of a JSON text."""
    return _parsed(text, _decode)


def canonical_json(text: str) -> Any:
    """The canonical form of a JSON text: sorted keys, no layout; None for ``null``."""
    value = _parsed(text, _decode_canonical)
    return None if value is None else _sorted(value)


def _parsed(text: str, decode: Callable[[str], Any]) -> Any:
    try:
        return decode(text)
    except RecursionError as error:
        raise ValueProblem("bad_json", "holds JSON that is nested too deeply") from error
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise ValueProblem("bad_json", "holds text that is not valid JSON") from error


def _number(number: Decimal) -> msgspec.Raw:
    """The one JSON text of a number, without trailing zeros and exponent."""
    digits = format(_bounded(number), "f")
    if "." in digits:
        digits = digits.rstrip("0").rstrip(".")
    return msgspec.Raw("0" if digits == "-0" else digits)


def _json_number(text: str) -> msgspec.Raw:
    return _number(_decimal(text))


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise ValueProblem("not_finite", _TOO_BIG) from error


def _sorted(value: Any) -> msgspec.Raw:
    try:
        return msgspec.Raw(_encode_sorted(value))
    except UnicodeEncodeError as error:
        raise ValueProblem("bad_value", "holds text with a lone surrogate, which is not Unicode") from error


def _bounded(number: Decimal) -> Decimal:
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int):
        raise ValueProblem("not_finite", _ENDLESS)
    if exponent < -_SCALE_MAX or number.adjusted() > _DOUBLE_EXPONENT_MAX:
        raise ValueProblem("not_finite", _TOO_BIG)
    return number


def _stored_number(number: Decimal) -> msgspec.Raw:
    return msgspec.Raw(format(_bounded(number), "f"))


def _leaf(value: Any, number: Callable[[Decimal], msgspec.Raw]) -> Any:
    kind = type(value)
    if kind is int:
        return value if -INTEGER_MAX <= value <= INTEGER_MAX else str(value)
    if kind is Decimal:
        return number(value)
    if kind is float and not math.isfinite(value):
        raise ValueProblem("not_finite", _ENDLESS)
    if kind is bytes:
        cure = '`type = "string"` sends UTF-8, `type = "uuid"` 16 bytes as a UUID'
        raise ValueProblem("bytes", f"holds bytes, which are not JSON; {cure}")
    return value


def _nested(value: Any, number: Callable[[Decimal], msgspec.Raw]) -> Any:
    """Inside JSON integers of any size stay numbers: it is the same JSON."""
    try:
        return _walk(value, number)
    except RecursionError as error:
        raise ValueProblem("bad_json", "holds JSON that is nested too deeply") from error


def _walk(value: Any, number: Callable[[Decimal], msgspec.Raw]) -> Any:
    if type(value) is list:
        return [_walk(element, number) for element in value]
    if type(value) is dict:
        return {name: _walk(element, number) for name, element in value.items()}
    return value if type(value) is int else _leaf(value, number)


_encode = msgspec.json.Encoder().encode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.Decoder(float_hook=_decimal).decode
_decode_canonical = msgspec.json.Decoder(float_hook=_json_number).decode
