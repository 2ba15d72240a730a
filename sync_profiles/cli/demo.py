"""``sync-profiles demo``: a real sync, from a real table into a local Mixpanel, in a few seconds."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sync_profiles.cli.command import Command, epilog
from sync_profiles.cli.context import Settings
from sync_profiles.cli.output import echo_table
from sync_profiles.errors import AccessError

if TYPE_CHECKING:
    import sqlalchemy as sa

    from sync_profiles.sandbox.server import Sandbox

SHOWN = 5
RECORDS_SHOWN = 8


@click.command(
    cls=Command,
    short_help="A real sync on a table of its own, to look at.",
    epilog=epilog(
        "sync-profiles demo",
        "sync-profiles demo --rows 100000",
        "sync-profiles demo --serve",
        codes=(0, 1, 2, 75, 77, 78, 130),
    ),
)
@click.option("--rows", type=click.IntRange(min=3), default=1000, show_default=True, help="Users in the table.")
@click.option("--serve", is_flag=True, help="Keep the local Mixpanel running afterwards, until Ctrl-C.")
@click.option("--database-url", metavar="URL", help="Make the demo's table there instead of in a SQLite file.")
@click.pass_obj
def demo(settings: Settings, /, rows: int, database_url: str | None, *, serve: bool) -> None:
    """Make a user table and a local Mixpanel, sync, sync again, change a few rows, sync once more.

    Shows what was sent each time. Everything is removed at the end.
    """
    from sqlalchemy.exc import SQLAlchemyError

    from sync_profiles.demo import drop_table, open_engine
    from sync_profiles.sandbox.server import Sandbox
    from sync_profiles.source.database import driver_url

    sandbox = Sandbox(keep_bodies=True, keep_history=serve)
    with tempfile.TemporaryDirectory(prefix="sync-profiles-demo-") as folder, sandbox:
        url = database_url or f"sqlite:///{folder}/users.db"
        if database_url:
            _reach(database_url)
        engine = open_engine(driver_url(url))
        try:
            environment = _environment(folder, url, sandbox)
            _story(settings, engine, sandbox, rows, environment)
            if serve:
                _invite(sandbox.url, environment)
                _wait_for_interrupt()
        finally:
            with suppress(SQLAlchemyError):  # what broke the story is told, not that it also broke this
                drop_table(engine)
            engine.dispose()


def _reach(url: str) -> None:
    """Ask for a connection the way a run does, so that what is wrong with it is told as well."""
    import sqlalchemy as sa

    from sync_profiles.observe.redact import register_secret
    from sync_profiles.source.sql import open_database

    register_secret(url)
    with closing(open_database(url, statement_timeout_s=60)) as database:
        database.fetch(sa.select(sa.literal(1)), place="--database-url")


def _make_table(engine: sa.Engine, rows: int) -> None:
    import sqlalchemy as sa

    from sync_profiles.demo import TABLE, make_table

    try:
        make_table(engine, rows)
    except sa.exc.DBAPIError as error:
        hint = "The demo needs a user who may create and drop tables; everything else only reads."
        raise AccessError(f"the table {TABLE} cannot be made there", hint=hint) from error


def _environment(folder: str, url: str, sandbox: Sandbox) -> dict[str, str]:
    from sync_profiles.demo import config_text

    path = Path(folder) / "config.toml"
    path.write_text(config_text(sandbox.url), "utf-8")
    return {
        "SYNC_PROFILES_CONFIG": str(path),
        "DEMO_DATABASE_URL": url,
        "DEMO_TOKEN": sandbox.token,
        "DEMO_STATE_URL": f"sqlite:///{folder}/state.db",
    }


def _story(settings: Settings, engine: sa.Engine, sandbox: Sandbox, rows: int, environment: Mapping[str, str]) -> None:
    from sync_profiles.demo import TABLE, change_some

    _make_table(engine, rows)
    click.echo(f"A table {TABLE} with {rows:,} users, and an empty local Mixpanel at {sandbox.url}\n")
    _one_run("First run", settings, sandbox, environment)
    _table(settings, sandbox)
    _one_run("\nSecond run, nothing changed", settings, sandbox, environment)
    click.echo("\nMeanwhile in the table:")
    for line in change_some(engine):
        click.echo(f"  - {line}")
    click.echo()
    _one_run("Third run", settings, sandbox, environment, show_records=True)
    _table(settings, sandbox)


def _one_run(
    title: str, settings: Settings, sandbox: Sandbox, environment: Mapping[str, str], *, show_records: bool = False
) -> None:
    from sync_profiles import wiring
    from sync_profiles.cli.running import observed, report
    from sync_profiles.cli.stopping import StopRequest
    from sync_profiles.config import load
    from sync_profiles.engine.parts import RunOptions
    from sync_profiles.engine.run import run_sync

    sandbox.clear_log()
    config = load(environment["SYNC_PROFILES_CONFIG"], {**os.environ, **environment})
    stop = StopRequest()
    with closing(wiring.opened_store(config)) as store, stop.listening(), observed(config, settings) as observe:
        opened = wiring.open_sync(config, config.syncs[0], store, stop)
        result = run_sync(opened, RunOptions(allow_mass_delete=True), wiring.surroundings(stop, observe))
    summary = result.summary
    click.echo(
        f"{title}: read {summary.scanned:,} rows, {summary.unchanged:,} unchanged; sent {summary.sent:,} profiles, "
        f"removed {summary.deleted:,}, in {summary.requests} requests ({summary.seconds:.2f} s)"
    )
    report(result, as_json=False)
    if show_records:
        for record in _records(sandbox)[:RECORDS_SHOWN]:
            click.echo(f"  {record}")
    if result.exit_code:
        raise click.exceptions.Exit(result.exit_code)


def _records(sandbox: Sandbox) -> list[str]:
    """What was sent, without what is the same in every record."""
    import msgspec

    bodies = [request.body for request in sandbox.requests if request.body]
    records = [record for body in bodies for record in msgspec.json.decode(body)]
    constant = {"$token", "$ip", "$ignore_time", "$ignore_alias"}
    return [msgspec.json.encode({k: v for k, v in r.items() if k not in constant}).decode() for r in records]


def _table(settings: Settings, sandbox: Sandbox) -> None:
    rows = sorted(sandbox.table(), key=lambda row: (len(row[0]), row[0]))
    shown = [*rows[:SHOWN], ("…", "", ""), rows[-1]] if len(rows) > SHOWN + 1 else rows
    click.echo()
    echo_table(("Distinct ID", "Name", "Email"), shown, settings)


def _invite(address: str, environment: Mapping[str, str]) -> None:
    """Say where to look, and how to run the sync once more from another shell."""
    config = Path(environment["SYNC_PROFILES_CONFIG"])
    lines = [f"{name}={_quoted(value)}\n" for name, value in environment.items() if name.startswith("DEMO_")]
    config.with_name(".env").write_text("".join(lines), "utf-8")
    click.echo(f"\nThe local Mixpanel stays until Ctrl-C; its page: {address}/sandbox")
    click.echo(f"Change the table, switch a fault on, and run once more from another shell:\n  {_again(config)}")


def _quoted(value: str) -> str:
    """A value as ``.env`` files hold it literally."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _again(config: Path) -> str:
    own = Path(sys.argv[0])
    program = str(own.absolute()) if own.name == "sync-profiles" else "sync-profiles"
    return shlex.join([program, "-c", str(config), "run", "-v"])


def _wait_for_interrupt() -> None:
    from sync_profiles.cli.stopping import StopRequest

    with StopRequest().listening() as stop:
        while not stop.wait(3600):
            pass
