"""TOML and environment to ``Config``: ``load`` from the files, ``parse`` from a text, ``resolved`` for people.

``written`` is the way back, for a configuration that is proposed.
"""

from __future__ import annotations

from sync_profiles.config.document import parse
from sync_profiles.config.files import dotenv_variables, load
from sync_profiles.config.forms import parse_duration
from sync_profiles.config.model import (
    Config,
    MixpanelConfig,
    RunConfig,
    Secret,
    SourceConfig,
    StateConfig,
    SyncConfig,
)
from sync_profiles.config.portable import Portable, portable, unpacked
from sync_profiles.config.shown import json_schema, resolved

__all__ = [
    "Config",
    "MixpanelConfig",
    "Portable",
    "RunConfig",
    "Secret",
    "SourceConfig",
    "StateConfig",
    "SyncConfig",
    "dotenv_variables",
    "json_schema",
    "load",
    "parse",
    "parse_duration",
    "portable",
    "resolved",
    "unpacked",
]
