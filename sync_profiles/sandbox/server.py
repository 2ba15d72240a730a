"""A local stand-in for Mixpanel: takes profiles, keeps them, reads them back, and fails on request."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from sync_profiles.errors import UsageError
from sync_profiles.sandbox.console import Console
from sync_profiles.sandbox.exchange import Call, Reply, Request, Sent, read_sent
from sync_profiles.sandbox.faults import INGESTION_PATHS, Fault, Faults
from sync_profiles.sandbox.ingestion import Poison, judge
from sync_profiles.sandbox.listener import Listener
from sync_profiles.sandbox.log import Log
from sync_profiles.sandbox.profiles import Profile, Profiles
from sync_profiles.sandbox.query import Account, Queries
from sync_profiles.sandbox.records import Update
from sync_profiles.sandbox.replies import error_reply, faulty_reply, ingestion_reply, too_large_reply

TOKEN = "sandbox-token"  # noqa: S105 - opens nothing: a sandbox takes any token
PROJECT_ID = 1
SERVICE_ACCOUNT = "sandbox-account"
SERVICE_SECRET = "sandbox-secret"  # noqa: S105 - opens nothing but this sandbox

_QUERY_PATHS = ("/api/query/engage", "/api/2.0/engage")
_BODY_BYTES_MAX = 2_097_152  # the only limit Mixpanel ever named, in the 413 of /import
_POLL_S = 0.02  # closing waits for one poll at most
_REPLY_CHARACTERS_MAX = 500


class Sandbox:
    """One Mixpanel project on a local port. Use it as a context manager, or call ``serve_forever()``.

    Like the live server it takes any token with success, and shows profiles only of its own (``token``).
    ``port`` 0 takes any free one. With ``keep_bodies`` the log holds the JSON text of every request's records, with
    ``keep_history`` the page shows what each record changed.
    Raises ``UsageError`` when the address is taken. Every method may be called from any thread.

    Switches, to be set at any time:
      ``partial``   a request with a bad record: its good ones are kept (False: all of them are refused)
      ``poison``    a function that gives a record's reason to be refused, or None
      ``clock``     unix seconds; replace it to move time
      ``queries.per_hour``  limit of the Query API, 60 like the live one; None: no limit
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str = TOKEN,
        project_id: int = PROJECT_ID,
        *,
        keep_bodies: bool = False,
        keep_history: bool = False,
    ) -> None:
        self.token = token
        self.partial = False
        self.poison: Poison | None = None
        self.clock: Callable[[], float] = time.time
        self.faults = Faults()
        self._store = Profiles(keep_history=keep_history)
        self.queries = Queries(Account(project_id, SERVICE_ACCOUNT, SERVICE_SECRET), self._store, (token, None))
        self._keep_bodies = keep_bodies
        self._lock = threading.Lock()
        self._log = Log()
        self._console = Console(token, self._store, self._log, self.faults, self.reset)
        self._in_flight: list[frozenset[str]] = []
        self._overlaps: set[str] = set()
        self._late: list[Sequence[Update]] = []
        try:
            self._listener = Listener(host, port, self.answer)
        except OSError as error:
            raise UsageError(
                f"the sandbox cannot listen on {host}, port {port}: {error.strerror}",
                hint="choose another one with --port or --host",
            ) from error
        self._started = False

    # --- life ---------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._started = True
        threading.Thread(target=self._listener.serve_forever, args=(_POLL_S,), name="sandbox", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def serve_forever(self) -> None:
        """Serve in this thread until it is interrupted or another thread calls ``close``."""
        self._started = True
        self._listener.serve_forever(_POLL_S)

    def close(self) -> None:
        """Stop serving: connections end, the address is free, what is held can still be looked at."""
        if self._started:
            self._listener.shutdown()
        self._listener.server_close()

    @property
    def url(self) -> str:
        """Base address, without a slash at the end."""
        host, port = self._listener.server_name, self._listener.server_port
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    # --- what it holds ------------------------------------------------------------------------------------------

    @property
    def profiles(self) -> dict[str, dict[str, Any]]:
        """Distinct ID -> properties, of the sandbox's own token."""
        return self.profiles_of(self.token)

    @property
    def groups(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Group key -> group's ID -> properties, of the sandbox's own token."""
        return self._store.groups(self.token)

    def profiles_of(self, token: str) -> dict[str, dict[str, Any]]:
        """Distinct ID -> properties that were sent with some other token: what a wrong token loses."""
        return {profile.distinct_id: profile.properties for profile in self._store.all_of((token, None))}

    def profile(self, distinct_id: str, group_key: str | None = None) -> Profile | None:
        """Return one profile with its "Updated at" and count of records; None when there is none."""
        return self._store.get((self.token, group_key), distinct_id)

    def table(self) -> Sequence[tuple[str, str, str]]:
        """Rows (Distinct ID, Name, Email), as Mixpanel's Users page lists them."""
        return [
            (one.distinct_id, str(one.properties.get("$name", "")), str(one.properties.get("$email", "")))
            for one in self._store.all_of((self.token, None))
        ]

    # --- what happened ------------------------------------------------------------------------------------------

    @property
    def requests(self) -> Sequence[Request]:
        """The log, oldest first, at most 10,000 lines; calls of /sandbox are not in it."""
        return self._log.lines

    @property
    def overlaps(self) -> frozenset[str]:
        """Distinct IDs that were in two requests at once, as far as no fault struck them; should be empty."""
        with self._lock:
            return frozenset(self._overlaps)

    def applied(self, distinct_id: str, group_key: str | None = None) -> int:
        """Return how many records were applied to an ID since the log was cleared, deletes included."""
        return self._store.applied((self.token, group_key), distinct_id)

    def clear_log(self) -> None:
        """Forget the requests, overlaps and counts of applied records; profiles and faults stay."""
        self._log.clear()
        with self._lock:
            self._overlaps.clear()
        self._store.clear_counts()

    def reset(self) -> None:
        """Start from nothing: no profiles, no log, no faults, no queries counted. The switches stay."""
        self.faults.clear()
        with self._lock:
            self._late.clear()
        self.clear_log()
        self._store.clear()
        self.queries.clear()

    def land(self) -> int:
        """Apply what zombie requests still hold back; returns how many records that were."""
        with self._lock:
            late, self._late = self._late, []
        for updates in late:
            self._store.apply(updates, self.clock())
        return sum(map(len, late))

    # --- answering ----------------------------------------------------------------------------------------------

    def answer(self, call: Call) -> Reply:
        """Answer one call; what the listener asks of the sandbox."""
        if self._console.serves(call.path):
            return self._console.answer(call)
        delay_s, fault = self.faults.take(call.path)
        if call.path in INGESTION_PATHS:
            return self._ingest(call, delay_s, fault)
        self._listener.closing.wait(delay_s)
        reply = self._read(call)
        if fault is not None:
            reply = faulty_reply(fault, reply, 0)
        self._note(call, Sent(call.query), 0, reply, fault)
        return reply

    def _ingest(self, call: Call, delay_s: float, fault: Fault | None) -> Reply:
        if len(call.body) > _BODY_BYTES_MAX:
            reply = too_large_reply(_BODY_BYTES_MAX)
            self._note(call, Sent(call.query), 0, reply, None)
            return reply
        sent = read_sent(call)
        judged = judge(sent, group=call.path == "/groups", poison=self.poison)
        good = judged.updates if self.partial or not judged.errors else ()
        reply = ingestion_reply(sent.params, len(good), judged.errors)
        # Both end before the answer leaves: whoever has it must find the log complete and the IDs free.
        if fault is None:
            with self._flight(frozenset(update.owner for update in judged.updates)):
                self._listener.closing.wait(delay_s)
                self._store.apply(good, self.clock())
            self._note(call, sent, len(good), reply, None)
            return reply
        self._listener.closing.wait(delay_s)
        applied = _share(good, fault)
        self._store.apply(applied, self.clock())
        if fault.kind == "zombie":
            self._hold_back(good[len(applied) :], fault.seconds)
        reply = faulty_reply(fault, reply, len(sent.records))
        self._note(call, sent, len(applied), reply, fault)
        return reply

    def _read(self, call: Call) -> Reply:
        if call.path in _QUERY_PATHS:
            return self.queries.engage(call, self.clock())
        if call.path == "/api/app/me":
            return self.queries.me(call)
        return error_reply(404, "Not Found")

    def _note(self, call: Call, sent: Sent, applied: int, reply: Reply, fault: Fault | None) -> None:
        self._log.note(
            Request(
                number=0,
                method=call.method,
                path=call.path,
                params=sent.params,
                records=len(sent.records),
                applied=applied,
                bytes=len(call.body),
                status=reply.status,
                reply=reply.body.decode("utf-8", "replace")[:_REPLY_CHARACTERS_MAX],
                fault=None if fault is None else fault.kind,
                at=self.clock(),
                connection=call.connection,
                body=sent.text if self._keep_bodies else None,
            )
        )

    @contextmanager
    def _flight(self, ids: frozenset[str]) -> Iterator[None]:
        with self._lock:
            for others in self._in_flight:
                self._overlaps |= ids & others
            self._in_flight.append(ids)
        try:
            yield
        finally:
            with self._lock:
                self._in_flight.remove(ids)

    def _hold_back(self, updates: Sequence[Update], seconds: float) -> None:
        with self._lock:
            self._late.append(updates)
        if seconds:
            timer = threading.Timer(seconds, self.land)
            timer.daemon = True
            timer.start()


def _share(good: Sequence[Update], fault: Fault) -> Sequence[Update]:
    """Return what is applied before the fault strikes."""
    if fault.applied == "all":
        return good
    return good[: len(good) // 2] if fault.applied == "half" else ()
