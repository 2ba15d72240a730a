"""What Mixpanel holds against what the table says, as tables."""

from __future__ import annotations

from typing import Any

import builders as make
import mappings
import pytest

from sync_profiles.core.comparing import Wanted, differing, remaining, same
from sync_profiles.core.types import Profile

LONG = "x" * 300
UMLAUTS = "ä" * 200  # 400 bytes


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("pro", "pro"),
        ("", ""),
        (5, 5.0),
        (10.50, 10.5),
        (0, -0.0),
        (2**53 + 1, float(2**53)),
        (0.1 + 0.2, 0.30000000000000004),
        (True, True),
        (None, None),
        ([], []),
        (["a", "b"], ["b", "a"]),
        ([1, 1, 2], [2, 1, 1]),
        ([{"a": 1}, LONG], [LONG[:255], {"a": 1.0}]),
        ({"a": {"b": [1]}}, {"a": {"b": [1.0]}}),
        # texts are cut after 255 bytes or characters
        (LONG, LONG),
        (LONG, LONG[:255]),
        (UMLAUTS, UMLAUTS[:127]),
        (UMLAUTS + "ä" * 100, (UMLAUTS + "ä" * 100)[:255]),
        # dates come back as they were stored, to the second, or as a number
        ("2026-01-02T03:04:05", "2026-01-02T03:04:05"),
        ("2026-01-02T03:04:05.678", "2026-01-02T03:04:05"),
        ("2026-01-02T03:04:05.678", "2026-01-02T03:04:05.678"),
        ("2026-01-02", "2026-01-02T00:00:00"),
        ("2026-01-02T00:00:00", "2026-01-02"),
        ("2026-01-02T03:04:05", "2026-01-02T03:04:05Z"),
        ("2026-01-02T03:04:05", "2026-01-02T04:04:05+01:00"),
        ("2026-01-02T03:04:05", "2026-01-02 03:04:05"),
        ("2021-11-30T17:01:14", 1638291674),
        ("2021-11-30T17:01:14", 1638291674000),
        ("2021-11-30T17:01:14.500", 1638291674.5),
        ("1970-01-01T00:00:00", 0),
    ],
)
def test_the_same_in_another_form(ours: Any, theirs: Any) -> None:
    assert same(ours, theirs)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("pro", "Pro"),
        ("pro", "pro "),
        ("", None),
        (None, ""),
        (None, 0),
        ("5", 5),
        (5, "5"),
        (1, True),
        (False, 0),
        (5, 5.1),
        (10**400, 1.0),
        (10**400, 10**400 + 1),
        ("abc", "ab"),
        (LONG[:255], LONG[:254]),
        (LONG, LONG[:254]),
        (LONG, LONG[:200]),
        (LONG, 255),
        (["a"], "a"),
        ("a", ["a"]),
        (["a"], []),
        (["a"], ["a", "b"]),
        (["a", "a"], ["a", "b"]),
        ({"a": 1}, {"a": 1, "b": 2}),
        ({"a": 1, "b": 2}, {"a": 1}),
        ({"a": 1}, [1]),
        ("2026-01-02T03:04:05", "2026-01-02T03:04:06"),
        ("2026-01-02T03:04:05", "2026-01-02T03:04:05.500"),
        ("2026-01-02T03:04:05.678", "2026-01-02T03:04:05.600"),
        ("2026-01-02", "2026-01-03T00:00:00"),
        ("2026-01-02T03:04:05", 1638291674),
        ("2026-01-02T03:04:05", True),
        ("0000-00-00", "0000-00-00T00:00:00"),
        ("pro", 10**15),
    ],
)
def test_something_else(ours: Any, theirs: Any) -> None:
    assert not same(ours, theirs)


