"""The state of one sync in PostgreSQL: what a run reads and writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager

import msgspec
import sqlalchemy as sa

from sync_profiles.core.spreading import Board, Cut
from sync_profiles.core.types import Acknowledged, Outgoing, Settlement
from sync_profiles.state import inflight, schema
from sync_profiles.state.postgres import statements
from sync_profiles.state.postgres.arrays import bytes_array, number_array, text_array
from sync_profiles.state.postgres.database import SCHEMA, Database, Place, Statement
from sync_profiles.state.postgres.reader import ServerReader
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
        self._number = self._attempt = 0

    def _writing(self) -> AbstractContextManager[sa.Connection]:
        return self._database.writing(self._fence())

    def _fence(self) -> Statement:
        return statements.fence(self._place, self._number, self._database.locked_pid, self._attempt)

    # --- a run -------------------------------------------------------------------------------------------------

    def begin_run(self, run: str, started_at: float, *, forced: str | None = None, restart: bool = False) -> Begun:
        """As ``Runs.begin_run``, for all parts, with an empty board."""
        self._number = 0
        begun = super().begin_run(run, started_at, forced=forced, restart=restart)
        with self._writing() as connection:
            connection.exec_driver_sql(
                f"INSERT INTO {SCHEMA}.board (sync_id, run) VALUES (%s, %s) ON CONFLICT (sync_id)"
                " DO UPDATE SET run = excluded.run, halvings = 0, stop = NULL",
                (self._sync_id, begun.number),
            )
        return begun

    # --- a run of several processes ------------------------------------------------------------------------------

    def begin_part(self, run: int, part: int, forced_since: int) -> None:  # noqa: ARG002 - part of the port
        """Go on with a run that another process began and holds the lock of, as the one that does ``part``.

        What an earlier attempt at the part left in flight becomes pending rows. Raises ``FencedError`` when the run is
        not the last any more.
        """
        place = Place(self._sync_id, part)
        with self._database.writing(statements.fence(Place(self._sync_id, 0), run, None)) as connection:
            self._attempt = connection.exec_driver_sql(*statements.attempted(place)).scalar_one()
            self._place, self._number = place, run
            self._revive(connection)

    def finish_part(self, counts: Mapping[str, int]) -> None:
        """Remember that this part of the cut is done, and what was counted in it."""
        text = msgspec.json.encode(counts).decode()
        with self._writing() as connection:
            connection.exec_driver_sql(
                f"INSERT INTO {SCHEMA}.part (sync_id, part, run, done_at, counts) VALUES (%s, %s, %s, %s, %s)"
                " ON CONFLICT (sync_id, part) DO NOTHING",
                (*self._place, self._number, self._now(), text),
            )

    def parts_done(self) -> Mapping[int, Mapping[str, int]]:
        """The parts of the cut that are done, each with its counts."""
        query = f"SELECT part, counts FROM {SCHEMA}.part WHERE sync_id = %s"
        with self._database.reading() as connection:
            found = connection.exec_driver_sql(query, (self._sync_id,)).all()
        return {part: msgspec.json.decode(counts, type=dict[str, int]) for part, counts in found}

    def cut(self) -> Cut | None:
        """What ``keep_cut`` kept last."""
        query = f"SELECT parts FROM {SCHEMA}.cut WHERE sync_id = %s"
        with self._database.reading() as connection:
            text = connection.exec_driver_sql(query, (self._sync_id,)).scalar_one_or_none()
            return msgspec.json.decode(text, type=Cut) if text is not None else None

    def keep_cut(self, cut: Cut | None) -> None:
        """Remember into which parts a backfill is cut, none of them done yet; None: it has ended."""
        with self._writing() as connection:
            self._drop_cut(connection)
            if cut is not None:
                text = msgspec.json.encode(cut).decode()
                query = f"INSERT INTO {SCHEMA}.cut (sync_id, parts) VALUES (%s, %s)"
                connection.exec_driver_sql(query, (self._sync_id, text))

    def _drop_cut(self, connection: sa.Connection) -> None:
        for table in ("cut", "part"):
            connection.exec_driver_sql(f"DELETE FROM {SCHEMA}.{table} WHERE sync_id = %s", (self._sync_id,))

    def look(self, halvings: int, *, halve: bool = False) -> Board:
        """The board of the run; ``halve`` adds one halving, unless somebody did since there were ``halvings``.

        Whose run is not the last any more is told to stop.
        """
        if halve:
            with self._writing() as connection:
                connection.exec_driver_sql(
                    f"UPDATE {SCHEMA}.board SET halvings = halvings + 1 WHERE sync_id = %s AND halvings = %s",
                    (self._sync_id, halvings),
                )
        query = f"SELECT halvings, stop FROM {SCHEMA}.board WHERE sync_id = %s AND %s IN (0, run)"
        with self._database.reading() as connection:
            found = connection.exec_driver_sql(query, (self._sync_id, self._number)).one_or_none()
        return Board(*found) if found is not None else Board(halvings, "failure")

    def ask_stop(self, cause: str) -> None:
        """Write on the board that everybody is to end."""
        with self._writing() as connection:
            query = f"UPDATE {SCHEMA}.board SET stop = coalesce(stop, %s) WHERE sync_id = %s"
            connection.exec_driver_sql(query, (cause, self._sync_id))

    def _revive(self, connection: sa.Connection) -> int:
        if not self._place.part:
            # What a former run has passed the fence with is waited for: batches may be among it.
            connection.exec_driver_sql(f"SELECT FROM {SCHEMA}.sync WHERE id = %s FOR UPDATE", (self._sync_id,))
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
        self._drop_cut(connection)
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

    def _acknowledged(self, entries: Sequence[Acknowledged | Outgoing], now: int) -> list[Statement]:
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
