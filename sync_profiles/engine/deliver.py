"""Batches out, verdicts in: threads send, the calling thread alone settles."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from sync_profiles.core.batching import Cut, Cutter
from sync_profiles.core.failing import Cuts
from sync_profiles.core.gone import DELETE_AGAIN
from sync_profiles.core.pending import REFUSED, UNANSWERED
from sync_profiles.core.ports import Destination, State
from sync_profiles.core.settling import merged, settlement_of
from sync_profiles.core.types import (
    Accepted,
    Batch,
    DistinctId,
    Failing,
    InFlight,
    Key,
    Outgoing,
    Settlement,
    Suspicion,
    TooLarge,
    Verdict,
)
from sync_profiles.core.verdict import Step, StopReason, next_step
from sync_profiles.engine.course import Course
from sync_profiles.errors import AccessError, ConfigError, SyncProfilesError, TemporaryError

STOP_PATIENCE_S = 25.0
"""After a stop was asked, requests in flight get this long; what is open then is a pending row of the next run."""

SETTLE_EVERY_S = 0.25
"""While replies come in one after another they are settled together, this often; nothing else holds one back."""

SUSPECTS_MAX = 10
"""So many single profiles refused, with none accepted in this run, are not the rows' fault."""

_STOP_ERRORS: dict[int, type[SyncProfilesError]] = {75: TemporaryError, 77: AccessError, 78: ConfigError}


class DeliverySettings(msgspec.Struct, frozen=True):
    """How a run sends. ``threads`` is the most requests in flight, ``limit()`` how many it may be right now."""

    threads: int
    limit: Callable[[], int]
    records_max: int
    group: bool


