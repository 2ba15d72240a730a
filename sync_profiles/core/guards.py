"""Limits that stop a run and ask for a decision; each answers with the question to put, or None."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from sync_profiles.core.types import Identity, Limit

DELETES_ALWAYS_ALLOWED = 100
REJECTS_ALWAYS_ALLOWED = 50

_DIMENSIONS = re.compile(r"\s*\(.*\)", re.DOTALL)
_FLAGS = frozenset({"tinyint(1)", "bit(1)"})
"""MySQL's booleans: here the number in parentheses is the type."""


class Stopped(msgspec.Struct, frozen=True):
    """Why a guard stopped, and the cure."""

    message: str
    hint: str


def _exceeds(limit: Limit, count: int, total: int, floor: int) -> bool:
    """Whether ``count`` of ``total`` is over the limit; a share only counts above ``floor`` rows."""
    if limit.count is not None:
        return count > limit.count
    return count > floor and count > (limit.share or 0.0) * total


def mass_delete(limit: Limit, gone: int, known: int) -> Stopped | None:
    """Before the first delete: would this run remove suspiciously many profiles?"""
    if not _exceeds(limit, gone, known, DELETES_ALWAYS_ALLOWED):
        return None
    return Stopped(
        f"{gone} of {known} known profiles would be removed, more than max_delete = {_shown(limit)} allows",
        "If the rows are really gone, run once with --allow-mass-delete; nothing was removed.",
    )


def empty_table(scanned: int, known: int) -> Stopped | None:
    """A complete pass over no rows at all, where there were some, is more likely a mistake than a wish."""
    if scanned or not known:
        return None
    return Stopped(
        f"the table is empty, but {known} profiles are known",
        "Is this the right database? If the rows are really gone, run once with --allow-mass-delete.",
    )


def mass_reject(limit: Limit, rejected: int, total: int) -> Stopped | None:
    """Is so much refused that the mapping, not the rows, must be wrong?"""
    if not _exceeds(limit, rejected, total, REJECTS_ALWAYS_ALLOWED):
        return None
    return Stopped(
        f"{rejected} of {total} rows were rejected, more than max_reject = {_shown(limit)} allows",
        "`sync-profiles rejected` names them and why; mend the mapping, or raise max_reject.",
    )


Belonging = Literal["first", "same", "mapping", "source", "project"]


def belonging(before: Identity | None, now: Identity) -> Belonging:
    """What changed between the state's owner and this run, the weightiest first."""
    if before is None:
        return "first"
    if before.project != now.project:
        return "project"
    if before.source != now.source:
        return "source"
    return "same" if before.mapping == now.mapping and drifted(before, now) is None else "mapping"


def another_owner(before: Identity | None, now: Identity) -> Stopped | None:
    """Another source or project than last time: the fingerprints would lie about it."""
    changed = belonging(before, now)
    if before is None or changed not in {"source", "project"}:
        return None
    was, became = (
        (before.project_label, now.project_label) if changed == "project" else (before.source_label, now.source_label)
    )
    detail = f" (was {was}, now {became})" if was != became else ""
    return Stopped(
        f"the {'Mixpanel project' if changed == 'project' else 'source'} is another one than in the last run{detail}",
        "If that is meant, run once with --accept-new-source: every row is then compared again.",
    )


def drifted(before: Identity | None, now: Identity) -> Stopped | None:
    """A mapped column of another type than in the last good run; the same type in another size is none.

    A column that vanished never comes here: it is a mistake in the mapping.
    """
    former = before.columns if before is not None else {}
    changed = [
        f'"{name}" was {former[name]} and is {became} now'
        for name, became in now.columns.items()
        if name in former and _type(former[name]) != _type(became)
    ]
    if not changed:
        return None
    return Stopped(
        f"the type of a mapped column changed since the last good run: {'; '.join(changed)}",
        "Look at `sync-profiles preview --limit 3`; if the values are as you want them, run once with --full, "
        "which compares every row. Nothing was sent.",
    )


def _type(name: str) -> str:
    return name if name in _FLAGS else _DIMENSIONS.sub("", name).lower()


def _shown(limit: Limit) -> str:
    return str(limit.count) if limit.count is not None else f"{(limit.share or 0.0) * 100:g}%"
