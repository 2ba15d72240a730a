"""A progress display and a closing summary for a person at a terminal; nothing at all for anybody else.

Rich is imported by whoever imports this module, so commands do that late.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TextIO

from rich.console import Console, RenderableType
from rich.progress import Progress as Bar
from rich.progress import Task, TaskID
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Column, Table
from rich.text import Text

from sync_profiles.core.events import Event, Observer, Progress, RunFinished, RunStarted
from sync_profiles.core.types import RunSummary
from sync_profiles.observe.painted import Figures, closing_lines, counts_line, time_left

REFRESHES_PER_SECOND = 10
"""The screen is painted this often at most, however many events come."""

BAR_WIDTH_MAX = 48
"""A longer bar tells no more."""

_STAGE_WIDTH = len("comparing")
"""So that the bar does not move when the stage changes."""

_bar = partial(ProgressBar, style="bright_black", complete_style="green", finished_style="green", pulse_style="green")


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
    """One display at a time: that of the run that goes on."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: _Display | None = None
        self._line: TaskID | None = None

    def __call__(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._start(event)
            case Progress():
                self._move(event)
            case RunFinished():
                self._finish(event.summary, event.hint)

    def stop(self) -> None:
        """Take the display off the screen."""
        if self._bar is not None:
            self._bar.stop()
        self._bar = self._line = None

    def _start(self, event: RunStarted) -> None:
        self.stop()
        self._bar = _Display(
            console=self._console,
            transient=True,
            refresh_per_second=REFRESHES_PER_SECOND,
            redirect_stdout=False,  # results belong to stdout even while the bar is shown; log lines go above the bar
        )
        self._line = self._bar.add_task(
            f"{event.sync}  {'starting'.ljust(_STAGE_WIDTH)}",
            total=event.total or None,
            sent=0,
            in_flight=0,
            rejected=0,
        )
        self._bar.start()

    def _move(self, event: Progress) -> None:
        if self._bar is None or self._line is None:
            return
        self._bar.update(
            self._line,
            description=f"{event.sync}  {event.stage.ljust(_STAGE_WIDTH)}",
            completed=event.scanned,
            sent=event.sent,
            in_flight=event.in_flight,
            rejected=event.rejected,
        )

    def _finish(self, summary: RunSummary, hint: str | None) -> None:
        self.stop()
        for line in closing_lines(summary, hint, ascii_only=self._console.options.ascii_only):
            self._console.print(Text.assemble(*line), soft_wrap=True)


class _Display(Bar):
    """Two lines: stage, bar, share and time left; below it the counts."""

    def get_renderables(self) -> Iterable[RenderableType]:
        """What is painted; called for every refresh, from a thread of Rich's own."""
        for line in self.tasks:
            yield self._bar_line(line)
            yield Text(f"  {self._counts(line)}", style="dim", no_wrap=True, overflow="ellipsis")

    def _bar_line(self, line: Task) -> Table:
        grid = Table.grid(
            Column(no_wrap=True),
            Column(no_wrap=True),
            Column(no_wrap=True, max_width=BAR_WIDTH_MAX, ratio=1),
            Column(no_wrap=True, justify="right", min_width=len("100 %")),
            Column(no_wrap=True),
            padding=(0, 1),
        )
        width = min(BAR_WIDTH_MAX, max(10, self.console.width - 56))
        total = _total(line)
        bar = _bar(total=total, completed=line.completed, width=width, pulse=total is None)
        share = f"{line.percentage:.0f} %" if total else ""
        left = line.time_remaining if total else None
        grid.add_row(
            self._spinner(line), Text(line.description, style="bold"), bar, share, f" {time_left(left)}" if left else ""
        )
        return grid

    def _counts(self, line: Task) -> str:
        figures = Figures(
            scanned=int(line.completed),
            total=_total(line),
            rate=line.speed,
            sent=line.fields["sent"],
            rejected=line.fields["rejected"],
            in_flight=line.fields["in_flight"],
        )
        return counts_line(figures, self.console.width - 2, ascii_only=self.console.options.ascii_only)

    def _spinner(self, line: Task) -> RenderableType:
        spinner = Spinner("line" if self.console.options.ascii_only else "dots")
        spinner.start_time = 0.0  # it has turned as long as the run; one that starts with each refresh stands still
        return spinner.render(line.elapsed or 0.0)


def _total(line: Task) -> int | None:
    """None too for an estimate that was passed: a bar that stays full would promise an end."""
    return int(line.total) if line.total is not None and line.completed <= line.total else None
