"""``sync-profiles backfill``."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import click

from sync_profiles.cli.command import Command, epilog, workers_option
from sync_profiles.cli.context import Settings
from sync_profiles.cli.loading import load_config, sync_names


@click.command(
    cls=Command,
    short_help="Send every selected row again, by hand.",
    epilog=epilog(
        "sync-profiles backfill",
        "sync-profiles backfill users --since 2026-11-01 --until 2026-11-08",
        "sync-profiles backfill users --key 17 --key 42",
        "sync-profiles backfill users --where \"plan = 'pro'\"",
        "sync-profiles backfill users --workers 4",
        "sync-profiles backfill users --cluster tcp://scheduler:8786",
    ),
)
@click.argument("sync", required=False, shell_complete=sync_names)
@click.option("--since", metavar="T", help="Rows whose cursor is T or later (needs `cursor` in the config).")
@click.option("--until", metavar="T", help="Rows whose cursor is T or earlier.")
@click.option("--key", "keys", multiple=True, metavar="K", help="The row with this primary key; may be repeated.")
@click.option("--where", metavar="SQL", help="Rows for which this SQL predicate holds.")
@click.option("--changed-only", is_flag=True, help="Of the selected rows, only those that differ from what was sent.")
@click.option("--restart", is_flag=True, help="Start over instead of going on where an interrupted backfill was.")
@click.option("--deadline", metavar="D", help="Stop cleanly after this long; default: never.")
@workers_option("Divide the rows among so many processes (needs [state] in PostgreSQL).")
@click.option("--cluster", metavar="ADDRESS", help="Divide them among the workers of a Dask cluster: tcp://HOST:8786.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_obj
def backfill(settings: Settings, /, sync: str | None, keys: tuple[str, ...], deadline: str | None, **given: Any) -> int:
    """Send every selected row again, changed or not, and unset every property that is NULL.

    Killed and started again with the same selection, it goes on where it was.
    """
    from sync_profiles import wiring
    from sync_profiles.cli.choosing import check_selection, not_divided, the_one
    from sync_profiles.cli.running import deadline_s, each, observed
    from sync_profiles.cli.stopping import StopRequest
    from sync_profiles.engine.backfill import Selection, backfill_sync
    from sync_profiles.workers.opening import Wanted, divided

    config = load_config(settings)
    one = the_one(config, sync)
    selection = Selection(
        since=given["since"],
        until=given["until"],
        keys=keys,
        where=given["where"],
        changed_only=given["changed_only"],
        restart=given["restart"],
    )
    check_selection(one, selection)
    wanted = Wanted(given["workers"], given["cluster"])
    stop = StopRequest(deadline_s(deadline, config) if deadline is not None else None)
    with closing(wiring.opened_store(config)) as store, stop.listening(), observed(config, settings) as observe:
        around = wiring.surroundings(stop, observe, stop.at_last)
        opened = wiring.open_sync(config, one, store, stop, where=selection.where)
        if selection.keys:
            not_divided(wanted, "a few rows by key are read by one process")
        else:
            opened = divided(opened, wanted, store, (config, one), selection.where)
        return each([one], stop, lambda _: backfill_sync(opened, selection, around), as_json=given["as_json"])
