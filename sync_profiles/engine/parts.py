"""What one sync is made of, and what a run of it was asked to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from sync_profiles.core.mapping import Mapper
from sync_profiles.core.ports import Destination, Source
from sync_profiles.core.types import Identity, Key, Limit, OnDelete


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
    """The way to Mixpanel: ``threads`` is the most requests in flight, ``limit()`` how many it may be right now."""

    destination: Destination
    limit: Callable[[], int]
    threads: int
    records_max: int


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


class Selection(msgspec.Struct, frozen=True):
    """Which rows a backfill sends: all, or those between two cursor values, with these keys, where a predicate holds.

    The predicate is part of the source; it stands here because an interrupted backfill is continued only by the same
    selection.
    """

    since: str | None = None
    until: str | None = None
    keys: tuple[Key, ...] = ()
    where: str | None = None
    changed_only: bool = False
    restart: bool = False

    @property
    def everything(self) -> bool:
        """No row is left out."""
        return not (self.since or self.until or self.keys or self.where)

    @property
    def name(self) -> str:
        """Equal for equal selections; holds no row value but what the user typed."""
        return msgspec.json.encode([self.since, self.until, sorted(self.keys), self.where]).decode()
