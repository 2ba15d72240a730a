"""``sync-profiles check``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from sync_profiles.cli.command import Command, epilog
from sync_profiles.cli.context import Settings
from sync_profiles.cli.loading import load_config
from sync_profiles.core.facts import Finding
from sync_profiles.errors import ConfigError

if TYPE_CHECKING:
    from sync_profiles.cli.stopping import StopRequest

_COLORS = {"ok": "green", "warn": "yellow", "error": "red"}


@click.command(
    cls=Command,
    short_help="Find out before a run what would go wrong in it.",
    epilog=epilog(
        "sync-profiles check",
        "sync-profiles check --no-canary",
        "sync-profiles -c /etc/sync-profiles/config.toml check --json",
        codes=(0, 1, 2, 78, 130, 143),
    ),
)
@click.option("--no-canary", is_flag=True, help="Write no test profile; the token then stays unproven.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_obj
def check(settings: Settings, /, *, no_canary: bool, as_json: bool) -> int:
    """Look at the config, the database, the state and Mixpanel, and say what is well and what is not.

    The token is proven by a test profile that is written, read back and deleted again; this needs a service account.
    Exit code 78 with an error finding, also when the database or Mixpanel is away; warnings end with 0.
    """
    from sync_profiles.cli.stopping import EXIT_CODES, StopRequest

    stop = StopRequest()
    found: list[Finding] = []
    with stop.listening():
        for finding in _findings(settings, stop, canary=not no_canary):
            found.append(_discreet(finding))
            if not as_json:
                click.echo(_line(found[-1]))
    if as_json:
        from sync_profiles.cli.output import echo_json

        echo_json({"schema": 1, "findings": found})
    codes = {number.name: code for number, code in EXIT_CODES.items()}
    if stop.cause in codes:
        return codes[stop.cause]
    if not as_json:
        click.echo(_next(found))
    return ConfigError.exit_code if any(finding.level == "error" for finding in found) else 0


def _findings(settings: Settings, stop: StopRequest, *, canary: bool) -> Iterator[Finding]:
    from sync_profiles import wiring
    from sync_profiles.core.findings import failed
    from sync_profiles.engine.check import check as examine

    try:
        config = load_config(settings)
    except ConfigError as error:
        yield from failed(error)
        return
    yield from (Finding("warn", "config", warning) for warning in config.warnings)
    if not config.warnings:
        yield Finding("ok", "config", f"the configuration {config.path} is in order")
    yield from examine(wiring.open_checks(config, stop), canary=canary)


def _discreet(finding: Finding) -> Finding:
    """A driver's own message may quote what nobody should read."""
    from sync_profiles.observe.redact import redact

    return Finding(finding.level, finding.code, redact(finding.message), redact(finding.hint))


def _line(finding: Finding) -> str:
    level = click.style(finding.level.ljust(5), fg=_COLORS[finding.level])
    text = " ".join(finding.message.split())
    return f"{level}  {text}" + (f" -> {' '.join(finding.hint.split())}" if finding.hint else "")


def _next(found: list[Finding]) -> str:
    errors = sum(finding.level == "error" for finding in found)
    if errors:
        what = "the error" if errors == 1 else f"the {errors} errors"
        return f"Next: mend {what} above, then `sync-profiles check` again."
    return "Next: `sync-profiles preview --limit 3` shows what would be sent, `sync-profiles run` sends it."
