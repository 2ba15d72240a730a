"""``status`` as text: how a sync stands, what to do about it, its last runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from sync_profiles.cli.context import Settings
from sync_profiles.cli.output import echo_table
from sync_profiles.cli.shown import RUN_COLUMNS, run_row, sparkline
from sync_profiles.core.ages import ago, unix
from sync_profiles.core.standing import Level, SyncReport, standing
from sync_profiles.core.types import RunSummary

_COLORS: dict[Level, str] = {"in_step": "green", "almost": "yellow", "behind": "red", "unknown": "yellow"}
OUTCOME_COLORS = {
    "ok": "green",
    "rejected": "yellow",
    "deferred": "yellow",
    "stopped": "red",
    "failed": "red",
}
"""Of a cell that holds the word."""


def show(report: SyncReport, now: float, settings: Settings) -> None:
    """Print one sync on stdout; ``now`` in unix seconds."""
    for line in overview_lines(report, now):
        click.echo(line, color=settings.color)
    if report.history:
        rows = [run_row(run, now, unix(run.started_at)) for run in report.history]
        echo_table(RUN_COLUMNS, rows, settings, colors=OUTCOME_COLORS)


def overview_lines(report: SyncReport, now: float) -> Iterator[str]:
    """The verdict first, then what is behind it, what to do, and how much was sent in each run; with colour codes."""
    stands = standing(report, now)
    name = click.style(report.sync, bold=True)
    yield f"{name}  {click.style(stands.headline, fg=_COLORS[stands.level], bold=True)}"
    if stands.level != "in_step":
        yield f"  {stands.why}"
    for step in stands.steps:
        yield f"  {step.text} {click.style(step.command, bold=True)}" if step.command else f"  {step.text}"
    yield f"  {', '.join(_counts(report, now))}"
    if any(run.sent + run.deleted for run in report.history):
        yield f"  sent per run  {_spark(report.history)}"


def _counts(report: SyncReport, now: float) -> Iterator[str]:
    since = ago(now - report.last_success_at) if report.last_success_at is not None else "never"
    yield f"last good run {since}"
    yield f"{report.profiles:,} profiles known"
    if report.pending:
        of_them = f" ({report.rejected:,} of them rejected)" if report.rejected else ""
        yield f"{report.pending:,} pending{of_them}"


def _spark(history: Sequence[RunSummary]) -> str:
    sent = [run.sent + run.deleted for run in reversed(history)]
    return f"{sparkline(sent)}  up to {max(sent):,}, the last on the right"
