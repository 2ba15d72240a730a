"""The value of a change column: how far back a scan begins, and how far ahead a watermark may lie."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sync_profiles.core.types import Column
from sync_profiles.source.dialect import NUMBERS, Dialect
from sync_profiles.source.numerals import epoch_scale

UNIX_TIMES = range(10**9, 10**10)
"""In seconds: 2001 to 2286. Other numbers are versions or counters, and no clock bounds those."""


def moved_back(lower: str, lookback_s: float, column: Column, dialect: Dialect) -> Any:
    """A scan's lower bound: the database subtracts from times, numbers count seconds or what their size says.

    What is neither stays where it is.
    """
    number = dialect.number(lower, column)
    if number is None:
        return dialect.earlier(lower, column, lookback_s)
    moved = number - Decimal(str(lookback_s)) * epoch_scale(float(number))
    return int(moved.to_integral_value("ROUND_FLOOR")) if isinstance(number, int) else moved


def clamped(value: Any, now: float, column: Column, dialect: Dialect) -> str | None:
    """A watermark's text from the largest value: a number that looks like unix time is at most ``now``.

    Times were clamped by the database. None where nothing can come after it: no rows, MySQL's zero dates, infinity.
    """
    if value is None or str(value).startswith("0000-00-00"):
        return None
    number = dialect.number(str(value), column)
    if number is None:
        # Infinity and NaN order behind every row that is still to come.
        return None if column.kind in NUMBERS else str(value)
    scale = epoch_scale(float(number))
    ahead = int(number / scale) in UNIX_TIMES and number > int(now) * scale
    return str(int(now) * scale) if ahead else str(value)


def cursor_notes(name: str | None, nulls: int, *, ahead: bool) -> tuple[tuple[str, str], ...]:
    """Warnings about a change column: ``nulls`` rows without a value were read, or some are dated ``ahead``."""
    notes = []
    if nulls:
        rows = f"{nulls} rows have" if nulls > 1 else "1 row has"
        notes.append(("null_cursor", f"{rows} no {name}: read in every run, since nothing says when they change"))
    if ahead:
        notes.append(("future_cursor", f"{name} lies in the future in some rows: until then every run reads them"))
    return tuple(notes)
