"""The command line: thin commands that parse, wire, make one call, print and hand back an exit code.

Nothing heavy is imported here: ``sync-profiles --help`` loads click and msgspec only.
"""

from __future__ import annotations

import click

from sync_profiles import __version__
from sync_profiles.cli.command import Group, epilog

_COMMANDS = {
    "init": ("sync_profiles.cli.init:init", "Look at the database and propose a configuration."),
    "check": ("sync_profiles.cli.check:check", "Find out before a run what would go wrong in it."),
    "run": ("sync_profiles.cli.run:run", "The hourly run: send what changed."),
    "backfill": ("sync_profiles.cli.backfill:backfill", "Send every selected row again, by hand."),
    "preview": ("sync_profiles.cli.preview:preview", "Show the records that would be sent."),
    "verify": ("sync_profiles.cli.verify:verify", "Read profiles back and compare them with the table."),
    "status": ("sync_profiles.cli.status:status", "Is Mixpanel in step? The last runs of every sync."),
    "rejected": ("sync_profiles.cli.rejected:rejected", "Rows that Mixpanel does not have, and why."),
    "sandbox": ("sync_profiles.cli.sandbox:sandbox", "Run a local stand-in for Mixpanel."),
    "demo": ("sync_profiles.cli.demo:demo", "A real sync on a table of its own, to look at."),
    "config": ("sync_profiles.cli.config:config", "Show the resolved configuration, or its schema for editors."),
    "state": ("sync_profiles.cli.state:state", "Take out what is remembered between runs, or start over."),
}
"""In the order in which they are needed; a test holds each line against the command's own."""


@click.group(
    cls=Group,
    lazy=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=epilog(
        "sync-profiles demo",
        "sync-profiles preview users --limit 3",
        "sync-profiles -c /etc/sync-profiles/config.toml run",
    ),
)
@click.version_option(__version__, "--version", prog_name="sync-profiles", message="%(prog)s %(version)s")
def cli() -> None:
    """Keep Mixpanel's user profiles equal to the user table of an application database."""
