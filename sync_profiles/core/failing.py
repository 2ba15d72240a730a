"""Profiles that Mixpanel fails at (5xx) while it takes others: how often batches are cut to find them."""

from __future__ import annotations

import msgspec

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
