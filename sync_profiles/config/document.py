"""From the text of ``config.toml`` and the environment to a ``Config``, or to every problem at once."""

from __future__ import annotations

import errno
import os
import re
import tomllib
from collections.abc import Mapping

import msgspec

from sync_profiles.config.lines import key_lines
from sync_profiles.config.model import Config, MixpanelConfig, RunConfig, SourceConfig, StateConfig
from sync_profiles.config.reading import Reading, Section
from sync_profiles.config.settings import SECTIONS
from sync_profiles.config.syncs import ReadQuery, read_syncs
from sync_profiles.config.variables import Variables
from sync_profiles.core.types import Json
from sync_profiles.errors import ConfigError

_TOML_PLACE = re.compile(r" \((?:at line (?P<line>\d+), column (?P<column>\d+)|at end of document)\)$")


def _no_files(name: str) -> str:
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)


def parse(
    text: str,
    environ: Mapping[str, str],
    *,
    path: str,
    dotenv: Mapping[str, str] | None = None,
    read_query: ReadQuery = _no_files,
    readable_by_others: bool = False,
) -> Config:
    """Read a configuration without touching a file.

    ``path`` stands in messages and origins. ``dotenv`` is looked at where ``environ`` has nothing. ``read_query`` gives
    the text of a ``query_file``; it may raise ``OSError`` or ``UnicodeDecodeError``. ``readable_by_others`` asks for a
    warning about each secret that is written in the text itself.

    Raises ``ConfigError`` with every problem, each ``path:LINE: section.key: what is wrong``.
    """
    document = toml(text, path)
    reading = Reading(path, key_lines(text), Variables(environ, dotenv or {}))
    config = understood(reading, document, read_query)
    return msgspec.structs.replace(config, warnings=_warnings(reading)) if readable_by_others else config


def understood(reading: Reading, document: Mapping[str, Json], read_query: ReadQuery) -> Config:
    """The configuration that a parsed document means; see ``parse``."""
    reading.unknown_keys((), document, [*SECTIONS, "sync"])
    sections = {
        name: reading.section((name,), reading.table((name,), document.get(name, {})), settings)
        for name, settings in SECTIONS.items()
    }
    for name, settings in SECTIONS.items():
        if isinstance(document.get(name), dict):
            reading.unknown_keys((name,), document[name], [setting.key for setting in settings])
    _check_account(reading, sections["mixpanel"])
    syncs = read_syncs(reading, document.get("sync"), read_query)
    if reading.problems:
        raise ConfigError(reading.problems)
    return Config(
        source=SourceConfig(**sections["source"].values),
        mixpanel=MixpanelConfig(**sections["mixpanel"].values),
        state=StateConfig(**sections["state"].values),
        run=RunConfig(**sections["run"].values),
        syncs=syncs,
        path=reading.path,
        warnings=(),
        origins=reading.origins,
    )


def toml(text: str, path: str) -> dict[str, Json]:
    """The parsed text; raises ``ConfigError`` with the place where it is no TOML."""
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ConfigError(f"{path}:1: not valid TOML: nested too deeply") from error
    except ValueError as error:  # TOMLDecodeError is one; a number of thousands of digits is another
        place = _TOML_PLACE.search(str(error))
        what = _TOML_PLACE.sub("", str(error)) if isinstance(error, tomllib.TOMLDecodeError) else "a number is too long"
        line = (place and place["line"]) or max(1, len(text.splitlines()))
        column = f" (column {place['column']})" if place and place["column"] else ""
        raise ConfigError(f"{path}:{line}: not valid TOML: {what}{column}") from error


def _check_account(reading: Reading, mixpanel: Section) -> None:
    pair = {"service_account", "service_secret"}
    if len(pair & mixpanel.given) == 1:
        (present,) = pair & mixpanel.given
        (absent,) = pair - mixpanel.given
        reading.report((*mixpanel.place, present), f"goes with {absent}: give both or neither")


def _warnings(reading: Reading) -> tuple[str, ...]:
    cure = "a secret is written in a file that others can read; take it from a ${VARIABLE}, or chmod 600 the file"
    return tuple(reading.located(place, cure) for place in reading.literal_secrets)
