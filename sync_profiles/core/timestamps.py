"""Dates and times as Mixpanel wants them: ISO text in UTC, without an offset, to the millisecond.

Mixpanel's documentation asks for ``YYYY-MM-DDTHH:MM:SS`` or ``YYYY-MM-DD`` in UTC and keeps milliseconds; an offset
inside the text is not documented. So offsets are applied here, and never sent.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from sync_profiles.core.problems import ValueProblem

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_S_LIMIT = 10**11  # beyond the year 5138 in seconds, but 1973 in milliseconds: so larger numbers are milliseconds
EPOCH_MS_LIMIT = 10**14

_AS_TEXT = '`type = "string"` sends it as it is'

_STAMP = re.compile(
    r"\s*(\d{4})-(\d\d)-(\d\d)"
    r"(?:[ T](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?)?"
    r"\s*(?:(Z)|([+-])(\d\d)(?::?(\d\d)(?::?(\d\d))?)?)?\s*",
    re.ASCII | re.IGNORECASE,
)
_USUAL = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.(\d{1,3})\d*)?(?:\+00|Z)?", re.ASCII)
_OUTSIDE = re.compile(r"\s*-?\d{4,}-\d\d-\d\d.*", re.ASCII)
_CLOCK = re.compile(r"(-?\d{1,3}:\d\d:\d\d)(?:\.\d+)?(.*)", re.ASCII)


def datetime_text(text: str) -> str | None:
    """A database's or ISO date-time as ``YYYY-MM-DDTHH:MM:SS[.mmm]`` in UTC; text without an offset is UTC.

    MySQL's zero dates, partial ones included, are None. Raises ``ValueProblem`` for anything that is not a date of
    the years 1 to 9999.
    """
    usual = _usual_text(text)
    if usual is not None:
        return usual
    match = _STAMP.fullmatch(text)
    if match is None:
        raise _not_a_date(text)
    year, month, day, hour, minute, second, fraction, _, sign, off_hours, off_minutes, off_seconds = match.groups()
    if year == "0000" or month == "00" or day == "00":
        return None
    try:
        moment = datetime(
            int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0), tzinfo=UTC
        )
        if sign:
            offset = timedelta(hours=int(off_hours), minutes=int(off_minutes or 0), seconds=int(off_seconds or 0))
            moment = moment - offset if sign == "+" else moment + offset
    except (ValueError, OverflowError) as error:
        raise ValueProblem("bad_date", "holds a date that does not exist") from error
    return _text(moment, (fraction or "")[:3].ljust(3, "0"))


def date_text(text: str) -> str | None:
    """Like ``datetime_text``, cut to the day in UTC: ``YYYY-MM-DD``."""
    stamp = datetime_text(text)
    return None if stamp is None else stamp[:10]


def moment_text(moment: date) -> str:
    """A Python ``datetime`` (naive ones are UTC) or ``date`` as the text that is sent."""
    if not isinstance(moment, datetime):
        return moment.isoformat()
    try:
        utc = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueProblem("bad_date", "holds a date that does not exist") from error
    return _text(utc, f"{utc.microsecond // 1000:03d}")


def epoch_text(number: int | float | Decimal) -> str:
    """Unix seconds, or milliseconds from 10^11 on, as the text that is sent; the milliseconds are cut, not rounded."""
    exact = Decimal(repr(number)) if isinstance(number, float) else Decimal(number)
    if not exact.is_finite() or abs(exact) >= EPOCH_MS_LIMIT:
        raise ValueProblem("bad_date", "holds a number that is neither unix seconds nor milliseconds")
    milliseconds = math.floor(exact * 1000 if abs(exact) < EPOCH_S_LIMIT else exact)
    try:
        return moment_text(EPOCH + timedelta(milliseconds=milliseconds))
    except OverflowError as error:
        raise ValueProblem("bad_date", "holds unix time outside the years 1 to 9999") from error


def clock_text(text: str) -> str:
    """A time of day without the fraction of its second; MySQL's longer and negative times stay as they are."""
    match = _CLOCK.fullmatch(text)
    if match is None:
        raise ValueProblem("bad_date", f"holds no time of day; {_AS_TEXT}")
    return match[1] + match[2]


def _usual_text(text: str) -> str | None:
    """What most databases write needs no arithmetic, only the proof that there is such a moment."""
    match = _USUAL.fullmatch(text)
    if match is None:
        return None
    day, clock, fraction = match.groups()
    moment = f"{day}T{clock}"
    try:
        datetime.fromisoformat(moment)
    except ValueError:
        return None
    return f"{moment}.{fraction:0<3}" if fraction and fraction.strip("0") else moment


def _text(moment: datetime, milliseconds: str) -> str:
    whole = moment.strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")  # strftime does not pad years below 1000 everywhere
    return whole if milliseconds == "000" else f"{whole}.{milliseconds}"


def _not_a_date(text: str) -> ValueProblem:
    word = text.strip().lower().lstrip("+-")
    if word == "infinity":
        return ValueProblem("not_finite", "holds an infinite date")
    if _OUTSIDE.fullmatch(text):
        return ValueProblem("bad_date", f"holds a date outside the years 1 to 9999; {_AS_TEXT}")
    return ValueProblem("bad_date", f"holds text that is no date; {_AS_TEXT}")
