"""One run of a sync at a time, wherever its processes are: a lock that hangs on a session, or a lease."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

from sync_profiles.errors import SyncProfilesError
from sync_profiles.state.postgres.database import SCHEMA, Database
from sync_profiles.state.schema import APPLICATION_ID

LEASE_S = 60.0
"""How long a lease lasts unless it is renewed: so late the next run may begin after a ``kill -9``."""

RENEW_S = 15.0

_IN_ORDER = (
    "SELECT count(*) = 2 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = %s AND c.relname IN ('sync', 'holder')"
)
_RENEW = (
    f"UPDATE {SCHEMA}.holder SET until = pg_catalog.now() + %s * interval '1 s'"
    " WHERE sync = %s AND token = %s AND until > pg_catalog.now()"
)


def lock_keys(sync: str) -> tuple[int, int]:
    """The two numbers of an advisory lock: which program, and which of its syncs."""
    digest = hashlib.blake2b(sync.encode(), digest_size=4).digest()
    return APPLICATION_ID, int.from_bytes(digest, "big", signed=True)


class ServerLock:
    """The lock of one sync.

    On a direct connection it is an advisory lock of the very session that writes the state: PostgreSQL gives it back
    when that session ends, however it ends, and nothing can be written without it. Behind a pooler sessions change
    hands, so there it is a lease that a thread renews; the fence of each transaction sees whether it still lasts.
    ``connect`` opens the connection on which a lease is renewed. Holders of both kinds respect each other.
    """

    def __init__(
        self, database: Database, sync: str, *, connect: Callable[[], Database], now: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._sync = sync
        self._connect = connect
        self._now = now
        self._token: str | None = None
        self._held = False
        self._renewal: _Renewal | None = None

    def acquire(self) -> bool:
        """Take the lock, or say False at once; raises what a database that is away raises."""
        if self._held:
            return False
        self._held = self._take_session() if self._database.is_direct else self._take_lease()
        return self._held

    def release(self) -> None:
        """Give it back; fine when it is not held, or when the connection that it hung on is lost."""
        if not self._held:
            return
        self._held = False
        if self._renewal is not None:
            self._renewal.stop()
            self._renewal = None
        with contextlib.suppress(SyncProfilesError):
            if self._token is not None:
                with self._database.writing() as connection:
                    connection.exec_driver_sql(
                        f"UPDATE {SCHEMA}.holder SET token = NULL, until = NULL WHERE sync = %s AND token = %s",
                        (self._sync, self._token),
                    )
            else:
                self._unlock()
        self._token = None

    @property
    def holder(self) -> str:
        """Who has it, for a message."""
        query = (
            "SELECT label || coalesce(', at the latest until ' || to_char(until AT TIME ZONE 'UTC',"
            f" 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), '') FROM {SCHEMA}.holder WHERE sync = %s"
        )
        try:
            with self._database.reading() as connection:
                label = connection.exec_driver_sql(query, (self._sync,)).scalar()
        except SyncProfilesError:
            label = None
        return str(label) if label else "an unknown process"

    # --- a session ---------------------------------------------------------------------------------------------

    def _take_session(self) -> bool:
        with self._database.reading() as connection:
            taken = connection.exec_driver_sql(
                "SELECT pg_catalog.pg_try_advisory_lock(%s, %s), pg_catalog.pg_backend_pid()", lock_keys(self._sync)
            ).one()
        if not taken[0]:
            return False
        if not self._sign(token=None):
            self._unlock()
            return False
        self._database.locked_pid = taken[1]
        return True

    def _unlock(self) -> None:
        self._database.locked_pid = None
        with self._database.reading() as connection:
            connection.exec_driver_sql("SELECT pg_catalog.pg_advisory_unlock(%s, %s)", lock_keys(self._sync))

    # --- a lease -----------------------------------------------------------------------------------------------

    def _take_lease(self) -> bool:
        token = uuid.uuid4().hex
        if not self._sign(token):
            return False
        self._token = token
        self._renewal = _Renewal(self._connect, self._sync, token)
        return True

    def _sign(self, token: str | None) -> bool:
        """Write down who has it, with a lease when there is a ``token``; False when somebody else has a lease.

        Whoever takes over an expired lease fences its former holder off: that may be alive, and slow.
        """
        since = datetime.fromtimestamp(self._now(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        label = f"process {os.getpid()} on {socket.gethostname()} since {since}"
        with self._database.writing() as connection:
            if not connection.exec_driver_sql(_IN_ORDER, (SCHEMA,)).scalar_one():
                return True  # a state that is to be started over; there is no lease in it
            if token is not None:
                query = "SELECT pg_catalog.pg_try_advisory_xact_lock(%s, %s)"
                if not connection.exec_driver_sql(query, lock_keys(self._sync)).scalar_one():
                    return False
            connection.exec_driver_sql(
                f"UPDATE {SCHEMA}.sync s SET last_number = last_number + 1 FROM {SCHEMA}.holder h"
                " WHERE s.name = %s AND h.sync = s.name AND h.until < pg_catalog.now()",
                (self._sync,),
            )
            signed = connection.exec_driver_sql(
                f"INSERT INTO {SCHEMA}.holder AS h (sync, label, token, until)"
                " VALUES (%s, %s, %s, pg_catalog.now() + %s * interval '1 s')"
                " ON CONFLICT (sync) DO UPDATE SET label = excluded.label, token = excluded.token,"
                " until = excluded.until WHERE h.until IS NULL OR h.until < pg_catalog.now() RETURNING 1",
                (self._sync, label, token, LEASE_S if token is not None else None),
            )
            return signed.first() is not None


class _Renewal:
    """The thread that renews a lease; what hinders it now and then is no harm while the lease lasts."""

    def __init__(self, connect: Callable[[], Database], sync: str, token: str) -> None:
        self._connect = connect
        self._place = (LEASE_S, sync, token)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Renew no more."""
        self._over.set()
        self._thread.join(5.0)

    def _renew(self) -> None:
        while not self._over.wait(RENEW_S):
            with contextlib.suppress(SyncProfilesError), contextlib.closing(self._connect()) as database:
                database.send([(_RENEW, self._place)])
