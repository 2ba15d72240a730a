"""``verify``: reads profiles back and compares them with the table.

A mismatch is looked at again a minute later, by ID, before it is believed: what was just written is not seen at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from sync_profiles.core import guards
from sync_profiles.core.ports import Clock, ProfileBook, StateReader
from sync_profiles.core.types import DistinctId, Json, Key, Mismatch, ProfilePage, Verification
from sync_profiles.engine import targets as selecting
from sync_profiles.engine.budget import Budget, Cost, StoppedError, cost, queries_for
from sync_profiles.engine.expecting import Expecting
from sync_profiles.engine.ownership import raise_if
from sync_profiles.engine.parts import Parts
from sync_profiles.engine.targets import Target, Targets
from sync_profiles.errors import ConfigError, SessionLostError

SECOND_LOOK_S = 60.0
"""What was written was seen after half a minute at the latest (recorded answers)."""

PAGE_USUAL = 1000
"""Profiles on a page, before an answer says it."""

HOPELESS = 1000
"""When so many are missing and not one was found, the rest is not asked for."""

PROGRESS_S = 600.0
"""So often a long verification says how far it is."""

CONTINUED_S = 7 * 24 * 3600.0
"""An interrupted verification that began longer ago than this is begun anew."""


class Verified(msgspec.Struct, frozen=True):
    """What came of it. ``left_out``: could not be compared; ``complete`` False: a stop was asked before the end.

    ``hopeless``: none of the first thousand is there, so nobody asked for the rest.
    """

    matching: int
    left_out: int
    found: tuple[Mismatch, ...]
    complete: bool
    hopeless: bool = False

    @property
    def checked(self) -> int:
        """How many profiles were compared."""
        return self.matching + len(self.found)


class Verifier:
    """One verification of some targets: ``plan`` says what it costs, ``verify`` does it.

    ``keep`` is told how far a verification of everything is, and None at its end. Raises ``ConfigError`` for group
    profiles, ``GuardStop`` when the state is that of another source or project.
    """

    def __init__(self, parts: Parts, state: StateReader, book: ProfileBook, budget: Budget, clock: Clock) -> None:
        if parts.mapper.group:
            raise ConfigError(
                "group profiles cannot be verified: Mixpanel's query API gives them back only by a number of its own",
                hint="Look one up in Mixpanel, under the group key.",
            )
        raise_if(guards.another_owner(state.identity(), parts.identity))
        self._state = state
        self._names = tuple(reader.name for reader in parts.mapper.readers)
        self._book = book
        self._budget = budget
        self._clock = clock
        self._expecting = Expecting(parts, state)
        self._first_page: ProfilePage | None = None
        self._spread = False
        self._targets = Targets(state, bytearray(), 0)
        self._suspects: dict[tuple[str, DistinctId | None], Target] = {}
        self._suspected_at = 0.0
        self._told_at = clock.monotonic()
        self._matching = self._left_out = 0
        self._found: dict[tuple[str, DistinctId], Mismatch] = {}
        self.keep: Callable[[Verification | None], None] = lambda _progress: None

    def plan(self, count: int) -> Cost:
        """The cheaper way to read ``count`` profiles back; asks for a first page where that may be worth it.

        Raises what ``ProfileBook.page`` raises, and ``StoppedError``.
        """
        planned = self._cheapest(count)
        self._spread = planned.queries > self._budget.per_hour
        return planned

    def _cheapest(self, count: int) -> Cost:
        """Pages only where they can be turned in one go: a session ends after about ten minutes."""
        size, per_hour = self._book.ids_per_query, self._budget.per_hour
        by_ids = queries_for(count, size)
        if queries_for(self._state.known_count(), PAGE_USUAL) >= by_ids:
            return cost("ids", by_ids, per_hour)
        try:
            first = self._budget.query(lambda: self._book.page(self._names))
        except ConfigError:
            return cost("ids", by_ids, per_hour)  # if it is not the paging that is wrong, asking by ID will say so
        pages = max(1, queries_for(first.total, first.size))
        by_pages = pages + queries_for(max(0, count - first.total), size)  # what is on no page is asked for by ID
        if pages > per_hour or by_pages > by_ids:
            return cost("ids", by_ids + 1, per_hour)
        self._first_page = first
        return cost("pages", by_pages, per_hour)

    def verify(self, targets: Targets, progress: Verification | None = None) -> Verified:
        """Look at every target; ``progress`` is kept up to date, and holds what an earlier part has found."""
        self._targets = targets
        if progress is not None:
            self._matching, self._left_out = progress.matching, progress.left_out
            self._found = {(one.kind, one.distinct_id): one for one in progress.found}
        complete = hopeless = False
        try:
            self._turn_pages(progress)
            self._budget.spread = self._spread
            for chunk in targets.chunks(self._book.ids_per_query):
                if self._is_hopeless:
                    hopeless = True
                    break
                self._look(chunk, self._look_up)
                self._keep(progress)
                if len(self._suspects) >= self._book.ids_per_query:
                    self._look_again(progress)
            self._look_again(progress)
            complete = True
        except StoppedError:
            pass
        if complete and progress is not None:
            self.keep(None)
        found = sorted(self._found.values(), key=lambda one: (one.kind, one.key, one.distinct_id))
        return Verified(self._matching, self._left_out, tuple(found), complete, hopeless)

    # --- looking -----------------------------------------------------------------------------------------------

    def _turn_pages(self, progress: Verification | None) -> None:
        """Take pages until they end or Mixpanel loses the session; what was on none is asked for by ID afterwards."""
        page, names = self._first_page, self._names
        while page is not None:
            current = page
            self._look(self._targets.among(list(current.profiles)), lambda _ids: current.profiles)  # noqa: B023 - called at once
            self._keep(progress)
            try:
                page = None if current.last else self._budget.query(lambda: self._book.page(names, current))  # noqa: B023 - called at once
            except SessionLostError:
                page = None
        self._look_again(progress)

    def _look(self, some: Sequence[Target], read: Callable[[list[DistinctId]], Mapping[DistinctId, Json]]) -> None:
        expected = {one.target: one for one in self._expecting(some)}
        held = read([one.distinct_id for one in expected.values()]) if expected else {}
        for target in some:
            one = expected.get(target)
            if one is not None and one.mismatch(held) is not None:
                self._suspects[target.key, target.distinct_id] = target
            else:
                self._settle(target, compared=one is not None)
        self._suspected_at = self._clock.monotonic()
        if self._suspected_at - self._told_at >= PROGRESS_S:
            self._told_at = self._suspected_at
            wrong = len(self._found) + len(self._suspects)
            looked_at = self._matching + self._left_out + wrong
            self._budget.tell(f"{looked_at:,} looked at so far, {wrong:,} not as they should be")

    def _look_again(self, progress: Verification | None) -> None:
        """After a minute, by ID, with the row and what is known of it as they are then."""
        if not self._suspects:
            return
        suspects = list(self._suspects.values())
        wait_s = self._suspected_at + SECOND_LOOK_S - self._clock.monotonic()
        self._budget.pause(wait_s, f"not as they should be so far: {len(suspects):,}, to be looked at again")
        size = self._book.ids_per_query
        for start in range(0, len(suspects), size):
            chunk = suspects[start : start + size]
            known = self._state.known([target.key for target in chunk])
            fresh = [Target(one.key, None if one.leaving else known.get(one.key), one.leaving) for one in chunk]
            expected = {one.target: one for one in self._expecting(fresh)}
            held = self._look_up([one.distinct_id for one in expected.values()]) if expected else {}
            for target, again in zip(chunk, fresh, strict=True):
                one = expected.get(again)
                wrong = one.mismatch(held) if one is not None else None
                if wrong is not None:
                    self._found[wrong.kind, wrong.distinct_id] = wrong
                    self._targets.done(target)
                else:
                    self._settle(target, compared=one is not None)
                del self._suspects[target.key, target.distinct_id]
            self._keep(progress)

    def _look_up(self, ids: list[DistinctId]) -> Mapping[DistinctId, Json]:
        return self._budget.query(lambda: self._book.look_up(ids))

    def _settle(self, target: Target, *, compared: bool) -> None:
        """Nothing is wrong with it, as far as it could be compared; a removal that happened is not worth a count."""
        if target.leaving is None:
            self._matching += compared
            self._left_out += not compared
        self._targets.done(target)

    @property
    def _is_hopeless(self) -> bool:
        """So many were looked for, and none of them is there: this is another project."""
        return not self._matching and sum(one.kind == "missing" for one in self._found.values()) >= HOPELESS

    def _keep(self, progress: Verification | None) -> None:
        if progress is None:
            return
        self.keep(
            msgspec.structs.replace(
                progress,
                seen=bytes(self._targets.seen),
                matching=self._matching,
                left_out=self._left_out,
                found=tuple(self._found.values()),
            )
        )


class Aim(msgspec.Struct, frozen=True):
    """Which profiles to verify: those of ``keys``, else ``everything`` that is known, else a ``sample`` of it."""

    keys: tuple[Key, ...] = ()
    everything: bool = False
    sample: int = 1000
    seed: int = 0


class Aimed(msgspec.Struct, frozen=True):
    """The targets of an aim, and about how many they are; ``progress`` is kept for ``everything`` only."""

    targets: Targets
    count: int
    progress: Verification | None = None

    @property
    def continued(self) -> bool:
        """An interrupted verification goes on."""
        return self.progress is not None and _done(self.progress) > 0


def aimed(state: StateReader, aim: Aim, mapping: str, now: float) -> Aimed:
    """What an aim comes to; an interrupted verification of everything under the same mapping is continued."""
    if aim.keys:
        return Aimed(selecting.of_keys(state, aim.keys), len(set(aim.keys)))
    if not aim.everything:
        return Aimed(selecting.sample(state, aim.sample, aim.seed), min(aim.sample, state.known_count()))
    before = state.verification()
    if before is not None and before.mapping == mapping and now - before.began_at < CONTINUED_S:
        targets = Targets(state, bytearray(before.seen), before.limit, selecting.removals(state))
        return Aimed(targets, max(0, state.known_count() - _done(before)), before)
    targets = selecting.everything(state)
    return Aimed(targets, state.known_count(), Verification(now, mapping, targets.limit, bytes(targets.seen)))


def _done(progress: Verification) -> int:
    return progress.matching + progress.left_out + len(progress.found)
