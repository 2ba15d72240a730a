"""The runs of one sync as small charts above each other, all over the same time. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from sync_profiles.core.ages import unix
from sync_profiles.core.types import RunSummary
from sync_profiles.observe.charts import Bar, Span, bars, is_uneven, span_of
from sync_profiles.observe.markup import Html, element
from sync_profiles.observe.report import duration

_TICKS = 5
_HEIGHTS = {"ok": 45.0, "skipped": 30.0, "rejected": 70.0, "deferred": 70.0, "stopped": 100.0, "failed": 100.0}
"""Colour alone does not tell an outcome apart: the worse, the higher."""
_WORDS = {
    "ok": "ok",
    "rejected": "some rejected",
    "deferred": "put off",
    "stopped": "stopped by a guard",
    "skipped": "skipped",
    "failed": "failed",
}
_COUNTS = (
    ("sent", "Sent", "profiles sent"),
    ("unchanged", "Unchanged", "rows unchanged"),
    ("rejected", "Rejected", "rows rejected"),
    ("deleted", "Deleted", "profiles deleted"),
)


def history_charts(history: Sequence[RunSummary]) -> list[Html]:
    """Charts of outcomes, of each count and of durations, and the time below them; ``history`` is newest first."""
    runs = [(unix(run.started_at), run) for run in reversed(history)]
    span = span_of([at for at, _ in runs])
    rows = [_outcomes(runs, span)]
    rows += [_counts(runs, span, *one) for one in _COUNTS]
    rows.append(_durations(runs, span))
    return [element("div", *rows, _axis(span), class_="charts")]


def outcome_mark(run: RunSummary) -> Html:
    """The outcome in words, coloured."""
    return element("span", _WORDS[run.outcome], class_=f"outcome {run.outcome}")


_Runs = Sequence[tuple[float, RunSummary]]


def _outcomes(runs: _Runs, span: Span) -> Html:
    drawn = [
        Bar(
            at,
            _HEIGHTS[run.outcome],
            _title(at, _WORDS[run.outcome] + (f": {run.message}" if run.message else "")),
            run.outcome,
        )
        for at, run in runs
    ]
    good = sum(run.outcome in {"ok", "rejected"} for _, run in runs)
    label = f"Outcome of each run: {good} of {len(runs)} came to their end"
    return _row("Outcome", f"{good:,} of {len(runs):,} good", bars(drawn, span, label, top=100.0), "")


def _counts(runs: _Runs, span: Span, field: str, name: str, words: str) -> Html:
    drawn = [Bar(at, getattr(run, field), _title(at, f"{getattr(run, field):,} {words}"), field) for at, run in runs]
    total, top = sum(bar.value for bar in drawn), max(bar.value for bar in drawn)
    label = f"{words.capitalize()} by each run: {drawn[-1].value:,} by the last, {top:,} at most, {total:,} in all"
    return _row(name, f"{total:,} in all", bars(drawn, span, label), _scale(drawn, "{:,.0f}".format))


def _durations(runs: _Runs, span: Span) -> Html:
    drawn = [Bar(at, run.seconds, _title(at, f"took {duration(run.seconds)}"), "duration") for at, run in runs]
    top = max(bar.value for bar in drawn)
    label = f"How long each run took: {duration(drawn[-1].value)} the last, {duration(top)} at most"
    return _row("Duration", f"{duration(drawn[-1].value)} the last", bars(drawn, span, label), _scale(drawn, duration))


def _scale(drawn: Sequence[Bar], said: Callable[[float], str]) -> str:
    values = [bar.value for bar in drawn]
    if not any(values):
        return ""
    return said(max(values)) + (" (log)" if is_uneven(values) else "")


def _row(name: str, note: str, chart: Html, top: str) -> Html:
    return element(
        "div",
        element("p", element("b", name), element("small", note), class_="label"),
        chart,
        element("p", top, class_="top"),
        class_="chart",
    )


def _title(at: float, text: str) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%d %b %H:%M}: {text}"


def _axis(span: Span) -> Html:
    moments = [span.start + (span.end - span.start) * (position + 0.5) / _TICKS for position in range(_TICKS)]
    form = "%d %b" if span.end - span.start > 4 * 86_400 else "%d %b %H:%M"
    ticks = [element("span", f"{datetime.fromtimestamp(at, UTC):{form}}") for at in moments]
    return element("div", *ticks, class_="axis", aria_hidden="true")
