"""A pass that workers divide among them: this side hands out parts, adds up what comes back, and decides.

The workers write what they sent into the state; only what is of the whole run is done here. A worker that dies costs
its part, which another one does again: what the dead one had acknowledged is unchanged then.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress

from sync_profiles.core.cutting import parts_wanted, share_of
from sync_profiles.core.ledger import ATTEMPTS_MOST, Ledger, still_good
from sync_profiles.core.ports import Crew
from sync_profiles.core.spreading import Assignment, Cut, Errand, Failure, Lost, PartReport
from sync_profiles.core.types import Part, ScanCursor, ScanFull, ScanPlan, ScanSinceXid, Watermark
from sync_profiles.engine.conduct import Working
from sync_profiles.engine.parts import Division
from sync_profiles.engine.sweep import Seen
from sync_profiles.errors import (
    AccessError,
    ConfigError,
    GuardStop,
    StateError,
    SyncProfilesError,
    TemporaryError,
)

POLL_S = 0.2
STOP_PATIENCE_S = 26.5
"""A worker looks at the board once a second and then ends as a run does, within 25 s."""

_ERRORS: dict[int, type[SyncProfilesError]] = {
    3: GuardStop,
    74: StateError,
    75: TemporaryError,
    77: AccessError,
    78: ConfigError,
}


def scanned(work: Working, plan: ScanPlan) -> bool:
    """Take every page of a plan, with workers where there are some; False when that ended early."""
    if work.sync.division is None or isinstance(plan, ScanSinceXid):
        return work.rows.scan(plan)
    return Spread(work, work.sync.division, plan).take()


class Spread:
    """One plan among workers.

    ``now``: where the source stands, for a pass whose finished parts are remembered; None for any other.
    ``watermark`` is where it stood when the pass began, which is earlier when an interrupted one is continued.
    """

    def __init__(
        self, work: Working, division: Division, plan: ScanFull | ScanCursor, now: Watermark | None = None
    ) -> None:
        self._work = work
        self._course = work.course
        self._tally = work.course.tally
        self._division = division
        self._state = division.state
        self._plan = plan
        self._now = now
        self.watermark = now

    def take(self) -> bool:
        """Have every part done; False when a stop ended it early. Raises what ended it otherwise."""
        work, source = self._work, self._work.parts.source
        work.rows.comparison.prepare(self._plan)
        work.delivery.drain()  # nothing of ours is on its way while others send
        rows = source.estimate(self._plan)
        with self._division.open_crew(self._errand(rows)) as crew:
            self._warn_of_many(crew.slots)
            count = parts_wanted(rows, crew.slots)
            parts, done = self._continued() or (self._cut(count), ())
            complete = self._all(crew, parts, done)
            if complete and not source.whole(parts):
                self._tally.warn("rewritten", "the table was written anew meanwhile; its rows are read again by key")
                complete = self._all(crew, self._cut(count, by_key=True), ())
        if not work.parts.mapper.id_is_key:
            work.rows.removals.forget_order()
        return complete

    def _errand(self, rows: int | None) -> Errand:
        work, begun = self._work, self._course.begun
        assert begun is not None, "a run was begun"  # noqa: S101 - a fact of the caller
        seen, shared = work.rows.seen, work.rows.comparison.shared
        return Errand(
            sync=work.sync.name,
            number=begun.number,
            identity=work.parts.identity,
            plan=self._plan,
            forced_since=begun.forced_since or None,
            ordinal_limit=seen.ordinal_limit if isinstance(seen, Seen) else None,
            rows=max(rows or 0, work.rows.rows_least),
            shared=dict(shared) if shared is not None else None,
            kept=self._now is not None,
        )

    def _warn_of_many(self, slots: int) -> None:
        total = self._division.concurrency
        if slots > total:
            self._tally.warn(
                "many_workers",
                f"{slots} workers have {slots} requests in flight at least, more than mixpanel.concurrency ({total})",
            )

    def _continued(self) -> tuple[Sequence[Part], Collection[int]] | None:
        """The parts of an interrupted pass, and which of them are done; None when that does not count any more."""
        before = self._state.cut() if self._now is not None else None
        if before is None or self._now is None or not still_good(before, *self._whose(), self._now):
            return None
        self.watermark = before.watermark
        return before.parts, self._state.parts_done()

    def _cut(self, count: int, *, by_key: bool = False) -> Sequence[Part]:
        """The plan in parts, none of which is done."""
        parts = self._work.parts.source.parts(self._plan, count, by_key=by_key)
        if self.watermark is not None:
            self._state.keep_cut(Cut(*self._whose(), self.watermark, tuple(parts)))
        return parts

    def _whose(self) -> tuple[int, str]:
        """What makes a cut another one: the backfill it belongs to, and the mapping that it was sent with."""
        begun = self._course.begun
        return begun.forced_since if begun is not None else 0, self._work.parts.identity.mapping

    # --- handing out and taking back -------------------------------------------------------------------------------

    def _all(self, crew: Crew, parts: Sequence[Part], done: Collection[int]) -> bool:
        ledger = Ledger(len(parts), done)
        failure: SyncProfilesError | None = None
        stopping_since: float | None = None
        clock, stop = self._course.surroundings.clock, self._course.stop
        try:
            while not ledger.is_finished:
                cause = stop.cause or ("failure" if failure is not None else None)
                if cause is None:
                    self._hand_out(crew, ledger, parts)
                elif stopping_since is None:
                    stopping_since = clock.monotonic()
                    self._state.ask_stop(cause)
                if cause and (not ledger.at_work or clock.monotonic() - (stopping_since or 0.0) > STOP_PATIENCE_S):
                    break
                for number, outcome in crew.collect(POLL_S):
                    failure = self._taken_back(ledger, number, outcome, stopping=cause is not None) or failure
        except BaseException:
            if ledger.at_work and stopping_since is None:
                with suppress(SyncProfilesError):  # what went wrong first is what is told
                    self._state.ask_stop("failure")
            raise
        if failure is not None:
            raise failure
        return stop.cause is None

    def _hand_out(self, crew: Crew, ledger: Ledger, parts: Sequence[Part]) -> None:
        while crew.free and (number := ledger.take()) is not None:
            share = share_of(self._division.concurrency, crew.slots, len(ledger.at_work) - 1)
            crew.hand_out(Assignment(number, parts[number - 1], share, passed=self._tally.sent > 0))

    def _taken_back(
        self, ledger: Ledger, number: int, outcome: PartReport | Lost, *, stopping: bool
    ) -> SyncProfilesError | None:
        """Count what came back; what ends the run, if anything does."""
        if isinstance(outcome, Lost):
            self._tally.warn("worker_lost", f"a worker was lost at part {number}, which is done again: {outcome.why}")
            if ledger.lost(number):
                return None
            return TemporaryError(
                f"part {number} ended its worker {ATTEMPTS_MOST} times: {outcome.why}",
                hint="What was acknowledged is kept. Look at the memory of the workers and at their logs.",
            )
        ledger.returned(number)
        self._tally.add(outcome)
        seen = self._work.rows.seen
        if outcome.seen and isinstance(seen, Seen):
            seen.absorb(outcome.seen)
        self._tally.progress("reading", 0)  # how many requests are on their way, only the workers know
        if outcome.failure is not None:
            return _error_of(outcome.failure)
        if not outcome.complete and not stopping:
            return TemporaryError(f"part {number} ended early", hint="run the same command again")
        return self._too_many_rejects()

    def _too_many_rejects(self) -> GuardStop | None:
        try:
            self._work.rows.check_rejects()
        except GuardStop as stopped:
            return stopped
        return None


def _error_of(failure: Failure) -> SyncProfilesError:
    return _ERRORS.get(failure.exit_code, SyncProfilesError)(failure.message, hint=failure.hint)
