"""What runs inside a worker: a seat keeps its connections from one part to the next of the same run."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

import msgspec

from sync_profiles import __version__, wiring
from sync_profiles import config as configuration
from sync_profiles.config import Config, Portable, SyncConfig
from sync_profiles.core.spreading import Assignment, Errand, Failure, PartReport
from sync_profiles.engine.following import Following
from sync_profiles.engine.part import failure_of, take_part
from sync_profiles.engine.parts import Outlet, Parts, Sync
from sync_profiles.errors import ConfigError
from sync_profiles.observe.redact import register_secret, register_url


class Commission(msgspec.Struct, frozen=True):
    """All that a worker is told of a run. It holds no secret: those are in the worker's own environment.

    ``config`` is the path of the file, for workers on the same machine, or what of it may travel. ``where`` is a
    backfill's own condition.
    """

    errand: Errand
    config: str | Portable
    where: str | None = None
    version: str = __version__


Work: TypeAlias = Callable[[Commission, Assignment], PartReport]
"""What a worker does with a part: ``perform``."""


def perform(commission: Commission, assignment: Assignment) -> PartReport:
    """Do one part; whatever goes wrong is in the report."""
    try:
        seat = _seat(commission)
    except Exception as error:  # noqa: BLE001 - it travels as a report, or would arrive as a traceback
        return PartReport(complete=False, failure=failure_of(error))
    report = seat.take(assignment)
    if report.failure is not None:
        dismiss()
    return report


def inspect(commission: Commission) -> Failure | None:
    """Why this process cannot be a worker of that run; None when it can, as far as is known before the first part."""
    try:
        _understood(commission)
    except Exception as error:  # noqa: BLE001 - as above
        return failure_of(error)
    return None


def version() -> str:
    """Of the program, as this worker has it."""
    return __version__


def dismiss() -> None:
    """Close what the seats of this process have open; a part that is at work on another thread keeps its own."""
    with _lock:
        idle = [thread for thread, seat in _seats.items() if not seat.busy]
        for thread in idle:
            _seats.pop(thread).close()


_seats: dict[int, _Seat] = {}
_lock = threading.Lock()


class _Seat:
    """One thread's connections for one run."""

    def __init__(self, commission: Commission) -> None:
        self.commission = commission
        self.busy = True
        self._config, self._sync = _understood(commission)
        for secret in self._config.secrets:
            register_secret(secret.reveal())
        for url in self._config.addresses:
            register_url(url.reveal())
        self._store = wiring.opened_store(self._config)
        self._state = wiring.shared_state(self._store, self._sync.name)
        self._around = wiring.surroundings(Following(self._state, wiring.clock()), lambda _event: None)
        self._attempts: list[Callable[[int], None]] = []
        self._parts: Parts | None = None
        self._outlets: dict[int, Outlet] = {}

    def take(self, assignment: Assignment) -> PartReport:
        self.busy = True
        try:
            return take_part(
                self._opened(assignment.concurrency), self._state, self.commission.errand, assignment, self._around
            )
        finally:
            self.busy = False

    def close(self) -> None:
        with suppress(Exception):  # whatever the state has to say now was in the report of the last part
            self._store.close()

    def _count(self, size: int) -> None:
        """A request leaves: the part that is at work counts it, whichever opened the way out."""
        for attempt in self._attempts:
            attempt(size)

    def _opened(self, concurrency: int) -> Sync:
        mixpanel = msgspec.structs.replace(self._config.mixpanel, concurrency=concurrency)
        config = msgspec.structs.replace(self._config, mixpanel=mixpanel)
        where = self.commission.where
        sync = wiring.open_sync(config, self._sync, self._store, self._around.stop, where=where)

        def open_parts() -> Parts:
            self._parts = self._parts or sync.open_parts()
            return self._parts

        def open_outlet(attempt: Callable[[int], None]) -> Outlet:
            self._attempts[:] = [attempt]
            if concurrency not in self._outlets:
                self._outlets[concurrency] = sync.open_outlet(self._count)
            outlet = self._outlets[concurrency]
            stop = self._around.stop
            assert isinstance(stop, Following), "it was made above"  # noqa: S101 - narrows the type
            stop.follow(outlet)
            return outlet

        return msgspec.structs.replace(sync, state=self._state, open_parts=open_parts, open_outlet=open_outlet)


def _seat(commission: Commission) -> _Seat:
    thread = threading.get_ident()
    with _lock:
        seat = _seats.get(thread)
    if seat is None or seat.commission != commission:
        if seat is not None:
            seat.close()
        seat = _Seat(commission)
        with _lock:
            _seats[thread] = seat
    return seat


def _understood(commission: Commission) -> tuple[Config, SyncConfig]:
    if commission.version != __version__:
        raise ConfigError(
            f"a worker has sync-profiles {__version__}, the run was begun with {commission.version}",
            hint="Install the same version everywhere.",
        )
    found = commission.config
    config = (
        configuration.load(found, os.environ) if isinstance(found, str) else configuration.unpacked(found, os.environ)
    )
    name = commission.errand.sync
    sync = next((one for one in config.syncs if one.name == name), None)
    if sync is None:
        raise ConfigError(f"{config.path}: sync.{name}: is not there any more")
    return config, sync
