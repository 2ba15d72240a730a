"""Batches out, verdicts in: threads send, the calling thread alone settles."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from sync_profiles.core.batching import Cutter
from sync_profiles.core.ports import Destination, State
from sync_profiles.core.settling import DELETE_AGAIN, REFUSED, merged, settlement_of
from sync_profiles.core.types import Accepted, Batch, DistinctId, InFlight, Key, Outgoing, Settlement, TooLarge, Verdict
from sync_profiles.core.verdict import Step, StopReason, next_step
from sync_profiles.engine.course import Course
from sync_profiles.errors import AccessError, ConfigError, SyncProfilesError, TemporaryError

STOP_PATIENCE_S = 25.0
"""After a stop was asked, requests in flight get this long; what is open then is a pending row of the next run."""

SUSPECTS_MAX = 10
"""So many single profiles refused, with none accepted in this run, are not the rows' fault."""

_STOP_ERRORS: dict[int, type[SyncProfilesError]] = {75: TemporaryError, 77: AccessError, 78: ConfigError}


class DeliverySettings(msgspec.Struct, frozen=True):
    """How a run sends. ``threads`` is the most requests in flight, ``limit()`` how many it may be right now."""

    threads: int
    limit: Callable[[], int]
    records_max: int
    group: bool
    remove_former: bool


