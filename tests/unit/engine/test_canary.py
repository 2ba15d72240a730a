"""The token's proof: written, read back within a minute, and deleted whatever happens."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from sending import TOKEN, Scripted, Time

from sync_profiles.core.facts import CanaryFacts
from sync_profiles.core.types import Accepted, Invalid, Json, Refused, Throttled, Uncertain, Verdict
from sync_profiles.engine.canary import WAITS_S, Canary, fly
from sync_profiles.errors import TemporaryError

ID = "sync-profiles-canary-1"
OURS = {"sync_profiles_canary": ID}


@dataclass
class Readings:
    """A reader that finds these properties, one reading after the other; the last one again and again."""

    found: Sequence[Mapping[str, Json] | None]
    asked: list[Sequence[str]] = field(default_factory=list)

    def fetch(self, ids: Sequence[str]) -> Mapping[str, Json]:
        self.asked.append(ids)
        properties = self.found[min(len(self.asked), len(self.found)) - 1]
        return {} if properties is None else {ID: properties}


@dataclass
class Failing:
    def fetch(self, ids: Sequence[str]) -> Mapping[str, Json]:
        raise TemporaryError("the limit of queries is reached")


def flown(reader: Any, *verdicts: Verdict, time: Time | None = None) -> tuple[CanaryFacts, list[dict[str, Any]], Time]:
    time = time or Time()
    scripted = Scripted(verdicts or (Accepted(), Accepted()))
    facts = fly(Canary(scripted, reader, TOKEN, ID), time, time)
    return facts, [json.loads(body)[0] for body in scripted.bodies], time


def test_a_profile_that_is_read_back_proves_the_token_and_is_deleted() -> None:
    facts, records, _ = flown(Readings([OURS]))
    assert (facts.outcome, facts.removed) == ("proven", True)
    assert [record.get("$set", "delete") for record in records] == [OURS, "delete"]
    assert "$delete" in records[1]
    assert {record["$token"] for record in records} == {TOKEN}
    assert {record["$distinct_id"] for record in records} == {ID}


def test_reading_is_tried_for_a_minute_and_costs_few_queries() -> None:
    reader = Readings([None])
    facts, _, time = flown(reader)
    assert (facts.outcome, facts.removed) == ("unseen", True)
    assert facts.seconds == sum(time.waits) == 60
    assert len(reader.asked) == len(WAITS_S) <= 8


def test_a_profile_that_is_seen_late_is_seen() -> None:
    facts, _, time = flown(Readings([None, None, OURS]))
    assert (facts.outcome, facts.seconds) == ("proven", sum(time.waits))
    assert len(time.waits) == 3


@pytest.mark.parametrize("other", [{}, {"sync_profiles_canary": "another"}, {"plan": "pro"}])
def test_another_profile_under_that_id_proves_nothing(other: dict[str, Json]) -> None:
    assert flown(Readings([other]))[0].outcome == "unseen"


@pytest.mark.parametrize(
    ("verdict", "why"),
    [
        (Refused("HTTP 401"), "HTTP 401"),
        (Uncertain("the connection was reset"), "the connection was reset"),
        (Invalid("bad token"), "bad token"),
        (Throttled(), "rate limit"),
    ],
)
def test_a_profile_that_is_not_taken_is_refused_and_deleted_all_the_same(verdict: Verdict, why: str) -> None:
    reader = Readings([OURS])
    facts, records, _ = flown(reader, verdict, Accepted())
    assert facts.outcome == "refused"
    assert why in facts.why
    assert reader.asked == []
    assert "$delete" in records[1]


def test_a_reader_that_fails_leaves_the_token_unproven_and_nothing_behind() -> None:
    facts, records, _ = flown(Failing())
    assert (facts.outcome, facts.why, facts.removed) == ("unread", "the limit of queries is reached", True)
    assert "$delete" in records[1]


def test_a_stop_ends_the_waiting_and_the_profile_is_still_deleted() -> None:
    time = Time()
    time.stop_at = time.at + 2
    facts, records, _ = flown(Readings([None]), time=time)
    assert (facts.outcome, facts.removed) == ("stopped", True)
    assert "$delete" in records[1]


def test_a_profile_that_cannot_be_deleted_is_told() -> None:
    assert not flown(Readings([OURS]), Accepted(), Uncertain("no answer"))[0].removed


def test_a_bug_in_a_reader_still_deletes_the_profile() -> None:
    def broken(_ids: Sequence[str]) -> Mapping[str, Json]:
        raise ZeroDivisionError

    @dataclass
    class Broken:
        fetch: Callable[[Sequence[str]], Mapping[str, Json]] = field(default=broken)

    scripted = Scripted((Accepted(), Accepted()))
    with pytest.raises(ZeroDivisionError):
        fly(Canary(scripted, Broken(), TOKEN, ID), Time(), Time())
    assert len(scripted.bodies) == 2
