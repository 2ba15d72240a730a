"""The state file of one sync: what a run reads and writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import sqlalchemy as sa

from sync_profiles.core.types import Acknowledged, Key, Known, Outgoing, RunSummary, Settlement
from sync_profiles.state import inflight, journal, ordered, pending, schema
from sync_profiles.state.database import Database
from sync_profiles.state.journal import Journal
from sync_profiles.state.reader import SyncReader
from sync_profiles.state.rows import identity
from sync_profiles.state.runs import Begun, Runs

_OF_PROFILES = (schema.profile, schema.journal, schema.pending, schema.inflight, schema.verification)
"""What means nothing in another project."""


class SyncState(SyncReader, Runs[Database]):
    """The state of one sync in the file.

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
        """As ``Runs.begin_run``; what a dead run left in the journal is merged first."""
        journal.merge(self._database, self._sync_id)
        begun = super().begin_run(run, started_at, forced=forced, restart=restart)
        self._journal = Journal(self._database, self._sync_id)
        return begun

    def _revive(self, connection: sa.Connection) -> int:
        return inflight.revive(self._database, connection, self._sync_id, self._now())

    def finish_run(self, summary: RunSummary, *, forced_done: bool = False) -> None:
        """Close the run, bring the acknowledgements into the order of the keys, keep the summary."""
        assert self._journal is not None, "no run was begun"  # noqa: S101 - a mistake of the caller
        self._journal.merge()
        super().finish_run(summary, forced_done=forced_done)
        self._journal = None

    def _forget_profiles(self, connection: sa.Connection) -> None:
        self._drop(connection, *_OF_PROFILES)
        # Ordinals go on: a sweep's bitmap may still be about.
        self._set(connection, profiles=0)

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
            pending.remove(connection, self._sync_id, [identity(*one) for one in settlement.resolved])
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
        self, connection: sa.Connection, place: tuple[int, int, int], acknowledged: Sequence[Acknowledged | Outgoing]
    ) -> Sequence[Key]:
        """Write them into the order of the keys or append them to the journal; returns the keys of the latter."""
        latest = {entry.key: entry for entry in acknowledged}
        keys, entries = list(latest), list(latest.values())
        pending.acknowledge(connection, self._sync_id, keys)
        # A word in the journal counts as the later one, so there it is followed by the next.
        in_run = self._journal is not None and not self._journal.may_hold(keys)
        several = ordered.ranges(keys) if in_run else []
        if several and ordered.are_close(connection, self._sync_id, several):
            for within in several:
                ordered.write(self._database, connection, place, within, [latest[key] for key in within.keys])
            return ()
        ids = [None if entry.distinct_id == entry.key else entry.distinct_id for entry in entries]
        shapes = self._database.shape_numbers(connection, [entry.shape for entry in entries])
        journal.append(connection, place, (keys, ids, [entry.fingerprint for entry in entries], shapes))
        return keys

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