class Delivery:
    """Sends profiles in batches, a bounded number in flight, and settles every reply (promises 4, 5 and 6).

    A batch is written down as in flight before its first byte leaves. Commits cost more than anything else here, so
    one transaction writes down all batches that wait and settles all replies that came in meanwhile; a reply waits for
    its settlement only while there is something else to do. ``open_keys`` are the keys on their way: the state does not
    know of their acknowledgement yet.
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
        self._number = 0
        self._waiting: deque[Batch] = deque()
        self._unwritten: dict[int, Batch] = {}
        self._in_flight: dict[int, Batch] = {}
        self._ids: dict[int, frozenset[DistinctId]] = {}
        self._ids_in_flight: set[DistinctId] = set()
        self.open_keys: set[Key] = set()
        self._answered: set[Key] = set()
        self._unsettled: list[Settlement] = []
        self._landed: list[int] = []
        self._committed_at = self._clock.monotonic()
        self._accepted = False
        self._suspects: list[tuple[Outgoing, str]] = []
        self._held: list[int] = []
        self._cuts = Cuts()
        self.failure: SyncProfilesError | None = None
        self._outbox: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._replies: queue.SimpleQueue[tuple[Batch, Verdict | BaseException]] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    @property
    def in_flight(self) -> int:
        """Requests whose answer has not come yet."""
        return len(self._in_flight)

    def trust(self) -> None:
        """A good record has passed elsewhere in this run: whoever is refused is rejected at once."""
        self._accepted = True

    def offer(self, profiles: Sequence[Outgoing]) -> None:
        """Take profiles; blocks while more is waiting than can be in flight. After a failure they are left alone."""
        self.open_keys.update([profile.key for profile in profiles])
        for full in self._cutter.extend(profiles):
            self._enqueue(full)
        self._advance()
        while len(self._waiting) > self._settings.limit() and self._wait_for_reply():
            self._advance()

    def drain(self) -> None:
        """Send what is left and wait until every answer is settled; raises what stopped the sending."""
        for cut in self._cutter.rest():
            self._enqueue(cut)
        self._advance()
        while self._waiting or self._in_flight:
            if not self._wait_for_reply():
                break
            self._advance()
        if not self._may_send():
            self._give_up()
        self._commit()
        self._reject_suspects()
        if self.failure is not None:
            raise self.failure

    def close(self) -> None:
        """Send nothing more, settle what is in flight for as long as patience lasts, and let the threads go."""
        deadline = self._clock.monotonic() + STOP_PATIENCE_S
        while self._in_flight and self._clock.monotonic() < deadline:
            self._take_replies(wait_s=0.2)
        self._give_up()
        self._commit()
        for _ in self._threads:
            self._outbox.put(None)
        self._threads.clear()

    # --- the loop --------------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Take the replies that are there, settle them when it is time, and send what may be sent."""
        self._take_replies(wait_s=0.0)
        next_one = self._next() if self._may_send() else None
        blocked = next_one is not None and next_one.number in self._unwritten
        overdue = self._clock.monotonic() - self._committed_at >= SETTLE_EVERY_S
        if blocked or ((overdue or not self._waiting) and self._landed):
            self._commit()
        while self._may_send() and (batch := self._next()) is not None and batch.number not in self._unwritten:
            self._waiting.remove(batch)
            self._in_flight[batch.number] = batch
            self._ids_in_flight |= self._ids[batch.number]
            self._hand_out(batch)

    def _wait_for_reply(self) -> bool:
        """Wait for one reply; False when none will come because sending stopped and nothing is in flight."""
        if not self._in_flight:
            return self._may_send() and bool(self._waiting)
        if self._stop.cause is not None:
            self.close()
            return False
        if self._landed and self._replies.empty():
            self._commit()  # while an answer is awaited it costs no time, and a kill repeats less
        self._take_replies(wait_s=0.2)
        return True

    def _take_replies(self, *, wait_s: float) -> None:
        try:
            batch, verdict = self._replies.get(timeout=wait_s) if wait_s else self._replies.get_nowait()
            while True:
                self._unsettled.append(self._settled(batch, verdict))
                self._tally.progress(self._tally.stage, len(self._in_flight))
                batch, verdict = self._replies.get_nowait()
        except queue.Empty:
            pass

    def _commit(self) -> None:
        """Settle the replies taken so far and write down the batches that wait, halves of refused ones among them."""
        if self._landed or self._unwritten:
            written = [InFlight(batch.number, batch.profiles) for batch in self._unwritten.values()]
            self._state.settle(merged(self._unsettled, landed=self._landed, dispatched=written), self._course.now())
            self._unsettled, self._landed = [], []
            self._unwritten.clear()
            self.open_keys -= self._answered
            self._answered.clear()
        self._committed_at = self._clock.monotonic()

    def _give_up(self) -> None:
        """Batches that never left are no longer written down; halves of one that did stay so, for the next run."""
        for batch in self._waiting:
            if batch.profiles[0].doubt == "none" and self._unwritten.pop(batch.number, None) is None:
                self._landed.append(batch.number)
        self._waiting.clear()

    # --- sending ---------------------------------------------------------------------------------------------------

    def _may_send(self) -> bool:
        return self.failure is None and self._stop.cause is None

    def _enqueue(self, cut: Cut, suspicion: Suspicion | None = None, *, first: bool = False) -> None:
        self._number += 1
        batch = Batch(self._number, cut, self._settings.group, suspicion)
        self._unwritten[batch.number] = batch
        self._ids[batch.number] = frozenset([profile.distinct_id for profile in cut])
        if first:
            self._waiting.appendleft(batch)
        else:
            self._waiting.append(batch)

    def _next(self) -> Batch | None:
        """The next batch that may fly: never one that holds an ID which is in flight already."""
        if len(self._in_flight) >= min(self._settings.limit(), self._settings.threads):
            return None
        return next((batch for batch in self._waiting if self._ids_in_flight.isdisjoint(self._ids[batch.number])), None)

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

    def _settled(self, batch: Batch, verdict: Verdict | BaseException) -> Settlement:
        del self._in_flight[batch.number]
        self._ids_in_flight -= self._ids.pop(batch.number)
        if isinstance(verdict, BaseException):
            raise verdict
        step = self._judged(batch, verdict)
        if isinstance(verdict, Accepted):
            self._accepted = True
            if not verdict.counted:
                self._tally.warn("uncounted", "Mixpanel's answers do not say how many records were good")
        if isinstance(verdict, TooLarge):
            self._cutter.shrink(batch.size // 2)
        # Halves go first: depth first finds the single bad record with the fewest requests.
        for half in reversed(step.again):
            self._enqueue(half, step.suspicion, first=True)
        for cut in step.later:
            self._enqueue(cut, step.suspicion)
        self._fail(step.stop)
        now = self._course.now()
        suspects = self._judge(step.rejected)
        # A batch whose refusal is not judged yet stays written down as in flight.
        self._held.append(batch.number)
        if not self._suspects:
            self._landed += self._held
            self._held = []
        open_ended = [profile for profile, _ in (*suspects, *step.failing)] + [*step.doubtful, *step.unanswered]
        waiting = self._state.waiting([profile.key for profile in open_ended]) if open_ended else {}
        settled = msgspec.structs.replace(step, rejected=tuple(suspects))
        self._count(settled.acknowledged + settled.doubtful)
        for profile, reason in suspects:
            self._tally.reject(profile.key, profile.distinct_id, REFUSED, reason)
        for profile, reason in step.failing:
            self._tally.reject(profile.key, profile.distinct_id, UNANSWERED, reason)
        not_yet = {profile.key for cut in (*step.again, *step.later) for profile in cut}
        not_yet |= {profile.key for profile, _ in self._suspects}
        self._answered.update([profile.key for profile in batch.profiles if profile.key not in not_yet])
        return settlement_of(settled, now=now, waiting=waiting)

    def _judged(self, batch: Batch, verdict: Verdict) -> Step:
        """The step; what Mixpanel fails at is cut so often and no more."""
        may_probe = self._cuts.may_probe(fresh=batch.suspicion is None)
        step = next_step(batch, verdict, may_cut=self._cuts.may_cut, may_probe=may_probe)
        if isinstance(verdict, Failing):
            if len(step.again) + len(step.later) > 1:
                self._cuts = self._cuts.counted(alone=verdict.alone)
            if step.unanswered:
                self._tally.warn("failing", f"Mixpanel fails at many profiles and takes others: {verdict.why}")
        return step

    def _count(self, profiles: tuple[Outgoing, ...]) -> None:
        removed = [profile for profile in profiles if profile.fingerprint is None]
        self._tally.sent += len(profiles) - len(removed)
        self._tally.deleted += sum(1 for profile in removed if profile.cause != DELETE_AGAIN)

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
        """At the end few were refused and none accepted: then it is the rows after all.

        Not when a stop came before the end: the next run asks again.
        """
        if self._may_send() and self._suspects and not self._waiting and not self._in_flight:
            self._accepted = True
            suspects = self._judge(())
            waiting = self._state.waiting([profile.key for profile, _ in suspects])
            step = Step(rejected=tuple(suspects))
            for profile, reason in suspects:
                self._tally.reject(profile.key, profile.distinct_id, REFUSED, reason)
                self.open_keys.discard(profile.key)
            now = self._course.now()
            settled = settlement_of(step, now=now, waiting=waiting)
            self._state.settle(merged([settled], landed=self._held, dispatched=[]), now)
            self._held, self._accepted = [], False

    def _fail(self, reason: StopReason | None) -> None:
        if reason is not None and self.failure is None:
            self.failure = _STOP_ERRORS.get(reason.exit_code, SyncProfilesError)(reason.message, hint=reason.hint)
