"""A progress bar and a closing line for a person at a terminal; nothing at all for anybody else.

Rich is imported by whoever imports this module, so commands do that late.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar
from rich.text import Text

from sync_profiles.core.events import Event, Observer, Progress, RunFinished, RunStarted
from sync_profiles.core.types import RunSummary
from sync_profiles.observe.redact import redact
from sync_profiles.observe.report import closing_line

REFRESHES_PER_SECOND = 10
"""The screen is painted this often at most, however many events come."""

_STYLES = {
    "ok": "green",
    "skipped": "dim",
    "rejected": "yellow",
    "deferred": "yellow",
    "stopped": "red",
    "failed": "red",
}


@contextmanager
def on_terminal(*, color: bool | None = None, stream: TextIO | None = None) -> Iterator[Observer | None]:
    """An observer that paints on ``stream`` (None: stderr), or None when that is not a terminal.

    ``color`` None leaves the choice to the terminal. Whatever happens inside, the cursor comes back.
    """
    out = stream or sys.stderr
    # FORCE_COLOR makes Rich believe in a terminal that is not there, so the stream itself is asked.
    if not out.isatty():
        yield None
        return
    painter = _Painter(_console(stream, color=color))
    try:
        yield painter
    finally:
        painter.stop()


def _console(stream: TextIO | None, *, color: bool | None) -> Console:
    no_color = None if color is None else not color
    return Console(file=stream, stderr=stream is None, no_color=no_color, highlight=False, markup=False, emoji=False)


class _Painter:
    """One bar at a time: that of the run that goes on."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Bar | None = None
        self._line: TaskID | None = None

    def __call__(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._start(event)
            case Progress():
                self._move(event)
            case RunFinished(summary, hint):
                self._finish(summary, hint)

    def stop(self) -> None:
        """Take the bar off the screen."""
        if self._bar is not None:
            self._bar.stop()
        self._bar = self._line = None

    def _start(self, event: RunStarted) -> None:
        self.stop()
        self._bar = Bar(
            *_columns(),
            console=self._console,
            transient=True,
            refresh_per_second=REFRESHES_PER_SECOND,
            redirect_stdout=False,  # results belong to stdout even while the bar is shown; log lines go above the bar
        )
        self._line = self._bar.add_task(f"{event.sync}: starting", total=event.total, in_flight=0, rejected=0)
        self._bar.start()

    def _move(self, event: Progress) -> None:
        if self._bar is None or self._line is None:
            return
        self._bar.update(
            self._line,
            description=f"{event.sync}: {event.stage}",
            completed=event.scanned,
            in_flight=event.in_flight,
            rejected=event.rejected,
        )

    def _finish(self, summary: RunSummary, hint: str | None) -> None:
        self.stop()
        self._console.print(Text(redact(closing_line(summary)), style=_STYLES[summary.outcome]), soft_wrap=True)
        if hint:
            self._console.print(Text(f"hint: {redact(hint)}"), soft_wrap=True)


def _columns() -> tuple[ProgressColumn, ...]:
    return (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(compact=True),
        _Counts(),
    )


class _Rate(ProgressColumn):
    """Rows a second of late."""

    def render(self, task: Task) -> Text:
        return Text("" if not task.speed else f"{task.speed:,.0f} rows/s")


class _Counts(ProgressColumn):
    """What is on its way and what was turned down, where there is any."""

    def render(self, task: Task) -> Text:
        fields = task.fields
        words = [f"{fields[name]:,} {name.replace('_', ' ')}" for name in ("in_flight", "rejected") if fields[name]]
        return Text(", ".join(words))
