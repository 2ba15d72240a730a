"""``run --dry-run``: what the hourly run would do, counted, with no way to send and no pen for the state."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from sync_profiles.core import guards, scanplan
from sync_profiles.core.ports import StateReader
from sync_profiles.core.types import ScanFull
from sync_profiles.engine.course import Course, Surroundings
from sync_profiles.engine.ending import RunResult, result_of
from sync_profiles.engine.ownership import raise_if
from sync_profiles.engine.parts import Parts, RunOptions
from sync_profiles.engine.preview import Survey

NOTHING_SENT = "dry run: nothing was sent"


class DryRun(msgspec.Struct, frozen=True):
    """One sync that is only looked at."""

    name: str
    reader: StateReader
    open_parts: Callable[[], Parts]


def dry_run_sync(dry: DryRun, options: RunOptions, surroundings: Surroundings) -> RunResult:
    """Count what a run would send, remove and reject; guards answer as they would in the run."""
    course = Course(dry.name, surroundings, "full")
    error: BaseException | None = None
    try:
        _survey(course, dry, options)
    except Exception as caught:  # noqa: BLE001 - every end is reported; a bug is told as one
        error = caught
    result = result_of(course, error, dry.reader.pending_count())
    summary = result.summary
    if error is None and surroundings.stop.cause is None:
        summary = msgspec.structs.replace(summary, message=NOTHING_SENT)
    return msgspec.structs.replace(result, summary=summary)


def _survey(course: Course, dry: DryRun, options: RunOptions) -> None:
    parts = dry.open_parts()
    if not options.accept_new_source:
        raise_if(guards.another_owner(dry.reader.identity(), parts.identity))
        raise_if(None if options.full else guards.drifted(dry.reader.identity(), parts.identity))
    survey = Survey(parts, dry.reader, course.now())
    plan = survey.plan(asked_full=options.full)
    course.announce(scanplan.detection_of(plan), plan.reason, parts.source.estimate(plan))
    course.tally.warn_all(parts.source.notes())
    tally = course.tally
    for finding in survey.changed(plan):
        if course.stop.cause is not None:
            return
        if finding.why == "rejected":
            tally.reject(finding.key, finding.distinct_id, "would_reject", finding.reason or "")
        elif finding.why == "deleted":
            tally.deleted += 1
        else:
            tally.sent += 1
        tally.scanned, tally.unchanged = survey.scanned, survey.unchanged
        tally.progress("comparing", 0)
    tally.scanned, tally.unchanged = survey.scanned, survey.unchanged
    known, policy = dry.reader.known_count(), parts.policy
    raise_if(guards.mass_reject(policy.max_reject, tally.rejected, max(tally.scanned, known)))
    if not options.allow_mass_delete and policy.on_delete != "ignore":
        if isinstance(plan, ScanFull):
            raise_if(guards.empty_table(tally.scanned, known))
        raise_if(guards.mass_delete(policy.max_delete, tally.deleted, known))
