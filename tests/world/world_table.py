"""A user table as PostgreSQL keeps it: transactions, snapshots, row versions with the number of their writer, slots.

Only what a reader with short transactions can tell apart is modelled: the last committed version of each row, who
wrote it (a transaction or a subtransaction), in which block it lies, and which transactions are still running.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Values = Mapping[str, Any]

COLUMNS = ("id", "uid", "a", "n", "b", "tags", "created", "updated_at", "deleted")
ROWS_A_BLOCK = 3


@dataclass(frozen=True)
class Version:
    """A committed row: its values, the (sub)transaction that wrote it, and where it lies."""

    values: Values
    xid: int
    slot: int


@dataclass
class Transaction:
    """An open transaction; numbers are given out with the first write, as PostgreSQL does."""

    started: float
    xid: int | None = None
    writes: dict[int, tuple[Values | None, int]] = field(default_factory=dict)
    savepoints: list[dict[int, tuple[Values | None, int]]] = field(default_factory=list)
    sub_xid: int | None = None
    prepared: bool = False


@dataclass(frozen=True)
class Image:
    """What a standby has replayed, or what a disk held."""

    committed: dict[int, Version]
    next_xid: int
    schema: int
    defaults: dict[str, Any]


class Table:
    """The table and the server's transaction counter. ``on_commit`` is told every version that becomes visible."""

    def __init__(self, rng: random.Random, on_commit: Callable[[Values], None]) -> None:
        self._rng = rng
        self._on_commit = on_commit
        self.committed: dict[int, Version] = {}
        self.open: list[Transaction] = []
        self.next_xid = rng.choice([700, 2**32 - 40, 5 * 2**32 + 3])
        self.timeline = 1
        self.started = 1
        self.schema = 1
        self.defaults: dict[str, Any] = {}

    # --- transactions ------------------------------------------------------------------------------------------

    def begin(self, now: float) -> Transaction:
        """An open transaction without a number."""
        transaction = Transaction(now)
        self.open.append(transaction)
        return transaction

    def write(self, transaction: Transaction, key: int, values: Values | None) -> None:
        """Insert, update or (None) delete a row; nobody else sees it before the commit."""
        if transaction.xid is None:
            transaction.xid = self._number()
        if transaction.savepoints and transaction.sub_xid is None:
            transaction.sub_xid = self._number()
        transaction.writes[key] = (values, transaction.sub_xid or transaction.xid)

    def savepoint(self, transaction: Transaction) -> None:
        """What is written from here on has a number of its own."""
        transaction.savepoints.append(dict(transaction.writes))
        transaction.sub_xid = None

    def rollback_to(self, transaction: Transaction) -> None:
        """Forget what was written since the last savepoint."""
        transaction.writes = transaction.savepoints.pop()
        transaction.sub_xid = None

    def commit(self, transaction: Transaction) -> None:
        """Make everything visible at once, in the order of its writing."""
        self.open.remove(transaction)
        for key, (values, xid) in transaction.writes.items():
            if values is None:
                self.committed.pop(key, None)
            else:
                self.committed.pop(key, None)
                self.committed[key] = Version(values, xid, self._slot())
                self._on_commit(values)

    def abort(self, transaction: Transaction) -> None:
        """As if it had never been, but for its numbers."""
        self.open.remove(transaction)

    def seen_by(self, transaction: Transaction, key: int) -> Values | None:
        """The row as this transaction sees it."""
        if key in transaction.writes:
            return transaction.writes[key][0]
        version = self.committed.get(key)
        return version.values if version is not None else None

    def locked(self, key: int, by: Transaction | None = None) -> bool:
        """Whether another open transaction has written this row."""
        return any(key in other.writes for other in self.open if other is not by)

    def snapshot(self) -> tuple[int, int]:
        """The lowest running transaction and the next number."""
        running = [one.xid for one in self.open if one.xid is not None]
        return min(running, default=self.next_xid), self.next_xid

    def _number(self) -> int:
        self.next_xid += 1
        return self.next_xid - 1

    def _slot(self) -> int:
        taken = {version.slot for version in self.committed.values()}
        free = [slot for slot in range(len(taken) + ROWS_A_BLOCK) if slot not in taken]
        return self._rng.choice(free)

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return max((version.slot for version in self.committed.values()), default=-1) // ROWS_A_BLOCK + 1

    # --- what changes rows without a transaction -------------------------------------------------------------------

    def fast_default(self, column: str, value: Any) -> None:
        """DROP COLUMN and ADD COLUMN … DEFAULT: every row says something else, and no version says when."""
        self.schema += 1
        self.defaults[column] = value
        for key, version in self.committed.items():
            values = {**version.values, column: value}
            self.committed[key] = Version(values, version.xid, version.slot)
            self._on_commit(values)

    def vacuum_full(self) -> None:
        """Rows move together and keep the number of their writer."""
        order = sorted(self.committed.items(), key=lambda entry: entry[1].slot)
        for slot, (key, version) in enumerate(order):
            self.committed[key] = Version(version.values, version.xid, slot)

    # --- failover ----------------------------------------------------------------------------------------------

    def image(self) -> Image:
        """What a standby has now; what is running is not there yet."""
        return Image(dict(self.committed), self.next_xid, self.schema, copy.copy(self.defaults))

    def restore(self, image: Image, *, promoted: bool) -> None:
        """Go on from an image: numbers given out since are given out again."""
        self.committed = dict(image.committed)
        self.next_xid, self.schema, self.defaults = image.next_xid, image.schema, dict(image.defaults)
        self.open.clear()
        self.started += 1
        if promoted:
            self.timeline += 1
