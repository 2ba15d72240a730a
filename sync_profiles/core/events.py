"""What a run tells while it goes; an observer is a function that takes one event."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from sync_profiles.core.types import DistinctId, Key, RunSummary


class RunStarted(msgspec.Struct, frozen=True):
    """A run begins to read; ``total`` is an estimate of its rows, where one is cheap."""

    sync: str
    run: str
    detection: str
    why: str
    total: int | None


class Progress(msgspec.Struct, frozen=True):
    """Counts so far; told after each page and each settlement."""

    sync: str
    stage: str
    scanned: int
    sent: int
    unchanged: int
    rejected: int
    in_flight: int


class RowRejected(msgspec.Struct, frozen=True):
    """One row was rejected in this run; no value of it is in here."""

    sync: str
    key: Key
    distinct_id: DistinctId | None
    code: str
    reason: str


class Warned(msgspec.Struct, frozen=True):
    """Something the operator should know once; ``code`` is stable, ``message`` is for people."""

    sync: str
    code: str
    message: str


class Waiting(msgspec.Struct, frozen=True):
    """What the state holds of rows that must be looked at again; ``since`` (unix seconds) is the oldest one's."""

    pending: int
    rejected: int
    since: float | None


class RunFinished(msgspec.Struct, frozen=True):
    """The run ended, well or not, or was skipped; ``hint`` says what to do about it, where something is to be done.

    ``waiting`` is None when the state could not be asked. ``horizon_lag`` is how many transactions began since the
    oldest one that was still running, where rows are found by their versions.
    """

    summary: RunSummary
    hint: str | None = None
    exit_code: int = 0
    waiting: Waiting | None = None
    horizon_lag: int | None = None


Event: TypeAlias = RunStarted | Progress | RowRejected | Warned | RunFinished
Observer: TypeAlias = Callable[[Event], None]
