"""The state of one sync: what a run reads and writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec
import sqlalchemy as sa

from sync_profiles.core.types import (
    Acknowledged,
    DistinctId,
    Identity,
    Key,
    Known,
    RunSummary,
    Settlement,
    Verification,
    Watermark,
)
from sync_profiles.state import inflight, journal, ordered, pending, schema
from sync_profiles.state.database import Database
from sync_profiles.state.journal import Journal, blocks
from sync_profiles.state.reader import GOOD, SyncReader
from sync_profiles.state.sealed import seal

HISTORY_RUNS = 1000
"""Summaries kept of each sync: six weeks of hourly runs."""


_OF_PROFILES = (schema.profile, schema.journal, schema.pending, schema.inflight, schema.verification)
"""What means nothing in another project."""


class Begun(msgspec.Struct, frozen=True):
    """What ``begin_run`` hands back; see ``core.ports.BegunRun``."""

    number: int
    forced_since: int
    interrupted: int


class SyncState(SyncReader):
    """The state of one sync as ``core.ports.State`` describes it.

    Between ``begin_run`` and ``finish_run`` it owns the sync's journal and merges it as it likes; outside of a run it
    only looks at it, since another process may be running.
    """

    def __init__(self, database: Database, sync_id: int, now: Callable[[], float]) -> None:
        super().__init__(database, sync_id)
        self._now = now
        self._journal: Journal | None = None
        self._number = 0

    # --- a run -------------------------------------------------------------------------------------------------

    def begin_run(self, run: str, started_at: float, *, forced: str | None = None, restart: bool = False) -> Begun:
        """Open a run, turning batches that a dead run left in flight into pending rows.

        ``forced`` names a backfill's selection: an unfinished backfill of the same name is continued, unless
        ``restart``.
        """
        journal.merge(self._database, self._sync_id)
        with self._database.writing() as connection:
            interrupted = inflight.revive(self._database, connection, self._sync_id, self._now())
            number: int = self._of_sync(connection, "last_number") + 1
            since = self._force(connection, forced, number, restart=restart) if forced is not None else 0
            self._set(connection, last_number=number)
            # Runs without a summary are dead: this sync's lock is ours.
            connection.execute(sa.delete(schema.run).where(self._mine(schema.run), schema.run.c.summary.is_(None)))
            row = {"sync_id": self._sync_id, "number": number, "run_id": run, "started_at": started_at}
            connection.execute(sa.insert(schema.run).values(row))
        self._journal = Journal(self._database, self._sync_id)
        self._number = number
        return Begun(number, since, interrupted)

    def _force(self, connection: sa.Connection, forced: str, number: int, *, restart: bool) -> int:
        if not restart and self._of_sync(connection, "forced") == forced:
            since: int = self._of_sync(connection, "forced_since")
            return since
        self._set(connection, forced=forced, forced_since=number)
        return number

    def finish_run(self, summary: RunSummary, *, forced_done: bool = False) -> None:
        """Close the run, bring the acknowledgements into the order of the keys, keep the summary."""
        assert self._journal is not None, "no run was begun"  # noqa: S101 - a mistake of the caller
        self._journal.merge()
        with self._database.writing() as connection:
            this = self._mine(schema.run) & (schema.run.c.number == self._number)
            text = msgspec.json.encode(summary).decode()
            connection.execute(sa.update(schema.run).where(this).values(outcome=summary.outcome, summary=text))
            if forced_done:
                self._set(connection, forced=None)
            self._prune(connection)
        self._journal = None

    def _prune(self, connection: sa.Connection) -> None:
        table = schema.run
        good = sa.select(sa.func.max(table.c.number)).where(self._mine(table), table.c.outcome.in_(GOOD))
        old = table.c.number <= self._number - HISTORY_RUNS
        connection.execute(
            sa.delete(table).where(self._mine(table), old, table.c.number.is_distinct_from(good.scalar_subquery()))
        )

    # --- settling ----------------------------------------------------------------------------------------------

    def settle(self, settlement: Settlement, now: float) -> None:
        """Apply a settlement in one transaction, in the order ``Settlement`` gives; twice is the same as once."""
        with self._database.writing() as connection:
            number = self._number or self._of_sync(connection, "last_number")
            place = (self._sync_id, int(now), number)
            inflight.land(connection, self._sync_id, settlement.landed)
            journaled: Sequence[Key] = ()
            if settlement.acknowledged:
                journaled = self._acknowledge(connection, place, settlement.acknowledged)
            if settlement.forgotten:
                nothing = [None] * len(settlement.forgotten)
                journal.append(connection, place, (settlement.forgotten, nothing, nothing, nothing))
            pending.remove(connection, self._sync_id, [pending.identity(*one) for one in settlement.resolved])
            if settlement.pending:
                rows = pending.laid_over(self._database, connection, self._sync_id, settlement.pending)
                pending.write(self._database, connection, self._sync_id, rows)
            inflight.dispatch(self._database, connection, self._sync_id, settlement.dispatched)
        if self._journal is not None:
            self._journal.note([*journaled, *settlement.forgotten])
            back_in_order = settlement.acknowledged and not journaled
            if self._journal.rows > journal.MERGE_ROWS or (self._journal.rows and back_in_order):
                self._journal.merge()  # what leapt out of the order, as from 9999 to 10000, was little

    def _acknowledge(
        self, connection: sa.Connection, place: tuple[int, int, int], acknowledged: Sequence[Acknowledged]
    ) -> Sequence[Key]:
        """Write them into the order of the keys or append them to the journal; returns the keys of the latter."""
        latest = {entry.key: entry for entry in acknowledged}
        keys, entries = list(latest), list(latest.values())
        pending.acknowledge(connection, self._sync_id, keys)
        # A word in the journal counts as the later one, so there it is followed by the next.
        in_run = self._journal is not None and not self._journal.may_hold(keys)
        if in_run and ordered.are_close(connection, self._sync_id, keys) is not None:
            ordered.write(self._database, connection, place, entries)
            return ()
        ids = [None if entry.distinct_id == entry.key else entry.distinct_id for entry in entries]
        shapes = self._database.shape_numbers(connection, [entry.shape for entry in entries])
        journal.append(connection, place, (keys, ids, [entry.fingerprint for entry in entries], shapes))
        return keys

    def hasten(self, ids: Sequence[DistinctId] | None = None) -> int:
        """Make pending rows due now: those with one of ``ids``, or all; returns how many."""
        table = schema.pending
        due_now = (
            sa.update(table).where(self._mine(table)).values(next_try_at=sa.func.min(table.c.next_try_at, self._now()))
        )
        with self._database.writing() as connection:
            if ids is None:
                return connection.execute(due_now).rowcount
            return sum(
                connection.execute(due_now.where(table.c.distinct_id.in_(block))).rowcount
                for block in blocks(list(dict.fromkeys(ids)), pending.BLOCK)
            )

    # --- the sync itself ---------------------------------------------------------------------------------------

    def move_watermark(self, watermark: Watermark) -> None:
        """Called last, when every change before it is acknowledged or pending."""
        with self._database.writing() as connection:
            self._set(connection, watermark=seal(watermark))

    def set_identity(self, identity: Identity) -> None:
        """Remember what the state belongs to."""
        with self._database.writing() as connection:
            self._set(connection, identity=seal(identity))

    def keep_verification(self, progress: Verification | None) -> None:
        """Remember how far a verification of all profiles has come; None: it has ended. Not part of a run."""
        table = schema.verification
        with self._database.writing() as connection:
            self._drop(connection, table)
            if progress is not None:
                text = msgspec.json.encode(progress).decode()
                connection.execute(sa.insert(table).values(sync_id=self._sync_id, progress=text))

    def forget(self) -> None:
        """Drop what is known and pending, and the watermark: nothing of it is in this project."""
        with self._database.writing() as connection:
            self._drop(connection, *_OF_PROFILES)
            # Ordinals go on: a sweep's bitmap may still be about.
            self._set(connection, profiles=0, watermark=None)

    def _drop(self, connection: sa.Connection, *tables: sa.Table) -> None:
        for table in tables:
            connection.execute(sa.delete(table).where(self._mine(table)))

    def reset(self) -> None:
        """Forget everything of this sync but its past runs, as if it had never run."""
        self.forget()
        with self._database.writing() as connection:
            self._set(connection, identity=None, forced=None)

    def _mine(self, table: sa.Table) -> sa.ColumnElement[bool]:
        return table.c.sync_id == self._sync_id

    def _set(self, connection: sa.Connection, **values: str | int | None) -> None:
        connection.execute(sa.update(schema.sync).where(schema.sync.c.id == self._sync_id).values(**values))

    # --- reading one's own writes ------------------------------------------------------------------------------

    def known(self, keys: Sequence[Key]) -> Mapping[Key, Known]:
        """Those of ``keys`` that Mixpanel acknowledged before, as of the last settlement."""
        if self._journal is None:
            return super().known(keys)
        if self._journal.may_hold(keys):
            self._journal.merge()
        with self._database.reading() as connection:
            return self._merged(connection, keys)

    def known_count(self) -> int:
        """How many profiles are known."""
        self._merge_own()
        return super().known_count()

    def ordinal_limit(self) -> int:
        """One more than the largest ordinal given out: the size of a sweep's bitmap."""
        self._merge_own()
        return super().ordinal_limit()

    def _merge_own(self) -> None:
        if self._journal is not None:
            self._journal.merge()
