"""One pass over the table: pages in, changed profiles to the delivery, findings into the state."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from sync_profiles.core import guards
from sync_profiles.core.changes import DUPLICATE_ID, Change
from sync_profiles.core.gone import REKEYED, UNCERTAIN, gone_row, gone_rows
from sync_profiles.core.pending import UNANSWERED, has_left, late_until, unmappable_row, written
from sync_profiles.core.ports import State
from sync_profiles.core.types import (
    DistinctId,
    Key,
    Known,
    Limit,
    Outgoing,
    Page,
    PendingKind,
    PendingRow,
    Profile,
    ScanPlan,
    Settlement,
    Unmappable,
)
from sync_profiles.engine.compare import Compared, Comparison
from sync_profiles.engine.course import Course
from sync_profiles.engine.deliver import Delivery
from sync_profiles.engine.parts import Parts
from sync_profiles.engine.removals import GONE_MAX, Removals
from sync_profiles.engine.sweep import Marks, Seen
from sync_profiles.errors import GuardStop

DUE_CHUNK = 1000


class Pass:
    """Takes pages until they end, a stop is asked or sending failed."""

    def __init__(self, parts: Parts, state: State, delivery: Delivery, course: Course) -> None:
        self._parts = parts
        self._state = state
        self._delivery = delivery
        self._course = course
        self._tally = course.tally
        self.rows_least = state.known_count()
        """There are surely so many rows, or about so many: a share of rejected ones is of these."""
        self.comparison = Comparison(parts.source, parts.mapper, state)
        run = course.begun.number if course.begun is not None else 0
        self.removals = Removals(parts, state, run)
        self.seen: Seen | Marks | None = None

    def force(self, since_run: int) -> None:
        """Send every row again that no run from ``since_run`` on has sent."""
        self.comparison = Comparison(self._parts.source, self._parts.mapper, self._state, forced_since=since_run)

    # --- the two sources of pages ------------------------------------------------------------------------------

    def due_rows(self) -> None:
        """Look again at the rows whose wait is over; first at removals, whose IDs may be in use again."""
        self.removals.due(self._course.now())
        rows = [row for row in self._state.due(GONE_MAX, self._course.now()) if row.kind == "row"]
        for start in range(0, len(rows), DUE_CHUNK):
            if self.halted:
                return
            chunk = {row.key: row for row in rows[start : start + DUE_CHUNK]}
            page = self._parts.source.read(list(chunk))
            self._take(page, due=chunk.keys())
            self._vanished([chunk[key] for key in chunk.keys() - set(page.keys)])

    def scan(self, plan: ScanPlan) -> bool:
        """Take every page of the plan; False when it ended early."""
        self.comparison.prepare(plan)
        return self.take_all(self._parts.source.pages(plan))

    def take_all(self, pages: Iterable[Page]) -> bool:
        """Take pages until they end; False when a stop or a failure ended it early."""
        for page in pages:
            if self.halted:
                return False
            self._take(page)
            self._tally.progress("reading", self._delivery.in_flight)
        return not self.halted

    @property
    def halted(self) -> bool:
        """A stop was asked, or nothing can be sent any more."""
        return self._course.stop.cause is not None or self._delivery.failure is not None

    # --- one page ----------------------------------------------------------------------------------------------

    def _take(self, page: Page, due: Collection[Key] = frozenset()) -> None:
        if not self._delivery.open_keys.isdisjoint(page.keys):
            # A row that is on its way comes by again: its acknowledgement decides whether it is unchanged.
            self._delivery.drain()
        compared = self.comparison(page, due)
        if self.seen is not None:
            self.seen.mark(compared.known)
        self._tally.scanned += len(page.keys)
        self._tally.unchanged += compared.diff.unchanged
        for code, message in compared.warnings:
            self._tally.warn(code, message)
        too_large = self._offer(compared.diff.changed, compared.waiting)
        self._settle(compared, [*compared.diff.rejected, *compared.others, *too_large])
        self.check_rejects()

    def _offer(self, changed: Sequence[Change], waiting: Mapping[Key, PendingRow]) -> list[Unmappable]:
        composed = self._parts.mapper.outgoing_page(changed)
        ready = [one for one in composed if isinstance(one, Outgoing)]
        refused = [] if len(ready) == len(composed) else [one for one in composed if isinstance(one, Unmappable)]
        if waiting or any(change.former is not None for change in changed):
            by_key = {change.profile.key: change for change in changed}
            ready = [self._remembering(one, by_key[one.key], waiting.get(one.key)) for one in ready]
        self._delivery.offer(ready)
        return refused

    def _remembering(self, outgoing: Outgoing, change: Change, row: PendingRow | None) -> Outgoing:
        """The profile with what is to be removed once it is acknowledged, and what may still come over it."""
        if change.former is not None:
            left = change.former.distinct_id
            outgoing = msgspec.structs.replace(outgoing, former=(left, written(change.former.shape, left, row)))
        late = row is not None and late_until(row) > self._course.now()
        return msgspec.structs.replace(outgoing, doubt="late") if late else outgoing

    def _settle(self, compared: Compared, rejected: Sequence[Unmappable]) -> None:
        diff, now = compared.diff, self._course.now()
        resolved: list[tuple[PendingKind, Key, DistinctId | None]] = [("row", key, None) for key in diff.settled]
        resolved += [("row", key, None) for key in diff.deleted if key in compared.waiting]
        before = {**self._state.waiting([entry.key for entry in rejected]), **compared.waiting}
        pending = self._rejections(rejected, compared.waiting, before, now)
        pending += self._gone(diff.deleted, compared.known, compared.waiting, now) if diff.deleted else []
        if before:
            current: list[Profile | Unmappable] = [*(change.profile for change in diff.changed), *rejected]
            pending += self._abandoned(current, before, now)
        if rejected and not self._parts.mapper.id_is_key:
            pending += self._left(rejected, now)
        if resolved or pending:
            self._state.settle(Settlement(resolved=resolved, pending=pending), now)
        self._release_ids(compared)

    def _rejections(
        self,
        rejected: Sequence[Unmappable],
        waiting: Mapping[Key, PendingRow],
        before: Mapping[Key, PendingRow],
        now: float,
    ) -> list[PendingRow]:
        rows = []
        for entry in rejected:
            previous = before.get(entry.key)
            if entry.key not in waiting and previous is not None and previous.code == entry.code:
                continue  # the other half of a shared ID, named in an earlier run
            rows.append(unmappable_row(entry, now, previous))
            self._tally.reject(entry.key, entry.distinct_id, entry.code, entry.reason)
        return rows

    def _gone(
        self, keys: Sequence[Key], known: Mapping[Key, Known], waiting: Mapping[Key, PendingRow], now: float
    ) -> list[PendingRow]:
        """ "gone" rows for what Mixpanel was given, or may have been given by a request without an answer."""
        if self._parts.policy.on_delete == "ignore":  # of use only where the profile may become uncertain by that
            wander = not self._parts.mapper.id_is_key
            certain = {key for key, held in known.items() if wander and held.fingerprint != UNCERTAIN}
            known = {key: held for key, held in known.items() if key in waiting or key in certain}
        ids = {key: known[key].distinct_id for key in keys if key in known}
        maybe = [
            gone_row(key, row.distinct_id, row.shape, UNANSWERED, now, not_before=late_until(row))
            for key in keys
            if (row := waiting.get(key)) is not None and has_left(row) and row.distinct_id != ids.get(key)
            if row.distinct_id is not None
        ]
        return gone_rows(keys, known, now, waiting) + maybe

    def _abandoned(
        self, current: Sequence[Profile | Unmappable], waiting: Mapping[Key, PendingRow], now: float
    ) -> list[PendingRow]:
        """IDs that an unanswered request may have created and that the row has left since."""
        return [
            gone_row(row.key, row.distinct_id, row.shape, REKEYED, now, not_before=late_until(row))
            for entry in current
            if (row := waiting.get(entry.key)) is not None and has_left(row)
            if row.distinct_id is not None and row.distinct_id != entry.distinct_id
        ]

    def _left(self, rejected: Sequence[Unmappable], now: float) -> list[PendingRow]:
        """IDs of rows that have another now but cannot be sent with it: what they had may be another's already."""
        known = self._state.known([entry.key for entry in rejected])
        return [
            gone_row(entry.key, held.distinct_id, held.shape, REKEYED, now)
            for entry in rejected
            if (held := known.get(entry.key)) is not None and held.distinct_id != entry.distinct_id
        ]

    def _vanished(self, rows: Sequence[PendingRow]) -> None:
        """Pending rows that the table no longer has."""
        if not rows:
            return
        now, keys = self._course.now(), [row.key for row in rows]
        pending = self._gone(keys, self._state.known(keys), {row.key: row for row in rows}, now)
        resolved: list[tuple[PendingKind, Key, DistinctId | None]] = [("row", key, None) for key in keys]
        self._state.settle(Settlement(resolved=resolved, pending=pending), now)
        ids = [row.distinct_id for row in rows if row.code == DUPLICATE_ID and row.distinct_id is not None]
        if ids:
            self._state.hasten(ids)

    def _release_ids(self, compared: Compared) -> None:
        """A row that gave up a shared distinct ID frees the others that waited for it."""
        if not compared.waiting:
            return
        ids = {
            row.distinct_id
            for row in compared.waiting.values()
            if row.code == DUPLICATE_ID and row.distinct_id is not None
        }
        kept = {entry.distinct_id for entry in (*compared.diff.rejected, *compared.others)}
        moved = [change for change in compared.diff.changed if change.profile.key in compared.waiting]
        if ids - kept and (moved or compared.diff.settled or compared.diff.deleted):
            self._state.hasten(sorted(ids - kept))

    def check_rejects(self) -> None:
        """Stop when so much is rejected that a decision is due."""
        limit: Limit = self._parts.policy.max_reject
        total = max(self._tally.scanned, self.rows_least)
        stopped = guards.mass_reject(limit, self._tally.rejected, total)
        if stopped is not None:
            raise GuardStop(stopped.message, hint=stopped.hint)
