"""What a distinct ID must not be.

Mixpanel drops records without an ID, and joins users whose IDs it cuts or refuses; so such a row is rejected here, with
its reason, instead of being lost there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sync_profiles.core.problems import ValueProblem

BYTES_MAX = 255  # names and strings are cut there, and a cut ID could be another user's

# Mixpanel's list for events (its reference of /import); the server is said to ignore case.
NIL_UUID = "00000000-0000-0000-0000-000000000000"
REFUSED = frozenset(
    ("anon", "anonymous", "nil", "none", "null", "n/a", "na", "undefined", "unknown", "<nil>", "0", "-1")
) | {"true", "false", "[]", "{}", "lmy47d", NIL_UUID}


def id_problem(distinct_id: object) -> ValueProblem | None:
    """Why this is no distinct ID; None when it is one. Anything but text counts as NULL."""
    if not isinstance(distinct_id, str):
        return ValueProblem("null_id", "is NULL; without an ID there is no profile")
    if not distinct_id.strip():
        return ValueProblem("refused_id", "is empty or blank")
    if distinct_id != distinct_id.strip():
        return ValueProblem("refused_id", "begins or ends with a space, which would make it another user's ID")
    if "\0" in distinct_id:
        return ValueProblem("bad_value", "holds a NUL character")
    try:
        length = len(distinct_id.encode())
    except UnicodeEncodeError:
        return ValueProblem("bad_value", "holds a lone surrogate, which is not Unicode text")
    if length > BYTES_MAX:
        return ValueProblem("refused_id", f"is {length} bytes long; {BYTES_MAX} are allowed")
    if distinct_id.lower() in REFUSED:
        return ValueProblem("refused_id", "is on Mixpanel's list of refused IDs (such as 0, -1, null, anonymous)")
    return None


def id_problems(distinct_ids: Sequence[object], *, uuids: bool = False) -> dict[int, ValueProblem]:
    """The problems of a page's IDs by their index; a page of plain ones is seen at a glance.

    ``uuids``: those that are text are UUIDs as a database writes them, of which only one is refused.
    """
    if _none_but_uuids(distinct_ids) if uuids else _plain(distinct_ids):
        return {}
    found = ((index, id_problem(distinct_id)) for index, distinct_id in enumerate(distinct_ids))
    return {index: problem for index, problem in found if problem is not None}


def _none_but_uuids(distinct_ids: Sequence[object]) -> bool:
    return set(map(type, distinct_ids)) <= {str} and NIL_UUID not in distinct_ids


def _plain(distinct_ids: Sequence[Any]) -> bool:
    """Whether all are ASCII text without spaces, short enough and not refused."""
    try:
        joined = "\n".join(distinct_ids)
    except TypeError:  # a NULL among them
        return False
    lowered = joined.lower()
    lines = lowered.split("\n")
    return (
        len(lines) == len(distinct_ids)
        and lowered.split() == lines  # nothing empty, no space in front, inside or behind
        and joined.isascii()
        and "\0" not in joined
        and max(map(len, lines)) <= BYTES_MAX
        and REFUSED.isdisjoint(lines)
    )
