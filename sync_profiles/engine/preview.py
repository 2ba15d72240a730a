"""What a run would send, found out with no way to send it and no pen for the state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import msgspec

from sync_profiles.core import guards, scanplan
from sync_profiles.core.changes import Change
from sync_profiles.core.gone import DELETE_AGAIN, REKEYED, gone_row
from sync_profiles.core.ports import StateReader
from sync_profiles.core.types import (
    DistinctId,
    Key,
    Known,
    Outgoing,
    Page,
    PendingRow,
    Profile,
    ScanFull,
    ScanPlan,
    Shape,
    Unmappable,
)
from sync_profiles.engine.compare import KEYS_A_PAGE, Comparison, key_pages
from sync_profiles.engine.parts import Parts
from sync_profiles.engine.sweep import Seen, missing, rows_are_gone
from sync_profiles.engine.usage import Use, use_of

DUE_MAX = 1_000_000
"""At most so many pending rows are looked at."""

Why = Literal["new", "changed", "deleted", "rejected"]


class Finding(msgspec.Struct, frozen=True):
    """One profile that would be sent (its records, encoded), removed, or rejected (``reason``)."""

    key: Key
    why: Why
    records: tuple[bytes, ...] = ()
    reason: str | None = None
    distinct_id: str | None = None


class Survey:
    """Counts while findings are drawn from it; ``plan`` is None until the first page was planned."""

    def __init__(self, parts: Parts, reader: StateReader, now: float) -> None:
        self._parts = parts
        self._reader = reader
        self._now = now
        self._gone: set[tuple[Key, DistinctId]] = set()
        self._new = 0
        self.scanned = self.unchanged = 0

    def plan(self, *, asked_full: bool) -> ScanPlan:
        """What the hourly run would read now, and why."""
        before = self._reader.identity()
        wishes = scanplan.Wishes(
            now=self._now,
            full_every_s=self._parts.policy.full_every_s,
            lookback_s=self._parts.policy.lookback_s,
            asked_full=asked_full,
            source_changed=guards.belonging(before, self._parts.identity) in {"source", "project"},
            mapping_changed=guards.belonging(before, self._parts.identity) == "mapping",
        )
        return scanplan.plan(self._reader.watermark(), self._parts.source.watermark(), wishes)

    def changed(self, plan: ScanPlan) -> Iterator[Finding]:
        """Everything that a run with this plan would send, remove or reject."""
        comparison = Comparison(self._parts.source, self._parts.mapper, self._reader)
        comparison.prepare(plan)
        removing = self._parts.policy.on_delete != "ignore"
        seen = Seen(self._reader.ordinal_limit()) if isinstance(plan, ScanFull) and removing else None
        pending = self._reader.due(DUE_MAX, self._now)
        due = [row.key for row in pending if row.kind == "row"]
        for page in key_pages(self._parts.source, due):
            yield from self._compared(comparison, page, seen, frozenset(due))
        met = frozenset(due)
        for page in self._parts.source.pages(plan):
            yield from self._compared(comparison, _without(page, met) if met else page, seen, frozenset())
        if removing and rows_are_gone(plan, self._parts.source, self._reader.known_count() + self._new):
            seen = Seen(self._reader.ordinal_limit())
            for page in self._parts.source.pages(ScanFull("some rows are gone")):
                seen.mark(self._reader.known(page.keys))
        if seen is not None:
            for gone in missing(self._parts.source, self._reader, seen):
                yield from self._removals(list(gone.items()))
        yield from self._pending_removals(pending)

    def changed_of(self, keys: Sequence[Key]) -> Iterator[Finding]:
        """What a full pass would send, remove or reject of these keys; a row that is rejected is named again."""
        comparison = Comparison(self._parts.source, self._parts.mapper, self._reader)
        pending = [row for row in self._reader.due(DUE_MAX, self._now) if row.key in keys]
        unsendable = [row for row in self._reader.waiting(keys).values() if row.rejected and row.fingerprint is None]
        due = frozenset(row.key for row in (*pending, *unsendable) if row.kind == "row")
        gone = dict.fromkeys(keys)
        for page in key_pages(self._parts.source, keys):
            yield from self._compared(comparison, page, None, due)
            for key in page.keys:
                gone.pop(key, None)
        if self._parts.policy.on_delete != "ignore":
            yield from self._removals(list(self._reader.known(list(gone)).items()))
        yield from self._pending_removals(pending)

    def selected(self, keys: Sequence[Key]) -> Iterator[Finding]:
        """Every row (or those of ``keys``) as it would be sent the first time, changed or not."""
        pages = key_pages(self._parts.source, keys) if keys else self._parts.source.pages(ScanFull("preview"))
        for page in pages:
            for entry in self._parts.mapper(page).mapped:
                if isinstance(entry, Profile):
                    yield self._finding(Change(entry, None, "new"))
                elif isinstance(entry, Unmappable):
                    yield Finding(entry.key, "rejected", reason=entry.reason, distinct_id=entry.distinct_id)

    def _compared(
        self, comparison: Comparison, page: Page, seen: Seen | None, due: frozenset[Key]
    ) -> Iterator[Finding]:
        compared = comparison(page, due)
        self.scanned += len(page.keys)
        self.unchanged += compared.diff.unchanged
        if seen is not None:
            seen.mark(compared.known)
        for change in compared.diff.changed:
            self._new += change.why == "new"
            yield self._finding(change)
        for entry in (*compared.diff.rejected, *compared.others):
            yield Finding(entry.key, "rejected", reason=entry.reason, distinct_id=entry.distinct_id)
        if self._parts.policy.on_delete != "ignore":
            yield from self._removals([(k, compared.known[k]) for k in compared.diff.deleted if k in compared.known])
            former = [
                gone_row(change.profile.key, change.former.distinct_id, change.former.shape, REKEYED, self._now)
                for change in compared.diff.changed
                if change.former is not None
            ]
            yield from self._left(former, lambda use, row: use.is_used_by_another(row))

    def _finding(self, change: Change) -> Finding:
        outgoing = self._parts.mapper.outgoing(
            change.profile, change.known, prior=change.prior, every_null=change.every_null
        )
        profile = change.profile
        if isinstance(outgoing, Unmappable):
            return Finding(profile.key, "rejected", reason=outgoing.reason, distinct_id=profile.distinct_id)
        why: Why = "new" if change.why == "new" else "changed"
        return Finding(profile.key, why, _records(outgoing), distinct_id=profile.distinct_id)

    def _removals(self, gone: Sequence[tuple[Key, Known]]) -> Iterator[Finding]:
        for key, known in gone:
            yield from self._removal(key, known.distinct_id, known.shape)

    def _pending_removals(self, pending: Sequence[PendingRow]) -> Iterator[Finding]:
        if self._parts.policy.on_delete != "ignore":
            left = [row for row in pending if row.kind == "gone" and row.code != DELETE_AGAIN]
            yield from self._left(left, lambda use, row: use.is_used(row))

    def _left(self, removals: Sequence[PendingRow], is_used: Callable[[Use, PendingRow], bool]) -> Iterator[Finding]:
        """IDs that a key has left, or whose removal is pending, unless somebody has them now."""
        for start in range(0, len(removals), KEYS_A_PAGE):
            some = removals[start : start + KEYS_A_PAGE]
            use = use_of(some, self._parts.source, self._reader, self._parts.mapper)
            for row in some:
                if row.distinct_id is not None and not is_used(use, row):
                    yield from self._removal(row.key, row.distinct_id, row.shape)

    def _removal(self, key: Key, distinct_id: DistinctId, shape: Shape) -> Iterator[Finding]:
        if (key, distinct_id) not in self._gone:
            self._gone.add((key, distinct_id))
            removal = self._parts.mapper.removal(key, distinct_id, shape, policy=self._parts.policy.on_delete)
            yield Finding(key, "deleted", _records(removal), distinct_id=distinct_id)


def _records(outgoing: Outgoing) -> tuple[bytes, ...]:
    return tuple(bytes(raw) for raw in msgspec.json.decode(b"[" + outgoing.body + b"]", type=list[msgspec.Raw]))


def _without(page: Page, met: frozenset[Key]) -> Page:
    kept = [index for index, key in enumerate(page.keys) if key not in met]
    return Page([page.keys[index] for index in kept], [page.rows[index] for index in kept])
