"""``${NAME}`` and ``${NAME:-default}`` in the strings of a configuration, and where their values came from."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from sync_profiles.config.lines import Place
from sync_profiles.core.types import Json

_VARIABLE = re.compile(r"\$(?P<escaped>\$\{)|\$\{(?P<inside>[^}]*)(?P<closed>\}?)")
_INSIDE = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>.*))?", re.DOTALL)

_MALFORMED = "${ must be followed by NAME} or NAME:-default}; write $${ for a literal ${"
_NESTED = "the default of a variable cannot hold another variable"


class Expanded(msgspec.Struct):
    """A value with its variables filled in.

    ``origins`` names the variables that gave something (``environment NAME``, ``.env NAME``), each once; ``varied``
    is true as soon as a variable was written, even where its default was used. ``problems`` are (place, what).
    """

    value: Json
    origins: list[str]
    varied: bool
    problems: list[tuple[Place, str]]


class Variables:
    """The environment over the ``.env`` file: a real variable wins, even an empty one."""

    def __init__(self, environ: Mapping[str, str], dotenv: Mapping[str, str]) -> None:
        self._environ = environ
        self._dotenv = dotenv

    def expand(self, value: Json, place: Place) -> Expanded:
        """Fill in every string of ``value``, however deep; keys are left as they are.

        As in a shell, the default is used where the variable is not set or empty. Without a default, a variable that
        is not set is a problem. ``$`` before anything but ``{`` stays; ``$${`` is a literal ``${``.
        """
        expanded = Expanded(value, [], varied=False, problems=[])
        expanded.value = self._walk(value, place, expanded)
        return expanded

    def _walk(self, value: Json, place: Place, into: Expanded) -> Json:
        match value:
            case str():
                return _VARIABLE.sub(lambda match: self._one(match, place, into), value)
            case list():
                return [self._walk(element, (*place, number), into) for number, element in enumerate(value)]
            case dict():
                return {key: self._walk(inner, (*place, key), into) for key, inner in value.items()}
            case _:
                return value

    def _one(self, match: re.Match[str], place: Place, into: Expanded) -> str:
        if match["escaped"]:
            return "${"
        inside = _INSIDE.fullmatch(match["inside"]) if match["closed"] else None
        if inside is None or "${" in match["inside"]:
            into.problems.append((place, _NESTED if inside else _MALFORMED))
            return ""
        name, default = inside["name"], inside["default"]
        into.varied = True
        text, origin = self._look_up(name)
        if default is not None and not text:
            return default
        if text is None:
            into.problems.append((place, f"environment variable {name} is not set"))
            return ""
        if origin not in into.origins:
            into.origins.append(origin)
        return text

    def _look_up(self, name: str) -> tuple[str | None, str]:
        if name in self._environ:
            return self._environ[name], f"environment {name}"
        return self._dotenv.get(name), f".env {name}"


def literal_part(text: str) -> str:
    """What of ``text`` is written in the file itself: variables fall out, their defaults stay."""
    return _VARIABLE.sub(_literal, text)


def _literal(match: re.Match[str]) -> str:
    inside = _INSIDE.fullmatch(match["inside"] or "")
    return (inside["default"] or "") if inside else match.group()
