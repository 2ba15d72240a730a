"""What a run writes into the state of its sync beside settlements, whatever database keeps it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import msgspec
import sqlalchemy as sa

from sync_profiles.core.types import DistinctId, Identity, RunSummary, Settlement, Verification, Watermark
from sync_profiles.state import schema
from sync_profiles.state.looking import GOOD, D, Looking
from sync_profiles.state.sealed import seal

HISTORY_RUNS = 1000
"""Summaries kept of each sync: six weeks of hourly runs."""

IDS_AT_ONCE = 500


class Begun(msgspec.Struct, frozen=True):
    """What ``begin_run`` hands back; see ``core.ports.BegunRun``."""

    number: int
    forced_since: int
    interrupted: int


class Runs(Looking[D]):
    """The state of one sync as ``core.ports.State`` describes it, but for what a database does its own way."""

    _now: Callable[[], float]
    _number: int
    """Of the run that was begun; 0 before."""

    # --- what each database does its own way -------------------------------------------------------------------

    def _writing(self) -> AbstractContextManager[sa.Connection]:
        """A transaction of this run."""
        return self._database.writing()

    @abstractmethod
    def _revive(self, connection: sa.Connection) -> int:
        """Turn what dead runs left in flight into pending rows; returns how many profiles that were."""

    @abstractmethod
    def _forget_profiles(self, connection: sa.Connection) -> None:
        """Drop what means nothing in another project."""

    @abstractmethod
    def settle(self, settlement: Settlement, now: float) -> None:
        """Apply a settlement in one transaction, in the order ``Settlement`` gives; twice is the same as once."""

    # --- a run -------------------------------------------------------------------------------------------------

    def begin_run(self, run: str, started_at: float, *, forced: str | None = None, restart: bool = False) -> Begun:
        """Open a run, turning batches that a dead run left in flight into pending rows.

        ``forced`` names a backfill's selection: an unfinished backfill of the same name is continued, unless
        ``restart``.
        """
        with self._writing() as connection:
            interrupted = self._revive(connection)
            number: int = self._of_sync(connection, "last_number") + 1
            since = self._force(connection, forced, number, restart=restart) if forced is not None else 0
            self._set(connection, last_number=number)
            # Runs without a summary are dead: this sync's lock is ours.
            connection.execute(sa.delete(schema.run).where(self._mine(schema.run), schema.run.c.summary.is_(None)))
            row = {"sync_id": self._sync_id, "number": number, "run_id": run, "started_at": started_at}
            connection.execute(sa.insert(schema.run).values(row))
        self._number = number
        return Begun(number, since, interrupted)

    def _force(self, connection: sa.Connection, forced: str, number: int, *, restart: bool) -> int:
        if not restart and self._of_sync(connection, "forced") == forced:
            since: int = self._of_sync(connection, "forced_since")
            return since
        self._set(connection, forced=forced, forced_since=number)
        return number

    def finish_run(self, summary: RunSummary, *, forced_done: bool = False) -> None:
        """Close the run and keep the summary."""
        with self._writing() as connection:
            this = self._mine(schema.run) & (schema.run.c.number == self._number)
            text = msgspec.json.encode(summary).decode()
            connection.execute(sa.update(schema.run).where(this).values(outcome=summary.outcome, summary=text))
            if forced_done:
                self._set(connection, forced=None)
            self._prune(connection)

    def _prune(self, connection: sa.Connection) -> None:
        table = schema.run
        good = sa.select(sa.func.max(table.c.number)).where(self._mine(table), table.c.outcome.in_(GOOD))
        old = table.c.number <= self._number - HISTORY_RUNS
        connection.execute(
            sa.delete(table).where(self._mine(table), old, table.c.number.is_distinct_from(good.scalar_subquery()))
        )

    def hasten(self, ids: Sequence[DistinctId] | None = None) -> int:
        """Make pending rows due now: those with one of ``ids``, or all; returns how many."""
        table, now = schema.pending, self._now()
        sooner = sa.case((table.c.next_try_at > now, now), else_=table.c.next_try_at)
        due_now = sa.update(table).where(self._mine(table)).values(next_try_at=sooner)
        with self._writing() as connection:
            if ids is None:
                return connection.execute(due_now).rowcount
            distinct = list(dict.fromkeys(ids))
            return sum(
                connection.execute(
                    due_now.where(table.c.distinct_id.in_(distinct[start : start + IDS_AT_ONCE]))
                ).rowcount
                for start in range(0, len(distinct), IDS_AT_ONCE)
            )

    # --- the sync itself ---------------------------------------------------------------------------------------

    def move_watermark(self, watermark: Watermark) -> None:
        """Called last, when every change before it is acknowledged or pending."""
        with self._writing() as connection:
            self._set(connection, watermark=seal(watermark))

    def set_identity(self, identity: Identity) -> None:
        """Remember what the state belongs to."""
        with self._writing() as connection:
            self._set(connection, identity=seal(identity))

    def keep_verification(self, progress: Verification | None) -> None:
        """Remember how far a verification of all profiles has come; None: it has ended. Not part of a run."""
        table = schema.verification
        with self._writing() as connection:
            self._drop(connection, table)
            if progress is not None:
                text = msgspec.json.encode(progress).decode()
                connection.execute(sa.insert(table).values(sync_id=self._sync_id, progress=text))

    def forget(self) -> None:
        """Drop what is known and pending, and the watermark: nothing of it is in this project."""
        with self._writing() as connection:
            self._forget_profiles(connection)
            self._set(connection, watermark=None)

    def _drop(self, connection: sa.Connection, *tables: sa.Table) -> None:
        for table in tables:
            connection.execute(sa.delete(table).where(self._mine(table)))

    def reset(self) -> None:
        """Forget everything of this sync but its past runs, as if it had never run."""
        self.forget()
        with self._writing() as connection:
            self._set(connection, identity=None, forced=None)

    def _mine(self, table: sa.Table) -> sa.ColumnElement[bool]:
        return table.c.sync_id == self._sync_id

    def _set(self, connection: sa.Connection, **values: str | int | None) -> None:
        connection.execute(sa.update(schema.sync).where(schema.sync.c.id == self._sync_id).values(**values))
