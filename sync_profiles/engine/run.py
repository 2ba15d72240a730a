"""One run of one sync, from the lock to the summary."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from sync_profiles.core import guards, scanplan
from sync_profiles.core.events import Observer, RunFinished, RunStarted
from sync_profiles.core.guards import Stopped
from sync_profiles.core.ports import BegunRun, Clock, State, Stop
from sync_profiles.core.types import Identity, Outcome, RunSummary, ScanFull, ScanPlan, Watermark
from sync_profiles.engine.deliver import Delivery, DeliverySettings
from sync_profiles.engine.parts import Outlet, Parts, RunLock, RunOptions
from sync_profiles.engine.passes import Pass
from sync_profiles.engine.sweep import Removals, Seen, sweep
from sync_profiles.engine.tally import Tally
from sync_profiles.errors import GuardStop, SyncProfilesError, TemporaryError

SIGNAL_CODES = {"SIGINT": 130, "SIGTERM": 143}


class Surroundings(msgspec.Struct, frozen=True):
    """What every run is given from outside: time, a wish to stop, who watches, and names for runs."""

    clock: Clock
    stop: Stop
    observe: Observer
    new_run_id: Callable[[], str]


class RunResult(msgspec.Struct, frozen=True):
    """How a run ended: its summary, exit code, hint, and the error behind an unexpected end."""

    summary: RunSummary
    exit_code: int
    hint: str | None = None
    error: BaseException | None = None


class Sync(msgspec.Struct, frozen=True):
    """One sync, not opened yet: ``open_parts`` connects to the source, ``open_outlet`` makes the way to Mixpanel.

    ``open_outlet`` takes the function that counts one HTTP attempt of so many bytes.
    """

    name: str
    state: State
    lock: RunLock
    open_parts: Callable[[], Parts]
    open_outlet: Callable[[Callable[[int], None]], Outlet]


class Forced(msgspec.Struct, frozen=True):
    """A pass that sends rows whether they changed or not; an interrupted one of the same name is continued."""

    name: str
    restart: bool = False


class Course:
    """What a run is doing, filled in as it goes, so that a failure is reported with how far it came."""

    def __init__(self, sync: Sync, surroundings: Surroundings, detection: str) -> None:
        self.sync = sync
        self.surroundings = surroundings
        self.tally = Tally(sync.name, surroundings.observe)
        self.run = surroundings.new_run_id()
        self.started_at = surroundings.clock.now()
        self.detection = detection
        self.why = "not started"
        self.forced_done = False
        self.begun: BegunRun | None = None

    def announce(self, detection: str, why: str, total: int | None) -> None:
        """Tell what is read and why."""
        self.detection, self.why = detection, why
        self.tally.tell(RunStarted(self.sync.name, self.run, detection, why, total))


Body = Callable[[Course], None]


def run_sync(sync: Sync, options: RunOptions, surroundings: Surroundings) -> RunResult:
    """The hourly run: read what changed, send it, settle it, move the watermark last (promise 1)."""
    return conduct(sync, surroundings, lambda course: _hourly(course, options), detection="full")


def conduct(
    sync: Sync, surroundings: Surroundings, body: Body, *, detection: str, forced: Forced | None = None
) -> RunResult:
    """Hold the lock, open a run in the state, let ``body`` work, and close the run with an honest summary."""
    course = Course(sync, surroundings, detection)
    try:
        if not sync.lock.acquire():
            message = f"another run is active ({sync.lock.holder})"
            return RunResult(_summary(course, "skipped", 0, message), 0)
    except SyncProfilesError as error:
        return _finished(course, error)
    try:
        error: BaseException | None = None
        try:
            name, restart = (forced.name, forced.restart) if forced is not None else (None, False)
            course.begun = sync.state.begin_run(course.run, course.started_at, forced=name, restart=restart)
            body(course)
        except Exception as caught:  # noqa: BLE001 - every end is reported and recorded; a bug is told as one
            error = caught
        return _finished(course, error)
    finally:
        sync.lock.release()


# --- the hourly run ------------------------------------------------------------------------------------------------


def _hourly(course: Course, options: RunOptions) -> None:
    sync, clock = course.sync, course.surroundings.clock
    parts = sync.open_parts()
    changed = settle_identity(sync.state, parts.identity, accept=options.accept_new_source)
    before, now = sync.state.watermark(), parts.source.watermark()
    wishes = scanplan.Wishes(
        now=clock.now(),
        full_every_s=parts.policy.full_every_s,
        lookback_s=parts.policy.lookback_s,
        asked_full=options.full,
        source_changed=changed == "source",
        mapping_changed=changed == "mapping",
    )
    plan = scanplan.plan(before, now, wishes)
    course.announce("full" if isinstance(plan, ScanFull) else "cursor", plan.reason, parts.source.estimate(plan))
    with_delivery(course, parts, lambda a_pass, delivery: _whole_pass(course, parts, plan, options, a_pass, delivery))
    if course.surroundings.stop.cause is None:
        finish_pass(sync.state, parts.identity, scanplan.next_watermark(plan, before, now, course.started_at))


def _whole_pass(  # one step after the other
    course: Course, parts: Parts, plan: ScanPlan, options: RunOptions, a_pass: Pass, delivery: Delivery
) -> None:
    if isinstance(plan, ScanFull) and parts.policy.on_delete != "ignore":
        a_pass.seen = Seen(course.sync.state.ordinal_limit())
    a_pass.due_rows()
    due_count = course.tally.scanned
    complete = a_pass.scan(plan)
    delivery.drain()
    a_pass.check_rejects()
    if not complete:
        return
    if a_pass.seen is not None:
        if not options.allow_mass_delete:
            raise_if(guards.empty_table(course.tally.scanned - due_count, course.sync.state.known_count()))
        sweep(parts.source, course.sync.state, a_pass.seen, course.surroundings.clock.now)
    remove_gone(course, parts, delivery, allow=options.allow_mass_delete)


def remove_gone(course: Course, parts: Parts, delivery: Delivery, *, allow: bool) -> None:
    """Send the removals that are due, after everything else of this run was answered."""
    removals = Removals(parts.source, course.sync.state, parts.mapper, parts.policy)
    wanted = removals.due(course.surroundings.clock.now())
    if not allow:
        raise_if(removals.guard(wanted))
    for removal in removals.outgoing(wanted):
        delivery.offer(removal)
    delivery.drain()


def with_delivery(course: Course, parts: Parts, work: Callable[[Pass, Delivery], None]) -> None:
    """Give ``work`` a pass and a delivery; whatever happens, settle what is in flight."""
    outlet = course.sync.open_outlet(course.tally.attempt)
    settings = DeliverySettings(
        threads=outlet.threads,
        limit=outlet.limit,
        records_max=outlet.records_max,
        group=parts.mapper.group,
        remove_former=parts.policy.on_delete != "ignore",
    )
    clock, stop = course.surroundings.clock, course.surroundings.stop
    delivery = Delivery(outlet.destination, course.sync.state, settings, course.tally, clock, stop)
    try:
        work(Pass(parts, course.sync.state, delivery, course.tally, clock, stop), delivery)
    finally:
        delivery.close()


# --- what the state belongs to -------------------------------------------------------------------------------------


def settle_identity(state: State, identity: Identity, *, accept: bool) -> guards.Belonging:
    """Refuse another source or project unless it was accepted; says what changed since the last good run.

    The mapping is remembered only after a complete pass with it (see ``finish_pass``): a run that is killed in
    between must not make the next one believe that every row went through the new mapping.
    """
    before = state.identity()
    changed = guards.belonging(before, identity)
    if not accept:
        raise_if(guards.another_owner(before, identity))
    if changed == "project":
        state.forget()
    mapping = before.mapping if before is not None and changed in {"mapping", "source"} else identity.mapping
    if changed == "source":
        mapping = ""  # the accepted source is read in full until a pass completes
    if changed != "same" and not (changed == "mapping"):
        state.set_identity(msgspec.structs.replace(identity, mapping=mapping))
    return changed


def finish_pass(state: State, identity: Identity, watermark: Watermark) -> None:
    """The watermark moves last, when every change before it is acknowledged or pending (promise 1)."""
    state.set_identity(identity)
    state.move_watermark(watermark)


def raise_if(stopped: Stopped | None) -> None:
    """A guard's answer becomes the end of the run."""
    if stopped is not None:
        raise GuardStop(stopped.message, hint=stopped.hint)


