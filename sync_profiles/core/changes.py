"""What a page means against what Mixpanel acknowledged before: every row ends in exactly one class."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import msgspec

from sync_profiles.core.gone import UNCERTAIN
from sync_profiles.core.pending import REPAIR
from sync_profiles.core.types import (
    DistinctId,
    Key,
    Known,
    Mapped,
    PendingRow,
    Profile,
    Shape,
    SoftDeleted,
    Unmappable,
)

Why = Literal["new", "changed", "again", "rekeyed"]


class Change(msgspec.Struct, frozen=True, gc=False):
    """A profile that has to be sent.

    ``known`` is None for a key that was never acknowledged under this distinct ID. ``prior`` names properties that a
    request without an answer may have written; ``every_null`` asks to unset all NULL properties, since what the
    profile holds is not known. ``former`` is the acknowledgement under the key's former distinct ID.
    """

    profile: Profile
    known: Known | None
    why: Why
    prior: Shape = ()
    every_null: bool = False
    former: Known | None = None


class Diff(msgspec.Struct, frozen=True):
    """A page in its classes. ``settled`` are those of the unchanged keys that no longer need a second look."""

    changed: list[Change]
    unchanged: int
    settled: list[Key]
    rejected: list[Unmappable]
    waiting: int
    deleted: list[Key]


class Rules(msgspec.Struct, frozen=True):
    """What makes this pass look at rows differently.

    ``forced_since``: keys acknowledged by a run before this number are sent again, changed or not (0: none).
    ``due``: keys that are looked at because their pending row is due. ``shared``: keys whose distinct ID another row
    has as well. ``ids_wander``: the ID of a new key may have been another row's, whose properties its profile holds.
    ``stale``: shapes with a property that is not in the mapping any more.
    """

    forced_since: int = 0
    due: Collection[Key] = frozenset()
    shared: Mapping[Key, str] = {}
    ids_wander: bool = False
    stale: Collection[Shape] = ()


DUPLICATE_ID = "duplicate_id"


def diff(mapped: Sequence[Mapped], known: Mapping[Key, Known], waiting: Mapping[Key, PendingRow], rules: Rules) -> Diff:
    """Sort the rows of one page into their classes (promise 3: each into exactly one)."""
    changed: list[Change] = []
    settled: list[Key] = []
    rejected: list[Unmappable] = []
    deleted: list[Key] = []
    unchanged = still_waiting = 0
    plain = not waiting and not rules.shared
    for entry in mapped:
        key = entry.key
        if plain and type(entry) is Profile:  # nearly every row, on the shortest way
            change = _plain_change(entry, known.get(key), rules)
            if change is None:
                unchanged += 1
            else:
                changed.append(change)
            continue
        row = waiting.get(key) if waiting else None
        if isinstance(entry, Profile) and key in rules.shared:
            entry = Unmappable(key, entry.distinct_id, DUPLICATE_ID, rules.shared[key])  # noqa: PLW2901 - same row, other class
        if isinstance(entry, Profile):
            outcome = _change(entry, known.get(key), row, rules)
            if isinstance(outcome, Change):
                changed.append(outcome)
            elif outcome == "waiting":
                still_waiting += 1
            else:
                unchanged += 1
                if outcome == "settled":
                    settled.append(key)
        elif isinstance(entry, SoftDeleted):
            deleted.append(key)
        elif row is not None and _refused_alike(row, entry) and key not in rules.due:
            still_waiting += 1
        else:
            rejected.append(entry)
    total = len(changed) + unchanged + len(rejected) + still_waiting + len(deleted)
    assert total == len(mapped), "a row was lost or classified twice"  # noqa: S101 - the promise itself
    return Diff(changed, unchanged, settled, rejected, still_waiting, deleted)


def _change(
    profile: Profile, known: Known | None, row: PendingRow | None, rules: Rules
) -> Change | Literal["unchanged", "settled", "waiting"]:
    if row is None:
        return _plain_change(profile, known, rules) or "unchanged"
    never_left = row.rejected and row.fingerprint is None
    if never_left and row.shape:  # but an earlier request did, without an answer; now nothing hides its row any more
        return _again(profile, known, row)
    if profile.key in rules.due:
        if never_left:
            return _plain_change(profile, known, rules) or "settled"
        return _again(profile, known, row)
    if row.rejected and row.fingerprint == profile.fingerprint:
        return "waiting"
    change = _plain_change(profile, known, rules)
    if change is None:
        return "settled" if never_left else "unchanged"
    return msgspec.structs.replace(change, prior=row.shape, every_null=change.every_null or bool(row.shape))


def _plain_change(profile: Profile, known: Known | None, rules: Rules) -> Change | None:
    if known is None:
        return Change(profile, None, "new", (), rules.forced_since > 0 or rules.ids_wander)
    if known.distinct_id != profile.distinct_id:
        # What the other profile holds is not known: somebody else may have written it.
        return Change(profile, None, "rekeyed", every_null=True, former=known)
    forced = known.run < rules.forced_since
    if not forced and known.fingerprint == profile.fingerprint and not (rules.stale and known.shape in rules.stale):
        return None
    if known.fingerprint == UNCERTAIN:
        return Change(profile, None, "new", known.shape, every_null=True)
    return Change(profile, known, "again" if forced else "changed", (), forced)


def _again(profile: Profile, known: Known | None, row: PendingRow) -> Change:
    """A request for this row had no answer, or a refusal: send it whole, whatever is remembered."""
    if known is not None and known.distinct_id != profile.distinct_id:
        return Change(profile, None, "rekeyed", row.shape, every_null=True, former=known)
    if known is not None and (row.code == REPAIR or known.fingerprint == UNCERTAIN):
        return Change(profile, None, "again", tuple(dict.fromkeys(known.shape + row.shape)), every_null=True)
    return Change(profile, known, "again", row.shape, every_null=True)


def _refused_alike(row: PendingRow, entry: Unmappable) -> bool:
    return row.rejected and row.code == entry.code and row.reason == entry.reason


def shared_ids(mapped: Sequence[Mapped]) -> dict[Key, str]:
    """Of rows that may share an ID, the keys that really do, each with a reason naming the other keys."""
    owners: dict[DistinctId, list[Key]] = {}
    for entry in mapped:
        if isinstance(entry, Profile) and entry.key not in owners.setdefault(entry.distinct_id, []):
            owners[entry.distinct_id].append(entry.key)
    return {
        key: f"its distinct ID is also that of {_named([other for other in keys if other != key])}"
        for keys in owners.values()
        if len(keys) > 1
        for key in keys
    }


def _named(keys: Sequence[Key], limit: int = 3) -> str:
    shown = ", ".join(sorted(keys)[:limit])
    return f"row {shown}" if len(keys) == 1 else f"rows {shown}{' …' if len(keys) > limit else ''}"
