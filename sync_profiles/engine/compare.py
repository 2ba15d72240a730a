"""A page against the state, without writing anything: what ``run``, ``backfill`` and ``preview`` share."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import msgspec

from sync_profiles.core.changes import DUPLICATE_ID, Diff, Rules, diff, shared_ids
from sync_profiles.core.mapping import Mapper
from sync_profiles.core.ports import Source, StateReader
from sync_profiles.core.types import (
    Key,
    Known,
    Mapped,
    Page,
    PendingRow,
    Profile,
    ScanFull,
    ScanPlan,
    Shape,
    Unmappable,
)

KEYS_A_PAGE = 1000


def key_pages(source: Source, keys: Sequence[Key]) -> Iterator[Page]:
    """The rows that exist among ``keys``, in pages; a page may be empty."""
    for start in range(0, len(keys), KEYS_A_PAGE):
        yield source.read(keys[start : start + KEYS_A_PAGE])


class Compared(msgspec.Struct, frozen=True):
    """One page in its classes, with what is known and pending of its keys.

    ``others`` are rows outside this page that share a distinct ID with one of its changed rows.
    """

    diff: Diff
    known: Mapping[Key, Known]
    waiting: Mapping[Key, PendingRow]
    warnings: tuple[tuple[str, str], ...]
    others: Sequence[Unmappable] = ()


class Comparison:
    """Compares pages. ``full``: shared distinct IDs were asked of the database for the whole table beforehand."""

    def __init__(self, source: Source, mapper: Mapper, state: StateReader, *, forced_since: int = 0) -> None:
        self._source = source
        self._mapper = mapper
        self._state = state
        self._names = frozenset(reader.name for reader in mapper.readers)
        self._forced_since = forced_since
        self._shared: Mapping[Key, str] | None = None
        # Nobody had an ID before, as far as we had a hand in it, while nothing was sent yet.
        self._ids_wander = not mapper.id_is_key and bool(state.known_count() or state.pending_count())

    @property
    def shared(self) -> Mapping[Key, str] | None:
        """The keys whose distinct ID another row has as well, with the reason; None: that was not asked."""
        return self._shared

    def adopt(self, shared: Mapping[Key, str] | None) -> None:
        """Take over what somebody else asked for the whole table."""
        self._shared = shared

    def prepare(self, plan: ScanPlan) -> None:
        """Before a full pass, ask for rows that share their distinct ID with another."""
        if isinstance(plan, ScanFull) and not self._mapper.id_is_key:
            candidates: list[Mapped] = []
            for page in self._source.duplicates():
                candidates += [
                    msgspec.structs.replace(entry, row=(), set_json=b"")  # many may wait here for their likes
                    for entry in self._mapper(page).mapped
                    if isinstance(entry, Profile)
                ]
            self._shared = shared_ids(candidates)

    def __call__(self, page: Page, due: Collection[Key] = frozenset()) -> Compared:
        """Every row of ``page`` in exactly one class."""
        mapped = self._mapper(page)
        known = self._state.known(page.keys)
        waiting = self._state.waiting(page.keys)
        rules = Rules(self._forced_since, due, self._shared or {}, self._ids_wander, self._stale(known))
        found = diff(mapped.mapped, known, waiting, rules)
        others: list[Unmappable] = []
        if found.changed and self._shared is None and not self._mapper.id_is_key:
            shared, others = self._sharing(mapped.mapped, found)
            if shared:
                rules = msgspec.structs.replace(rules, shared=shared)
                found = diff(mapped.mapped, known, waiting, rules)
        return Compared(found, known, waiting, mapped.warnings, others)

    def _stale(self, known: Mapping[Key, Known]) -> Collection[Shape]:
        """Shapes with a property that a changed mapping dropped: one that is NULL and left alone has no fingerprint."""
        names = self._names
        return [shape for shape in {each.shape for each in known.values()} if not names.issuperset(shape)]

    def _sharing(self, mapped: Sequence[Mapped], found: Diff) -> tuple[dict[Key, str], list[Unmappable]]:
        ids = [change.profile.distinct_id for change in found.changed]
        everywhere = [e for e in self._mapper(self._source.sharing(ids)).mapped if isinstance(e, Profile)]
        here = {entry.key for entry in mapped}
        shared = shared_ids([*mapped, *(entry for entry in everywhere if entry.key not in here)])
        others = [
            Unmappable(entry.key, entry.distinct_id, DUPLICATE_ID, shared[entry.key])
            for entry in everywhere
            if entry.key in shared and entry.key not in here
        ]
        return shared, others
