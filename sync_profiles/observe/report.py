"""What every observer says about a finished run: one verdict and one line, so that they cannot differ."""

from __future__ import annotations

import msgspec

from sync_profiles.core.types import RunSummary
from sync_profiles.observe.redact import redact


def ended_well(summary: RunSummary) -> bool:
    """Whether the run came to its end; single rejected rows do not make it a failure, a guard does."""
    return summary.outcome in ("ok", "rejected")


def masked(summary: RunSummary) -> RunSummary:
    """The summary with its free texts masked: what is fit to leave the machine."""
    message = None if summary.message is None else redact(summary.message)
    return msgspec.structs.replace(summary, why=redact(summary.why), message=message)


def closing_line(summary: RunSummary) -> str:
    """The run in one line of text, such as ``users: ok, 1,200 scanned, 97 sent, 1 pending in 1.9 s``."""
    if summary.outcome == "skipped":
        return f"{summary.sync}: skipped: {summary.message}"
    counts = [f"{summary.scanned:,} scanned", f"{summary.sent:,} sent"]
    for count, word in ((summary.deleted, "deleted"), (summary.rejected, "rejected"), (summary.pending, "pending")):
        if count:
            counts.append(f"{count:,} {word}")
    line = f"{summary.sync}: {summary.outcome}, {', '.join(counts)} in {duration(summary.seconds)}"
    return f"{line}: {summary.message}" if summary.message else line


def duration(seconds: float) -> str:
    """Seconds as people say them: ``0.4 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest_s = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest_s} s"
    return f"{minutes // 60} h {minutes % 60} min"
