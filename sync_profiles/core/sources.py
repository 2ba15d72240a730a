"""Where a property's value comes from: a column, a path into one, a template, a constant; its type and hash applied."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from sync_profiles.core.forms import text_of
from sync_profiles.core.problems import ValueProblem
from sync_profiles.core.templates import parse_template
from sync_profiles.core.types import Column, Kind, Property, Row
from sync_profiles.core.values import cast, plain

OfRow: TypeAlias = Callable[[Row], Any]
Places: TypeAlias = Mapping[str, tuple[int, Column]]
"""Column name -> its index in a row, and what it is."""


def plain_value(spec: Property, places: Places) -> OfRow:
    """The plain value of a property (see ``values``) as a function of the row, its type and hash applied."""
    source = _source(spec, places)
    wanted = spec.type
    if spec.hash is None:
        return source if wanted is None else lambda row: cast(wanted, source(row))

    def hashed(row: Row) -> str | None:
        value = cast(wanted, source(row))
        return None if value is None else _sha256(text_of(value))

    return hashed


def _source(spec: Property, places: Places) -> OfRow:
    if spec.column is not None:
        index, column = places[spec.column]
        kind = column.kind
        if not spec.path:
            return lambda row: plain(kind, row[index])
        steps = spec.path.split(".")
        kind = Kind.JSON if kind in (Kind.TEXT, Kind.JSONB, Kind.LIST) else kind
        return lambda row: _follow(_parsed(kind, row[index]), steps)
    if spec.template is not None:
        pattern, names = parse_template(spec.template)
        texts = [_text_of_column(*places[name]) for name in names]

        def filled(row: Row) -> str | None:
            parts = [text(row) for text in texts]
            return None if None in parts else pattern.format(*parts)

        return filled
    constant = plain(Kind.ANY, spec.value)
    return lambda _row: constant


def _text_of_column(index: int, column: Column) -> OfRow:
    def text(row: Row) -> str | None:
        value = plain(column.kind, row[index])
        return None if value is None else text_of(value)

    return text


def _parsed(kind: Kind, raw: Any) -> Any:
    """What a path goes into: text is parsed, also where its column does not say that it is JSON."""
    return cast("json", plain(kind, raw))


def _follow(value: Any, steps: Sequence[str]) -> Any:
    for step in steps:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def _sha256(text: str) -> str:
    try:
        return hashlib.sha256(text.encode()).hexdigest()
    except UnicodeEncodeError as error:
        raise ValueProblem("bad_value", "holds a lone surrogate, which is not Unicode text") from error
