"""``sync-profiles status``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sync_profiles.cli.command import Command, epilog
from sync_profiles.cli.context import Settings
from sync_profiles.cli.loading import load_config
from sync_profiles.cli.output import echo_json, echo_table
from sync_profiles.errors import UsageError

if TYPE_CHECKING:
    from sync_profiles.core.types import RunSummary
    from sync_profiles.engine.status import SyncStatus

RUNS_SHOWN = 10
RUNS_DRAWN = 500


@click.command(
    cls=Command,
    short_help="Is Mixpanel in step? The last runs of every sync.",
    epilog=epilog(
        "sync-profiles status",
        "sync-profiles status --limit 24 --json",
        "sync-profiles status --html status.html",
        codes=(0, 1, 2, 3, 74, 78),
    ),
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    help=f"At most so many runs a sync; default: {RUNS_SHOWN}, on a page {RUNS_DRAWN}.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option("--html", "page", metavar="FILE", help="Write it as one page for a browser; - is stdout.")
@click.pass_obj
def status(settings: Settings, /, limit: int | None, page: str | None, *, as_json: bool) -> None:
    """Show per sync when it last went well, what it remembers, what is pending, and its last runs."""
    from sync_profiles import wiring
    from sync_profiles.engine.status import sync_report, sync_status

    if page is not None and as_json:
        raise UsageError("--json and --html do not go together", hint="Choose one.")
    config = load_config(settings)
    limit = limit or (RUNS_DRAWN if page is not None else RUNS_SHOWN)
    with closing(wiring.opened_store(config, read_only=True)) as store:
        looked = [(sync.name, store.reader(sync.name), store.history(sync.name, limit)) for sync in config.syncs]
        if page is not None:
            from sync_profiles.observe.page import status_page

            _write(page, status_page([sync_report(*one) for one in looked], time.time()))
            return
        statuses = [sync_status(*one) for one in looked]
    if as_json:
        echo_json({"schema": 1, "syncs": statuses})
        return
    for entry, (_, _, history) in zip(statuses, looked, strict=True):
        _show(entry, history, settings)


def _show(entry: SyncStatus, runs: Sequence[RunSummary], settings: Settings) -> None:
    from sync_profiles.cli.shown import RUN_COLUMNS, run_row, sparkline
    from sync_profiles.core.ages import ago, unix

    now = time.time()
    since = ago(now - unix(entry.last_success_at)) if entry.last_success_at else "never"
    click.echo(
        f"{entry.sync}: last good run {since}; {entry.profiles:,} profiles known, "
        f"{entry.pending:,} rows pending, {entry.rejected:,} of them rejected"
    )
    if entry.rejected:
        click.echo(f"  `sync-profiles rejected {entry.sync}` names them and why")
    if runs:
        click.echo(f"  sent per run, oldest first  {sparkline([run.sent + run.deleted for run in reversed(runs)])}")
        echo_table(RUN_COLUMNS, [run_row(run, now, unix(run.started_at)) for run in runs], settings)


def _write(page: str, text: str) -> None:
    from sync_profiles.observe.files import replace_text

    if page == "-":
        click.echo(text, nl=False)
        return
    path = Path(page).resolve()  # the file behind a symbolic link is replaced, not the link
    try:
        replace_text(path, text)
    except OSError as error:
        hint = "Name a file in a folder that you may write to."
        raise UsageError(f"cannot write {path}: {error.strerror or type(error).__name__}", hint=hint) from error
