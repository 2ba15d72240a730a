"""What a mapping must not say, given the columns there are: every problem at once, each with its place."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Sequence
from fnmatch import fnmatchcase

import msgspec

from sync_profiles.core.forms import canonical
from sync_profiles.core.problems import ValueProblem
from sync_profiles.core.properties import union_members
from sync_profiles.core.records import flaw
from sync_profiles.core.templates import parse_template
from sync_profiles.core.types import ABSENT, Column, Kind, MappingSpec, Property
from sync_profiles.core.values import cast, plain

NAME_CHARACTERS_MAX = 255  # Mixpanel cuts longer names, and two cut names could be one
FORBIDDEN = frozenset(("$distinct_id", "$token", "$group_key", "$group_id"))
SECRETS = ("password", "encrypted_password", "*_digest", "*_hash", "*_token", "*_secret", "salt", "otp_*")
"""Columns that look like secrets, as ``fnmatch`` patterns for lower-case names."""

_PATH_KINDS = frozenset((Kind.TEXT, Kind.JSON, Kind.JSONB, Kind.LIST, Kind.ANY))
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def mapping_problems(spec: MappingSpec, columns: Sequence[Column], primary_key: Sequence[str]) -> list[str]:
    """One line for each problem: the place inside the sync, and what is wrong there."""
    known = {column.name: column for column in columns}
    problems = [
        problem
        for place, name, entry in placed_properties(spec)
        for problem in (*_name_problems(place, name, spec), *_property_problems(place, entry, known))
    ]
    if not (spec.set or spec.set_once or spec.union):
        problems.append("set: names no property, so there is nothing to send")
    problems += _identity_problems(spec, known, primary_key)
    if spec.deleted is not None and spec.deleted not in known:
        problems.append(f"deleted: {_unknown(spec.deleted, known)}")
    return problems


def placed_properties(spec: MappingSpec) -> Iterator[tuple[str, str, Property]]:
    """Every property with its place as the configuration writes it, in file order, and its name."""
    for operation, properties in (("set", spec.set), ("set_once", spec.set_once), ("union", spec.union)):
        for name, entry in properties.items():
            yield f"{operation}.{_key(name)}", name, entry


def looks_secret(column: str) -> bool:
    """Whether a column's name says that it holds something that must not leave the database by accident."""
    return any(fnmatchcase(column.lower(), pattern) for pattern in SECRETS)


def _name_problems(place: str, name: str, spec: MappingSpec) -> Iterator[str]:
    if not name.strip():
        yield f"{place}: the name of a property is empty"
    if name in FORBIDDEN:
        yield f"{place}: {name} is part of every record and cannot be a property"
    if len(name) > NAME_CHARACTERS_MAX:
        yield f"{place}: the name has {len(name)} characters; Mixpanel cuts it at {NAME_CHARACTERS_MAX}"
    if any(character == "\0" or "\ud800" <= character <= "\udfff" for character in name):
        yield f"{place}: the name holds a NUL character or a lone surrogate"
    earlier = {"set_once": (spec.set,), "union": (spec.set, spec.set_once)}.get(place.partition(".")[0], ())
    if any(name in properties for properties in earlier):
        yield f"{place}: stands in another operation as well; a property may stand in one only"


def _property_problems(place: str, entry: Property, known: dict[str, Column]) -> Iterator[str]:
    if [entry.column is None, entry.template is None, entry.value is ABSENT].count(False) != 1:
        yield f"{place}: needs exactly one of column, template, value"
        return
    if entry.template is not None:
        yield from _template_problems(place, entry, known)
    elif entry.column is not None:
        yield from _column_problems(place, entry.column, entry, known)
    if entry.path is not None:
        yield from _path_problems(place, entry, known)
    yield from _constant_problems(place, entry)


def _column_problems(place: str, name: str, entry: Property, known: dict[str, Column]) -> Iterator[str]:
    if name not in known:
        yield f"{place}: {_unknown(name, known)}"
    elif looks_secret(name) and not entry.secret:
        cure = f'{{ column = "{name}", secret = true }}' if entry.template is None else "secret = true"
        yield f'{place}: column "{name}" looks like a secret; write {cure} to send it all the same'


def _template_problems(place: str, entry: Property, known: dict[str, Column]) -> Iterator[str]:
    try:
        _, names = parse_template(entry.template or "")
    except ValueError as error:
        yield f"{place}: template: {error}"
        return
    if not names:
        yield f"{place}: template names no column; a constant is written as value"
    for name in dict.fromkeys(names):
        yield from _column_problems(place, name, entry, known)


def _path_problems(place: str, entry: Property, known: dict[str, Column]) -> Iterator[str]:
    column = known.get(entry.column or "")
    if entry.column is None:
        yield f"{place}: path goes into a JSON column, and there is no column"
    elif column is not None and column.kind not in _PATH_KINDS:
        yield f'{place}: path goes into a JSON column, and "{column.name}" is {column.type_name}'
    if not all((entry.path or "").split(".")):
        yield f"{place}: path has an empty step"


def _constant_problems(place: str, entry: Property) -> Iterator[str]:
    form = union_members if place.startswith("union.") else canonical
    for word, constant in (("value", entry.value), ("default", entry.default)):
        try:
            value = None if constant is ABSENT else cast(entry.type, plain(Kind.ANY, constant))
            problem = None if value is None else flaw(form(value))
        except ValueProblem as found:
            problem = found
        if problem is not None:
            yield f"{place}: {word} {problem.text}"


def _identity_problems(spec: MappingSpec, known: dict[str, Column], primary_key: Sequence[str]) -> Iterator[str]:
    entry = spec.distinct_id
    if entry is None:
        if len(primary_key) != 1:
            yield f"distinct_id: is required, because the primary key has {len(primary_key)} columns"
        elif primary_key[0] not in known:
            yield f"distinct_id: {_unknown(primary_key[0], known)}"
    elif entry.value is not ABSENT or entry.default is not ABSENT:
        yield "distinct_id: a value or default would give several rows the same profile"
    else:
        # The ID is named as such by the user: a column like email_hash is a fine one.
        yield from _property_problems("distinct_id", msgspec.structs.replace(entry, secret=True), known)


def _unknown(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    folded = [column for column in known if column.lower() == name.lower()]
    if near or folded:
        return f'unknown column "{name}"; did you mean "{(folded or near)[0]}"?'
    shown = ", ".join(sorted(known)[:20])
    return f'unknown column "{name}" (there are: {shown}{", …" if len(known) > 20 else ""})'


def _key(name: str) -> str:
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return name if _BARE.fullmatch(name) else f'"{quoted}"'
