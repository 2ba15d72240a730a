"""Charts of runs over time as inline SVG. Pure.

A chart is bars without text: it may be stretched to any width, and what is to be read stands around it as HTML.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log10
from statistics import median

import msgspec

from sync_profiles.observe.markup import Html, element

WIDTH = 1000.0
HEIGHT = 100.0
_UNEVEN = 40
"""A highest bar so many times the usual one hides the others, so the scale becomes logarithmic."""
_BAR_MAX = 22.0
_BAR_MIN = 1.6
_FILLED = 0.72
_ROOM_MIN_S = 900.0


class Bar(msgspec.Struct, frozen=True):
    """One bar: when (unix seconds), how high (0 draws none), what is said when a pointer rests on it."""

    at: float
    value: float
    title: str
    kind: str = ""


class Span(msgspec.Struct, frozen=True):
    """The time that a chart shows, in unix seconds."""

    start: float
    end: float

    def share(self, at: float) -> float:
        """Where a moment lies between the start (0) and the end (1)."""
        return (at - self.start) / (self.end - self.start)


def span_of(moments: Sequence[float]) -> Span:
    """All moments with some room on both sides; they are not empty."""
    start, end = min(moments), max(moments)
    room = max(_ROOM_MIN_S, (end - start) / max(len(moments) - 1, 1) / 2, (end - start) / 60)
    return Span(start - room, end + room)


def is_uneven(values: Sequence[float]) -> bool:
    """Whether a few high bars would hide the others."""
    shown = [value for value in values if value > 0]
    return bool(shown) and max(shown) > _UNEVEN * median(shown)


def bars(series: Sequence[Bar], span: Span, label: str, top: float | None = None) -> Html:
    """One chart; ``label`` says in a sentence what it shows, for those who do not see it.

    ``top`` is the value of a bar of full height; None: the highest value.
    """
    uneven = top is None and is_uneven([bar.value for bar in series])
    top = max((bar.value for bar in series), default=0.0) if top is None else top
    width = min(_BAR_MAX, max(_BAR_MIN, WIDTH * _FILLED / max(len(series), 1)))
    drawn = [_bar(bar, span, width, _height(bar.value, top, uneven=uneven)) for bar in series if bar.value > 0]
    base = element("line", x1=0, y1=HEIGHT, x2=WIDTH, y2=HEIGHT, class_="base")
    return element(
        "svg",
        base,
        *drawn,
        viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}",
        preserveAspectRatio="none",
        role="img",
        aria_label=label,
    )


def _height(value: float, top: float, *, uneven: bool) -> float:
    share = log10(1 + value) / log10(1 + top) if uneven else value / top
    # What is not nothing must be seen.
    return max(4.0, share * HEIGHT)


def _bar(bar: Bar, span: Span, width: float, height: float) -> Html:
    return element(
        "rect",
        element("title", bar.title),
        x=f"{span.share(bar.at) * WIDTH - width / 2:.1f}",
        y=f"{HEIGHT - height:.1f}",
        width=f"{width:.1f}",
        height=f"{height:.1f}",
        class_=bar.kind or None,
    )
