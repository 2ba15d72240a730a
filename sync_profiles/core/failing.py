"""Profiles that Mixpanel fails at (5xx) while it takes others: how often to cut, and the row that waits. Pure."""

from __future__ import annotations

import msgspec

from sync_profiles.core.settling import UNANSWERED, written
from sync_profiles.core.types import Outgoing, PendingRow
from sync_profiles.core.verdict import pending_backoff_s

CUTS_MAX = 64
"""Batches cut in a run while others pass: some five bad rows found in batches of 2000, or about five minutes."""
PROBES_MAX = 8
"""Batches cut in a run while nobody knows whether Mixpanel is away: in an outage that is two dozen requests."""


class Cuts(msgspec.Struct, frozen=True):
    """How often batches were cut in this run: because others passed, and to find out."""

    alone: int = 0
    probes: int = 0

    @property
    def may_cut(self) -> bool:
        """Whether one that fails alone may be cut."""
        return self.alone < CUTS_MAX

    def may_probe(self, *, fresh: bool) -> bool:
        """Whether one may be cut although nothing passes; of those that were never cut only the first."""
        return self.probes == 0 if fresh else self.probes < PROBES_MAX

    def counted(self, *, alone: bool) -> Cuts:
        """With one more."""
        return Cuts(self.alone + alone, self.probes + (not alone))


def failing_row(profile: Outgoing, reason: str, now: float, before: PendingRow | None) -> PendingRow:
    """Rejected like a refused one, but what was sent may have been applied, or may still be.

    A removal keeps the code that says why it is wanted.
    """
    removal = profile.fingerprint is None
    code = profile.cause if removal else UNANSWERED
    again = before is not None and before.rejected and before.code == code
    attempts = before.attempts + 1 if again and before is not None else 1
    return PendingRow(
        kind="gone" if removal else "row",
        key=profile.key,
        distinct_id=profile.distinct_id,
        code=code,
        reason=reason,
        rejected=True,
        attempts=attempts,
        since=now,
        next_try_at=now + pending_backoff_s(attempts),
        fingerprint=profile.fingerprint,
        shape=written(profile.shape, profile.distinct_id, before),
    )
