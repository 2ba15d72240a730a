"""A configuration that travels to other machines: what one sync needs of it, its variables not filled in yet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from sync_profiles.config.document import toml, understood
from sync_profiles.config.files import dotenv_variables, raw_text
from sync_profiles.config.lines import Place, key_lines
from sync_profiles.config.model import Config, SyncConfig
from sync_profiles.config.reading import Reading
from sync_profiles.config.variables import Variables
from sync_profiles.core.types import Json
from sync_profiles.errors import ConfigError

_SECTIONS = ("source", "mixpanel", "state")
_ONLY_HERE = ("service_account", "service_secret")
_LITERAL = "is a secret that stands in the file itself, and would travel to the cluster in clear"


class Portable(msgspec.Struct, frozen=True):
    """The tables of a configuration as they are written, without its comments, and the lines they stand on.

    A ``query_file`` is replaced by its content. There is no secret in it but by name: ``${NAME}``.
    """

    path: str
    document: dict[str, Json]
    lines: tuple[tuple[Place, int], ...]


def portable(config: Config, sync: SyncConfig, environ: Mapping[str, str]) -> Portable:
    """What of the file of ``config`` is needed for one sync; raises ``ConfigError`` for secrets in the file itself."""
    text = raw_text(config.path)
    document = toml(text, config.path)
    kept = {name: dict(document[name]) for name in _SECTIONS if name in document}
    for name in _ONLY_HERE:
        kept.get("mixpanel", {}).pop(name, None)
    table = dict(document["sync"][sync.name])
    if table.pop("query_file", None) is not None:
        table["query"] = (sync.query or "").replace("${", "$${")
    document = {**kept, "sync": {sync.name: table}}
    lines = [(place, line) for place, line in key_lines(text).items() if _is_in(document, place)]
    found = Portable(config.path, document, tuple(lines))
    reading = _reading(found, {**dotenv_variables(Path(config.path).with_name(".env")), **environ})
    understood(reading, found.document, _no_files)
    if reading.literal_secrets:
        raise ConfigError(
            [reading.located(place, _LITERAL) for place in reading.literal_secrets],
            hint="Take it from a ${VARIABLE}, and set that in the environment of every worker.",
        )
    return found


def unpacked(found: Portable, environ: Mapping[str, str]) -> Config:
    """The configuration with this machine's variables; raises ``ConfigError`` that names each that is not set."""
    reading = _reading(found, environ)
    return understood(reading, found.document, _no_files)


def _is_in(document: Json, place: Place) -> bool:
    """Whether a place is one of this document's tables and values."""
    for part in place:
        if isinstance(document, dict):
            if part not in document:
                return False
            document = document[str(part)]
    return True


def _reading(found: Portable, environ: Mapping[str, str]) -> Reading:
    return Reading(found.path, dict(found.lines), Variables(environ, {}))


def _no_files(name: str) -> str:
    raise FileNotFoundError(name)
