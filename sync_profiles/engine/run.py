"""One run of one sync, from the lock to the summary."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Self

import msgspec

from sync_profiles.core import guards, scanplan
from sync_profiles.core.events import RunFinished
from sync_profiles.core.guards import Stopped
from sync_profiles.core.ports import State
from sync_profiles.core.types import Identity, Outcome, RunSummary, ScanFull, ScanPlan, Watermark
from sync_profiles.engine.course import Course, Surroundings
from sync_profiles.engine.deliver import Delivery, DeliverySettings
from sync_profiles.engine.parts import Outlet, Parts, RunLock, RunOptions
from sync_profiles.engine.passes import Pass
from sync_profiles.engine.sweep import Removals, Seen, sweep
from sync_profiles.errors import GuardStop, SyncProfilesError, TemporaryError

SIGNAL_CODES = {"SIGINT": 130, "SIGTERM": 143}


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


Body = Callable[[Course], None]


def run_sync(sync: Sync, options: RunOptions, surroundings: Surroundings) -> RunResult:
    """The hourly run: read what changed, send it, settle it, move the watermark last (promise 1)."""
    return conduct(sync, surroundings, lambda course: _hourly(course, sync, options), detection="full")


def conduct(
    sync: Sync, surroundings: Surroundings, body: Body, *, detection: str, forced: Forced | None = None
) -> RunResult:
    """Hold the lock, open a run in the state, let ``body`` work, and close the run with an honest summary."""
    course = Course(sync.name, surroundings, detection)
    try:
        if not sync.lock.acquire():
            message = f"another run is active ({sync.lock.holder})"
            return RunResult(_summary(course, "skipped", 0, message), 0)
    except SyncProfilesError as error:
        return _finished(course, sync, error)
    try:
        failure: BaseException | None = None
        try:
            name, restart = (forced.name, forced.restart) if forced is not None else (None, False)
            course.begun = sync.state.begin_run(course.run, course.started_at, forced=name, restart=restart)
            body(course)
        except Exception as caught:  # noqa: BLE001 - every end is reported and recorded; a bug is told as one
            failure = caught
        return _finished(course, sync, failure)
    finally:
        sync.lock.release()


# --- the hourly run ------------------------------------------------------------------------------------------------


def _hourly(course: Course, sync: Sync, options: RunOptions) -> None:
    parts = sync.open_parts()
    changed = settle_identity(sync.state, parts.identity, accept=options.accept_new_source)
    before, now = sync.state.watermark(), parts.source.watermark()
    wishes = scanplan.Wishes(
        now=course.now(),
        full_every_s=parts.policy.full_every_s,
        lookback_s=parts.policy.lookback_s,
        asked_full=options.full,
        source_changed=changed == "source",
        mapping_changed=changed == "mapping",
    )
    plan = scanplan.plan(before, now, wishes)
    course.announce("full" if isinstance(plan, ScanFull) else "cursor", plan.reason, parts.source.estimate(plan))
    with Working(course, sync, parts) as work:
        _whole_pass(work, plan, options)
    if course.stop.cause is None:
        finish_pass(sync.state, parts.identity, scanplan.next_watermark(plan, before, now, course.started_at))


class Working:
    """A pass and its delivery while a run works; whatever happens inside, what is in flight is settled at the end."""

    def __init__(self, course: Course, sync: Sync, parts: Parts) -> None:
        self.course, self.sync, self.parts = course, sync, parts
        outlet = sync.open_outlet(course.tally.attempt)
        settings = DeliverySettings(
            threads=outlet.threads,
            limit=outlet.limit,
            records_max=outlet.records_max,
            group=parts.mapper.group,
            remove_former=parts.policy.on_delete != "ignore",
        )
        self.delivery = Delivery(outlet.destination, sync.state, settings, course)
        self.rows = Pass(parts, sync.state, self.delivery, course)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.delivery.close()


def _whole_pass(work: Working, plan: ScanPlan, options: RunOptions) -> None:
    state, tally, rows = work.sync.state, work.course.tally, work.rows
    if isinstance(plan, ScanFull) and work.parts.policy.on_delete != "ignore":
        rows.seen = Seen(state.ordinal_limit())
    rows.due_rows()
    due_count = tally.scanned
    complete = rows.scan(plan)
    work.delivery.drain()
    rows.check_rejects()
    if not complete:
        return
    if rows.seen is not None:
        if not options.allow_mass_delete:
            raise_if(guards.empty_table(tally.scanned - due_count, state.known_count()))
        sweep(work.parts.source, state, rows.seen, work.course.now)
    remove_gone(work, allow=options.allow_mass_delete)


def remove_gone(work: Working, *, allow: bool) -> None:
    """Send the removals that are due, after everything else of this run was answered."""
    removals = Removals(work.parts.source, work.sync.state, work.parts.mapper, work.parts.policy)
    wanted = removals.due(work.course.now())
    if not allow:
        raise_if(removals.guard(wanted))
    for removal in removals.outgoing(wanted):
        work.delivery.offer(removal)
    work.delivery.drain()


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
    if changed not in {"same", "mapping"}:
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


def _finished(course: Course, sync: Sync, error: BaseException | None) -> RunResult:
    try:
        result = result_of(course, error, sync.state.pending_count() if course.begun else 0)
        if course.begun is not None:
            sync.state.finish_run(result.summary, forced_done=course.forced_done and error is None)
    except SyncProfilesError as state_error:
        result = result_of(course, state_error, 0)
    course.tally.tell(RunFinished(result.summary))
    return result


def result_of(course: Course, error: BaseException | None, pending: int) -> RunResult:
    """How the run ended, from its counts, the wish to stop and what was raised."""
    outcome, code, message = _ending(course, error)
    hint = error.hint if isinstance(error, SyncProfilesError) else None
    return RunResult(_summary(course, outcome, pending, message), code, hint, error)


def _ending(course: Course, error: BaseException | None) -> tuple[Outcome, int, str | None]:
    cause = course.stop.cause
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
        sync=course.name,
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
        seconds=round(course.now() - course.started_at, 3),
        message=message,
    )
