"""``sync-profiles rejected``."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import UTC, datetime

import click

from sync_profiles.cli.command import Command, epilog
from sync_profiles.cli.context import Settings
from sync_profiles.cli.loading import load_config, sync_names
from sync_profiles.cli.output import echo_table
from sync_profiles.errors import UsageError


@click.command(
    cls=Command,
    short_help="Rows that Mixpanel does not have, and why.",
    epilog=epilog("sync-profiles rejected", "sync-profiles rejected users --retry", codes=(0, 1, 2, 3, 74, 75, 78)),
)
@click.argument("sync", required=False, shell_complete=sync_names)
@click.option("--retry", is_flag=True, help="Make them due now: the next run tries them.")
@click.option("--forget", is_flag=True, help="Stop waiting for them; a row that changes is tried all the same.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per row on stdout.")
@click.pass_obj
def rejected(settings: Settings, /, sync: str | None, **flags: bool) -> None:
    """List the rows that wait with their reason, newest first; never a value of the row."""
    from sync_profiles import wiring
    from sync_profiles.cli.choosing import chosen
    from sync_profiles.cli.shown import rejected_line
    from sync_profiles.core.ages import ago
    from sync_profiles.engine.rejected import settle_rejected

    config = load_config(settings)
    syncs = chosen(config, [sync] if sync is not None else [])
    if flags["retry"] and flags["forget"]:
        raise UsageError("--retry and --forget do not go together", hint="Choose one.")
    writes = flags["retry"] or flags["forget"]
    with closing(wiring.opened_store(config, read_only=not writes)) as store:
        found = [(one.name, row) for one in syncs for row in store.reader(one.name).rejected()]
        if flags["as_json"]:
            for name, row in found:
                click.echo(rejected_line(name, row, _stamp(row.since), _stamp(row.next_try_at)))
        elif found:
            now = time.time()
            columns = ("sync", "key", "distinct id", "code", "reason", "attempts", "since", "next try")
            rows = [
                (
                    name,
                    r.key,
                    r.distinct_id or "",
                    r.code,
                    r.reason,
                    str(r.attempts),
                    ago(now - r.since),
                    _due(r.next_try_at, now),
                )
                for name, r in found
            ]
            echo_table(columns, rows, settings)
        else:
            click.echo("no row is rejected", err=True)
        if writes:
            count = sum(
                settle_rejected(
                    store.sync(one.name), wiring.run_lock(config, one.name), retry=flags["retry"], now=time.time()
                )
                for one in syncs
            )
            click.echo(f"{count} rows {'are due now' if flags['retry'] else 'forgotten'}", err=True)


def _due(next_try_at: float, now: float) -> str:
    return "now" if next_try_at <= now else f"in {max(1, round((next_try_at - now) / 60))} min"


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
