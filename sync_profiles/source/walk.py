"""Orders to read rows in, and where in a row their values stand."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from sync_profiles.core.types import Page
from sync_profiles.source.dialect import Element, Place
from sync_profiles.source.model import Model


@dataclasses.dataclass(frozen=True)
class Walk:
    """An order to read rows in: ``conditions`` hold for every row, ``start`` says where the first page begins."""

    places: tuple[Place, ...]
    conditions: tuple[sa.ColumnElement[bool], ...] = ()
    start: tuple[sa.ColumnElement[bool], ...] = ()


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
