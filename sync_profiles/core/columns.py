"""Whole columns of a page at once: the fast way to the same results as ``values.conversion``, value by value.

Each function takes the values of one column without its NULLs and gives back what the canonical conversion would, or
None where one of the values asks for a closer look. A page of a typical table costs a few hundred nanoseconds a row
this way, because the loops run inside the interpreter's own C code.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from types import NoneType
from typing import Any, TypeAlias

import msgspec

from sync_profiles.core.forms import INTEGER_MAX, canonical_json
from sync_profiles.core.problems import ValueProblem
from sync_profiles.core.records import RECORD_BYTES_MAX
from sync_profiles.core.types import Kind, ValueType

Values: TypeAlias = Sequence[Any]
Convert: TypeAlias = Callable[[Values, set[type]], Values | None]
"""The values and the set of their types -> the converted values, or None."""

_ZEROS = bytes.maketrans(b"123456789", b"0" * 9)
_FRACTION = re.compile(rb"\.0{1,6}\n")
_NUMBERS = re.compile(r"(?:-?(?:0|[1-9][0-9]{0,299})(?:\.[0-9]{1,16383})?\n)*+")


def whole_column(kind: Kind, wanted: ValueType | None) -> Convert | None:
    """The fast conversion of a column of ``kind`` to a ``type``, where there is one."""
    return _CONVERSIONS.get((kind, wanted))


def _texts(values: Values, types: set[type]) -> Values | None:
    return values if types == {str} and max(map(len, values)) <= RECORD_BYTES_MAX else None


def _integers(values: Values, types: set[type]) -> Values | None:
    small = types == {int} and min(values) >= -INTEGER_MAX and max(values) <= INTEGER_MAX
    return values if small else None


def _digits(values: Values, types: set[type]) -> Values | None:
    return list(map(str, values)) if types == {int} else None


def _booleans(values: Values, types: set[type]) -> Values | None:
    if types == {bool}:
        return values
    return list(map(bool, values)) if types == {int} else None


def _floats(values: Values, types: set[type]) -> Values | None:
    return values if types == {float} and all(map(math.isfinite, values)) else None


def _are_digits(texts: Sequence[str]) -> bool:
    """Whether these are plain decimal numbers, written as JSON writes them too, and none is minus zero."""
    joined = "\n".join(texts) + "\n"
    one_a_line = joined.count("\n") == len(texts)
    return one_a_line and "-0" not in joined and _NUMBERS.fullmatch(joined) is not None  # -0.00 is 0, but -0.50 is not


def _unpadded(digits: str) -> str:
    """A plain number without the zeros behind its last digit that counts, as in 10.50."""
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def _numbers(values: Values, types: set[type]) -> Values | None:
    """What SQLite makes of a decimal: an integer or a float, as it comes."""
    if not types <= {int, float} or not all(map(math.isfinite, values)):
        return None
    return values if min(values) >= -INTEGER_MAX and max(values) <= INTEGER_MAX else None


def _decimals(values: Values, types: set[type]) -> Values | None:
    if str not in types:
        return _numbers(values, types)
    if types != {str} or not _are_digits(values):
        return None
    return [msgspec.Raw(text if text[-1] != "0" else _unpadded(text)) for text in values]


def _server_json(values: Values, types: set[type]) -> Values | None:
    if types != {str} or "null" in values or max(map(len, values)) > RECORD_BYTES_MAX:
        return None
    try:
        return list(map(msgspec.Raw, values))
    except UnicodeEncodeError:
        return None


def _json(values: Values, types: set[type]) -> Values | None:
    if types != {str} or max(map(len, values)) > RECORD_BYTES_MAX:
        return None
    different = dict.fromkeys(values)
    few = len(different) <= len(values) // 2  # settings and tags are often the same as another row's
    try:
        found = list(map(canonical_json, different if few else values))
    except ValueProblem:
        return None
    if None in found:
        return None
    return list(map(dict(zip(different, found, strict=True)).__getitem__, values)) if few else found


def _instants(values: Values, types: set[type]) -> Values | None:
    return _stamps(values, "+00") if types == {str} else None


def _datetimes(values: Values, types: set[type]) -> Values | None:
    return _stamps(values, "") if types == {str} else None


def _stamps(values: Values, zone: str) -> Values | None:
    """``YYYY-MM-DD HH:MM:SS[.ffffff]`` and the zone's letters -> ``YYYY-MM-DDTHH:MM:SS[.mmm]``."""
    joined = "\n".join(values) + "\n"
    bare = joined.replace(zone + "\n", "\n") if zone else joined
    if "T" in bare:  # ISO's own way, which is common in SQLite
        bare = bare.replace("T", " ").replace("Z\n", "\n")
    shape = bare.encode("utf-8", "surrogatepass").translate(_ZEROS)
    fractions = b"." in shape
    if fractions:
        shape = _FRACTION.sub(b"\n", shape)
    if shape != b"0000-00-00 00:00:00\n" * len(values) or _has_zero_dates(values, joined):
        return None
    texts = bare.replace(" ", "T").split("\n")
    texts.pop()
    if not fractions:
        return texts
    return [text[:23] if len(text) > 22 and text[20:23] != "000" else _to_milliseconds(text) for text in texts]


