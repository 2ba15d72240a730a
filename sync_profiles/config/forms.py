"""The forms a value can be written in: durations, limits, choices, names. Each reads, shows and describes itself."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from sync_profiles.config.model import MASK, Secret
from sync_profiles.core.types import Json, Limit

LONGEST_S = 3650 * 86_400.0
"""Ten years: nothing here is meant to last longer, and every database and socket can still count it."""

_UNITS_S = (86_400, 3_600, 60, 1)
_DURATION = re.compile(
    r"(?:([0-9]{1,9})d)?\s*(?:([0-9]{1,9})h)?\s*(?:([0-9]{1,9})m)?\s*(?:([0-9]{1,9})s)?|([0-9]{1,9})"
)
_SHARE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,4})?)\s*%")
_DIGITS = re.compile(r"[0-9]{1,15}")

OR_VARIABLE: Mapping[str, Json] = {"type": "string", "pattern": r"\$\{"}
"""JSON Schema of a string that a variable fills in."""


class MisfitError(ValueError):
    """A value does not fit; the text goes on after the value's name: "is not ...". It never holds the value."""


class Form(msgspec.Struct, frozen=True):
    """How one kind of setting is written.

    ``read`` takes a TOML value and raises ``MisfitError``; ``show`` writes what ``read`` gave as it would stand in the
    file; ``schema`` is its JSON Schema. ``exposes`` is given for secrets: whether a literal text would give one away.
    ``echoed`` values are harmless enough to be repeated in an error.
    """

    read: Callable[[Json], Any]
    schema: Mapping[str, Json]
    show: Callable[[Any], str] = str
    exposes: Callable[[str], bool] | None = None
    echoed: bool = False


def nearest(word: str, words: Iterable[str]) -> str:
    """The end of a message that names the closest of ``words``, or nothing."""
    folded = {known.casefold(): known for known in words}
    close = difflib.get_close_matches(word.casefold(), folded, n=1)
    return f"; did you mean {folded[close[0]]!r}?" if close else ""


def parse_duration(text: str) -> float:
    """Seconds of "90s", "15m", "24h", "2d", "1h30m", or of plain digits. Raises ``MisfitError`` (a ``ValueError``)."""
    match = _DURATION.fullmatch(text.strip())
    if match is None or not text.strip():
        raise MisfitError('is not a duration such as "90s", "15m", "24h" or "2d"')
    *parts, plain = match.groups()
    return float(plain) if plain else float(sum(int(n or 0) * unit for n, unit in zip(parts, _UNITS_S, strict=True)))


def format_duration(seconds: float) -> str:
    """The text that ``parse_duration`` reads back: ``5400.0`` is "1h30m"."""
    hours, rest = divmod(int(seconds), 3_600)
    parts = [(hours, "h"), (rest // 60, "m"), (rest % 60, "s")]
    return "".join(f"{count}{unit}" for count, unit in parts if count) or "0"


def _text(value: Json) -> str:
    if not isinstance(value, str):
        raise MisfitError("is not a text in quotes")
    if not value.strip():
        raise MisfitError("is empty")
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise MisfitError("has a NUL or a byte that is not UTF-8 in it")
    return value


TEXT = Form(_text, {"type": "string", "minLength": 1})


def secret(check: Callable[[str], str], *, exposes: Callable[[str], bool]) -> Form:
    """A text that is kept as ``Secret`` once ``check`` let it pass."""
    return Form(lambda value: Secret(check(_text(value))), {"type": "string"}, show=lambda _: MASK, exposes=exposes)


def without_spaces(text: str) -> str:
    """A token: anything without white space; a line end picked up from a file is the usual accident."""
    if text.split() != [text]:
        raise MisfitError("has a space or a line end in it")
    return text


def choice(*words: str) -> Form:
    """One of a few words."""

    def read(value: Json) -> str:
        if value in words:
            return str(value)
        raise MisfitError(f"is not one of {', '.join(words)}" + nearest(str(value), words))

    return Form(read, {"anyOf": [{"enum": list(words)}, OR_VARIABLE]}, echoed=True)


def switch(*, off: str, on: str) -> Form:
    """Two words for a truth value."""
    words = choice(off, on)
    return Form(lambda value: words.read(value) == on, words.schema, lambda state: on if state else off, echoed=True)


def _flag(value: Json) -> bool:
    if isinstance(value, bool):
        return value
    raise MisfitError("is not true or false")


FLAG = Form(_flag, {"type": "boolean"}, show=lambda state: str(state).lower(), echoed=True)


def whole(low: int, high: int) -> Form:
    """A whole number from ``low`` to ``high``; as text too, because a variable can only stand in a text."""

    def read(value: Json) -> int:
        number = int(value) if isinstance(value, str) and _DIGITS.fullmatch(value) else value
        if type(number) is int and low <= number <= high:
            return number
        raise MisfitError(f"is not a whole number from {low} to {high}")

    return Form(read, {"anyOf": [{"type": "integer", "minimum": low, "maximum": high}, OR_VARIABLE]}, echoed=True)


def duration(*, zero: bool = False, off: str | None = None, longest_s: float = LONGEST_S) -> Form:
    """A duration in seconds. ``off`` is the word for None; ``zero`` lets 0 pass as a duration of its own."""

    def read(value: Json) -> float | None:
        if type(value) not in {str, int}:
            raise MisfitError('is not a duration such as "15m", or whole seconds')
        if str(value).strip() == off:
            return None
        seconds = parse_duration(str(value))
        if seconds == 0 and off == "0":
            return None
        if seconds == 0 and not zero:
            raise MisfitError("must be longer than 0" + (f'; write "{off}" to switch it off' if off else ""))
        if seconds > longest_s:
            raise MisfitError(f"is longer than {format_duration(longest_s)}, the most that works")
        return seconds

    schema = {"anyOf": [{"type": "string", "minLength": 1}, {"type": "integer", "minimum": 0}]}

    def show(seconds: float | None) -> str:
        return (off or "") if seconds is None else format_duration(seconds)

    return Form(read, schema, show, echoed=True)


def _limit(value: Json) -> Limit:
    text = str(value) if type(value) in {str, int} else ""
    share = _SHARE.fullmatch(text.strip())
    if share and float(share[1]) <= 100:
        return Limit(share=float(share[1]) / 100)
    if _DIGITS.fullmatch(text.strip()):
        return Limit(count=int(text))
    raise MisfitError('is not a share such as "2%" (at most 100%) or a whole number of rows')


LIMIT = Form(
    _limit,
    {"anyOf": [{"type": "string", "minLength": 1}, {"type": "integer", "minimum": 0}]},
    show=lambda limit: str(limit.count) if limit.share is None else f"{limit.share * 100:.8g}%",
    echoed=True,
)


def _names(value: Json) -> tuple[str, ...]:
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        raise MisfitError("is not a column name or a list of column names")
    for number, word in enumerate(words):
        if not word.strip():
            raise MisfitError("has an empty name in it" if len(words) > 1 else "is empty")
        if word in words[:number]:
            raise MisfitError("names a column twice")
    return tuple(words)


NAMES = Form(
    _names,
    {"anyOf": [{"type": "string", "minLength": 1}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]},
    show=", ".join,
)


def _json(value: Json) -> Json:
    match value:
        case bool() | int() | str():
            return value
        case float() if math.isfinite(value):
            return value
        case list():
            return [_json(element) for element in value]
        case dict():
            return {key: _json(inner) for key, inner in value.items()}
        case float():
            raise MisfitError("is not a finite number")
        case _:
            raise MisfitError("is a date or time of TOML, which JSON does not know; put it in quotes")


JSON = Form(_json, {})
