"""Keyset pages: rows in an order, each page from where the last one ended.

Keys are never compared here: the last key of a page goes back to the database as parameters. There is no single
predicate for "after this position" that every database answers from its index, so a page takes one plain range query
for each column of the position: rows that agree in all columns but the last, then rows that agree in all but the last
two, and so on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any

import sqlalchemy as sa

from sync_profiles.core.keys import key_parts, keys_of
from sync_profiles.core.types import Page, Row
from sync_profiles.errors import ConfigError
from sync_profiles.source.dialect import Place
from sync_profiles.source.model import Model
from sync_profiles.source.walk import Walk, is_up_to, labelled, position_in

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
        """The rows of a walk, page by page, in its order.

        Where a walk has an end, each row says whether it is behind it, and the first that is ends the walk. As a
        condition it would make PostgreSQL gather and sort all that is left of the walk, for every page again.
        """
        page_rows = self._model.spec.page_size
        selection = self.rows if walk.places is self.keys else self._rows_in_order
        if walk.upto is not None:
            within = is_up_to(walk.places, self._parameters(key_parts(walk.upto, len(walk.places)), walk))
            selection = selection.add_columns(within.label("within"))
        position = None if walk.after is None else key_parts(walk.after, len(walk.places))
        ended = False
        while not ended:
            rows = self._after(walk, position, selection, page_rows)
            ended = len(rows) < page_rows
            if walk.upto is not None and rows and _is_behind(rows[-1]):
                ended = True
                rows = [row for row in rows if not _is_behind(row)]
            if not rows:
                return
            yield self.page(rows, unique=walk.places is self.keys)
            if not ended:
                position = self._moved_on(position, rows[-1], walk)

    def _after(self, walk: Walk, position: Position | None, selection: sa.Select[Any], count: int) -> list[Row]:
        """The next rows after a position, in order: at most ``count``, and fewer only at the very end."""
        rows: list[Row] = []
        for conditions, places in self.ranges(walk, position):
            statement = selection.where(*walk.conditions, *conditions)
            ordered = statement.order_by(*(place.element for place in places)).limit(count - len(rows))
            rows += self._database.fetch(ordered)
            if len(rows) >= count or (walk.upto is not None and rows and _is_behind(rows[-1])):
                break
        return rows

    def ranges(
        self, walk: Walk, position: Position | None
    ) -> Iterator[tuple[list[sa.ColumnElement[bool]], tuple[Place, ...]]]:
        """The plain range queries that together give the rows after ``position``, in order."""
        if position is None:
            yield list(walk.start), walk.places
            return
        bounds = self._parameters(position, walk)
        for depth in reversed(range(len(bounds))):
            same = [place.element == bound for place, bound in zip(walk.places[:depth], bounds, strict=False)]
            yield [*same, walk.places[depth].element > bounds[depth]], walk.places[depth:]

    def page(self, rows: Sequence[Row], *, unique: bool = False) -> Page:
        """Rows with their keys; ``unique``: they come in the order of a key, and two of the same are a mistake."""
        if not rows:
            return Page([], [])
        keys = keys_of([list(map(itemgetter(place), rows)) for place in self._key_at])
        if unique and not self._model.certain_key and len(set(keys)) < len(keys):
            names = ", ".join(self._model.primary_key)
            raise ConfigError(f"primary_key: {names} is not unique: two rows have the same value")
        mapped = itemgetter(slice(self._width))
        return Page(keys, rows if len(rows[0]) == self._width else list(map(mapped, rows)))

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

    def _parameters(self, position: Position, walk: Walk) -> list[Any]:
        """What a position's values are compared as."""
        return [self._dialect.bound(value, place.column) for value, place in zip(position, walk.places, strict=True)]

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


def _is_behind(row: Row) -> bool:
    """What is NULL, because a key is, is found out elsewhere."""
    return row[-1] is not None and not row[-1]
