"""One part of a pass, done by a worker: it reads, sends and settles by itself, and reports.

Never here: removals, due rows, the sweep, the watermark. Those are of the run, and whoever began it does them.
"""

from __future__ import annotations

import traceback
from pathlib import Path

import msgspec

from sync_profiles.core.events import Event, RowRejected, Warned
from sync_profiles.core.ports import SharedState
from sync_profiles.core.spreading import Assignment, Errand, Failure, PartReport
from sync_profiles.core.types import DistinctId, Identity, Key
from sync_profiles.engine.conduct import Working
from sync_profiles.engine.course import Course, Surroundings
from sync_profiles.engine.parts import Sync
from sync_profiles.engine.sweep import Marks
from sync_profiles.errors import ConfigError, SyncProfilesError


class Joined(msgspec.Struct, frozen=True):
    """A run that somebody else began; see ``core.ports.BegunRun``."""

    number: int
    forced_since: int
    interrupted: int = 0


class _Noted:
    """An observer that keeps what is to be told elsewhere."""

    def __init__(self) -> None:
        self.refused: list[tuple[Key, DistinctId | None, str, str]] = []
        self.warnings: list[tuple[str, str]] = []

    def __call__(self, event: Event) -> None:
        if isinstance(event, RowRejected):
            self.refused.append((event.key, event.distinct_id, event.code, event.reason))
        elif isinstance(event, Warned):
            self.warnings.append((event.code, event.message))


def take_part(
    sync: Sync, state: SharedState, errand: Errand, assignment: Assignment, surroundings: Surroundings
) -> PartReport:
    """Do one part; every expected end is a report. ``state`` is the sync's own."""
    noted = _Noted()
    course = Course(sync.name, msgspec.structs.replace(surroundings, observe=noted), "part")
    course.begun = Joined(errand.number, errand.forced_since or 0)
    marks = Marks(errand.ordinal_limit) if errand.ordinal_limit is not None else None
    complete, failure = False, None
    try:
        complete = _taken(course, sync, state, (errand, assignment), marks)
    except Exception as error:  # noqa: BLE001 - whoever began the run decides what it means; a bug is named as one
        failure = failure_of(error)
    tally = course.tally
    return PartReport(
        complete=complete and failure is None,
        scanned=tally.scanned,
        unchanged=tally.unchanged,
        sent=tally.sent,
        requests=tally.requests,
        size=tally.bytes,
        refused=tuple(noted.refused),
        warnings=tuple(noted.warnings),
        seen=marks.packed() if marks is not None else b"",
        failure=failure,
    )


def _taken(
    course: Course, sync: Sync, state: SharedState, told: tuple[Errand, Assignment], marks: Marks | None
) -> bool:
    errand, assignment = told
    parts = sync.open_parts()
    _refuse_another(errand.identity, parts.identity)
    state.begin_part(errand.number, assignment.number, errand.forced_since or 0)
    with Working(course, sync, parts) as work:
        if errand.forced_since is not None:
            work.rows.force(errand.forced_since)
        work.rows.comparison.adopt(errand.shared)
        work.rows.rows_least = max(work.rows.rows_least, errand.rows)
        work.rows.seen = marks
        if assignment.passed:
            work.delivery.trust()
        complete = work.rows.take_all(parts.source.pages(errand.plan, assignment.part))
        work.delivery.drain()
        course.tally.warn_all(parts.source.notes())
        complete = complete and course.stop.cause is None
    if complete and errand.kept:
        tally = course.tally
        state.finish_part({"scanned": tally.scanned, "sent": tally.sent, "rejected": tally.rejected})
    return complete


def _refuse_another(wanted: Identity, found: Identity) -> None:
    """A worker whose environment leads elsewhere would fill the state with what is not true."""
    for what, matches in (
        ("source", wanted.source == found.source),
        ("Mixpanel project", wanted.project == found.project),
        ("mapping", wanted.mapping == found.mapping),
    ):
        if not matches:
            raise ConfigError(
                f"a worker found another {what} than the run was begun with",
                hint="Give all workers the same environment variables and the same configuration.",
            )


def failure_of(error: BaseException) -> Failure:
    """An error as what travels; the text of a bug may quote a row, so its kind and place stand for it."""
    if isinstance(error, SyncProfilesError):
        return Failure(error.exit_code, error.message, error.hint)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return Failure(1, f"unexpected {type(error).__name__} in a worker{place}", "this is a bug; please report it")
