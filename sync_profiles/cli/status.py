"""``sync-profiles status``."""

from __future__ import annotations

import time
from contextlib import closing

import click

from sync_profiles.cli.command import Command, epilog
from sync_profiles.cli.context import Settings
from sync_profiles.cli.loading import load_config
from sync_profiles.cli.output import echo_json


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
    from sync_profiles.cli.overview import show
    from sync_profiles.engine.status import sync_report, sync_status

    config = load_config(settings)
    with closing(wiring.opened_store(config, read_only=True)) as store:
        looked = [(sync.name, store.reader(sync.name), store.history(sync.name, limit)) for sync in config.syncs]
        if as_json:
            echo_json({"schema": 1, "syncs": [sync_status(*one) for one in looked]})
            return
        reports = [sync_report(*one) for one in looked]
    for number, report in enumerate(reports):
        if number:
            click.echo()
        show(report, time.time(), settings)
