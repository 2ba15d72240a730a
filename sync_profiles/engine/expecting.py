"""What Mixpanel should hold of each target, as the table says it now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from sync_profiles.core.comparing import Wanted, differing, remaining
from sync_profiles.core.gone import DELETED, gone_row
from sync_profiles.core.ports import StateReader
from sync_profiles.core.types import (
    DistinctId,
    Json,
    Key,
    Mapped,
    Mismatch,
    PendingRow,
    Profile,
    Shape,
    Unmappable,
)
from sync_profiles.engine.parts import Parts
from sync_profiles.engine.targets import Target
from sync_profiles.engine.usage import use_of


class Expected(msgspec.Struct, frozen=True):
    """One target and what should be there of it; ``wanted`` None: nothing of ``shape``."""

    target: Target
    distinct_id: DistinctId
    wanted: Wanted | None
    unsent: bool
    shape: Shape = ()

    def mismatch(self, found: Mapping[DistinctId, Json]) -> Mismatch | None:
        """What is wrong with what was read back; None when it is as it should be."""
        held = found.get(self.distinct_id)
        key = self.target.key
        if self.wanted is None:
            left = remaining(held or {}, self.shape)
            return Mismatch("unwanted", key, self.distinct_id, left, self.unsent) if left else None
        if held is None:
            return Mismatch("missing", key, self.distinct_id, unsent=self.unsent)
        names = differing(self.wanted, held)
        return Mismatch("different", key, self.distinct_id, names, self.unsent) if names else None


class Expecting:
    """Asks the table. What cannot be compared is left out: rejected rows, and rows that may go without a trace."""

    def __init__(self, parts: Parts, state: StateReader) -> None:
        self._source = parts.source
        self._mapper = parts.mapper
        self._policy = parts.policy
        self._state = state
        self._names = tuple(reader.name for reader in parts.mapper.readers)

    def __call__(self, targets: Sequence[Target]) -> list[Expected]:
        """Those of ``targets`` that can be compared."""
        keys = [target.key for target in targets if target.leaving is None]
        rows, waiting = self._rows(keys), self._state.waiting(keys)
        expected: list[Expected] = []
        leaving: list[Target] = []
        for target in targets:
            entry, row = rows.get(target.key), waiting.get(target.key)
            if target.leaving is not None or (target.known is not None and not isinstance(entry, Profile | Unmappable)):
                leaving.append(target)
            elif isinstance(entry, Profile) and (row is None or not row.rejected):
                expected.append(self._expected(target, entry, row))
        return expected + self._gone(leaving)

    def _rows(self, keys: Sequence[Key]) -> dict[Key, Mapped]:
        return {entry.key: entry for entry in self._mapper(self._source.read(keys)).mapped} if keys else {}

    def _expected(self, target: Target, profile: Profile, row: PendingRow | None) -> Expected:
        known = target.known
        mine = known if known is not None and known.distinct_id == profile.distinct_id else None
        unsent = mine is None or mine.fingerprint != profile.fingerprint or row is not None
        return Expected(target, profile.distinct_id, self._mapper.wanted(profile, mine), unsent)

    def _gone(self, leaving: Sequence[Target]) -> list[Expected]:
        """Of profiles without a row, those whose ID nobody else has; with "ignore" they stay."""
        if not leaving or self._policy.on_delete == "ignore":
            return []
        removals = [(target, _removal(target)) for target in leaving]
        use = use_of([row for _, row in removals], self._source, self._state, self._mapper)
        return [
            Expected(target, row.distinct_id, None, target.leaving is None, row.shape or self._names)
            for target, row in removals
            if row.distinct_id is not None and not use.is_used(row)
        ]


def _removal(target: Target) -> PendingRow:
    """The removal that was asked for, or that the next run will ask for."""
    row, known = target.leaving, target.known
    if row is not None:
        return row
    assert known is not None, "a row that is not known leaves nothing"  # noqa: S101 - the caller's choice of targets
    return gone_row(target.key, known.distinct_id, known.shape, DELETED, 0.0)