@pytest.mark.parametrize(
    ("wanted", "held", "names"),
    [
        (Wanted({}), {"plan": "free"}, ()),
        (Wanted({"plan": "pro"}), {"plan": "pro", "theirs": 1}, ()),
        (Wanted({"plan": "pro"}), {"plan": "free"}, ("plan",)),
        (Wanted({"plan": "pro"}), {}, ("plan",)),
        (Wanted({"plan": None}), {"plan": None}, ()),
        (Wanted({"plan": None}), {}, ("plan",)),
        (Wanted({"plan": "pro"}), {"plan": None}, ("plan",)),
        (Wanted({}, absent=("plan",)), {}, ()),
        (Wanted({}, absent=("plan",)), {"plan": None}, ("plan",)),
        (Wanted({}, present=("$created",)), {"$created": "whatever"}, ()),
        (Wanted({}, present=("$created",)), {"$created": None}, ()),
        (Wanted({}, present=("$created",)), {}, ("$created",)),
        (Wanted({}, members={"roles": ["a", "b"]}), {"roles": ["c", "b", "a"]}, ()),
        (Wanted({}, members={"roles": ["a", "a"]}), {"roles": ["a"]}, ()),
        (Wanted({}, members={"roles": ["a", 1]}), {"roles": ["a"]}, ("roles",)),
        (Wanted({}, members={"roles": [LONG]}), {"roles": [LONG[:255]]}, ()),
        (Wanted({}, members={"roles": ["a"]}), {"roles": "a"}, ("roles",)),
        (Wanted({}, members={"roles": ["a"]}), {}, ("roles",)),
        (Wanted({}, members={"roles": []}), {}, ()),
        (Wanted({LONG: 1}, present=(UMLAUTS + UMLAUTS,)), {LONG[:255]: 1, (UMLAUTS + UMLAUTS)[:255]: 2}, ()),
        (Wanted({}, absent=(LONG,)), {LONG[:255]: 1}, (LONG,)),
        (Wanted({"b": 1, "a": 1}, present=("c",), absent=("d",)), {"d": 1}, ("a", "b", "c", "d")),
    ],
)
def test_only_what_the_mapping_owns_is_compared(wanted: Wanted, held: dict[str, Any], names: tuple[str, ...]) -> None:
    assert differing(wanted, held) == names


@pytest.mark.parametrize(
    ("held", "shape", "left"),
    [
        ({}, ("plan",), ()),
        ({"theirs": 1}, ("plan",), ()),
        ({"theirs": 1, "plan": None}, ("plan", "$email"), ("plan",)),
        ({"plan": 1, "$email": 2}, ("plan", "$email", "plan"), ("$email", "plan")),
        ({LONG[:255]: 1}, (LONG,), (LONG,)),
        ({"plan": 1}, (), ()),
    ],
)
def test_what_is_left_of_a_removed_profile_is_what_was_ours(held: Any, shape: Any, left: Any) -> None:
    assert remaining(held, shape) == left


# --- what a mapping wants ------------------------------------------------------------------------------------------


def wanted(row: dict[str, Any], shape: tuple[str, ...] | None = None, **spec: Any) -> Wanted:
    mapping = mappings.mapper(**spec)
    (profile,) = mapping(mappings.page(mapping, row)).mapped
    assert isinstance(profile, Profile)
    return mapping.wanted(profile, None if shape is None else make.known(shape=shape))


PLAN = {"plan": mappings.column("plan")}


@pytest.mark.parametrize(
    ("on_null", "values", "absent"), [("unset", {}, ("plan",)), ("null", {"plan": None}, ()), ("skip", {}, ())]
)
def test_null_is_wanted_as_the_mapping_says(on_null: str, values: Any, absent: Any) -> None:
    found = wanted({"plan": None}, set=PLAN, on_null=on_null)
    assert (found.values, found.absent) == (values, absent)
    assert wanted({"plan": "pro"}, set=PLAN, on_null=on_null) == Wanted({"plan": "pro"})


def test_digits_as_stored_and_as_read_back_are_one_number() -> None:
    found = wanted({"mrr": "10.50"}, set={"mrr": mappings.column("mrr")})
    assert differing(found, {"mrr": 10.5}) == ()
    assert differing(found, {"mrr": 10.51}) == ("mrr",)


def test_of_set_once_only_what_was_sent_must_be_there() -> None:
    once = {"$created": mappings.column("created_at"), "$name": mappings.column("first")}
    row = {"created_at": "2026-01-01 00:00:00+00", "plan": "pro"}
    assert wanted(row, set=PLAN, set_once=once).present == ()
    assert wanted(row, ("plan", "$created", "gone"), set=PLAN, set_once=once).present == ("$created",)


def test_a_union_is_wanted_member_by_member_and_null_is_absent() -> None:
    spec = {"set": PLAN, "union": {"roles": mappings.column("roles"), "mrr": mappings.column("mrr")}}
    found = wanted({"plan": "pro", "roles": '["b", "a"]', "mrr": None}, **spec)
    assert (found.members, found.absent) == ({"roles": ["b", "a"]}, ("mrr",))
    assert wanted({"plan": "pro", "roles": "[]", "mrr": "1"}, **spec).members == {"roles": [], "mrr": [1]}
    assert wanted({"plan": "pro", "roles": None, "mrr": None}, on_null="skip", **spec).absent == ()
