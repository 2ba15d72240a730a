"""Orders to read rows in, and where in a row their values stand."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from sync_profiles.core.keys import key_parts
from sync_profiles.core.types import Key, Page
from sync_profiles.source.dialect import Dialect, Element, Place
from sync_profiles.source.model import Model


@dataclasses.dataclass(frozen=True)
class Walk:
    """An order to read rows in: ``conditions`` hold for every row, ``start`` says where the first page begins.

    ``after`` and ``upto`` are positions in that order, in the text form of a key; the rows are those behind the one up
    to and including the other.
    """

    places: tuple[Place, ...]
    conditions: tuple[sa.ColumnElement[bool], ...] = ()
    start: tuple[sa.ColumnElement[bool], ...] = ()
    after: Key | None = None
    upto: Key | None = None


def is_up_to(places: Sequence[Place], bounds: Sequence[Any]) -> sa.ColumnElement[bool]:
    """Whether a row is at or before a position."""
    *before, (place, bound) = zip(places, bounds, strict=True)
    found: sa.ColumnElement[bool] = place.element <= bound
    for place, bound in reversed(before):
        found = sa.or_(place.element < bound, sa.and_(place.element == bound, found))
    return found


def position_in(selected: list[Element], place: Place) -> int:
    """Where a place's value stands in a row; it is selected in addition only when no column is the same anyway."""
    for position, element in enumerate(selected):
        if element.compare(place.selected):
            return position
    selected.append(place.selected)
    return len(selected) - 1


def labelled(model: Model, selected: Sequence[Element]) -> sa.Select[Any]:
    """The model's rows, each value under a name of its own: two columns may be the same expression."""
    return model.select(*(element.label(f"c{position}") for position, element in enumerate(selected)))


def latest(page: Page) -> Page:
    """A page of several transactions without the older versions of rows that changed between them."""
    place = {key: position for position, key in enumerate(page.keys)}
    if len(place) == len(page.keys):
        return page
    return Page(list(place), [page.rows[position] for position in place.values()])


def key_condition(keys: Sequence[Key], places: tuple[Place, ...], dialect: Dialect) -> sa.ColumnElement[bool] | None:
    """The rows with one of these keys; None when no row can have any of them."""
    choices: list[tuple[Any, ...]] = []
    for key in keys:
        try:
            parts = key_parts(key, len(places))
        except ValueError:
            continue
        bounds = tuple(
            None if part is None else dialect.bound(part, place.column)
            for part, place in zip(parts, places, strict=True)
        )
        if all(bound is not None for bound in bounds):
            choices.append(bounds)
    if not choices:
        return None
    if len(places) > 1:
        equals = [
            sa.and_(*(place.element == bound for place, bound in zip(places, bounds, strict=True)))
            for bounds in choices
        ]
        return sa.or_(*equals)
    element = places[0].element
    plain = [bound for (bound,) in choices if not isinstance(bound, sa.ClauseElement)]
    special = [element == bound for (bound,) in choices if isinstance(bound, sa.ClauseElement)]
    return sa.or_(element.in_(plain), *special)
