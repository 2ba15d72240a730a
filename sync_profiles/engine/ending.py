"""How a run ended: outcome, exit code and summary."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from sync_profiles.core.types import Outcome, RunSummary
from sync_profiles.engine.course import Course
from sync_profiles.errors import SyncProfilesError, TemporaryError

_SIGNAL_CODES = {"SIGINT": 130, "SIGTERM": 143}
_OUTCOMES: dict[int, Outcome] = {3: "stopped", 75: "deferred"}


class RunResult(msgspec.Struct, frozen=True):
    """How a run ended: its summary, exit code, hint, and the error behind an unexpected end."""

    summary: RunSummary
    exit_code: int
    hint: str | None = None
    error: BaseException | None = None


def result_of(course: Course, error: BaseException | None, pending: int) -> RunResult:
    """How the run ended, from its counts, the wish to stop and what was raised."""
    outcome, code, message = _ending(course, error)
    hint = error.hint if isinstance(error, SyncProfilesError) else None
    return RunResult(summary_of(course, outcome, pending, message), code, hint, error)


def _ending(course: Course, error: BaseException | None) -> tuple[Outcome, int, str | None]:
    cause = course.stop.cause
    if cause is not None and (error is None or isinstance(error, TemporaryError)):
        message = "the deadline was reached" if cause == "deadline" else f"stopped by {cause}"
        return "deferred", _SIGNAL_CODES.get(cause, 75), f"{message}; the next run goes on from here"
    if error is None:
        rejected = course.tally.rejected
        if not rejected:
            return "ok", 0, None
        return "rejected", 65, f"{rejected} row{'s were' if rejected > 1 else ' was'} rejected"
    if not isinstance(error, SyncProfilesError):
        return "failed", 1, f"unexpected {type(error).__name__}"
    return _OUTCOMES.get(error.exit_code, "failed"), error.exit_code, error.message


def summary_of(course: Course, outcome: Outcome, pending: int, message: str | None) -> RunSummary:
    """The counts of a run so far, under the outcome it came to."""
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
