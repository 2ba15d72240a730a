"""``sync-profiles init``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from sync_profiles.cli.command import Command, epilog
from sync_profiles.cli.context import Settings
from sync_profiles.core.draft import DATABASE_URL, MIXPANEL_TOKEN, VARIABLES, Proposal
from sync_profiles.errors import AccessError, ConfigError, TemporaryError, UsageError

if TYPE_CHECKING:
    from sync_profiles.core.survey import Table
    from sync_profiles.source.survey import Surveyor

REGIONS = ("us", "eu", "in")
TABLES_NAMED_MAX = 20
_EXAMPLE = "postgresql://user@host/name, mysql://…, sqlite:////path/app.db"


@click.command(
    cls=Command,
    short_help="Look at the database and propose a configuration.",
    epilog=epilog(
        "sync-profiles init",
        "sync-profiles init --table users",
        "sync-profiles init --url sqlite:////var/lib/app/app.db --output /etc/sync-profiles/config.toml",
        codes=(0, 1, 2, 75, 77, 78, 130),
    ),
)
@click.option("--url", metavar="URL", help="The database; default: $DATABASE_URL. Asked for on a terminal.")
@click.option("--table", metavar="NAME", help="The table with the users, or SCHEMA.NAME; default: the obvious one.")
@click.option("--output", type=click.Path(dir_okay=False), metavar="PATH", help="Where to write; default: config.toml.")
@click.option("--force", is_flag=True, help="Replace a configuration that is there; an .env is never touched.")
@click.pass_obj
def init(settings: Settings, /, *, url: str | None, table: str | None, output: str | None, force: bool) -> None:
    """Look at the database and write a commented configuration that works, and an .env beside it.

    The database is only read. On a terminal, what no flag says is asked.
    """
    from sync_profiles import config
    from sync_profiles.config import written
    from sync_profiles.core.draft import config_text, dotenv_text

    file = Path(output or settings.config_path or os.environ.get("SYNC_PROFILES_CONFIG") or "config.toml")
    written.refuse_unwritable(file, replace=force)
    secrets = file.with_name(".env")
    had = config.dotenv_variables(secrets) if secrets.exists() else None
    variables = {**(had or {}), **os.environ}
    address = _address(url, variables)
    with _blaming(address.origin):
        proposal = _proposal(address.url, table)
    token, region = _mixpanel(ask_token=had is None and MIXPANEL_TOKEN not in variables)

    written.write_config(file, config_text(proposal, region=region), replace=force)
    click.echo(_wrote(file, proposal))
    if had is None:
        there = address.is_same(os.environ.get(DATABASE_URL, ""))
        written.write_dotenv(secrets, dotenv_text(None if there else address.url, token))
        click.echo(f"Wrote {secrets}, which only you can read.")
        variables = {DATABASE_URL: address.url, MIXPANEL_TOKEN: token, **os.environ}
    if DATABASE_URL in variables and not address.is_same(variables[DATABASE_URL]):
        where = "the environment" if DATABASE_URL in os.environ else str(secrets)
        click.echo(f"{DATABASE_URL} of {where} is another address, and it is the one that runs will use.", err=True)
    click.echo(_next(file, secrets, [name for name in VARIABLES if not variables.get(name)], had=had is not None))


# --- what is asked -------------------------------------------------------------------------------------------------


class _Address(NamedTuple):
    """The database: as it can be used from any folder, as it was given, and by what."""

    url: str
    given: str
    origin: str

    def is_same(self, other: str) -> bool:
        return other in {self.url, self.given}


def _on_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _address(given: str | None, variables: Mapping[str, str]) -> _Address:
    """From the flag, the person, or a variable that is there already."""
    from sync_profiles.source.survey import settled_url

    url, origin = given or "", "--url"
    if given is None and _on_terminal():
        shown = f"${DATABASE_URL}" if variables.get(DATABASE_URL) else None
        url = click.prompt(f"Database ({_EXAMPLE})", default=shown, err=True)
        given, origin = None if url == shown else url, "the URL"
    if given is None:
        url, origin = variables.get(DATABASE_URL, ""), DATABASE_URL
    if not url:
        raise UsageError(f"no database is named: {DATABASE_URL} is not set", hint=f"--url {_EXAMPLE}")
    from sync_profiles.observe.redact import register_url

    register_url(url)
    with _blaming(origin):
        return _Address(settled_url(url.strip()), url, origin)


def _mixpanel(*, ask_token: bool) -> tuple[str, str]:
    """Token and region of the project; without a terminal they are filled in later."""
    if not _on_terminal():
        return "", "us"
    region = click.prompt("Mixpanel region", type=click.Choice(REGIONS), default="us", err=True)
    if not ask_token:
        return "", region
    asked = "Mixpanel project token, not shown (Enter: later)"
    return click.prompt(asked, default="", show_default=False, hide_input=True, err=True).strip(), region


# --- the database --------------------------------------------------------------------------------------------------


def _proposal(url: str, asked: str | None) -> Proposal:
    from sync_profiles.core.proposal import propose
    from sync_profiles.source.survey import open_surveyor

    with closing(open_surveyor(url)) as surveyor:
        table = surveyor.table(asked) if asked is not None else _chosen(surveyor)
        survey = surveyor.survey(table)
        click.echo(f"{surveyor.label}: {_shown(table)}" + (f", {survey.size}" if survey.size else ""))
        return propose(survey)


def _chosen(surveyor: Surveyor) -> Table:
    """The obvious table, else the one that a person picks."""
    from sync_profiles.core.likely import likely, obvious

    tables = surveyor.tables()
    if not tables:
        raise UsageError(f"{surveyor.label}: there is no table that this user may read")
    found = obvious(tables)
    if found is not None:
        return found
    candidates = likely(tables) or tables
    if _on_terminal():
        return _picked(surveyor, candidates)
    names = ", ".join(map(_shown, candidates[:TABLES_NAMED_MAX]))
    more = ", …" if len(candidates) > TABLES_NAMED_MAX else ""
    what = "several tables may hold the users" if likely(tables) else "no table looks like one of users; there are"
    raise UsageError(f"{surveyor.label}: {what}: {names}{more}", hint="choose one with --table NAME")


def _picked(surveyor: Surveyor, candidates: Sequence[Table]) -> Table:
    click.echo("Which table holds the users?", err=True)
    shown = candidates[:TABLES_NAMED_MAX]
    for number, table in enumerate(shown, start=1):
        click.echo(f"  {number:>2}  {_shown(table)}  ({len(table.columns)} columns)", err=True)
    while True:
        answer = click.prompt("Number or name", default="1", err=True).strip()
        if answer.isdecimal() and 1 <= int(answer) <= len(shown):
            return shown[int(answer) - 1]
        try:
            return surveyor.table(answer)
        except UsageError as error:
            click.echo(error.message.removeprefix("--table: "), err=True)


def _shown(table: Table) -> str:
    return f"{table.schema}.{table.name}" if table.schema else table.name


@contextmanager
def _blaming(origin: str) -> Iterator[None]:
    """Say what is wrong in the words of somebody who has no configuration yet."""
    from sync_profiles.core.troubles import Trouble
    from sync_profiles.source.failures import HINTS

    cures = {
        HINTS[Trouble.AWAY]: f"is the server running, and are host and port right in {origin}?",
        HINTS[Trouble.SLOW]: "the first rows took too long to come; is it a view? Name its table",
        HINTS[Trouble.REFUSED]: f"are user and password right in {origin}, and may the user SELECT from the table?",
        HINTS[Trouble.WRONG]: f"is the name of the database right in {origin}?",
    }
    try:
        yield
    except ConfigError as error:
        problems = [problem.replace("source.url:", f"{origin}:") for problem in error.problems]
        raise ConfigError(problems, hint=cures.get(error.hint or "", error.hint)) from error
    except (TemporaryError, AccessError) as error:
        raise type(error)(error.message, hint=cures.get(error.hint or "", error.hint)) from error


# --- what is told --------------------------------------------------------------------------------------------------


def _wrote(file: Path, proposal: Proposal) -> str:
    properties = proposal.properties
    active = sum(setting.active for setting in (*properties.set, *properties.set_once))
    sent, left = len(properties.copy) + active, len(properties.left_out)
    out = f"; {left} column{'s' if left != 1 else ''} left out, the reasons stand there" if left else ""
    return f"Wrote {file}: {sent} propert{'ies' if sent != 1 else 'y'}{out}."


def _next(file: Path, secrets: Path, missing: Sequence[str], *, had: bool) -> str:
    """What to do now, as commands that find this configuration."""
    usual = os.environ.get("SYNC_PROFILES_CONFIG") or "config.toml"
    check = "sync-profiles check" if str(file) == usual else f"sync-profiles -c {file} check"
    if not missing:
        return f"Next: read {file}, then `{check}`."
    lines = " and ".join(f"{name}=…" for name in missing)
    if had:
        return f"Next: {secrets} was there and is as it was; write {lines} into it, read {file}, then `{check}`."
    return f"Next: fill in {lines} in {secrets}, read {file}, then `{check}`."
