"""The hourly run: read what changed, send it, settle it, move the watermark last."""

from __future__ import annotations

from sync_profiles.core import guards, scanplan
from sync_profiles.core.ports import Source
from sync_profiles.core.types import ScanFull, ScanPlan
from sync_profiles.engine.conduct import Working, conduct, remove_gone
from sync_profiles.engine.course import Course, Surroundings
from sync_profiles.engine.ending import RunResult
from sync_profiles.engine.ownership import finish_pass, raise_if, settle_identity
from sync_profiles.engine.parts import RunOptions, Sync
from sync_profiles.engine.spread import scanned
from sync_profiles.engine.sweep import Seen, rows_are_gone, sweep


def run_sync(sync: Sync, options: RunOptions, surroundings: Surroundings) -> RunResult:
    """The hourly run: read what changed, send it, settle it, move the watermark last (promise 1)."""
    return conduct(sync, surroundings, lambda course: _hourly(course, sync, options), detection="full")


# --- the hourly run ------------------------------------------------------------------------------------------------


def _hourly(course: Course, sync: Sync, options: RunOptions) -> None:
    parts = sync.open_parts()
    changed = settle_identity(sync.state, parts.identity, accept=options.accept_new_source, accept_types=options.full)
    before, now = sync.state.watermark(), parts.source.watermark()
    course.horizon_lag = scanplan.horizon_lag(now)
    wishes = scanplan.Wishes(
        now=course.now(),
        full_every_s=parts.policy.full_every_s,
        lookback_s=parts.policy.lookback_s,
        asked_full=options.full,
        source_changed=changed == "source",
        mapping_changed=changed == "mapping",
    )
    plan = scanplan.plan(before, now, wishes)
    course.announce(scanplan.detection_of(plan), plan.reason, parts.source.estimate(plan))
    course.tally.warn_all(parts.source.notes())
    _warn_of_stuck_horizon(course, parts.source, scanplan.stuck_runs(before, now))
    with Working(course, sync, parts) as work:
        _whole_pass(work, plan, options)
    course.tally.warn_all(parts.source.notes())
    if course.stop.cause is None:
        finish_pass(sync.state, parts.identity, scanplan.next_watermark(plan, before, now, course.started_at))


def _warn_of_stuck_horizon(course: Course, source: Source, runs: int) -> None:
    if runs < scanplan.STUCK_RUNS:
        return
    holder = source.oldest_transaction() or "a transaction that this user may not see"
    course.tally.warn("horizon_stuck", f"what changed since is read again in every run, the {runs}th now: {holder}")


def _whole_pass(work: Working, plan: ScanPlan, options: RunOptions) -> None:
    work.rows.due_rows()
    removing = work.parts.policy.on_delete != "ignore"
    looking = removing or not work.parts.mapper.id_is_key
    if not _scanned(work, plan, options, sweeping=looking and isinstance(plan, ScanFull)):
        return
    if removing and rows_are_gone(plan, work.parts.source, work.sync.state.known_count()):
        work.course.why = f"{plan.reason}; then every row, since some are gone"
        if not _scanned(work, ScanFull(work.course.why), options, sweeping=True):
            return
    remove_gone(work, allow=options.allow_mass_delete)


def _scanned(work: Working, plan: ScanPlan, options: RunOptions, *, sweeping: bool) -> bool:
    """Take every page of a plan and write down the rows that are gone; False when it ended early."""
    state, tally, rows = work.sync.state, work.course.tally, work.rows
    removing = work.parts.policy.on_delete != "ignore"
    rows.seen = seen = Seen(state.ordinal_limit(), uncertain_too=removing) if sweeping else None
    before = tally.scanned
    complete = scanned(work, plan)
    tally.progress("sending", work.delivery.in_flight)
    work.delivery.drain()
    rows.check_rejects()
    if complete and seen is not None:
        if removing and not options.allow_mass_delete:
            raise_if(guards.empty_table(tally.scanned - before, state.known_count()))
        if removing or tally.scanned > before:
            tally.progress("looking for gone rows", 0)
            sweep(work.parts.source, state, seen, work.course.now)
    return complete
