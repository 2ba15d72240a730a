"""``sync-profiles verify``."""

from __future__ import annotations

import secrets
import sys
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

import click

from sync_profiles.cli.command import Command, epilog
from sync_profiles.cli.context import Settings
from sync_profiles.cli.loading import load_config, sync_names
from sync_profiles.errors import UsageError, most_serious

if TYPE_CHECKING:
    from sync_profiles.cli.stopping import StopRequest
    from sync_profiles.config import Config, SyncConfig
    from sync_profiles.engine.verify import Aim, Verified
    from sync_profiles.state.store import Store

_MISMATCH = 65


class _Work(NamedTuple):
    settings: Settings
    config: Config
    sync: SyncConfig
    store: Store


@click.command(
    cls=Command,
    short_help="Read profiles back and compare them with the table.",
    epilog=epilog(
        "sync-profiles verify",
        "sync-profiles verify users --key 17 --key 42",
        "sync-profiles verify users --all --repair",
    ),
)
@click.argument("sync", required=False, shell_complete=sync_names)
@click.option("--sample", type=click.IntRange(min=1), metavar="N", help="So many profiles at random; default: 1000.")
@click.option("--all", "everything", is_flag=True, help="Every known profile; interrupted, it goes on where it was.")
@click.option("--key", "keys", multiple=True, metavar="K", help="The row with this primary key; may be repeated.")
@click.option("--repair", is_flag=True, help="Then run, and send what does not match again.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_obj
def verify(settings: Settings, /, sync: str | None, sample: int | None, keys: tuple[str, ...], **flags: bool) -> int:
    """Read profiles back from Mixpanel and compare what the mapping owns of them with the table.

    Needs project_id and a service account. Exit code 65 when not everything matched, also when it was repaired.
    """
    from sync_profiles import wiring
    from sync_profiles.cli import verified as shown
    from sync_profiles.cli.choosing import the_one
    from sync_profiles.cli.output import echo_json
    from sync_profiles.cli.stopping import EXIT_CODES, StopRequest
    from sync_profiles.engine.verify import Aim

    config = load_config(settings)
    one = the_one(config, sync)
    if (sample is not None) + flags["everything"] + bool(keys) > 1:
        raise UsageError("--sample, --all and --key do not go together", hint="Choose one.")
    aim = Aim(keys=keys, everything=flags["everything"], sample=sample or 1000, seed=secrets.randbits(32))
    stop = StopRequest()
    writes = flags["everything"] or flags["repair"]
    with closing(wiring.opened_store(config, read_only=not writes)) as store:
        work = _Work(settings, config, one, store)
        verified = _verified(work, aim, stop)
        if not verified.complete:
            click.echo("stopped before the end" + ("; --all goes on from here" if aim.everything else ""), err=True)
            return next(code for number, code in EXIT_CODES.items() if number.name == stop.cause)
        if flags["as_json"]:
            echo_json(shown.as_json(one.name, verified))
        else:
            for line in (*shown.result_lines(one.name, verified), *shown.reasons(verified)):
                click.echo(line)
        if flags["repair"] and verified.found:
            return most_serious([_repair(work, verified, stop), _MISMATCH])
    if not flags["as_json"]:
        click.echo(shown.advice(one.name, verified))
    return _MISMATCH if verified.found else 0


def _verified(work: _Work, aim: Aim, stop: StopRequest) -> Verified:
    """Say what it costs, ask where that is more than an hour's budget, and compare."""
    from sync_profiles import wiring
    from sync_profiles.cli.verified import plan_line
    from sync_profiles.engine.budget import Budget, StoppedError
    from sync_profiles.engine.verify import Verified, Verifier, aimed

    config, sync, store = work.config, work.sync, work.store

    def tell(text: str) -> None:
        if not work.settings.quiet:
            click.echo(text, err=True)

    around = wiring.surroundings(stop, lambda _event: None)
    with closing(wiring.profile_book(config)) as book:
        state = store.sync(sync.name) if aim.everything else store.reader(sync.name)
        parts = wiring.open_parts(config, sync, masked=True)
        budget = Budget(around.clock, stop, tell)
        verifier = Verifier(parts, state, book, budget, around.clock)
        what = aimed(state, aim, parts.identity.mapping, around.clock.now())
        if aim.everything:
            verifier.keep = store.sync(sync.name).keep_verification
        try:
            with stop.listening():
                cost = verifier.plan(what.count)
        except StoppedError:
            return Verified(0, 0, (), complete=False)
        tell(plan_line(sync.name, aim, what, state.known_count(), cost))
        if cost.queries > budget.per_hour and sys.stdin.isatty() and sys.stderr.isatty():
            click.confirm("That is more than an hour's budget. Go on?", abort=True, err=True)
        with stop.listening():
            return verifier.verify(what.targets, what.progress)


def _repair(work: _Work, verified: Verified, stop: StopRequest) -> int:
    """Mark what does not match as pending, and let the hourly run send it; its exit code."""
    from sync_profiles import wiring
    from sync_profiles.cli.running import observed, report
    from sync_profiles.engine.parts import RunOptions
    from sync_profiles.engine.repair import mark_for_repair
    from sync_profiles.engine.run import run_sync

    with stop.listening(), observed(work.config, work.settings) as observe:
        around = wiring.surroundings(stop, observe)
        opened = wiring.open_sync(work.config, work.sync, work.store, stop)
        mark_for_repair(opened.state, opened.lock, verified.found, around.clock.now())
        result = run_sync(opened, RunOptions(), around)
    report(result, as_json=False)
    if result.summary.outcome == "ok":
        next_step = f"`sync-profiles verify {opened.name} --all` proves it"
        click.echo(f"{opened.name}: what did not match was sent again; {next_step}", err=True)
    elif result.summary.outcome == "skipped":
        click.echo(f"{opened.name}: {result.summary.message}; the next run sends what did not match again", err=True)
    return result.exit_code
