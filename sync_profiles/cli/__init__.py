"""The command line: thin commands that parse, wire, make one call, print and hand back an exit code.

Nothing heavy is imported here: ``sync-profiles --help`` loads click and msgspec only.
"""

from __future__ import annotations

import click

from sync_profiles import __version__
from sync_profiles.cli.command import Group, epilog

_COMMANDS = {
    "sandbox": ("sync_profiles.cli.sandbox:sandbox", "Run a local stand-in for Mixpanel."),
    "config": ("sync_profiles.cli.config:config", "Show the resolved configuration, or its schema for editors."),
}


@click.group(
    cls=Group,
    lazy=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=epilog("sync-profiles -c /etc/sync-profiles/config.toml config show"),
)
@click.version_option(__version__, "--version", prog_name="sync-profiles", message="%(prog)s %(version)s")
def cli() -> None:
    """Keep Mixpanel's user profiles equal to the user table of an application database."""
