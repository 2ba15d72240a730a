"""What ``verify`` says: its price beforehand, its findings afterwards; pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sync_profiles.core.types import Mismatch
from sync_profiles.engine.budget import Cost
from sync_profiles.engine.verify import Aim, Aimed, Verified
from sync_profiles.observe.report import duration

LINES_MAX = 100
"""Mismatches listed as text, a line each; ``--json`` lists all."""


def plan_line(sync: str, aim: Aim, aimed: Aimed, known: int, cost: Cost) -> str:
    """What is about to be read, what it costs and how long it takes."""
    rest = "the rest of an interrupted verification, " if aimed.continued else ""
    of = f" of {known:,}" if not aim.keys and not aim.everything else ""
    chosen = " at random" if of else ""
    what = ("profile" if aimed.count == 1 else "profiles") if aim.keys else "known profiles"
    how = "page by page" if cost.way == "pages" else "by ID"
    queries = f"{cost.queries:,} {'query' if cost.queries == 1 else 'queries'} of the 60 an hour of the project"
    return (
        f"{sync}: {rest}{aimed.count:,}{of} {what}{chosen}, {how}: {queries}, about {duration(cost.seconds)};"
        " a mismatch is looked at again after a minute"
    )


def as_json(sync: str, verified: Verified) -> dict[str, Any]:
    """The result as ``verify --json`` prints it."""
    by_kind: dict[str, list[Mismatch]] = {"missing": [], "different": [], "unwanted": []}
    for one in verified.found:
        by_kind[one.kind].append(one)
    return {
        "schema": 1,
        "sync": sync,
        "checked": verified.checked,
        "matching": verified.matching,
        "missing": [one.distinct_id for one in by_kind["missing"]],
        "different": [
            {"distinct_id": one.distinct_id, "properties": list(one.properties)} for one in by_kind["different"]
        ],
        "unwanted": [one.distinct_id for one in by_kind["unwanted"]],
    }


def result_lines(sync: str, verified: Verified) -> Iterator[str]:
    """The mismatches, the sum of it, and what may be behind it."""
    for one in verified.found[:LINES_MAX]:
        names = f"  {', '.join(one.properties)}" if one.kind == "different" else ""
        own = f"  (key {one.key})" if one.key != one.distinct_id else ""
        yield f"{one.kind:<9}  {one.distinct_id}{own}{names}"
    if len(verified.found) > LINES_MAX:
        yield f"… and {len(verified.found) - LINES_MAX:,} more: --json lists all"
    counts = {kind: sum(one.kind == kind for one in verified.found) for kind in ("missing", "different", "unwanted")}
    wrong = "".join(f", {count:,} {kind}" for kind, count in counts.items() if count)
    profiles = "1 profile" if verified.checked == 1 else f"{verified.checked:,} profiles"
    yield f"{sync}: {profiles} compared, {verified.matching:,} match{wrong}"
    if verified.left_out:
        yield f"{verified.left_out:,} could not be compared: their rows are rejected, gone or not there"
    unsent = sum(one.unsent for one in verified.found)
    if unsent:
        when = "the next full pass sends them, if no run before"
        yield f"{unsent:,} of these changed in the table since they were sent: {when}"


def reasons(verified: Verified) -> Iterator[str]:
    """What may be behind profiles that were not found."""
    missing = sum(one.kind == "missing" for one in verified.found)
    if missing and not verified.matching:
        yield (
            "No profile was found: is mixpanel.project_id the project of mixpanel.token, and mixpanel.region its"
            " region? `sync-profiles check` proves it." + (" The rest was not asked for." if verified.hopeless else "")
        )
    elif missing:
        yield (
            "A profile may be missing because somebody deleted it, or, in a project with Original ID Merge, because"
            " Mixpanel merged its ID into another one and gives back only that one."
        )


def advice(sync: str, verified: Verified) -> str:
    """What to do next."""
    if verified.found:
        return f"Next: `sync-profiles verify {sync} --all --repair` sends what does not match again."
    if verified.checked:
        return "Next: nothing. Mixpanel holds what the table holds, as far as it was compared."
    return "Nothing was compared. Next: `sync-profiles status` says what is known, `sync-profiles run` sends."
