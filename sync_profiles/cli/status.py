"""``sync-profiles status``."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import click

from sync_profiles.cli.command import Command, epilog
from sync_profiles.cli.context import Settings
from sync_profiles.cli.loading import load_config
from sync_profiles.cli.output import echo_json
from sync_profiles.errors import UsageError

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
    from sync_profiles.cli.overview import show
    from sync_profiles.engine.status import sync_report, sync_status

    if page is not None and as_json:
        raise UsageError("--json and --html do not go together", hint="Choose one.")
    config = load_config(settings)
    limit = limit or (RUNS_DRAWN if page is not None else RUNS_SHOWN)
    with closing(wiring.opened_store(config, read_only=True)) as store:
        looked = [(sync.name, store.reader(sync.name), store.history(sync.name, limit)) for sync in config.syncs]
        if as_json:
            echo_json({"schema": 1, "syncs": [sync_status(*one) for one in looked]})
            return
        reports = [sync_report(*one) for one in looked]
    if page is not None:
        from sync_profiles.observe.page import status_page

        _write(page, status_page(reports, time.time()))
        return
    for number, report in enumerate(reports):
        if number:
            click.echo()
        show(report, time.time(), settings)


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
