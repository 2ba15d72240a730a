"""``config``: what the program believes it was told."""

from __future__ import annotations

import click

from sync_profiles.cli.command import Group, epilog
from sync_profiles.cli.context import Settings
from sync_profiles.cli.loading import load_config
from sync_profiles.cli.output import echo_table


@click.group(cls=Group, epilog=epilog("sync-profiles config show", codes=(0, 1, 2, 78)))
def config() -> None:
    """Show the resolved configuration, or its schema for editors."""


@config.command(epilog=epilog("sync-profiles -c /etc/sync-profiles/config.toml config show", codes=(0, 1, 2, 78)))
@click.pass_obj
def show(settings: Settings) -> None:
    """Show every value and where it came from, secrets masked."""
    from sync_profiles.config import resolved

    echo_table(("key", "value", "from"), resolved(load_config(settings)), settings)


@config.command(epilog=epilog("sync-profiles config schema > config.schema.json", codes=(0, 1, 2)))
def schema() -> None:
    """Print the JSON Schema of config.toml, for editors that complete and check it."""
    import json

    from sync_profiles.config import json_schema

    click.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
