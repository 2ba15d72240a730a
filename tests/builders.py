"""One line per test value: every builder gives something valid, and takes only what a test is about."""

from __future__ import annotations

from typing import Any

import msgspec

from sync_profiles.core.types import (
    Horizon,
    Identity,
    Known,
    Outgoing,
    PendingRow,
    Profile,
    Unmappable,
)


def profile(key: str = "1", **changes: Any) -> Profile:
    """A profile whose distinct ID is its key and whose fingerprint follows from ``plan``."""
    plan = changes.pop("plan", "pro")
    made = Profile(key, key, plan.encode().ljust(16, b"."), b'{"plan":"%s"}' % plan.encode(), (plan,))
    return msgspec.structs.replace(made, **changes)


def known(key: str = "1", **changes: Any) -> Known:
    """What the state remembers after ``profile(key)`` was acknowledged by run 1."""
    plan = changes.pop("plan", "pro")
    made = Known(key, plan.encode().ljust(16, b"."), ("plan",), acknowledged_at=1000, run=1, ordinal=0)
    return msgspec.structs.replace(made, **changes)


def pending(key: str = "1", **changes: Any) -> PendingRow:
    """A row whose request had no answer."""
    made = PendingRow(
        kind="row",
        key=key,
        distinct_id=key,
        code="unanswered",
        reason="no answer",
        rejected=False,
        attempts=0,
        since=1000.0,
        next_try_at=1000.0,
        shape=("plan",),
    )
    return msgspec.structs.replace(made, **changes)


def refused(key: str = "1", **changes: Any) -> PendingRow:
    """A row that Mixpanel refused with the payload of ``profile(key)``."""
    first = {
        "code": "refused",
        "reason": "bad",
        "rejected": True,
        "attempts": 1,
        "fingerprint": profile(key).fingerprint,
    }
    return msgspec.structs.replace(pending(key), **{**first, **changes})


def unmappable(key: str = "1", **changes: Any) -> Unmappable:
    """A row that cannot become a profile."""
    return msgspec.structs.replace(Unmappable(key, key, "bad_value", 'column "x": holds a NUL character'), **changes)


def outgoing(key: str = "1", **changes: Any) -> Outgoing:
    """One profile on its way, of one record."""
    body = b'{"$token":"t","$distinct_id":"%s","$ip":"0","$set":{"plan":"pro"}}' % key.encode()
    made = Outgoing(key, key, profile(key).fingerprint, ("plan",), body, 1)
    return msgspec.structs.replace(made, **changes)


def removal(key: str = "1", **changes: Any) -> Outgoing:
    """A ``$delete`` on its way, asked for because the row is gone."""
    body = b'{"$token":"t","$distinct_id":"%s","$delete":""}' % key.encode()
    made = Outgoing(key, key, None, (), body, 1, delete=True, cause="deleted")
    return msgspec.structs.replace(made, **changes)


def identity(**changes: Any) -> Identity:
    """What a state belongs to."""
    return msgspec.structs.replace(Identity("s", "postgresql app users", "p", "region us", "m"), **changes)


def horizon(**changes: Any) -> Horizon:
    """Where a quiet PostgreSQL stood."""
    made = Horizon(
        xmin=5_000_000_000,
        xmax=5_000_000_000,
        system="7",
        timeline="1",
        started="1700000000.5",
        relation="5/16384",
        schema="s",
    )
    return msgspec.structs.replace(made, **changes)
