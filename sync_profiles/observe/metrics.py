"""Figures for Prometheus: a text file that node_exporter's textfile collector picks up.

The one alert that matters: ``time() - sync_profiles_last_success_timestamp_seconds > 3 * 3600``.
Format: https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

from filelock import FileLock, Timeout

from sync_profiles.core.events import Event, RunFinished
from sync_profiles.observe.files import replace_text
from sync_profiles.observe.report import ended_well

_PREFIX = "sync_profiles_"
_SUCCESS = "last_success_timestamp_seconds"
_OLDEST = "oldest_pending_timestamp_seconds"
_WAITING = {"pending_rows", "rejected_rows", _OLDEST}
_METRICS = {
    _SUCCESS: "When the last run that ended well ended, in unix seconds.",
    "last_run_timestamp_seconds": "When the last run ended, well or not, in unix seconds.",
    "last_run_success": "1 when the last run ended well, else 0.",
    "last_run_exit_code": "What the last run came to: 0, or a code of the table in the README.",
    "last_run_duration_seconds": "How long the last run took.",
    "last_run_rows": "Rows of the last run by what became of them.",
    "pending_rows": "Rows that must be looked at again, rejected ones included.",
    "rejected_rows": "Rows of these that will not pass as they are.",
    _OLDEST: "Since when the oldest of these rows waits, in unix seconds; absent for none.",
    "horizon_lag_transactions": "Transactions since the oldest one that was still running, where xmin finds changes.",
}
_CLASSES = ("scanned", "unchanged", "sent", "deleted", "rejected")
_SAMPLE = re.compile(
    rf'{_PREFIX}(?P<metric>\w+)\{{sync="(?P<sync>[^"\\]*)"(?:,class="(?P<class>\w+)")?\}} (?P<value>\S+)'
)

_LOCK_WAIT_S = 5.0

_Sample: TypeAlias = tuple[str, str, str]
"""Metric, sync, class ("" for none)."""

_log = logging.getLogger("sync_profiles")


class MetricsFile:
    """Writes the figures of each run that ends to ``path``, keeping those of the syncs that did not run.

    The file changes in one step and is readable by everybody: the collector runs as another user. A file that cannot
    be written is a warning and never changes a run.
    """

    def __init__(self, path: str, now: Callable[[], float] = time.time) -> None:
        self._path = Path(path)
        self._now = now

    def __call__(self, event: Event) -> None:
        """Write the file when a run has ended; a run that was skipped says nothing."""
        if not isinstance(event, RunFinished) or event.summary.outcome == "skipped":
            return
        try:
            self._update(event)
        except (OSError, Timeout) as error:
            _log.warning("metrics file %s not written: %s", self._path, type(error).__name__)

    def _update(self, finished: RunFinished) -> None:
        # Two syncs may end at once in two processes, and each keeps what the other wrote.
        with FileLock(self._path.with_name(f".{self._path.name}.lock"), timeout=_LOCK_WAIT_S):
            samples = merged(parse(self._read()), finished, self._now())
            # Readable by everybody: the collector runs as another user.
            replace_text(self._path, render(samples))

    def _read(self) -> str:
        try:
            return self._path.read_text("utf-8")
        except FileNotFoundError:
            return ""


def merged(before: dict[_Sample, float], finished: RunFinished, now: float) -> dict[_Sample, float]:
    """The samples after a run: those of its sync replaced, but for what this run could not find out."""
    summary, sync = finished.summary, finished.summary.sync
    good = ended_well(summary)
    unknown = {_SUCCESS} | (_WAITING if finished.waiting is None else set())
    kept = {sample: value for sample, value in before.items() if sample[1] != sync or sample[0] in unknown}
    figures: dict[str, float | None] = {
        "last_run_timestamp_seconds": now,
        "last_run_success": float(good),
        "last_run_exit_code": finished.exit_code,
        "last_run_duration_seconds": summary.seconds,
        "horizon_lag_transactions": finished.horizon_lag,
    }
    if good:
        figures[_SUCCESS] = now
    if finished.waiting is not None:
        waiting = finished.waiting
        figures |= {"pending_rows": waiting.pending, "rejected_rows": waiting.rejected, _OLDEST: waiting.since}
    of_sync = {(name, sync, ""): value for name, value in figures.items() if value is not None}
    return kept | of_sync | {("last_run_rows", sync, name): float(getattr(summary, name)) for name in _CLASSES}


def parse(text: str) -> dict[_Sample, float]:
    """The samples of a file written by ``render``; lines of another kind are dropped."""
    matches = [match for match in map(_SAMPLE.fullmatch, text.splitlines()) if match and match["metric"] in _METRICS]
    return {(match["metric"], match["sync"], match["class"] or ""): float(match["value"]) for match in matches}


def render(samples: dict[_Sample, float]) -> str:
    """The file's text, metric by metric."""
    return "".join(f"{line}\n" for metric, meaning in _METRICS.items() for line in _family(metric, meaning, samples))


def _family(metric: str, meaning: str, samples: dict[_Sample, float]) -> Iterator[str]:
    yield f"# HELP {_PREFIX}{metric} {meaning}"
    yield f"# TYPE {_PREFIX}{metric} gauge"
    for (name, sync, row_class), value in sorted(samples.items()):
        if name == metric:
            labels = f'sync="{sync}"' + (f',class="{row_class}"' if row_class else "")
            # Sync names are letters, digits, "-" and "_", so a label needs no escape.
            yield f"{_PREFIX}{metric}{{{labels}}} {value:.15g}"
