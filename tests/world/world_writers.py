"""The application that writes the table, one seeded step at a time."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from world_mixpanel import POISON
from world_table import Image, Table, Transaction, Values


@dataclass(frozen=True)
class Habits:
    """What this application does.

    ``honest``: every write sets the cursor to the transaction's start, and none stays open longer than ``late_s``.
    ``forward``: values never come back, rows and values never go (what a lost tail of the state may forget).
    ``grid_s`` is the precision of the clock column.
    """

    honest: bool
    forward: bool
    late_s: float
    grid_s: int
    keys: int
    ids: int
    server_events: bool


class Writers:
    """Every ``act`` is one statement, or one commit, of somebody."""

    def __init__(self, table: Table, habits: Habits, rng: random.Random, now: Callable[[], float]) -> None:
        self._table = table
        self._habits = habits
        self._rng = rng
        self._now = now
        self._counter = 0
        self._image: Image | None = None
        self.tell: Callable[[str], None] = lambda _text: None

    def act(self) -> None:
        """Something happens in the database."""
        rng, table = self._rng, self._table
        self.settle_overdue()
        if self._habits.server_events and rng.random() < 0.03:
            self._server_event()
            return
        choice = rng.random()
        if choice < 0.45 or not table.open:
            transaction = table.begin(self._now())
            self._write(transaction)
            if rng.random() < 0.6:
                self._commit(transaction)
        elif choice < 0.6:
            self._write(rng.choice(table.open))
        elif choice < 0.68:
            table.savepoint(rng.choice(table.open))
        elif choice < 0.74:
            with_savepoint = [one for one in table.open if one.savepoints and not one.prepared]
            if with_savepoint:
                table.rollback_to(rng.choice(with_savepoint))
        elif choice < 0.8:
            transaction = rng.choice(table.open)
            self.tell(f"abort {transaction.xid}")
            table.abort(transaction)
        elif choice < 0.84:
            rng.choice(table.open).prepared = True
        else:
            self._commit(rng.choice(table.open))

    def settle_overdue(self) -> None:
        """An honest application commits while its cursor is still within reach."""
        if not self._habits.honest:
            return
        for transaction in list(self._table.open):
            if self._stamp(self._now()) > self._stamp(transaction.started) + self._habits.late_s:
                self._table.abort(transaction)

    def due(self) -> None:
        """Called at every turn of the clock: what is at its limit is committed now or never."""
        if not self._habits.honest:
            return
        for transaction in list(self._table.open):
            at_limit = self._stamp(self._now()) >= self._stamp(transaction.started) + self._habits.late_s
            if at_limit and self._rng.random() < 0.5:
                self._commit(transaction)
        self.settle_overdue()

    def finish(self) -> None:
        """Everybody goes home."""
        for transaction in list(self._table.open):
            if (
                self._habits.honest
                and self._stamp(self._now()) > self._stamp(transaction.started) + self._habits.late_s
            ):
                self._table.abort(transaction)
            else:
                self._commit(transaction)

    def begin(self) -> Transaction:
        """A transaction with something written in it, still open."""
        transaction = self._table.begin(self._now())
        self._write(transaction)
        return transaction

    def fill(self, rows: int) -> None:
        """The table as it is before anything else happens."""
        transaction = self._table.begin(self._now())
        for _ in range(rows):
            self._write(transaction)
        self._commit(transaction)

    # --- statements --------------------------------------------------------------------------------------------

    def _commit(self, transaction: Transaction) -> None:
        changed = {key: values and dict(values) for key, (values, _) in transaction.writes.items()}
        self.tell(f"commit {transaction.xid} {changed}")
        self._table.commit(transaction)

    def _write(self, transaction: Transaction) -> None:
        rng, table = self._rng, self._table
        if transaction.prepared:
            return
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            key = rng.randint(1, self._habits.keys)
            if table.locked(key, by=transaction):
                continue
            before = table.seen_by(transaction, key)
            if before is None:
                table.write(transaction, key, self._fresh(key, transaction))
            elif not self._habits.forward and rng.random() < 0.2:
                table.write(transaction, key, None)
            else:
                table.write(transaction, key, self._changed(before, transaction))

    def _fresh(self, key: int, transaction: Transaction) -> Values:
        self._counter += 1
        return {
            "id": key,
            "uid": self._uid(key),
            "a": self._text(),
            "n": self._number(),
            "b": self._table.defaults.get("b", "b0"),
            "tags": self._tags(),
            "created": f"c{self._counter}",
            "updated_at": self._cursor(None, transaction, new=True),
            "deleted": not self._habits.forward and self._rng.random() < 0.05,
        }

    def _changed(self, before: Values, transaction: Transaction) -> Values:
        values: dict[str, Any] = dict(before)
        forward = self._habits.forward
        for name in self._rng.sample(("a", "n", "b", "tags", "uid", "deleted"), self._rng.choice((1, 1, 2))):
            match name:
                case "a":
                    values["a"] = self._text()
                case "n":
                    values["n"] = self._number()
                case "b":
                    values["b"] = self._text()
                case "tags":
                    values["tags"] = self._tags()
                case "uid" if not forward:
                    values["uid"] = self._uid(values["id"])
                case "deleted" if not forward:
                    values["deleted"] = not values["deleted"]
        values["updated_at"] = self._cursor(before["updated_at"], transaction, new=False)
        return values

    def _text(self) -> str | None:
        self._counter += 1
        if self._habits.forward:
            return f"v{self._counter}"
        choice = self._rng.random()
        if choice < 0.02:
            return POISON
        if choice < 0.04:
            return "nul\0"
        return self._rng.choice((None, "p", "q", "q", f"v{self._counter}"))

    def _number(self) -> int | None:
        self._counter += 1
        return self._counter if self._habits.forward else self._rng.choice((None, 1, 2, self._counter))

    def _tags(self) -> list[str] | None:
        if self._habits.forward:
            return ["x"]
        return self._rng.choice((None, [], ["x"], ["y"], ["x", "z"]))

    def _uid(self, key: int) -> str | None:
        if self._habits.forward:
            return f"u{key}"
        choice = self._rng.random()
        return None if choice < 0.03 else f"u{key}" if choice < 0.6 else f"u{self._rng.randint(1, self._habits.ids)}"

    def _cursor(self, before: int | None, transaction: Transaction, *, new: bool) -> int | None:
        stamp, choice = self._stamp(transaction.started), self._rng.random()
        if choice < 0.03:
            return None
        if choice < 0.06:
            return stamp + 20 * self._habits.grid_s  # an application's own clock is ahead
        if self._habits.honest or choice < 0.7:
            return stamp
        return before if not new and choice < 0.9 else stamp - self._rng.choice((1, 7200)) * self._habits.grid_s

    def _stamp(self, moment: float) -> int:
        return int(moment) // self._habits.grid_s * self._habits.grid_s

    # --- the server --------------------------------------------------------------------------------------------

    def _server_event(self) -> None:
        table, rng = self._table, self._rng
        match rng.randrange(5):
            case 0 if not table.open and not self._habits.forward:
                self._counter += 1
                value = rng.choice(("p", "q", f"d{self._counter}"))
                self.tell(f"fast default b = {value!r}")
                table.fast_default("b", value)
            case 1:
                self.tell("vacuum freeze")
            case 2 if not self._habits.forward:
                self._image = table.image()
            case 3 | 4 if self._image is not None and not self._habits.forward:
                promoted = rng.random() < 0.6
                self.tell(f"{'failover' if promoted else 'restart from an older disk'} to {self._image.next_xid}")
                table.restore(self._image, promoted=promoted)
                self._image = None

    def vacuum_full(self) -> None:
        """Between two runs, as maintenance does."""
        self._table.vacuum_full()
