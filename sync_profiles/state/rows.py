"""Pending rows as values: what tells them apart, which columns they are kept in, what one is laid over."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import sqlalchemy as sa

from sync_profiles.core.gone import over
from sync_profiles.core.types import DistinctId, Key, PendingKind, PendingRow, Shape


class StateDatabase(Protocol):
    """One connection to the database that keeps the state; its errors leave it as our own."""

    def reading(self) -> AbstractContextManager[sa.Connection]:
        """For looking."""
        ...

    def writing(self) -> AbstractContextManager[sa.Connection]:
        """A transaction; durable when the block is left, undone when it fails."""
        ...

    def shape(self, connection: sa.Connection, number: int) -> Shape:
        """The shape behind a number."""
        ...

    def shape_numbers(self, connection: sa.Connection, shapes: Sequence[Shape]) -> list[int]:
        """The number of each shape, given to it now if it has none."""
        ...

    def close(self) -> None:
        """Give the connection back."""
        ...


def identity(kind: PendingKind, key: Key, distinct_id: DistinctId | None) -> tuple[PendingKind, Key, str]:
    """What tells two pending rows apart: the key, and for a removal the ID to remove too."""
    return kind, key, (distinct_id or "") if kind == "gone" else ""


def identity_of(row: PendingRow) -> tuple[PendingKind, Key, str]:
    """``identity`` of a row."""
    return identity(row.kind, row.key, row.distinct_id)


def laid_over(rows: Sequence[PendingRow], found: Sequence[PendingRow]) -> list[PendingRow]:
    """What is to be written for ``rows`` when ``found`` is what was pending of their removals before."""
    before = {identity_of(row): row for row in found}
    for row in rows:
        before[identity_of(row)] = over(row, before.get(identity_of(row)))
    return [before[place] for place in dict.fromkeys(map(identity_of, rows))]


def pending_row(database: StateDatabase, connection: sa.Connection, row: Any) -> PendingRow:
    """A row of the table ``pending`` as the value it was."""
    return PendingRow(
        kind=row.kind,
        key=row.key,
        distinct_id=row.distinct_id,
        code=row.code,
        reason=row.reason,
        rejected=bool(row.rejected),
        attempts=row.attempts,
        since=row.since,
        next_try_at=row.next_try_at,
        fingerprint=row.fingerprint,
        shape=database.shape(connection, row.shape_id),
    )


def selected(database: StateDatabase, connection: sa.Connection, query: sa.Select[Any]) -> list[PendingRow]:
    """The pending rows that ``query`` over the whole table selects."""
    return [pending_row(database, connection, row) for row in connection.execute(query).all()]
