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


class RunFinished(msgspec.Struct, frozen=True):
    """The run ended, well or not, or was skipped; ``hint`` says what to do about it, where something is to be done."""

    summary: RunSummary
    hint: str | None = None


Event: TypeAlias = RunStarted | Progress | RowRejected | Warned | RunFinished
Observer: TypeAlias = Callable[[Event], None]
