"""``[sync.NAME]``: one sync, its properties and the rules between its keys."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sync_profiles.config import forms
from sync_profiles.config.forms import Form, MisfitError
from sync_profiles.config.lines import Place
from sync_profiles.config.model import SyncConfig
from sync_profiles.config.reading import Reading, Section, dotted
from sync_profiles.config.settings import OPERATIONS, PROPERTY, SYNC, SYNC_MAPPING
from sync_profiles.core.types import Json, MappingSpec, Property

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_MODELS = ("table", "query", "query_file")
_ORIGINS = ("column", "template", "value")

ReadQuery = Callable[[str], str]


def read_syncs(reading: Reading, raw: Json, read_query: ReadQuery) -> tuple[SyncConfig, ...]:
    """Every ``[sync.NAME]`` in the order of the file; ``read_query`` gives the text of a ``query_file``."""
    place: Place = ("sync",)
    if not raw:
        reading.report(place, "there is no sync; write a table [sync.users] with what to send")
        return ()
    if not isinstance(raw, dict) or not any(isinstance(table, dict) for table in raw.values()):
        reading.report(place, "each sync is a table with a name of its own: write [sync.users] instead of [sync]")
        return ()
    return tuple(_sync(reading, name, reading.table((*place, name), table), read_query) for name, table in raw.items())


def _sync(reading: Reading, name: str, raw: dict[str, Json], read_query: ReadQuery) -> SyncConfig:
    place: Place = ("sync", name)
    if not _NAME.fullmatch(name):
        reading.report(place, "a sync's name is made of letters, digits, _ and -")
    reading.unknown_keys(place, raw, [*(setting.key for setting in SYNC), *SYNC_MAPPING])
    section = reading.section(place, raw, SYNC, blank_is_absent=False)
    _check_together(reading, section)
    values = section.values
    if isinstance(values["query_file"], str):
        values["query"] = _query_text(reading, (*place, "query_file"), values["query_file"], read_query)
    options = {key.removeprefix("mapping."): values.pop(key) for key in list(values) if key.startswith("mapping.")}
    if "distinct_id" in raw:
        options["distinct_id"] = _property(reading, (*place, "distinct_id"), raw["distinct_id"])
    operations = _operations(reading, place, raw)
    mapping = MappingSpec(operations["set"], operations["set_once"], operations["union"], **options)
    return SyncConfig(name=name, mapping=mapping, **values)


def _check_together(reading: Reading, section: Section) -> None:
    """The rules between keys; a key with a problem of its own still counts as given."""
    place, given = section.place, section.given
    models = [key for key in _MODELS if key in given]
    if not models:
        reading.report(place, "has nothing to read; give one of table, query, query_file")
    for extra in models[1:]:
        reading.report((*place, extra), f"stands beside {models[0]}; give one of table, query, query_file")
    if models and models[0] != "table" and "primary_key" not in given:
        reading.report((*place, models[0]), "needs primary_key: the column that tells its rows apart")
    if section.values["detect"] == "cursor" and "cursor" not in given:
        reading.report((*place, "detect"), '"cursor" needs cursor: the column that grows when a row changes')


def _query_text(reading: Reading, place: Place, name: str, read_query: ReadQuery) -> str | None:
    try:
        text = read_query(name)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        reading.report(place, f"cannot be read: {error.strerror or 'no such file'}{where}")
    except UnicodeDecodeError:
        reading.report(place, "the file is not UTF-8 text")
    else:
        if text.strip():
            return text
        reading.report(place, "the file is empty")
    return None


def _operations(reading: Reading, place: Place, raw: dict[str, Json]) -> dict[str, dict[str, Property]]:
    """The properties of each operation; each property stands in one operation, under one name, once."""
    operations: dict[str, dict[str, Property]] = {operation: {} for operation in OPERATIONS}
    taken: dict[str, Place] = {}

    def take(name: str, where: Place) -> bool:
        if name in taken:
            first = taken[name]
            home, line = dotted(first[:3]), reading.line(first)
            reading.report(where, f"is in {home} already (line {line}); a property stands in one operation, once")
        return taken.setdefault(name, where) == where

    if "copy" in raw:
        for number, name in enumerate(reading.one((*place, "copy"), raw["copy"], forms.NAMES) or ()):
            where = (*place, "copy", number, name)
            if take(name, where):
                operations["set"][name] = Property(column=name)
                reading.origins[dotted((*place, "set", name))] = reading.origins[dotted((*place, "copy"))]
    for operation in OPERATIONS:
        if operation in raw:
            table = reading.table((*place, operation), raw[operation])
            for name, source in table.items():
                where = (*place, operation, name)
                if take(name, where):
                    operations[operation][name] = _property(reading, where, source)
    if not taken and "copy" not in raw:
        reading.report(place, f"sends no property; name some in [{dotted((*place, 'set'))}] or in copy")
    return operations


def _property(reading: Reading, place: Place, raw: Json) -> Property:
    """One property: a column's name, or a table with exactly one of ``column``, ``template``, ``value``."""
    if not isinstance(raw, dict):
        return Property(column=reading.one(place, raw, _COLUMN))
    reading.unknown_keys(place, raw, [setting.key for setting in PROPERTY])
    section = reading.section(place, raw, PROPERTY, blank_is_absent=False)
    origins = [key for key in _ORIGINS if key in section.given]
    if len(origins) != 1:
        found = " and ".join(origins) or "none of them"
        reading.report(place, f"takes exactly one of column, template, value; it has {found}")
    if "path" in section.given and "column" not in section.given:
        reading.report((*place, "path"), "goes with column only: it leads into a JSON column")
    parts = [reading.origins.pop(dotted((*place, setting.key))) for setting in PROPERTY]
    reading.origins[dotted(place)] = ", ".join(dict.fromkeys(part for part in parts if part != "default"))
    return Property(**section.values)


def _column(value: Json) -> Any:
    if not isinstance(value, str):
        raise MisfitError(
            'is not a column\'s name or a table such as { column = "plan" }; a constant is { value = ... }'
        )
    return forms.TEXT.read(value)


_COLUMN = Form(_column, {"type": "string", "minLength": 1})
