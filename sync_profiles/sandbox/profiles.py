"""The profiles a sandbox holds, by token and, for groups, by group key."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from typing import Any, TypeAlias

import msgspec

from sync_profiles.sandbox.records import Properties, Update, change
from sync_profiles.sandbox.users import User, user_of

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


ABSENT = msgspec.UNSET
"""Stands for the value of a property that is not there."""
HISTORY_MAX = 50


class Change(msgspec.Struct, frozen=True):
    """One property before and after; whichever side is absent is left out of its JSON."""

    name: str
    before: Any = ABSENT
    after: Any = ABSENT


class Event(msgspec.Struct, frozen=True):
    """One record that was applied to a profile at ``at`` (unix seconds), and what it changed."""

    at: float
    operation: str
    changes: Sequence[Change]


class Profiles:
    """All profiles; every method may be called from any thread, and nothing handed out changes later.

    With ``keep_history`` the last 50 records of each ID are remembered, also of those that were deleted.
    """

    def __init__(self, *, keep_history: bool = False) -> None:
        self._lock = threading.Lock()
        self._keep_history = keep_history
        self._history: dict[tuple[Space, str], deque[Event]] = {}
        self._held: dict[Space, dict[str, _Held]] = {}
        self._applied: defaultdict[Space, Counter[str]] = defaultdict(Counter)
        self._changes = 0

    def apply(self, updates: Sequence[Update], now: float) -> None:
        """Apply updates in their order, as one step for readers; ``now`` is unix seconds."""
        with self._lock:
            self._changes += len(updates)
            for update in updates:
                space = (update.token, update.group_key)
                self._applied[space][update.owner] += 1
                held = self._held.setdefault(space, {})
                before = self._before(held.get(update.owner)) if self._keep_history else {}
                if update.operation == "$delete":
                    held.pop(update.owner, None)
                else:
                    held.setdefault(update.owner, _Held()).take(update, now)
                if self._keep_history:
                    self._remember(space, update, before, now)

    @staticmethod
    def _before(held: _Held | None) -> Properties:
        return dict(held.properties) if held is not None else {}

    def _remember(self, space: Space, update: Update, before: Properties, now: float) -> None:
        after = self._before(self._held[space].get(update.owner))
        changes = [
            Change(name, before.get(name, ABSENT), after.get(name, ABSENT))
            for name in {**before, **after}
            if before.get(name, ABSENT) != after.get(name, ABSENT)
        ]
        events = self._history.setdefault((space, update.owner), deque(maxlen=HISTORY_MAX))
        events.append(Event(now, update.operation, changes))

    def history(self, space: Space, owner: str) -> Sequence[Event]:
        """What was applied to an ID, the newest first; empty unless the history is kept."""
        with self._lock:
            return tuple(reversed(self._history.get((space, owner), ())))

    def get(self, space: Space, owner: str) -> Profile | None:
        """Return one profile, or None when there is none."""
        with self._lock:
            held = self._held.get(space, {}).get(owner)
            return None if held is None else held.snapshot(owner)

    def all_of(self, space: Space) -> Sequence[Profile]:
        """Return every profile of a space, the oldest first."""
        with self._lock:
            return [held.snapshot(owner) for owner, held in self._held.get(space, {}).items()]

    def users(self, space: Space) -> Sequence[User]:
        """Return what a table shows of every profile of a space, the oldest first."""
        with self._lock:
            held = self._held.get(space, {})
            return [user_of(owner, one.properties, one.updated_at) for owner, one in held.items()]

    def count(self, space: Space) -> int:
        """Return how many profiles a space holds."""
        with self._lock:
            return len(self._held.get(space, ()))

    @property
    def changes(self) -> int:
        """How many records were applied since the counts were cleared, deletes included."""
        with self._lock:
            return self._changes

    def strangers(self, token: str) -> int:
        """Return how many users came with another token, and so are nowhere to be seen."""
        with self._lock:
            return sum(len(held) for (of, key), held in self._held.items() if of != token and key is None)

    def group_keys(self, token: str) -> Sequence[str]:
        """Return the group keys under which a token has profiles."""
        with self._lock:
            return [key for (of, key), held in self._held.items() if of == token and key is not None and held]

    def groups(self, token: str) -> dict[str, dict[str, Properties]]:
        """Return the group profiles of a token: group key -> group's ID -> properties."""
        return {
            key: {profile.distinct_id: profile.properties for profile in self.all_of((token, key))}
            for key in self.group_keys(token)
        }

    def applied(self, space: Space, owner: str) -> int:
        """Return how many records were applied to an ID since the counts were cleared, deletes included."""
        with self._lock:
            return self._applied[space][owner] if space in self._applied else 0

    def clear_counts(self) -> None:
        """Start counting applied records anew; the profiles stay."""
        with self._lock:
            self._applied.clear()
            self._changes = 0

    def clear(self) -> None:
        """Forget every profile and count."""
        with self._lock:
            self._held.clear()
            self._history.clear()
            self._applied.clear()
            self._changes = 0


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
