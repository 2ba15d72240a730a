"""Builders and fakes for what is sent: profiles, batches, scripted destinations, time that tests move."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sync_profiles.core.types import Batch, Doubt, Outgoing, Verdict

TOKEN = "0123456789abcdef0123456789abcdef"


def outgoing(
    key: str = "1", *, body: bytes | None = None, records: int = 1, delete: bool = False, doubt: Doubt = "none"
) -> Outgoing:
    """A profile whose distinct ID is its key."""
    record = b'{"$token":"%b","$distinct_id":"%b","$ip":"0","$set":{"plan":"pro"}}' % (TOKEN.encode(), key.encode())
    return Outgoing(
        key=key,
        distinct_id=key,
        fingerprint=None if delete else b"f" * 16,
        shape=("plan",),
        body=b",".join([record] * records) if body is None else body,
        records=records,
        delete=delete,
        doubt=doubt,
    )


def batch_of(count: int = 2, *, group: bool = False, doubt: Doubt = "none") -> Batch:
    """A batch of ``count`` profiles of one record each."""
    return Batch(1, tuple(outgoing(str(number), doubt=doubt) for number in range(count)), group=group)


@dataclass
class Scripted:
    """A destination that answers with these verdicts, one after another, and remembers the bodies."""

    verdicts: Sequence[Verdict]
    bodies: list[bytes] = field(default_factory=list)
    on_send: Callable[[], None] = lambda: None

    def send(self, batch: Batch) -> Verdict:
        self.bodies.append(batch.body)
        self.on_send()
        return self.verdicts[len(self.bodies) - 1]


@dataclass
class Time:
    """A clock and a stop whose waiting moves the clock; ``stop_at`` asks for the stop when that moment comes."""

    at: float = 1_700_000_000.0
    stop_at: float | None = None
    deadline: float | None = None
    waits: list[float] = field(default_factory=list)

    @property
    def cause(self) -> str | None:
        return "SIGTERM" if self.stop_at is not None and self.at >= self.stop_at else None

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    def remaining_s(self) -> float | None:
        return None if self.deadline is None else self.deadline - self.at

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        woken = self.stop_at is not None and self.stop_at < self.at + seconds
        self.at = self.stop_at if woken and self.stop_at is not None else self.at + seconds
        return self.cause is not None
