"""One pass over a parsed document that collects every problem and every value's origin."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from sync_profiles.config.forms import Form, MisfitError, nearest
from sync_profiles.config.lines import Place
from sync_profiles.config.settings import SECTIONS, SYNC, SYNC_MAPPING, Setting
from sync_profiles.config.variables import Expanded, Variables, literal_part
from sync_profiles.core.types import Json

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_ECHO_MAX = 24  # characters; shorter than a token that landed in the wrong place


def dotted(place: Place) -> str:
    """A place as it would be written in TOML; positions in lists are left out."""
    keys = [part for part in place if isinstance(part, str)]
    return ".".join(key if _BARE.fullmatch(key) else f'"{key}"' for key in keys)


class Section(msgspec.Struct, frozen=True):
    """The values of one table by attribute, defaults filled in, and which keys were given.

    A value that was refused is the default: the refusal is on record, so no ``Config`` comes of it.
    """

    place: Place
    values: dict[str, Any]
    given: frozenset[str]


class Reading:
    """What is known while a document is read: its lines, the variables, the problems so far."""

    def __init__(self, path: str, lines: Mapping[Place, int], variables: Variables) -> None:
        self.path = path
        self.origins: dict[str, str] = {}
        self.literal_secrets: list[Place] = []
        self._lines = lines
        self._variables = variables
        self._problems: list[tuple[int, str]] = []

    def line(self, place: Place) -> int:
        """The line of a place, or of the nearest table around it that was written; 1 for what is nowhere."""
        while place and place not in self._lines:
            place = place[:-1]
        return self._lines.get(place, 1)

    def located(self, place: Place, what: str) -> str:
        """A message with its place before it: ``config.toml:LINE: section.key: what``."""
        return f"{self.path}:{self.line(place)}: {dotted(place)}: {what}"

    def report(self, place: Place, what: str) -> None:
        """Put a problem on record."""
        self._problems.append((self.line(place), self.located(place, what)))

    @property
    def problems(self) -> list[str]:
        """Every problem, in the order of the file."""
        return [text for _, text in sorted(self._problems, key=lambda problem: problem[0])]

    def table(self, place: Place, raw: Json) -> dict[str, Json]:
        """``raw`` when it is a table; else a problem and an empty one."""
        if isinstance(raw, dict):
            return raw
        self.report(place, f"must be a table: [{dotted(place)}]")
        return {}

    def unknown_keys(self, place: Place, raw: Mapping[str, Json], known: Sequence[str]) -> None:
        """Report each key of a table that is none of ``known``."""
        for key in raw:
            if key not in known:
                what = "unknown key" if place else "unknown section"
                self.report((*place, key), what + _belongs(key, known))

    def section(
        self, place: Place, raw: Mapping[str, Json], settings: Sequence[Setting], *, blank_is_absent: bool = True
    ) -> Section:
        """Read ``settings`` from a table.

        ``blank_is_absent``: an optional value that variables left empty counts as not given. Not in a sync, where a
        predicate that vanishes would send other rows.
        """
        values: dict[str, Any] = {}
        given = set()
        for setting in settings:
            here = (*place, setting.key)
            values[setting.attribute] = setting.default
            self.origins[dotted(here)] = "default"
            expanded = self._expand(here, raw[setting.key]) if setting.key in raw else None
            optional = blank_is_absent and setting.cure is None
            if expanded is not None and not (optional and expanded.varied and _is_blank(expanded.value)):
                given.add(setting.key)
                values[setting.attribute] = self._read(here, raw[setting.key], expanded, setting)
            elif setting.cure is not None and setting.key not in raw:
                self.report(here, f"is missing; {setting.cure}")
        return Section(place, values, frozenset(given))

    def one(self, place: Place, raw: Json, form: Form) -> Any:
        """A value that stands outside the tables of settings, or None after a problem."""
        expanded = self._expand(place, raw)
        return self._read(place, raw, expanded, Setting("", form, "", ""))

    def _expand(self, place: Place, raw: Json) -> Expanded:
        expanded = self._variables.expand(raw, place)
        for where, what in expanded.problems:
            self.report(where, what)
        return expanded

    def _read(self, place: Place, raw: Json, expanded: Expanded, setting: Setting) -> Any:
        form = setting.form
        self.origins[dotted(place)] = ", ".join(expanded.origins) or f"{self.path}:{self.line(place)}"
        if expanded.problems:
            return setting.default
        if form.exposes is not None and isinstance(raw, str) and form.exposes(literal_part(raw)):
            self.literal_secrets.append(place)
        try:
            return form.read(expanded.value)
        except MisfitError as misfit:
            self.report(place, f"{_subject(expanded, form)} {misfit}")
            return setting.default


def _is_blank(value: Json) -> bool:
    return isinstance(value, str) and not value.strip()


def _subject(expanded: Expanded, form: Form) -> str:
    """What a message is about: the variable that is to blame, or what is written; never a variable's value."""
    if expanded.origins:
        blamed = [origin.split(" ") for origin in expanded.origins]
        return " with ".join(
            f"variable {name} of .env" if where == ".env" else f"environment variable {name}" for where, name in blamed
        )
    shown = repr(expanded.value) if isinstance(expanded.value, str | int | float) else ""
    return shown if form.echoed and shown and len(shown) <= _ECHO_MAX else "the value"


def _belongs(key: str, known: Sequence[str]) -> str:
    """Where an unknown key probably belongs: a like-named key here, or the section that has it."""
    close = nearest(key, known)
    if close:
        return close
    homes = {f"[{name}]": {setting.key for setting in settings} for name, settings in SECTIONS.items()}
    homes["[sync.NAME]"] = {*(setting.key for setting in SYNC), *SYNC_MAPPING}
    home = next((name for name, keys in homes.items() if key in keys), None)
    return f"; it belongs in {home}" if home else f"; known here: {', '.join(known)}"
