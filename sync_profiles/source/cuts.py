"""Where to cut an order of rows, so that its parts are of about one size.

The database itself names the bounds, and whichever rows come meanwhile fall between two of them: what is behind one
bound is exactly what is not up to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa

from sync_profiles.core.cutting import integer_cuts, thinned
from sync_profiles.core.keys import key_of
from sync_profiles.core.types import Key, KeyPart, Kind, Row
from sync_profiles.source.keyset import Keyset
from sync_profiles.source.model import Model
from sync_profiles.source.walk import Walk

COUNTED = 1_000_000
"""Fewer rows than so many, as it seems, are counted: it is quick, and guesses are the worse the smaller they are."""


class Cutting:
    """Cuts the walks of one model. ``rows``: about how many there are, None when that is not cheap to know."""

    def __init__(self, model: Model, keyset: Keyset, rows: Callable[[], int | None]) -> None:
        self._model = model
        self._database = model.database
        self._keyset = keyset
        self._estimate = rows

    def parts(self, walk: Walk, count: int) -> list[KeyPart]:
        """At most ``count`` parts of a walk, open at both ends."""
        cuts: list[Key | None] = [*(self._cuts(walk, count) if count > 1 else ())]
        return [KeyPart(after, upto) for after, upto in zip([None, *cuts], [*cuts, None], strict=True)]

    def _cuts(self, walk: Walk, count: int) -> list[Key]:
        rows = self._estimate()
        if len(walk.places) == 1 and walk.places[0].column.kind is Kind.INTEGER:
            element = walk.places[0].element
            extremes = sa.select(sa.func.min(element), sa.func.max(element))
            ((least, greatest),) = self._database.fetch(self._of(walk, extremes))
            if isinstance(least, int) and isinstance(greatest, int):
                numbers = integer_cuts(least, greatest, count, rows)
                if numbers is not None:
                    return [key_of([number]) for number in numbers]
        if rows is None or rows < COUNTED:
            ((rows,),) = self._database.fetch(self._of(walk, sa.select(sa.func.count())))
        step = max(1, -(-int(rows) // count))
        found = self._by_steps(walk, step) if self._is_indexed(walk) else self._by_numbers(walk, step)
        return thinned([key_of(row) for row in found if None not in row], count - 1)

    def _is_indexed(self, walk: Walk) -> bool:
        """A table's own primary key; what else an index may be for is not known here."""
        return self._model.certain_key and walk.places is self._keyset.keys

    def _by_steps(self, walk: Walk, step: int) -> list[Row]:
        """Every ``step``-th row, each found from the one before: short statements that an index answers."""
        found: list[Row] = []
        position: Row | None = None
        while (position := self._stepped(walk, position, step)) is not None:
            found.append(position)
        return found

    def _stepped(self, walk: Walk, position: Row | None, step: int) -> Row | None:
        left = step
        for conditions, places in self._keyset.ranges(walk, position):
            ordered = self._selected(walk).where(*conditions).order_by(*(place.element for place in places))
            found = self._database.fetch(ordered.limit(1).offset(left - 1))
            if found:
                return found[0]
            if len(places) < len(walk.places):  # more may follow in the next range
                ((passed,),) = self._database.fetch(self._of(walk, sa.select(sa.func.count())).where(*conditions))
                left = max(1, left - int(passed))
        return None

    def _by_numbers(self, walk: Walk, step: int) -> list[Row]:
        """Every ``step``-th row by one statement: nothing says that the order is to be had without sorting it all."""
        number = sa.func.row_number().over(order_by=[place.element for place in walk.places]).label("n")
        numbered = self._selected(walk).add_columns(number).where(*walk.start).subquery("numbered")
        *names, place = numbered.c
        # The numbers are spelled out: psycopg2 would read the sign of a remainder as one of its own marks.
        chosen = sa.select(*names).where(sa.func.mod(place, sa.literal_column(str(step))) == sa.literal_column("0"))
        return self._database.fetch(chosen.order_by(place), place="--workers")

    def _selected(self, walk: Walk) -> sa.Select[Any]:
        """The positions of the walk's rows."""
        elements: Sequence[sa.ColumnElement[Any]] = [place.selected for place in walk.places]
        columns = [element.label(f"c{position}") for position, element in enumerate(elements)]
        return self._model.select(*columns).where(*walk.conditions)

    def _of(self, walk: Walk, selection: sa.Select[Any]) -> sa.Select[Any]:
        chosen = selection.select_from(self._model.origin).where(*walk.conditions, *walk.start)
        return chosen if self._model.condition is None else chosen.where(self._model.condition)
