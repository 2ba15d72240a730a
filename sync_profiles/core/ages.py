"""Times as summaries hold them, and their distances as people say them. Pure."""

from __future__ import annotations

from datetime import datetime

_UNITS = ((86_400, "day"), (3600, "hour"), (60, "min"))


def age(seconds: float) -> str:
    """A distance in its largest unit: "less than a minute", "12 min", "1 hour", "3 days"."""
    for size, unit in _UNITS:
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {unit}{'s' if count > 1 and unit != 'min' else ''}"
    return "less than a minute"


def ago(seconds: float) -> str:
    """The same, backwards from now: "just now", "12 min ago", "3 days ago"."""
    return "just now" if seconds < 60 else f"{age(seconds)} ago"


def unix(stamp: str) -> float:
    """Unix seconds of an ISO 8601 time."""
    return datetime.fromisoformat(stamp).timestamp()