class Delivery:
    """Sends profiles in batches, a bounded number in flight, and settles every reply (promises 4, 5 and 6).

    A batch is written down as in flight before its first byte leaves, in the same transaction that settles the
    replies which came in meanwhile. ``open_keys`` are the keys on their way: their acknowledgement is not known yet.
    """

    def __init__(self, destination: Destination, state: State, settings: DeliverySettings, course: Course) -> None:
        self._destination = destination
        self._state = state
        self._settings = settings
        self._course = course
        self._tally = course.tally
        self._clock = course.surroundings.clock
        self._stop = course.stop
        self._cutter = Cutter(records_max=settings.records_max)
        self._ready: deque[Batch] = deque()
        self._written: set[int] = set()
        self._in_flight: dict[int, Batch] = {}
        self._ids_in_flight: set[str] = set()
        self.open_keys: set[Key] = set()
        self._number = 0
        self._accepted = False
        self._suspects: list[tuple[Outgoing, str]] = []
        self._held: list[int] = []
        self.failure: SyncProfilesError | None = None
        self._outbox: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._replies: queue.SimpleQueue[tuple[Batch, Verdict | BaseException]] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    @property
    def in_flight(self) -> int:
        """Requests whose answer has not come yet."""
        return len(self._in_flight)

    def offer(self, profile: Outgoing) -> None:
        """Take a profile; blocks while more is waiting than can be in flight. After a failure it is left alone."""
        self.open_keys.add(profile.key)
        full = self._cutter.add(profile)
        if full:
            self._ready.append(self._batch(full))
            self._advance()
            while len(self._ready) > self._settings.limit() and self._wait_for_reply():
                self._advance()

    def drain(self) -> None:
        """Send what is left and wait until every answer is settled; raises what stopped the sending."""
        self._ready.extend(map(self._batch, self._cutter.rest()))
        self._advance()
        while self._ready or self._in_flight:
            if not self._wait_for_reply():
                break
            self._advance()
        self._reject_suspects()
        if self.failure is not None:
            raise self.failure

    def close(self) -> None:
        """Send nothing more, settle what is in flight for as long as patience lasts, and let the threads go."""
        self._ready.clear()
        deadline = self._clock.monotonic() + STOP_PATIENCE_S
        while self._in_flight and self._clock.monotonic() < deadline:
            self._take_replies(wait_s=0.2, dispatch=False)
        for _ in self._threads:
            self._outbox.put(None)

    # --- the loop's two halves ---------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Settle the replies that are there and send what may be sent, in one transaction."""
        self._take_replies(wait_s=0.0, dispatch=True)

    def _wait_for_reply(self) -> bool:
        """Wait for one reply; False when none will come because sending stopped and nothing is in flight."""
        if not self._in_flight:
            return self._may_send() and bool(self._ready)
        if self._stop.cause is not None:
            self.close()
            return False
        self._take_replies(wait_s=0.2, dispatch=True)
        return True

    def _take_replies(self, *, wait_s: float, dispatch: bool) -> None:
        settlements: list[Settlement] = []
        landed: list[int] = []
        try:
            batch, verdict = self._replies.get(timeout=wait_s) if wait_s else self._replies.get_nowait()
            while True:
                settlements.append(self._settled(batch, verdict, landed))
                batch, verdict = self._replies.get_nowait()
        except queue.Empty:
            pass
        batches = self._next_batches() if dispatch else []
        if not landed and not batches:
            return
        self._state.settle(merged(settlements, landed=landed, dispatched=self._unwritten(batches)), self._course.now())
        for batch in batches:
            self._hand_out(batch)
        self._tally.progress("sending", len(self._in_flight))

    def _unwritten(self, batches: Sequence[Batch]) -> list[InFlight]:
        """What has to be written down now: batches about to leave, and halves of a batch that may be stored in part.

        Halves that wait for their turn when a run dies are pending rows of the next one, too.
        """
        halves = [batch for batch in self._ready if batch.profiles[0].doubt != "none"]
        new = [batch for batch in (*batches, *halves) if batch.number not in self._written]
        self._written.update(batch.number for batch in new)
        return [InFlight(batch.number, batch.profiles) for batch in new]

    # --- sending -----------------------------------------------------------------------------------------------

    def _may_send(self) -> bool:
        return self.failure is None and self._stop.cause is None

    def _next_batches(self) -> list[Batch]:
        """As many ready cuts as may fly now, never one that holds an ID which is in flight already."""
        batches: list[Batch] = []
        while (
            self._ready
            and self._may_send()
            and len(self._in_flight) < min(self._settings.limit(), self._settings.threads)
        ):
            batch = next((b for b in self._ready if self._ids_in_flight.isdisjoint(_ids(b))), None)
            if batch is None:
                break
            self._ready.remove(batch)
            self._in_flight[batch.number] = batch
            self._ids_in_flight.update(_ids(batch))
            batches.append(batch)
        return batches

    def _batch(self, cut: tuple[Outgoing, ...]) -> Batch:
        self._number += 1
        return Batch(self._number, cut, group=self._settings.group)

    def _hand_out(self, batch: Batch) -> None:
        if len(self._threads) < min(self._settings.threads, len(self._in_flight)):
            # Daemons: a request that outlives the patience of a stop must not hold the process.
            thread = threading.Thread(target=self._send_all, name=f"send-{len(self._threads) + 1}", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._outbox.put(batch)

    def _send_all(self) -> None:
        while (batch := self._outbox.get()) is not None:
            try:
                self._replies.put((batch, self._destination.send(batch)))
            except BaseException as error:  # noqa: BLE001 - raised again on the main thread
                self._replies.put((batch, error))

    # --- settling ----------------------------------------------------------------------------------------------

    def _settled(self, batch: Batch, verdict: Verdict | BaseException, landed: list[int]) -> Settlement:
        del self._in_flight[batch.number]
        self._written.discard(batch.number)
        self._ids_in_flight.difference_update(_ids(batch))
        if isinstance(verdict, BaseException):
            raise verdict
        step = next_step(batch, verdict)
        if isinstance(verdict, Accepted):
            self._accepted = True
            if not verdict.counted:
                self._tally.warn("uncounted", "Mixpanel's answers do not say how many records were good")
        if isinstance(verdict, TooLarge):
            self._cutter.shrink(batch.size // 2)
        # Halves go first: depth first finds the single bad record with the fewest requests.
        self._ready.extendleft(map(self._batch, reversed(step.again)))
        self._fail(step.stop)
        now = self._course.now()
        suspects = self._judge(step.rejected)
        # A batch whose refusal is not judged yet stays written down as in flight.
        self._held.append(batch.number)
        if not self._suspects:
            landed += self._held
            self._held = []
        waiting = self._state.waiting([profile.key for profile, _ in suspects]) if suspects else {}
        settled = msgspec.structs.replace(step, rejected=tuple(suspects))
        self._count(settled.acknowledged + settled.doubtful)
        for profile, reason in suspects:
            self._tally.reject(profile.key, profile.distinct_id, REFUSED, reason)
        again = {profile.key for half in step.again for profile in half}
        held = {profile.key for profile, _ in self._suspects}
        self.open_keys.difference_update(p.key for p in batch.profiles if p.key not in again and p.key not in held)
        return settlement_of(settled, now=now, waiting=waiting, remove_former=self._settings.remove_former)

    def _count(self, profiles: tuple[Outgoing, ...]) -> None:
        removed = sum(1 for profile in profiles if profile.fingerprint is None)
        self._tally.sent += len(profiles) - removed
        self._tally.deleted += sum(1 for p in profiles if p.fingerprint is None and p.cause != DELETE_AGAIN)

    def _judge(self, refused: tuple[tuple[Outgoing, str], ...]) -> list[tuple[Outgoing, str]]:
        """Who is rejected now: nobody before a good record has passed in this run, then everybody held so far."""
        self._suspects.extend(refused)
        if self._accepted:
            judged, self._suspects = self._suspects, []
            return judged
        reasons = {reason for _, reason in self._suspects}
        if len(self._suspects) >= SUSPECTS_MAX and len(reasons) == 1:
            self.failure = self.failure or ConfigError(
                f"Mixpanel refuses every record: {next(iter(reasons))}",
                hint="No record passed, so no row was rejected. Look at one with `sync-profiles preview`.",
            )
        return []

    def _reject_suspects(self) -> None:
        """At the end few were refused and none accepted: then it is the rows after all."""
        if self.failure is None and self._suspects and not self._ready and not self._in_flight:
            self._accepted = True
            suspects = self._judge(())
            waiting = self._state.waiting([profile.key for profile, _ in suspects])
            step = Step(rejected=tuple(suspects))
            for profile, reason in suspects:
                self._tally.reject(profile.key, profile.distinct_id, REFUSED, reason)
                self.open_keys.discard(profile.key)
            now = self._course.now()
            settled = settlement_of(step, now=now, waiting=waiting, remove_former=False)
            self._state.settle(merged([settled], landed=self._held, dispatched=[]), now)
            self._held, self._accepted = [], False

    def _fail(self, reason: StopReason | None) -> None:
        if reason is not None and self.failure is None:
            self.failure = _STOP_ERRORS.get(reason.exit_code, SyncProfilesError)(reason.message, hint=reason.hint)


def _ids(batch: Batch) -> list[DistinctId]:
    return [profile.distinct_id for profile in batch.profiles]
