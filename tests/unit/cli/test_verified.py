"""What ``verify`` says, without a terminal."""

from __future__ import annotations

from typing import Any

import pytest
from fakes import MemoryState

from sync_profiles.cli.verified import LINES_MAX, advice, as_json, plan_line, reasons, result_lines
from sync_profiles.core.types import Mismatch, Verification
from sync_profiles.engine import targets
from sync_profiles.engine.budget import Cost
from sync_profiles.engine.verify import Aim, Aimed, Verified

MISSING = Mismatch("missing", "7", "7")
DIFFERENT = Mismatch("different", "9", "u9", ("$email", "plan"))
UNWANTED = Mismatch("unwanted", "3", "3", ("plan",))


def verified(*found: Mismatch, matching: int = 5, left_out: int = 0) -> Verified:
    return Verified(matching, left_out, found, complete=True)


def aimed(count: int, *, matching: int = 0) -> Aimed:
    some = targets.everything(MemoryState())
    return Aimed(some, count, Verification(0.0, "m", 0, b"", matching=matching))


def test_the_json_has_the_keys_of_the_contract_and_no_value() -> None:
    assert as_json("users", verified(DIFFERENT, MISSING, UNWANTED)) == {
        "schema": 1,
        "sync": "users",
        "checked": 8,
        "matching": 5,
        "missing": ["7"],
        "different": [{"distinct_id": "u9", "properties": ["$email", "plan"]}],
        "unwanted": ["3"],
    }


def test_each_mismatch_is_a_line_with_the_key_where_it_is_not_the_id() -> None:
    assert list(result_lines("users", verified(MISSING, DIFFERENT, UNWANTED, left_out=2))) == [
        "missing    7",
        "different  u9  (key 9)  $email, plan",
        "unwanted   3",
        "users: 8 profiles compared, 5 match, 1 missing, 1 different, 1 unwanted",
        "2 could not be compared: their rows are rejected, gone or not there",
    ]


def test_what_the_next_run_sends_anyway_is_said() -> None:
    unsent = Mismatch("missing", "7", "7", unsent=True)
    assert "1 of these changed" in list(result_lines("users", verified(unsent, DIFFERENT)))[-1]


def test_thousands_of_mismatches_are_not_thousands_of_lines() -> None:
    found = [Mismatch("missing", str(key), str(key)) for key in range(LINES_MAX + 1234)]
    lines = list(result_lines("users", verified(*found)))
    assert len(lines) == LINES_MAX + 2
    assert lines[LINES_MAX] == "… and 1,234 more: --json lists all"


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (verified(), []),
        (verified(DIFFERENT), []),
        (verified(MISSING), ["Original ID Merge"]),
        (verified(MISSING, matching=0), ["project_id", "region"]),
        (Verified(0, 0, (MISSING,), complete=True, hopeless=True), ["project_id", "The rest was not asked for."]),
    ],
)
def test_why_profiles_may_be_missing_is_said(result: Verified, words: list[str]) -> None:
    text = " ".join(reasons(result))
    assert bool(text) == bool(words)
    assert all(word in text for word in words)


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (verified(), "Next: nothing."),
        (verified(MISSING), "`sync-profiles verify users --all --repair`"),
        (verified(matching=0), "Nothing was compared."),
    ],
)
def test_the_last_line_says_what_to_do_next(result: Verified, text: str) -> None:
    assert text in advice("users", result)


@pytest.mark.parametrize(
    ("aim", "what", "cost", "text"),
    [
        (
            Aim(),
            aimed(1000),
            Cost("ids", 5, 10.0),
            "users: 1,000 of 4,000 known profiles at random, by ID: 5 queries of the 60 an hour of the project, about",
        ),
        (Aim(keys=("1",)), aimed(1), Cost("ids", 1, 2.0), "users: 1 profile, by ID: 1 query of"),
        (Aim(everything=True), aimed(4000), Cost("pages", 4, 8.0), "users: 4,000 known profiles, page by page: 4 q"),
        (
            Aim(everything=True),
            aimed(500, matching=3500),
            Cost("ids", 100, 7200.0),
            "users: the rest of an interrupted verification, 500 known profiles, by ID: 100 queries of the 60 an hour",
        ),
    ],
)
def test_what_it_costs_is_said_before(aim: Any, what: Any, cost: Cost, text: str) -> None:
    assert plan_line("users", aim, what, 4000, cost).startswith(text)
