"""Is what Mixpanel holds what the table says? Pure, and forgiving where Mixpanel keeps a value in another form.

What it does to values is documented: texts end after 255 bytes (its page on data types) or 255 characters (its page on
imports); dates are kept to the millisecond and given back to the second; numbers are JSON numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from sync_profiles.core.problems import ValueProblem
from sync_profiles.core.timestamps import datetime_text, epoch_text
from sync_profiles.core.types import Json, Shape

TEXT_MAX = 255
"""Bytes, or characters, after which Mixpanel cuts a text."""
NAME_MAX = 255
"""Characters after which Mixpanel cuts a property's name."""

_SECOND = len("2026-01-01T00:00:00")


class Wanted(msgspec.Struct, frozen=True):
    """What Mixpanel should hold for one profile; other properties are not ours to judge.

    ``values`` are equal, ``members`` are contained in the lists that are held, ``present`` are there with whatever
    value, ``absent`` are not there.
    """

    values: dict[str, Json]
    members: dict[str, Sequence[Json]] = {}
    present: Shape = ()
    absent: Shape = ()


def differing(wanted: Wanted, held: Mapping[str, Json]) -> Shape:
    """Names of the properties that are not as they should be; sorted."""
    wrong = [name for name, value in wanted.values.items() if not _is_held(name, value, held)]
    wrong += [name for name, members in wanted.members.items() if not _holds(_held(name, held), members)]
    wrong += [name for name in wanted.present if name[:NAME_MAX] not in held]
    wrong += [name for name in wanted.absent if name[:NAME_MAX] in held]
    return tuple(sorted(set(wrong)))


def remaining(held: Mapping[str, Json], shape: Shape) -> Shape:
    """Which properties of a profile that was to be removed are still there; sorted.

    A profile that holds none of them is somebody else's by now, or empty: nothing of ours is left in it.
    """
    return tuple(sorted(name for name in set(shape) if name[:NAME_MAX] in held))


def same(value: Json, held: Json) -> bool:
    """Whether ``held`` is what Mixpanel makes of ``value``."""
    if isinstance(value, bool) or isinstance(held, bool):
        return value is held
    if isinstance(value, str):
        return value == held or _is_cut(value, held) or _is_moment(value, held)
    if isinstance(value, int | float):
        return isinstance(held, int | float) and _equal(value, held)
    if isinstance(value, list):
        return isinstance(held, list) and len(value) == len(held) and _is_permuted(value, held)
    if isinstance(value, dict):
        return isinstance(held, dict) and value.keys() == held.keys() and all(same(value[n], held[n]) for n in value)
    return value is None and held is None


_MISSING: Any = object()


def _held(name: str, held: Mapping[str, Json]) -> Json:
    return held.get(name[:NAME_MAX], _MISSING)


def _is_held(name: str, value: Json, held: Mapping[str, Json]) -> bool:
    found = _held(name, held)
    return found is not _MISSING and same(value, found)


def _holds(held: Json, members: Sequence[Json]) -> bool:
    """What ``$union`` promises: each member is in the list, once or more often, whatever else is."""
    if not members:
        return True
    return isinstance(held, list) and all(any(same(member, one) for one in held) for member in members)


def _is_permuted(value: Sequence[Json], held: Sequence[Json]) -> bool:
    """The same members in whatever order: Mixpanel's lists have none."""
    if all(map(same, value, held)):
        return True
    left = list(held)
    for member in value:
        index = next((index for index, one in enumerate(left) if same(member, one)), None)
        if index is None:
            return False
        del left[index]
    return True


def _equal(one: float, other: float) -> bool:
    """5 and 5.0 are one number; beyond 2^53 what a double makes of it."""
    try:
        return one == other or float(one) == float(other)
    except OverflowError:
        return False


def _is_cut(text: str, held: Json) -> bool:
    if not isinstance(held, str) or len(text.encode()) <= TEXT_MAX:
        return False
    return held in (text[:TEXT_MAX], text.encode()[:TEXT_MAX].decode(errors="ignore"))


def _is_moment(text: str, held: Json) -> bool:
    """Two spellings of one moment; a fraction of a second may have been left out."""
    ours, theirs = _moment(text), _moment(held)
    if ours is None or theirs is None:
        return False
    return ours == theirs or (len(theirs) == _SECOND and ours[:_SECOND] == theirs)


def _moment(value: Json) -> str | None:
    try:
        if isinstance(value, str):
            return datetime_text(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return epoch_text(Decimal(value))
    except ValueProblem:
        pass
    return None
