"""Reading the configuration for a command, with everything secret in it masked from then on."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING

import click

from sync_profiles.cli.context import Settings, current
from sync_profiles.errors import SyncProfilesError

if TYPE_CHECKING:
    from sync_profiles.config import Config


def load_config(settings: Settings) -> Config:
    """The configuration of this call; its secrets are registered for masking, its warnings are logged.

    Warnings are for whoever looks: without a terminal only ``-v`` shows them, or cron would mail the same line every
    hour. Raises ``ConfigError`` with every problem found.
    """
    from sync_profiles.config import load
    from sync_profiles.observe.redact import register_secret, register_url

    config = load(settings.config_path, os.environ)
    for secret in config.secrets:
        register_secret(secret.reveal())
    for url in config.addresses:
        register_url(url.reveal())
    level = logging.WARNING if sys.stderr.isatty() else logging.INFO
    for warning in config.warnings:
        logging.getLogger("sync_profiles").log(level, "%s", warning)
    return config


def sync_names(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """The syncs of the configuration that begin so, for a shell's completion; none when it cannot be read."""
    from sync_profiles.config import load

    try:
        config = load(current(ctx).config_path, os.environ)
    except SyncProfilesError:
        return []
    return [sync.name for sync in config.syncs if sync.name.startswith(incomplete)]
