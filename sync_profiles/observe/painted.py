"""What a person at a terminal reads of a run: counts on the way, a closing summary. Pure, so that each line is tested.

A styled line is a list of (text, style) pairs; styles are the terminal's own sixteen colours, which its owner has
chosen to be read on light or on dark.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import msgspec

from sync_profiles.core.types import RunSummary
from sync_profiles.observe.redact import redact
from sync_profiles.observe.report import duration

Line: TypeAlias = Sequence[tuple[str, str]]

STYLES = {
    "ok": "green",
    "skipped": "dim",
    "rejected": "yellow",
    "deferred": "yellow",
    "stopped": "red",
    "failed": "red",
}
"""Of each outcome."""

_MARKS = {"green": ("✓", "+"), "dim": ("-", "-"), "yellow": ("!", "!"), "red": ("✗", "x")}
"""So that nothing hangs on colour alone; the second where only ASCII can be shown."""

_DROPPED_FIRST = ("sent", "rate", "in flight", "rejected", "rows")


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """How far a run is. ``total`` is None when it is not known, ``rate`` (rows a second) until it can be told."""

    scanned: int
    total: int | None
    rate: float | None
    sent: int
    rejected: int
    in_flight: int


def counts_line(figures: Figures, width: int, *, ascii_only: bool = False) -> str:
    """The figures in one line of at most ``width`` columns; what matters least is left out where they do not fit."""
    rows = f"{figures.scanned:,} of {figures.total:,} rows" if figures.total else f"{figures.scanned:,} rows"
    parts = {
        "rows": rows,
        "rate": f"{figures.rate:,.0f} rows/s" if figures.rate else "",
        "sent": f"{figures.sent:,} sent" if figures.sent else "",
        "in flight": f"{figures.in_flight:,} in flight" if figures.in_flight else "",
        "rejected": f"{figures.rejected:,} rejected" if figures.rejected else "",
    }
    separator = " | " if ascii_only else " · "
    for name in ("", *_DROPPED_FIRST):
        parts.pop(name, None)
        line = separator.join(part for part in parts.values() if part)
        if len(line) <= width:
            return line
    return ""


def time_left(seconds: float) -> str:
    """How long it still takes, no finer than it can be known: ``12 s left``, ``4 min left``, ``1 h 5 min left``."""
    if seconds < 60:
        return f"{seconds:.0f} s left"
    minutes = round(seconds / 60)
    return f"{minutes} min left" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min left"


def closing_lines(summary: RunSummary, hint: str | None, *, ascii_only: bool = False) -> Iterator[Line]:
    """The end of a run: what came of it, how it was found, what waits and what to do; masked."""
    style = STYLES[summary.outcome]
    mark = _MARKS[style][ascii_only]
    if summary.outcome == "skipped":
        yield [(f"{mark} {summary.sync}: skipped, {redact(summary.message or '')}", style)]
        return
    yield [(f"{mark} {summary.sync}: {summary.outcome}", f"bold {style}"), (f", {_done(summary)}", "")]
    if summary.message and summary.outcome != "rejected":
        yield [(f"  {redact(summary.message)}", "")]
    if hint:
        yield [(f"  hint: {redact(hint)}", "")]
    if summary.pending:
        yield [(f"  {_count(summary.pending, 'row')} pending; see ", ""), (_see(summary), "bold")]
    yield [(f"  {_found(summary)}", "dim")]


def _done(summary: RunSummary) -> str:
    counts = [
        f"{_count(summary.sent, 'profile')} sent" if summary.sent else "",
        f"{summary.deleted:,} removed" if summary.deleted else "",
        f"{_count(summary.rejected, 'row')} rejected" if summary.rejected else "",
    ]
    nothing = "nothing had changed" if summary.outcome == "ok" else "nothing sent"
    return f"{', '.join(filter(None, counts)) or nothing} in {duration(summary.seconds)}"


def _found(summary: RunSummary) -> str:
    read = f"{_count(summary.scanned, 'row')} read ({redact(summary.why)}), {summary.unchanged:,} unchanged"
    requests = f"; {_count(summary.requests, 'request')} of {size(summary.bytes)}" if summary.requests else ""
    return read + requests


def _see(summary: RunSummary) -> str:
    return f"sync-profiles rejected {summary.sync}" if summary.rejected else "sync-profiles status"


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def size(count: int) -> str:
    """A number of bytes: ``812 bytes``, ``34 kB``, ``1.2 MB``."""
    if count < 1000:
        return f"{count} bytes"
    return f"{count / 1000:,.0f} kB" if count < 1_000_000 else f"{count / 1_000_000:,.1f} MB"