def _to_milliseconds(text: str) -> str:
    milliseconds = text[20:23].ljust(3, "0")  # also of a text without a fraction
    return text[:19] if milliseconds == "000" else f"{text[:20]}{milliseconds}"


def _dates(values: Values, types: set[type]) -> Values | None:
    if types != {str}:
        return None
    joined = "\n".join(values) + "\n"
    shape = joined.encode("utf-8", "surrogatepass").translate(_ZEROS)
    return values if shape == b"0000-00-00\n" * len(values) and not _has_zero_dates(values, joined) else None


def _has_zero_dates(values: Values, joined: str) -> bool:
    return min(values) < "0001" or "-00" in joined


def _anything(values: Values, types: set[type]) -> Values | None:
    """Columns of expressions and of SQLite are mostly of one type after all."""
    if len(types) != 1:
        return None
    convert = _NATIVE.get(next(iter(types)))
    return convert(values, types) if convert else None


def _any_texts(values: Values, types: set[type]) -> Values | None:
    return _texts(values, types) or _digits(values, types)


_NATIVE: dict[type, Convert] = {str: _texts, int: _integers, float: _floats, bool: _booleans}
_CONVERSIONS: dict[tuple[Kind, ValueType | None], Convert] = {
    (Kind.TEXT, None): _texts,
    (Kind.TEXT, "string"): _texts,
    (Kind.UUID, None): _texts,
    (Kind.UUID, "string"): _texts,
    (Kind.INTEGER, None): _integers,
    (Kind.INTEGER, "number"): _integers,
    (Kind.INTEGER, "string"): _digits,
    (Kind.FLOAT, None): _floats,
    (Kind.FLOAT, "number"): _floats,
    (Kind.BOOLEAN, None): _booleans,
    (Kind.BOOLEAN, "boolean"): _booleans,
    (Kind.DECIMAL, None): _decimals,
    (Kind.DECIMAL, "number"): _decimals,
    (Kind.INSTANT, None): _instants,
    (Kind.INSTANT, "datetime"): _instants,
    (Kind.INSTANT, "string"): _instants,
    (Kind.DATETIME, None): _datetimes,
    (Kind.DATETIME, "datetime"): _datetimes,
    (Kind.DATETIME, "string"): _datetimes,
    (Kind.DATE, None): _dates,
    (Kind.DATE, "date"): _dates,
    (Kind.DATE, "string"): _dates,
    (Kind.JSON, None): _json,
    (Kind.JSON, "json"): _json,
    (Kind.TEXT, "json"): _json,
    (Kind.JSONB, None): _server_json,
    (Kind.JSONB, "json"): _server_json,
    (Kind.LIST, None): _server_json,
    (Kind.LIST, "json"): _server_json,
    (Kind.ANY, None): _anything,
    (Kind.ANY, "string"): _any_texts,
}


# --- what is sent as it is stored ----------------------------------------------------------------------------------

Forms: TypeAlias = dict[int, tuple[bytes, bytes]]
Rewrite: TypeAlias = Callable[[Values], Forms | None]
"""Values, NULLs among them -> by index, canonical and sent form of those that have two, as JSON; None: look at each."""


def rewriting(kind: Kind, wanted: ValueType | None) -> Rewrite | None:
    """How values of ``kind`` that are sent as they are stored are told from their canonical form."""
    return _REWRITES.get(whole_column(kind, wanted))


def _stored_decimals(values: Values) -> Forms | None:
    types = set(map(type, values)) - {NoneType}
    if types <= {int, float}:
        return {}
    if types != {str} or not _are_plain(values):
        return None
    padded = [index for index, text in enumerate(values) if text and text[-1] == "0" and "." in text]
    return {index: (_unpadded(values[index]).encode(), values[index].encode()) for index in padded}


def _are_plain(values: Values) -> bool:
    """Whether these texts, which are numbers, have neither exponent nor sign but a minus, and none is minus zero."""
    joined = " ".join(filter(None, values))
    return not joined.encode().translate(None, b"0123456789.- ") and "-0" not in joined


def _stored_jsons(values: Values) -> Forms | None:
    try:
        different = list(set(values) - {None})
    except TypeError:  # lists and the like have no hash
        return None
    canonical = _json(different, set(map(type, different))) if different else []
    if canonical is None:
        return None
    pairs = {text: (bytes(raw), text.encode()) for text, raw in zip(different, canonical, strict=True)}
    pairs = {text: pair for text, pair in pairs.items() if pair[0] != pair[1]}
    return {index: pairs[text] for index, text in enumerate(values) if text in pairs}


def _none_of_plain(values: Values) -> Forms | None:
    """Plain values that carry their own type have one form; a ``Decimal`` or a list among them may have two."""
    return {} if _PLAIN.issuperset(map(type, values)) else None


_PLAIN = frozenset((str, int, float, bool, NoneType))
_REWRITES: dict[Convert | None, Rewrite] = {
    _decimals: _stored_decimals,
    _json: _stored_jsons,
    _anything: _none_of_plain,
}
