"""Whether Mixpanel is in step with the table, why not, and what to do about it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Literal, TypeAlias

import msgspec

from sync_profiles.core.ages import age, unix
from sync_profiles.core.changes import DUPLICATE_ID
from sync_profiles.core.types import PendingRow, RunSummary

Level: TypeAlias = Literal["in_step", "almost", "behind", "unknown"]

LATE_S = 3 * 3600.0
"""An hourly run that missed three times; the same limit as the one alert of the metrics file."""
LATE_INTERVALS = 2.5
"""Where runs are rarer than that, so many of their usual distances."""


class Reason(msgspec.Struct, frozen=True):
    """Why ``count`` rows are rejected; ``since`` is when the first of them was (unix seconds)."""

    code: str
    text: str
    count: int
    since: float


class SyncReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one sync's state tells about itself; ``history`` is newest first, times are unix seconds."""

    sync: str
    history: Sequence[RunSummary] = ()
    last_success_at: float | None = None
    full_at: float | None = None
    profiles: int = 0
    pending: int = 0
    rejected: int = 0
    reasons: Sequence[Reason] = ()


class Step(msgspec.Struct, frozen=True):
    """One thing to do about it, with the command that does it."""

    text: str
    command: str | None = None


class Standing(msgspec.Struct, frozen=True):
    """How a sync stands: ``headline`` in a few words, ``why`` in a sentence."""

    level: Level
    headline: str
    why: str
    steps: tuple[Step, ...] = ()


def standing(report: SyncReport, now: float) -> Standing:
    """How a sync stands at ``now`` (unix seconds): what needs a decision first, then what is late, then what waits."""
    if not report.history:
        steps = (_command(report, "Send every profile once:", "run"),)
        return Standing("unknown", "No run yet", "Nothing was sent so far.", steps)
    last = report.history[0]
    if last.outcome in {"stopped", "failed"}:
        return _ended_badly(report, last)
    if report.last_success_at is None or is_late(report, now):
        return _late(report, last, now)
    if last.outcome == "deferred":
        steps = (_command(report, "The next run goes on by itself. To go on at once:", "run"),)
        return Standing("almost", "Behind by a run", _sentence(last, "The last run was put off"), steps)
    return _in_step(report)


def is_late(report: SyncReport, now: float) -> bool:
    """Whether the last good run is longer ago than runs that went well would leave it."""
    if report.last_success_at is None:
        return False
    return now - report.last_success_at > max(LATE_S, LATE_INTERVALS * usual_interval_s(report.history))


def usual_interval_s(history: Sequence[RunSummary]) -> float:
    """The median distance between two runs, of the last twenty; 0 when there are not two."""
    starts = [unix(run.started_at) for run in history[:20]]
    return median(later - earlier for later, earlier in pairwise(starts)) if len(starts) > 1 else 0


def reasons(rows: Sequence[PendingRow]) -> list[Reason]:
    """The reasons of rejected rows, the most frequent first; they name columns, and neither a key nor a value."""
    counted: Counter[tuple[str, str]] = Counter()
    since: dict[tuple[str, str], float] = {}
    for row in rows:
        why = (row.code, _generic(row))
        counted[why] += 1
        since[why] = min(row.since, since.get(why, row.since))
    return [Reason(*why, count, since[why]) for why, count in sorted(counted.items(), key=_frequent)]


def _frequent(counted: tuple[tuple[str, str], int]) -> tuple[int, tuple[str, str]]:
    return -counted[1], counted[0]


def _generic(row: PendingRow) -> str:
    # The reason of a shared ID names the other rows, so that each of them would be a reason of its own.
    return "its distinct ID is also that of another row" if row.code == DUPLICATE_ID else row.reason


def _command(report: SyncReport, text: str, command: str, *flags: str) -> Step:
    return Step(text, " ".join(("sync-profiles", command, report.sync, *flags)))


def _sentence(run: RunSummary, opening: str) -> str:
    return f"{opening}: {run.message}." if run.message else f"{opening}."


def _ended_badly(report: SyncReport, last: RunSummary) -> Standing:
    if last.outcome == "stopped":
        decide = (
            _command(report, "See what a run would do:", "run", "--dry-run"),
            _command(report, "If rows were meant to go:", "run", "--allow-mass-delete"),
            _command(report, "If the database or project was meant to change:", "run", "--accept-new-source"),
        )
        return Standing("behind", "A guard wants a decision", _sentence(last, "The last run was stopped"), decide)
    return Standing("behind", "The last run failed", _sentence(last, "It ended early"), _catch_up(report))


def _catch_up(report: SyncReport, opening: str = "") -> tuple[Step, ...]:
    return (
        Step(f"{opening}Find out what is wrong:", "sync-profiles check"),
        _command(report, "Then catch up; nothing is lost:", "run"),
    )


def _late(report: SyncReport, last: RunSummary, now: float) -> Standing:
    steps = _catch_up(report, "Is cron, or whatever starts the runs, still at work? ")
    if report.last_success_at is None:
        return Standing("behind", "No good run yet", _sentence(last, "The last run did not come to its end"), steps)
    headline = f"No good run for {age(now - report.last_success_at)}"
    if last.outcome == "deferred":
        return Standing("behind", headline, _sentence(last, "The last run was put off"), steps)
    return Standing("behind", headline, "The last run went well, and none came after it.", steps)


def _in_step(report: SyncReport) -> Standing:
    if report.rejected:
        steps = (
            _command(report, "See which rows and why:", "rejected"),
            _command(
                report, "Rows that change are tried by themselves. To try all of them at once:", "rejected", "--retry"
            ),
        )
        why = f"{_rows(report.rejected)} cannot be sent as {'it is' if report.rejected == 1 else 'they are'}."
        return Standing("almost", f"In step, but for {_rows(report.rejected)}", why, steps)
    if report.pending:
        why = f"{_rows(report.pending)} will be looked at again by the next runs; nothing is to be done."
        return Standing("almost", f"In step, but for {_rows(report.pending)}", why)
    return Standing("in_step", "In step", "Mixpanel holds what the table held when the last run began.")


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"
