"""How findings, runs and rejected rows look as text; pure, so that every line of it is tested without a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from sync_profiles.core.ages import ago
from sync_profiles.core.types import PendingRow, RunSummary
from sync_profiles.engine.preview import Finding
from sync_profiles.observe.report import duration


def finding_lines(finding: Finding, *, changed: bool, as_json: bool) -> Iterator[tuple[str, bool]]:
    """Lines of one previewed row, each with whether it belongs on stderr."""
    if finding.why == "rejected":
        yield f"row {finding.key} would be rejected: {finding.reason}", True
        return
    if as_json:
        for record in finding.records:
            beside = {"record": msgspec.Raw(record), "key": finding.key, "why": finding.why}
            yield (msgspec.json.encode(beside) if changed else record).decode(), False
        return
    yield f"row {finding.key}" + (f"  {finding.why}" if changed else ""), False
    for record in finding.records:
        for text in msgspec.json.format(record, indent=2).decode().splitlines():
            yield f"  {text}", False


BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[int]) -> str:
    """One character a value, the highest as a full block; nothing at all as a dot."""
    top = max(values, default=0)
    return "".join("·" if value == 0 else BARS[round((value / top) * (len(BARS) - 1))] for value in values)


RUN_COLUMNS = ("when", "outcome", "by", "read", "sent", "removed", "rejected", "took")
"""What ``run_row`` shows."""


def run_row(summary: RunSummary, now: float, started_at: float) -> tuple[str, ...]:
    """One run as a row of the history table."""
    counts = (summary.scanned, summary.sent, summary.deleted, summary.rejected)
    return (
        ago(now - started_at),
        summary.outcome,
        summary.detection,
        *(f"{count:,}" for count in counts),
        duration(summary.seconds),
    )


def dry_run_line(summary: RunSummary) -> str:
    """What a run would do, in one line."""
    return (
        f"{summary.sync}: {summary.scanned:,} rows read ({summary.why}), {summary.unchanged:,} unchanged; "
        f"{summary.sent:,} profiles would be sent, {summary.deleted:,} removed, {summary.rejected:,} rows rejected"
    )


def rejected_line(sync: str, row: PendingRow, stamp: str, next_try: str) -> bytes:
    """A pending row as ``rejected --json`` prints it; no value of the row is in it."""
    return msgspec.json.encode(
        {
            "sync": sync,
            "key": row.key,
            "distinct_id": row.distinct_id,
            "reason": row.reason,
            "code": row.code,
            "attempts": row.attempts,
            "since": stamp,
            "next_try_at": next_try,
        }
    )
