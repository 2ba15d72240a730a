"""Reading the configuration for a command, with everything secret in it masked from then on."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import click

from sync_profiles.cli.context import Settings, current
from sync_profiles.errors import SyncProfilesError

if TYPE_CHECKING:
    from sync_profiles.config import Config, Secret


def load_config(settings: Settings) -> Config:
    """The configuration of this call; its secrets are registered for masking, its warnings are logged.

    Warnings are for whoever looks: without a terminal only ``-v`` shows them, or cron would mail the same line every
    hour. Raises ``ConfigError`` with every problem found.
    """
    from sync_profiles.config import load

    config = load(settings.config_path, os.environ)
    _mask_secrets(config)
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


def _mask_secrets(config: Config) -> None:
    mixpanel = config.mixpanel
    for secret in (mixpanel.token, mixpanel.service_secret, config.run.healthcheck_url):
        _mask(secret)
    for url in (config.source.url, config.state.url):
        if url is not None:
            mask_url(url.reveal())


def _mask(secret: Secret | None) -> None:
    from sync_profiles.observe.redact import register_secret

    register_secret(secret.reveal() if secret else None)


def mask_url(url: str) -> None:
    """The address of a database, and its password: a driver's message may quote that alone, decoded."""
    from sync_profiles.observe.redact import register_secret

    register_secret(url)
    try:
        password = urlsplit(url).password
    except ValueError:  # a bracket too many; whoever connects will say so
        return
    register_secret(unquote(password) if password else None)
