"""Texts of others, made fit to be kept: short, one line, and without token or values of ours. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

import msgspec

from sync_profiles.core.types import Json

Mask: TypeAlias = Callable[[str], str]
"""Takes out of a text what must not be seen."""

MASKED = "***"
REASON_LENGTH_MAX = 200
VALUE_LENGTH_MIN = 4
"""Shorter values ("yes", 12) say little by themselves, and taking them out would leave no readable text."""

NAMES_ONLY = frozenset({"$unset", "$group_key"})
"""Members of a record that hold names of properties and groups, which are configuration, not values."""

_ADDRESS = re.compile(r"[^\s\"'<>(),;]+@[^\s\"'<>(),;]*")


def shortened(text: str, mask: Mask) -> str:
    """One printable line of at most 200 characters, masked before it is cut so that no half value stays."""
    printable = "".join(letter if letter.isprintable() else " " for letter in mask(text))
    line = " ".join(printable.split())
    return line if len(line) <= REASON_LENGTH_MAX else line[: REASON_LENGTH_MAX - 1] + "…"


def masking(token: str, body: bytes) -> Mask:
    """A mask for answers to one request: its token, every value in its records, and whatever looks like an address.

    The body is decoded only when there is a text to mask.
    """

    def mask(text: str) -> str:
        without_token = re.sub(re.escape(token), MASKED, text, flags=re.IGNORECASE) if token else text
        return without_values(without_token, values_of(body))

    return mask


def without_values(text: str, values: Iterable[str]) -> str:
    """``text`` with every whole occurrence of one of the values, and every e-mail address, masked."""
    for value in sorted({value for value in values if value in text}, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", MASKED, text)
    return _ADDRESS.sub(MASKED, text)


def values_of(body: bytes) -> set[str]:
    """The texts and numbers, of four characters or more, that a request's records hold; no names of properties."""
    try:
        records = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return set()
    return {leaf for leaf in _leaves(records) if len(leaf) >= VALUE_LENGTH_MIN}


def _leaves(value: Json) -> Iterator[str]:
    if isinstance(value, dict):
        for name, member in value.items():
            if name not in NAMES_ONLY:
                yield from _leaves(member)
    elif isinstance(value, list):
        for member in value:
            yield from _leaves(member)
    elif isinstance(value, str):
        yield value.strip()
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)
