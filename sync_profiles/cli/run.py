"""``sync-profiles run``."""

from __future__ import annotations

from contextlib import closing

import click

from sync_profiles.cli.command import Command, epilog, workers_option
from sync_profiles.cli.context import Settings
from sync_profiles.cli.loading import load_config, sync_names


@click.command(
    cls=Command,
    short_help="The hourly run: send what changed.",
    epilog=epilog(
        "sync-profiles run",
        "sync-profiles run users --dry-run",
        "sync-profiles run users --full --workers 4",
        "sync-profiles -c /etc/sync-profiles/config.toml run --json",
    ),
)
@click.argument("syncs", nargs=-1, metavar="[SYNC]...", shell_complete=sync_names)
@click.option("--full", is_flag=True, help="Read every row and compare it, whatever the change detection says.")
@click.option("--dry-run", is_flag=True, help="Find out what would be sent; send nothing, remember nothing.")
@click.option("--deadline", metavar="D", help='Stop cleanly after this long, such as "50m"; 0: never. Default: config.')
@click.option("--allow-mass-delete", is_flag=True, help="Remove more profiles than max_delete allows, this once.")
@click.option("--accept-new-source", is_flag=True, help="The source or the Mixpanel project is another one on purpose.")
@workers_option("With --full: divide the rows among so many processes (needs [state] in PostgreSQL).")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per sync on stdout.")
@click.pass_obj
def run(settings: Settings, /, syncs: tuple[str, ...], deadline: str | None, workers: int | None, **flags: bool) -> int:
    """Send every profile that changed since the last good run. Without SYNC, all syncs of the config.

    Silent when all is well and nobody watches; on a terminal it shows how far it is.
    """
    from sync_profiles import wiring
    from sync_profiles.cli.choosing import chosen, not_divided
    from sync_profiles.cli.running import deadline_s, each, observed
    from sync_profiles.cli.stopping import StopRequest
    from sync_profiles.config import SyncConfig
    from sync_profiles.engine.dryrun import dry_run_sync
    from sync_profiles.engine.ending import RunResult
    from sync_profiles.engine.parts import RunOptions
    from sync_profiles.engine.run import run_sync
    from sync_profiles.workers.opening import Wanted, divided

    config = load_config(settings)
    syncs_chosen = chosen(config, syncs)
    stop = StopRequest(deadline_s(deadline, config))
    options = RunOptions(flags["full"], flags["allow_mass_delete"], flags["accept_new_source"])
    dry = flags["dry_run"]
    wanted = Wanted(workers)
    if dry or not options.full:
        not_divided(wanted, "only a pass that reads every row is divided: add --full, without --dry-run")
        wanted = Wanted()
    with (
        closing(wiring.opened_store(config, read_only=dry)) as store,
        stop.listening(),
        observed(config, settings, dry=dry) as observe,
    ):
        around = wiring.surroundings(stop, observe, stop.at_last)

        def one(sync: SyncConfig) -> RunResult:
            if dry:
                return dry_run_sync(wiring.open_dry(config, sync, store), options, around)
            opened = wiring.open_sync(config, sync, store, stop)
            return run_sync(divided(opened, wanted, store, (config, sync)), options, around)

        return each(syncs_chosen, stop, one, as_json=flags["as_json"], dry=dry)
