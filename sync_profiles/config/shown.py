"""A configuration as people and editors see it: every value with its origin, and the JSON Schema."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Any

import msgspec

from sync_profiles.config.lines import Place
from sync_profiles.config.model import Config, SyncConfig
from sync_profiles.config.reading import dotted
from sync_profiles.config.settings import OPERATIONS, PROPERTY, SECTIONS, SYNC, Setting
from sync_profiles.core.types import Json, Property

NOT_GIVEN = "-"
_COLUMN_SCHEMA = {"type": "string", "minLength": 1}

Shown = tuple[str, str, str]


def resolved(config: Config) -> list[Shown]:
    """(dotted key, value, origin) of every setting, in the order of the tables; secrets are ``***``.

    A value is written as it would stand in the file; one that was not given and has no default is ``-``.
    """
    rows: list[Shown] = []
    for name, settings in SECTIONS.items():
        rows.extend(_settings(config, (name,), getattr(config, name), settings))
    for sync in config.syncs:
        rows.extend(_settings(config, ("sync", sync.name), sync, SYNC))
        rows.extend(_properties(config, sync))
    return rows


def _settings(config: Config, place: Place, values: object, settings: Sequence[Setting]) -> Iterator[Shown]:
    for setting in settings:
        key = dotted((*place, setting.key))
        value = attrgetter(setting.attribute)(values)
        if key == dotted((*place, "query")) and getattr(values, "query_file", None):
            continue  # the text of the file; the file is named in the next line
        yield key, _shown(value, setting), config.origins[key]


def _shown(value: Any, setting: Setting) -> str:
    if (value is None and setting.default is None) or value == ():
        return NOT_GIVEN
    return setting.form.show(value)


def _properties(config: Config, sync: SyncConfig) -> Iterator[Shown]:
    place: Place = ("sync", sync.name)
    if sync.mapping.distinct_id is not None:
        yield _property(config, (*place, "distinct_id"), sync.mapping.distinct_id)
    for operation in OPERATIONS:
        for name, source in getattr(sync.mapping, operation).items():
            yield _property(config, (*place, operation, name), source)


def _property(config: Config, place: Place, source: Property) -> Shown:
    """One property in one line: its column's name, or its table as JSON."""
    given = {
        setting.key: value
        for setting in PROPERTY
        if (value := getattr(source, setting.attribute)) is not setting.default
    }
    text = source.column if given.keys() == {"column"} else msgspec.json.encode(given).decode()
    key = dotted(place)
    return key, str(text), config.origins[key]


def json_schema() -> dict[str, Json]:
    """JSON Schema (2020-12) of ``config.toml`` for editors; ``parse`` stays the judge of what runs."""
    properties: dict[str, Json] = {name: _table(settings) for name, settings in SECTIONS.items()}
    properties["sync"] = {
        "type": "object",
        "propertyNames": {"pattern": "^[A-Za-z0-9_-]+$"},
        "additionalProperties": _sync_schema(),
        "minProperties": 1,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "sync-profiles configuration",
        "type": "object",
        "properties": properties,
        "required": ["source", "mixpanel", "sync"],
        "additionalProperties": False,
    }


def _sync_schema() -> dict[str, Json]:
    sync = _table(SYNC)
    source = {"anyOf": [_COLUMN_SCHEMA, _table(PROPERTY)]}
    for operation in OPERATIONS:
        sync["properties"][operation] = {"type": "object", "additionalProperties": source}
    sync["properties"]["distinct_id"] = source
    sync["properties"]["copy"] = {
        "description": "columns that become properties of the same name",
        "anyOf": [_COLUMN_SCHEMA, {"type": "array", "items": _COLUMN_SCHEMA, "minItems": 1}],
    }
    return sync


def _table(settings: Sequence[Setting]) -> dict[str, Json]:
    table: dict[str, Json] = {"type": "object", "properties": {}, "additionalProperties": False}
    for setting in settings:
        table["properties"][setting.key] = {"description": setting.why, **setting.form.schema}
    required = [setting.key for setting in settings if setting.cure is not None]
    return {**table, "required": required} if required else table
