"""Who has a distinct ID now: what is asked before a profile is removed, or called unwanted."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sync_profiles.core.gone import DELETE_AGAIN, DELETED
from sync_profiles.core.mapping import Mapper
from sync_profiles.core.ports import Source, StateReader
from sync_profiles.core.types import DistinctId, Key, PendingRow, Profile, SoftDeleted


class Use(msgspec.Struct, frozen=True):
    """Who is there now.

    ``living``: keys with a row that does not count as deleted. By distinct ID: ``owners``, the keys that Mixpanel was
    given with it and whose row is not gone, and ``rows``, the keys whose row has it now.
    """

    living: set[Key]
    owners: dict[DistinctId, set[Key]]
    rows: dict[DistinctId, set[Key]]

    def is_used(self, row: PendingRow) -> bool:
        """Does a row of the table, or another key that Mixpanel was given, hold the ID of this removal?

        A row that is back but cannot become a profile keeps what Mixpanel was given of it.
        """
        return self.is_used_by_another(row) or (
            row.key in (self.living if row.code == DELETED else self._holders(row.distinct_id or ""))
        )

    def is_used_by_another(self, row: PendingRow) -> bool:
        """Does a key other than that of this removal hold its ID?"""
        return bool(self._holders(row.distinct_id or "") - {row.key})

    def is_lost(self, row: PendingRow) -> bool:
        """Is the profile another's now, so that the key of this removal is not known by it any more?

        Not where that one has left it too: of two that were sent with one ID the last to leave is to remove it.
        """
        distinct_id = row.distinct_id or ""
        others = self.owners.get(distinct_id, set()) & self.rows.get(distinct_id, set())
        return row.key not in self.living or bool(others - {row.key})

    def leaving(self, row: PendingRow) -> set[Key]:
        """Keys that Mixpanel was given with the ID of this removal and whose row has another one now."""
        distinct_id = row.distinct_id or ""
        return self.owners.get(distinct_id, set()) - self.rows.get(distinct_id, set())

    def heirs(self, row: PendingRow) -> set[Key]:
        """Whose profile this removal, had or has it been sent, would be about.

        Where Mixpanel was given the ID again: those, and of a removal that never left only if their row still has it.
        Else the rows that have it and were not sent yet; after a delete that was answered nothing was left for them.
        """
        distinct_id = row.distinct_id or ""
        given, now = self.owners.get(distinct_id, set()), self.rows.get(distinct_id, set())
        if given:
            return given if row.attempts else given & now
        return set() if row.code == DELETE_AGAIN and row.attempts == 1 else now

    def _holders(self, distinct_id: DistinctId) -> set[Key]:
        return self.owners.get(distinct_id, set()) | self.rows.get(distinct_id, set())


def use_of(removals: Sequence[PendingRow], source: Source, state: StateReader, mapper: Mapper) -> Use:
    """Who has the IDs of these removals now; one question to the table and one to the state, whatever their number."""
    ids = [row.distinct_id for row in removals if row.distinct_id is not None]
    mapped = list(mapper(source.read([row.key for row in removals])).mapped)
    living = {entry.key for entry in mapped if not isinstance(entry, SoftDeleted)}
    if not mapper.id_is_key:
        mapped += mapper(source.sharing(ids)).mapped
    owners: dict[DistinctId, set[Key]] = {}
    for distinct_id, keys in state.owners(ids).items():
        gone = {row.key for row in removals if row.distinct_id == distinct_id} - living
        owners[distinct_id] = set(keys) - gone
    rows: dict[DistinctId, set[Key]] = {}
    for entry in mapped:
        if isinstance(entry, Profile):
            rows.setdefault(entry.distinct_id, set()).add(entry.key)
    return Use(living, owners, rows)
