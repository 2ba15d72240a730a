"""What one sync is made of, and what a run of it was asked to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from sync_profiles.core.mapping import Mapper
from sync_profiles.core.ports import Crew, Destination, SharedState, Source, State
from sync_profiles.core.spreading import Errand
from sync_profiles.core.types import Identity, Limit, OnDelete, RunSummary


class Policy(msgspec.Struct, frozen=True):
    """How a sync treats what it finds; durations in seconds."""

    on_delete: OnDelete
    max_delete: Limit
    max_reject: Limit
    full_every_s: float | None
    lookback_s: float


class Parts(msgspec.Struct, frozen=True):
    """The live objects of one sync."""

    source: Source
    mapper: Mapper
    identity: Identity
    policy: Policy


class Outlet(msgspec.Struct, frozen=True):
    """The way to Mixpanel: ``threads`` is the most requests in flight, ``limit()`` how many it may be right now.

    ``halvings()`` is how often that was halved so far, ``halve()`` does it once more for what others have heard.
    """

    destination: Destination
    limit: Callable[[], int]
    threads: int
    records_max: int
    halvings: Callable[[], int] = lambda: 0
    halve: Callable[[], None] = lambda: None


class Division(msgspec.Struct, frozen=True):
    """That a pass is divided among workers; ``concurrency`` is how many requests all of them may have in flight.

    ``open_crew`` raises ``ConfigError`` or ``TemporaryError`` where there are no workers to be had, or unfit ones.
    """

    state: SharedState
    open_crew: Callable[[Errand], Crew]
    concurrency: int


class RunLock(Protocol):
    """One run of a sync at a time; freed by the kernel when its holder dies."""

    def acquire(self) -> bool:
        """Take the lock, or say False at once."""
        ...

    def release(self) -> None:
        """Give it back."""
        ...

    @property
    def holder(self) -> str:
        """Who has it, for a message."""
        ...


class RunOptions(msgspec.Struct, frozen=True):
    """What the command line asked of a run."""

    full: bool = False
    allow_mass_delete: bool = False
    accept_new_source: bool = False


class Sync(msgspec.Struct, frozen=True):
    """One sync, not opened yet: ``open_parts`` connects to the source, ``open_outlet`` makes the way to Mixpanel.

    ``open_outlet`` takes the function that counts one HTTP attempt of so many bytes. ``leave`` keeps the summary of a
    run that is left behind in its middle; it may be called on any thread.
    """

    name: str
    state: State
    lock: RunLock
    open_parts: Callable[[], Parts]
    open_outlet: Callable[[Callable[[int], None]], Outlet]
    leave: Callable[[RunSummary], None] = lambda _summary: None
    division: Division | None = None
