"""Distinct IDs in SQL: which rows may share one.

Everything here may find too many rows, never too few: whoever asks compares the mapped IDs. What cannot be said in SQL
with certainty makes every row a candidate.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from sync_profiles.core.templates import parse_template
from sync_profiles.core.types import ABSENT, Column, DistinctId, Kind, Property
from sync_profiles.source.dialect import Dialect, Element
from sync_profiles.source.model import Model
from sync_profiles.source.numerals import as_decimal, as_integer

_EXACT = frozenset({Kind.TEXT, Kind.INTEGER, Kind.DECIMAL, Kind.UUID})
"""Kinds whose text in SQL is the text that is sent."""
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_AS_IT_IS = frozenset({None, "string"})


@dataclasses.dataclass(frozen=True)
class IdMatch:
    """How to find rows by distinct ID: rows with equal IDs have equal ``element``.

    ``wanted`` makes of an ID the value of ``element``; None when no row can have that ID.
    """

    element: Element
    wanted: Callable[[DistinctId], Any]


def ids_are_unique(distinct_id: Property | None, model: Model) -> bool:
    """Whether the database itself forbids two rows with one distinct ID."""
    if distinct_id is None:
        return len(model.primary_key) == 1
    column = model.columns.get(distinct_id.column) if distinct_id.column else None
    if column is None or column.kind not in _EXACT or not _plain(distinct_id):
        return False
    return (column.name,) in model.unique or model.primary_key == (column.name,)


def id_match(distinct_id: Property | None, model: Model) -> IdMatch | None:
    """How to find rows by distinct ID; None: every row may have any ID."""
    dialect = model.database.dialect
    if distinct_id is None:
        return _of_column(model, model.columns[model.primary_key[0]])
    if distinct_id.column is not None and _plain(distinct_id):
        return _of_column(model, model.columns[distinct_id.column])
    text = _text(distinct_id, model)
    if text is None:
        return None
    if distinct_id.hash is not None:
        return IdMatch(dialect.sha256(text), _same) if distinct_id.default is ABSENT else None
    if distinct_id.default is not ABSENT:
        text = sa.func.coalesce(text, _default_text(distinct_id.default))
    if distinct_id.type == "uuid":
        return IdMatch(_bare(text), _bare_uuid)
    return IdMatch(text, _same) if distinct_id.type in _AS_IT_IS else None


def id_text(distinct_id: Property | None, model: Model) -> Element | None:
    """The distinct ID of a row as text in SQL; None where it cannot be computed there as it is sent."""
    if distinct_id is None:
        distinct_id = Property(column=model.primary_key[0])
    if distinct_id.hash is not None or distinct_id.default is not ABSENT or distinct_id.type not in _AS_IT_IS:
        return None
    return _text(distinct_id, model)


def _plain(given: Property) -> bool:
    return given.path is None and given.hash is None and given.type in _AS_IT_IS and given.default is ABSENT


def _of_column(model: Model, column: Column) -> IdMatch | None:
    """Compared as it is stored, so that an index serves."""
    dialect, element = model.database.dialect, model.element(column.name)
    match column.kind:
        case Kind.INTEGER:
            return IdMatch(element, as_integer)
        case Kind.DECIMAL:
            return IdMatch(element, as_decimal)
        case Kind.UUID:
            return IdMatch(element, _stored_uuid)
        case Kind.TEXT:
            return IdMatch(dialect.text(element, column), _same)
        case Kind.BYTES:
            return IdMatch(dialect.hexadecimal(element), lambda given: given.encode("utf-8", "replace").hex())
        case _:
            return None


def _text(given: Property, model: Model) -> Element | None:
    """The text before ``hash``, ``default`` and ``type``."""
    dialect = model.database.dialect
    if given.template is not None:
        return _template(given.template, model)
    if given.column is None:
        return None
    column, element = model.columns[given.column], model.element(given.column)
    if given.path is not None:
        steps = given.path.split(".")
        certain = given.type in _AS_IT_IS and not any(step.isdigit() for step in steps)
        return dialect.json_text(element, column, steps) if certain else None
    if column.kind is Kind.BYTES and given.type == "uuid":
        return dialect.hexadecimal(element)
    return dialect.text(element, column) if column.kind in _EXACT else None


def _template(template: str, model: Model) -> Element | None:
    pattern, names = parse_template(template)
    columns = [model.columns[name] for name in names]
    if any(column.kind not in _EXACT for column in columns):
        return None
    dialect: Dialect = model.database.dialect
    texts = iter([dialect.text(model.element(column.name), column) for column in columns])
    # str.format's pattern: the literal parts, with one column between each two.
    literals = [part.replace("\0", "{").replace("\1", "}") for part in _parts(pattern)]
    joined: Element = sa.literal(literals[0], sa.Text)
    for literal in literals[1:]:
        joined = joined.concat(next(texts)).concat(sa.literal(literal, sa.Text))
    return joined


def _parts(pattern: str) -> list[str]:
    return pattern.replace("{{", "\0").replace("}}", "\1").split("{}")


def _default_text(default: Any) -> str:
    return default if isinstance(default, str) else str(default)


def _same(distinct_id: DistinctId) -> str:
    return distinct_id


def _bare(text: Element) -> Element:
    """A UUID without what may be left out of it."""
    for part in ("-", "{", "}", "urn:", "uuid:"):
        text = sa.func.replace(text, part, "")
    return sa.func.lower(sa.func.trim(text))


def _stored_uuid(distinct_id: DistinctId) -> str | None:
    """A UUID as every database of its type writes it; what is none would be an error there."""
    return distinct_id if _UUID.fullmatch(distinct_id) else None


def _bare_uuid(distinct_id: DistinctId) -> str:
    return distinct_id.replace("-", "").lower()
