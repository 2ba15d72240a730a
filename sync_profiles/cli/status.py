"""``sync-profiles status``."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import datetime

import click

from sync_profiles.cli.command import Command, epilog
from sync_profiles.cli.context import Settings
from sync_profiles.cli.loading import load_config
from sync_profiles.cli.output import echo_json, echo_table


@click.command(
    cls=Command,
    short_help="Is Mixpanel in step? The last runs of every sync.",
    epilog=epilog("sync-profiles status", "sync-profiles status --limit 24 --json", codes=(0, 1, 2, 74, 78)),
)
@click.option("--limit", type=click.IntRange(min=1), default=10, show_default=True, help="At most so many runs a sync.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_obj
def status(settings: Settings, /, limit: int, *, as_json: bool) -> None:
    """Show per sync when it last went well, what it remembers, what is pending, and its last runs."""
    from sync_profiles import wiring
    from sync_profiles.cli.shown import RUN_COLUMNS, ago, run_row, sparkline
    from sync_profiles.engine.status import sync_status

    config = load_config(settings)
    with closing(wiring.opened_store(config, read_only=True)) as store:
        statuses = [sync_status(s.name, store.reader(s.name), store.history(s.name, limit)) for s in config.syncs]
        if as_json:
            echo_json({"schema": 1, "syncs": statuses})
            return
        for entry in statuses:
            runs = store.history(entry.sync, limit)
            since = ago(time.time() - _unix(entry.last_success_at)) if entry.last_success_at else "never"
            click.echo(
                f"{entry.sync}: last good run {since}; {entry.profiles:,} profiles known, "
                f"{entry.pending:,} rows pending, {entry.rejected:,} of them rejected"
            )
            if entry.rejected:
                click.echo(f"  `sync-profiles rejected {entry.sync}` names them and why")
            if runs:
                click.echo(
                    f"  sent per run, oldest first  {sparkline([run.sent + run.deleted for run in reversed(runs)])}"
                )
                rows = [run_row(run, time.time(), _unix(run.started_at)) for run in runs]
                echo_table(RUN_COLUMNS, rows, settings)


def _unix(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()
