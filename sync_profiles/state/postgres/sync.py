"""The state of one sync in PostgreSQL: what a run reads and writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager

import msgspec
import sqlalchemy as sa

from sync_profiles.core.types import Acknowledged, Settlement
from sync_profiles.state import inflight, schema
from sync_profiles.state.postgres import statements
from sync_profiles.state.postgres.arrays import bytes_array, number_array, text_array
from sync_profiles.state.postgres.database import SCHEMA, Database, Statement
from sync_profiles.state.postgres.reader import ServerReader
from sync_profiles.state.postgres.statements import Place
from sync_profiles.state.rows import identity, laid_over
from sync_profiles.state.runs import Begun, Runs

_OF_PROFILES = (schema.profile, schema.pending, schema.inflight, schema.verification)
"""What means nothing in another project."""


class ServerState(ServerReader, Runs[Database]):
    """The state of one sync in PostgreSQL.

    Several processes may write the same run, each its own part, a number above 0; 0 is the run itself, which alone
    begins and finishes it. A transaction of a run that is not the sync's last any more fails with ``FencedError``.
    """

    def __init__(self, database: Database, place: Place, now: Callable[[], float]) -> None:
        super().__init__(database, place.sync_id)
        self._place = place
        self._now = now
        self._number = 0
        self._since = 0

    def _writing(self) -> AbstractContextManager[sa.Connection]:
        return self._database.writing(self._fence())

    def _fence(self) -> Statement:
        return statements.fence(self._sync_id, self._number, self._database.locked_pid)

    # --- a run -------------------------------------------------------------------------------------------------

    def begin_run(self, run: str, started_at: float, *, forced: str | None = None, restart: bool = False) -> Begun:
        """As ``Runs.begin_run``, for all parts; parts that are done stay so for the backfill that is continued."""
        self._number = 0
        begun = super().begin_run(run, started_at, forced=forced, restart=restart)
        self._since = begun.forced_since or begun.number
        with self._writing() as connection:
            connection.exec_driver_sql(
                f"DELETE FROM {SCHEMA}.part p USING {SCHEMA}.sync s WHERE p.sync_id = %s AND s.id = p.sync_id"
                " AND NOT (s.forced IS NOT NULL AND p.since = s.forced_since)",
                (self._sync_id,),
            )
        return begun

    def join_run(self, number: int, forced_since: int = 0) -> Begun:
        """Write this part of a run that another process began and still holds the lock of.

        What a dead process had in flight of this part is turned into pending rows. Raises ``FencedError`` when the
        run is not the last any more.
        """
        self._number, self._since = number, forced_since or number
        with self._writing() as connection:
            return Begun(number, forced_since, self._revive(connection))

    def finish_part(self, counts: Mapping[str, int]) -> None:
        """Remember that this part is done, and what was counted in it."""
        text = msgspec.json.encode(counts).decode()
        with self._writing() as connection:
            row = (self._sync_id, self._since, self._place.part, self._number)
            connection.exec_driver_sql(
                f"INSERT INTO {SCHEMA}.part (sync_id, since, part, run, done_at, counts)"
                " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (sync_id, since, part) DO NOTHING",
                (*row, self._now(), text),
            )

    def parts_done(self) -> Mapping[int, Mapping[str, int]]:
        """The parts of this run, or of the backfill that it continues, that are done, each with its counts."""
        query = f"SELECT part, counts FROM {SCHEMA}.part WHERE sync_id = %s AND since = %s"
        with self._database.reading() as connection:
            found = connection.exec_driver_sql(query, (self._sync_id, self._since)).all()
        return {part: msgspec.json.decode(counts, type=dict[str, int]) for part, counts in found}

    def _revive(self, connection: sa.Connection) -> int:
        table = schema.inflight
        query = f"SELECT profiles FROM {SCHEMA}.inflight WHERE sync_id = %s AND %s IN (0, part) ORDER BY part, number"
        blobs = connection.exec_driver_sql(query, self._place).scalars().all()
        if not blobs:
            return 0
        profiles = inflight.profiles_of(self._database, connection, blobs)
        before = self._pending_of(connection, [profile.key for profile in profiles], "row", "gone")
        rows = inflight.revived(profiles, before, self._now())
        numbers = self._database.shape_numbers(connection, [row.shape for row in rows])
        connection.exec_driver_sql(*statements.pending(self._place, rows, numbers))
        own = sa.text("part = :part") if self._place.part else sa.true()
        connection.execute(sa.delete(table).where(self._mine(table), own), {"part": self._place.part})
        return len(profiles)

    def _forget_profiles(self, connection: sa.Connection) -> None:
        self._drop(connection, *_OF_PROFILES)
        connection.exec_driver_sql(f"DELETE FROM {SCHEMA}.tally WHERE sync_id = %s", (self._sync_id,))

    def reset(self) -> None:
        """As ``Runs.reset``; a run that lost its lock and lives on is fenced off."""
        with self._writing() as connection:
            self._set(connection, last_number=self._of_sync(connection, "last_number") + 1)
        super().reset()

    # --- settling ----------------------------------------------------------------------------------------------

    def settle(self, settlement: Settlement, now: float) -> None:
        """Apply a settlement in the order ``Settlement`` gives, as one message; twice is the same as once.

        When the connection breaks in the middle, nobody knows whether it was committed: it is not tried again, the run
        ends, and the next one sends again what was in flight.
        """
        wanted, place = [self._fence()], self._place
        if settlement.landed:
            wanted.append(statements.landed(place, settlement.landed))
        if settlement.acknowledged:
            latest = {entry.key: entry for entry in settlement.acknowledged}
            wanted += self._acknowledged([latest[key] for key in sorted(latest)], int(now))
        if settlement.forgotten:
            wanted.append(statements.forgotten(place, settlement.forgotten))
        if settlement.resolved:
            wanted.append(statements.resolved(place, [identity(*one) for one in settlement.resolved]))
        if settlement.pending:
            wanted.append(self._pending(settlement))
        if settlement.dispatched:
            latest_batches = {batch.number: batch.profiles for batch in settlement.dispatched}
            with self._database.reading() as connection:
                blobs = [
                    (number, inflight.written(self._database, connection, profiles))
                    for number, profiles in latest_batches.items()
                ]
            wanted.append(statements.dispatched(place, blobs))
        self._database.send(wanted)

    def _acknowledged(self, entries: Sequence[Acknowledged], now: int) -> list[Statement]:
        with self._database.reading() as connection:
            shapes = self._database.shape_numbers(connection, [entry.shape for entry in entries])
        columns = (
            text_array([entry.key for entry in entries]),
            text_array([None if entry.distinct_id == entry.key else entry.distinct_id for entry in entries]),
            bytes_array([entry.fingerprint for entry in entries]),
            number_array(shapes),
        )
        return statements.acknowledged(self._place, (now, self._number), columns)

    def _pending(self, settlement: Settlement) -> Statement:
        """Laid over what is remembered of removals that were asked for before and are not resolved by this."""
        gone = [row.key for row in settlement.pending if row.kind == "gone"]
        resolved = {identity(*one) for one in settlement.resolved}
        with self._database.reading() as connection:
            found = self._pending_of(connection, gone, "gone") if gone else []
            rows = laid_over(
                settlement.pending,
                [row for row in found if identity(row.kind, row.key, row.distinct_id) not in resolved],
            )
            numbers = self._database.shape_numbers(connection, [row.shape for row in rows])
        return statements.pending(self._place, rows, numbers)
