"""Texts as numbers, numbers as times."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

_EPOCH_SCALES = ((10**18, 10**9), (10**15, 10**6), (10**12, 10**3))


def epoch_scale(value: float) -> int:
    """How many of a number's units make a second, told by its size: s, ms, us or ns since 1970.

    >>> epoch_scale(1_795_507_200), epoch_scale(1_795_507_200_000), epoch_scale(42)
    (1, 1000, 1)
    """
    return next((scale for least, scale in _EPOCH_SCALES if abs(value) >= least), 1)


def as_integer(text: Any) -> int | None:
    """The integer that ``text`` writes in its one usual form, if it fits 64 bits."""
    try:
        number = int(text)
    except ValueError:
        return None
    return number if str(number) == str(text) and -(2**63) <= number < 2**64 else None


def as_decimal(text: Any) -> Decimal | None:
    """The number that ``text`` writes."""
    try:
        number = Decimal(text)
    except ArithmeticError:
        return None
    return number if number.is_finite() else None


def encodes(text: str) -> bool:
    """Whether a text is proper Unicode, without lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
