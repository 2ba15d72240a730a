"""What every run that sends has around its work: the lock, a run in the state, a pass with its delivery, an end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import msgspec

from sync_profiles.core.events import RunFinished, Waiting
from sync_profiles.engine.course import Course, Surroundings
from sync_profiles.engine.deliver import Delivery, DeliverySettings
from sync_profiles.engine.ending import RunResult, result_of, summary_of
from sync_profiles.engine.ownership import raise_if
from sync_profiles.engine.parts import Parts, Sync
from sync_profiles.engine.passes import Pass
from sync_profiles.errors import SyncProfilesError


class Forced(msgspec.Struct, frozen=True):
    """A pass that sends rows whether they changed or not; an interrupted one of the same name is continued."""

    name: str
    restart: bool = False


def conduct(
    sync: Sync,
    surroundings: Surroundings,
    body: Callable[[Course], None],
    *,
    detection: str,
    forced: Forced | None = None,
) -> RunResult:
    """Hold the lock, open a run in the state, let ``body`` work, and close the run with an honest summary."""
    course = Course(sync.name, surroundings, detection)
    try:
        if not sync.lock.acquire():
            message = f"another run is active ({sync.lock.holder})"
            return _told(course, RunResult(summary_of(course, "skipped", 0, message), 0), None)
    except SyncProfilesError as error:
        return _finished(course, sync, error)
    try:
        failure: BaseException | None = None
        try:
            name, restart = (forced.name, forced.restart) if forced is not None else (None, False)
            course.begun = sync.state.begin_run(course.run, course.started_at, forced=name, restart=restart)
            surroundings.at_last(lambda: sync.leave(result_of(course, None, 0).summary))
            body(course)
        except Exception as caught:  # noqa: BLE001 - every end is reported and recorded; a bug is told as one
            failure = caught
        return _finished(course, sync, failure)
    finally:
        surroundings.at_last(lambda: None)
        sync.lock.release()


def _finished(course: Course, sync: Sync, error: BaseException | None) -> RunResult:
    waiting: Waiting | None = None
    try:
        if course.begun is not None:
            state = sync.state
            waiting = Waiting(state.pending_count(), state.rejected_count(), state.pending_since())
        result = result_of(course, error, waiting.pending if waiting is not None else 0)
        if course.begun is not None:
            sync.state.finish_run(result.summary, forced_done=course.forced_done and error is None)
    except SyncProfilesError as state_error:
        result = result_of(course, state_error, 0)
    return _told(course, result, waiting)


def _told(course: Course, result: RunResult, waiting: Waiting | None) -> RunResult:
    course.tally.tell(RunFinished(result.summary, result.hint, result.exit_code, waiting, course.horizon_lag))
    return result


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
        )
        self.delivery = Delivery(outlet.destination, sync.state, settings, course)
        self.rows = Pass(parts, sync.state, self.delivery, course)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.delivery.close()


def remove_gone(work: Working, *, allow: bool) -> None:
    """Send the removals that are due, after everything else of this run was answered."""
    removals = work.rows.removals
    wanted = removals.due(work.course.now())
    if not allow:
        raise_if(removals.guard(wanted))
    if wanted:
        work.course.tally.progress("removing", work.delivery.in_flight)
    for some in removals.outgoing(wanted, work.course.now()):
        work.delivery.offer(some)
    work.delivery.drain()
