"""``sync-profiles state``: what is remembered between runs, taken out or started over."""

from __future__ import annotations

import csv
import sys
from contextlib import closing
from datetime import UTC, datetime

import click

from sync_profiles.cli.command import Group, epilog
from sync_profiles.cli.context import Settings
from sync_profiles.cli.loading import load_config, sync_names
from sync_profiles.errors import TemporaryError, UsageError


@click.group(cls=Group, epilog=epilog("sync-profiles state export users > users.csv", codes=(0, 1, 2, 3, 74, 78)))
def state() -> None:
    """Take out what is remembered between runs, or start over."""


@state.command(epilog=epilog("sync-profiles state export users > users.csv", codes=(0, 1, 2, 3, 74, 78)))
@click.argument("sync", required=False, shell_complete=sync_names)
@click.pass_obj
def export(settings: Settings, /, sync: str | None) -> None:
    """Print key, distinct ID, fingerprint and time of every known profile as CSV."""
    from sync_profiles import wiring
    from sync_profiles.cli.choosing import the_one

    config = load_config(settings)
    one = the_one(config, sync)
    with closing(wiring.opened_store(config, read_only=True)) as store:
        reader = store.reader(one.name)
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(("key", "distinct_id", "fingerprint", "acknowledged_at"))
        for chunk in reader.everything():
            for key, known in chunk.items():
                at = datetime.fromtimestamp(known.acknowledged_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                writer.writerow((key, known.distinct_id, known.fingerprint.hex(), at))


@state.command(
    epilog=epilog("sync-profiles state reset users", "sync-profiles state reset --yes", codes=(0, 1, 2, 74, 75, 78))
)
@click.argument("sync", required=False, shell_complete=sync_names)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def reset(settings: Settings, /, sync: str | None, *, yes: bool) -> None:
    """Forget what Mixpanel acknowledged, for one sync or for all: the next run sends every row again.

    Without SYNC a lost or damaged state is started over, too; a damaged file is kept beside the new one.
    """
    from sync_profiles import wiring
    from sync_profiles.cli.choosing import chosen

    config = load_config(settings)
    names = [one.name for one in chosen(config, [sync] if sync is not None else [])]
    _ask(", ".join(names), yes=yes)
    locks = [wiring.run_lock(config, name) for name in names]
    try:
        for lock in locks:
            if not lock.acquire():
                raise TemporaryError(f"a run is active ({lock.holder})", hint="Try again when it has ended.")
        kept = wiring.reset_state(config, names if sync is not None else None)
    finally:
        for lock in locks:
            lock.release()
    click.echo(f"started over: {', '.join(names)}", err=True)
    if kept is not None:
        click.echo(f"the former file is kept as {kept}", err=True)


def _ask(names: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("nobody is there to ask", hint="Say --yes.")
    click.confirm(f"Forget everything that is remembered of {names}?", abort=True)
