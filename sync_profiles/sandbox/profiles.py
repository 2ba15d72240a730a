"""The profiles a sandbox holds, by token and, for groups, by group key."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from sync_profiles.sandbox.records import Properties, Update, change

Space: TypeAlias = tuple[str, str | None]
"""Where a profile lives: its token, and the group key (None for users)."""


class Profile(msgspec.Struct, frozen=True):
    """One profile as it stands.

    ``updated_at`` is Mixpanel's "Updated at" (``$last_seen``) in unix seconds, None while every record said
    ``$ignore_time``; ``records`` counts the records applied to it since it was created.
    """

    distinct_id: str
    properties: Properties
    updated_at: float | None
    records: int


class Profiles:
    """All profiles; every method may be called from any thread, and nothing handed out changes later."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[Space, dict[str, _Held]] = {}
        self._applied: defaultdict[Space, Counter[str]] = defaultdict(Counter)

    def apply(self, updates: Sequence[Update], now: float) -> None:
        """Apply updates in their order, as one step for readers; ``now`` is unix seconds."""
        with self._lock:
            for update in updates:
                space = (update.token, update.group_key)
                self._applied[space][update.owner] += 1
                held = self._held.setdefault(space, {})
                if update.operation == "$delete":
                    held.pop(update.owner, None)
                    continue
                profile = held.get(update.owner)
                if profile is None:
                    profile = held[update.owner] = _Held()
                profile.take(update, now)

    def get(self, space: Space, owner: str) -> Profile | None:
        """Return one profile, or None when there is none."""
        with self._lock:
            held = self._held.get(space, {}).get(owner)
            return None if held is None else held.snapshot(owner)

    def all_of(self, space: Space) -> Sequence[Profile]:
        """Return every profile of a space, the oldest first."""
        with self._lock:
            return [held.snapshot(owner) for owner, held in self._held.get(space, {}).items()]

    def group_keys(self, token: str) -> Sequence[str]:
        """Return the group keys under which a token has profiles."""
        with self._lock:
            return [key for (of, key), held in self._held.items() if of == token and key is not None and held]

    def applied(self, space: Space, owner: str) -> int:
        """Return how many records were applied to an ID since the counts were cleared, deletes included."""
        with self._lock:
            return self._applied[space][owner] if space in self._applied else 0

    def clear_counts(self) -> None:
        """Start counting applied records anew; the profiles stay."""
        with self._lock:
            self._applied.clear()

    def clear(self) -> None:
        """Forget every profile and count."""
        with self._lock:
            self._held.clear()
            self._applied.clear()


class _Held:
    """A profile that can still change; lives behind the lock."""

    __slots__ = ("properties", "records", "updated_at")

    def __init__(self) -> None:
        self.properties: Properties = {}
        self.updated_at: float | None = None
        self.records = 0

    def take(self, update: Update, now: float) -> None:
        change(self.properties, update)
        self.records += 1
        if not update.ignore_time:
            self.updated_at = now

    def snapshot(self, owner: str) -> Profile:
        return Profile(owner, dict(self.properties), self.updated_at, self.records)
