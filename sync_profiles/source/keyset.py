"""Keyset pages: rows in an order, each page from where the last one ended.

Keys are never compared here: the last key of a page goes back to the database as parameters. There is no single
predicate for "after this position" that every database answers from its index, so a page takes one plain range query
for each column of the position: rows that agree in all columns but the last, then rows that agree in all but the last
two, and so on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from sync_profiles.core.keys import key_of, key_parts, keys_of
from sync_profiles.core.types import Key, Page, Row
from sync_profiles.errors import ConfigError
from sync_profiles.source.dialect import Place
from sync_profiles.source.model import Model
from sync_profiles.source.walk import Conditions, Walk, labelled, position_in, up_to

Position = tuple[Any, ...]


class Keyset:
    """Reads the rows of a model along a walk. ``rows`` selects ``columns`` in that order, then what the order needs."""

    def __init__(self, model: Model, columns: Sequence[str]) -> None:
        self._model = model
        self._database = model.database
        self._dialect = model.database.dialect
        self._width = len(columns)
        self.keys = tuple(self._place(name) for name in model.primary_key)
        self.cursor = self._place(model.spec.cursor) if model.spec.cursor is not None else None
        selected = [self._dialect.raw(model.element(name), model.columns[name]) for name in columns]
        self._key_at = [position_in(selected, key) for key in self.keys]
        self.rows = labelled(model, selected)
        if self.cursor is not None:
            self._cursor_at = position_in(selected, self.cursor)
            self._rows_in_order = labelled(model, selected)

    def pages(self, walk: Walk) -> Iterator[Page]:
        """The rows of a walk, page by page, in its order."""
        page_rows = self._model.spec.page_size
        position, end = self._bounds(walk.after, walk), self._bounds(walk.upto, walk)
        while True:
            rows: list[Row] = []
            for conditions, places in self.ranges(walk, position, end):
                selection = self.rows if walk.places is self.keys else self._rows_in_order
                statement = selection.where(*walk.conditions, *conditions)
                ordered = statement.order_by(*(place.element for place in places)).limit(page_rows - len(rows))
                rows += self._database.fetch(ordered)
                if len(rows) >= page_rows:
                    break
            if not rows:
                return
            yield self.page(rows, unique=walk.places is self.keys)
            if len(rows) < page_rows:
                return
            position = self._moved_on(position, rows[-1], walk)

    def ranges(
        self, walk: Walk, position: Position | None, end: Position | None = None
    ) -> Iterator[tuple[Conditions, tuple[Place, ...]]]:
        """The plain range queries that together give the rows after ``position`` up to ``end``, in order."""
        if position is None:
            yield [*walk.start, *up_to(walk.places, self._parameters(end, walk), 0)], walk.places
            return
        bounds = self._parameters(position, walk)
        until = self._parameters(end, walk)
        shared = _shared(position, end)
        for depth in reversed(range(len(bounds))):
            same = [place.element == bound for place, bound in zip(walk.places[:depth], bounds, strict=False)]
            beyond = walk.places[depth].element > bounds[depth]
            yield [*same, beyond, *up_to(walk.places, until, min(shared, depth))], walk.places[depth:]

    def page(self, rows: Sequence[Row], *, unique: bool = False) -> Page:
        """Rows with their keys; ``unique``: they come in the order of a key, and two of the same are a mistake."""
        if not rows:
            return Page([], [])
        keys = keys_of([[row[place] for row in rows] for place in self._key_at])
        if unique and not self._model.certain_key and len(set(keys)) < len(keys):
            names = ", ".join(self._model.primary_key)
            raise ConfigError(f"primary_key: {names} is not unique: two rows have the same value")
        return Page(keys, rows if len(rows[0]) == self._width else [row[: self._width] for row in rows])

    def refuse_null_keys(self) -> None:
        """Rows without a key would be left out of every page, silently."""
        if self._model.certain_key:
            return
        missing = sa.or_(*(key.element.is_(None) for key in self.keys))
        rows = self._model.select(sa.literal_column("1")).where(missing).limit(1)
        if self._database.fetch(rows):
            raise self._null_key()

    def _place(self, name: str) -> Place:
        return self._dialect.place(self._model.element(name), self._model.columns[name])

    def _bounds(self, key: Key | None, walk: Walk) -> Position | None:
        return None if key is None else key_parts(key, len(walk.places))

    def _parameters(self, position: Position | None, walk: Walk) -> list[Any]:
        """What a position's values are compared as."""
        values = zip(position, walk.places, strict=True) if position is not None else ()
        return [self._dialect.bound(value, place.column) for value, place in values]

    def _moved_on(self, position: Position | None, row: Row, walk: Walk) -> Position:
        """The position of a page's last row, which no later row may be left out behind."""
        key = tuple(row[place] for place in self._key_at)
        reached = key if walk.places is self.keys else (row[self._cursor_at], *key)
        if reached == position:
            names = ", ".join(place.column.name for place in walk.places)
            raise ConfigError(f"primary_key: the database cannot compare {names} with a value read from it")
        if None in key:
            raise self._null_key()
        return reached

    def _null_key(self) -> ConfigError:
        names = ", ".join(self._model.primary_key)
        hint = f'leave such rows out: where = "{self._model.primary_key[0]} IS NOT NULL"'
        return ConfigError(f"primary_key: {names} is NULL in some rows", hint=hint)


def _shared(position: Position, end: Position | None) -> int:
    """In how many columns from the first two positions are the same; equal to the database they may be in more."""
    same = 0
    for one, other in zip(position, end or (), strict=False):
        if key_of([one]) != key_of([other]):
            break
        same += 1
    return same