# --- the end -------------------------------------------------------------------------------------------------------


def _finished(course: Course, error: BaseException | None) -> RunResult:
    outcome, code, message = _ending(course, error)
    hint = error.hint if isinstance(error, SyncProfilesError) else None
    try:
        pending = course.sync.state.pending_count() if course.begun else 0
        summary = _summary(course, outcome, pending, message)
        if course.begun is not None:
            course.sync.state.finish_run(summary, forced_done=course.forced_done and error is None)
    except SyncProfilesError as state_error:
        error, hint, code = state_error, state_error.hint, state_error.exit_code
        summary = _summary(course, "failed", 0, state_error.message)
    course.tally.tell(RunFinished(summary))
    return RunResult(summary, code, hint, error)


def _ending(course: Course, error: BaseException | None) -> tuple[Outcome, int, str | None]:
    cause = course.surroundings.stop.cause
    if cause is not None and (error is None or isinstance(error, TemporaryError)):
        message = "the deadline was reached" if cause == "deadline" else f"stopped by {cause}"
        return "deferred", SIGNAL_CODES.get(cause, 75), f"{message}; the next run goes on from here"
    if error is None:
        rejected = course.tally.rejected
        if not rejected:
            return "ok", 0, None
        return "rejected", 65, f"{rejected} row{'s were' if rejected > 1 else ' was'} rejected"
    if not isinstance(error, SyncProfilesError):
        return "failed", 1, f"unexpected {type(error).__name__}"
    outcome: Outcome = {3: "stopped", 75: "deferred"}.get(error.exit_code, "failed")  # type: ignore[assignment]  # literals
    return outcome, error.exit_code, error.message


def _summary(course: Course, outcome: Outcome, pending: int, message: str | None) -> RunSummary:
    tally = course.tally
    return RunSummary(
        sync=course.sync.name,
        run=course.run,
        outcome=outcome,
        detection=course.detection,
        why=course.why,
        scanned=tally.scanned,
        unchanged=tally.unchanged,
        sent=tally.sent,
        deleted=tally.deleted,
        rejected=tally.rejected,
        pending=pending,
        requests=tally.requests,
        bytes=tally.bytes,
        started_at=datetime.fromtimestamp(course.started_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        seconds=round(course.surroundings.clock.now() - course.started_at, 3),
        message=message,
    )
