"""One record: what it does to a profile, and when it is refused."""

from __future__ import annotations

from typing import Any

import pytest

from sync_profiles.sandbox.records import PROPERTIES_MAX, Update, change, read_record

USER: dict[str, Any] = {"$token": "t", "$distinct_id": "7", "$ip": "0"}
GROUP: dict[str, Any] = {"$token": "t", "$group_key": "company", "$group_id": "7"}


def user(**operation: Any) -> dict[str, Any]:
    return {**USER, **{f"${name}": value for name, value in operation.items()}}


def read(record: object, *, group: bool = False, lookup: bool = False) -> Update:
    update = read_record(record, group=group, lookup=lookup)
    assert isinstance(update, Update), update
    return update


@pytest.mark.parametrize(
    ("before", "record", "after"),
    [
        ({"a": 1}, user(set={"b": 2, "a": None}), {"a": None, "b": 2}),
        ({"a": 1}, user(set_once={"a": 2, "b": 3}), {"a": 1, "b": 3}),
        ({"a": None}, user(set_once={"a": 2}), {"a": None}),
        ({"a": 1, "b": 2}, user(unset=["a", "absent"]), {"b": 2}),
        ({"a": 1}, user(add={"a": -3, "b": 1.5}), {"a": -2, "b": 1.5}),
        ({"a": "text"}, user(add={"a": 1}), {"a": 1}),
        ({"a": [1]}, user(append={"a": 1, "b": "x"}), {"a": [1, 1], "b": ["x"]}),
        ({"a": ["x"]}, user(union={"a": ["x", "y", "y"], "b": [1]}), {"a": ["x", "y"], "b": [1]}),
        ({"a": ["x", "y", "x"], "b": 1}, user(remove={"a": "x", "b": 1, "c": 1}), {"a": ["y"], "b": 1}),
    ],
    ids=str,
)
def test_each_operation_changes_a_profile_as_documented(before: Any, record: Any, after: Any) -> None:
    change(before, read(record))
    assert before == after


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("x" * 255, "x" * 255), ("x" * 256, "x" * 255), ("é" * 128, "é" * 127), (["y" * 300], ["y" * 255])],
    ids=["255 bytes", "256 bytes", "never half a character", "in a list"],
)
def test_strings_end_after_255_bytes(sent: Any, kept: Any) -> None:
    properties: dict[str, Any] = {}
    change(properties, read(user(set={"a": sent})))
    assert properties == {"a": kept}


def test_names_end_after_255_characters() -> None:
    properties: dict[str, Any] = {}
    change(properties, read(user(set={"n" * 300: 1})))
    assert properties == {"n" * 255: 1}


def test_a_list_handed_out_earlier_does_not_change() -> None:
    properties: dict[str, Any] = {"a": ["x"]}
    earlier = properties["a"]
    for record in (user(append={"a": "y"}), user(union={"a": ["z"]}), user(remove={"a": "x"})):
        change(properties, read(record))
    assert earlier == ["x"]
    assert properties == {"a": ["y", "z"]}


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ("text", "record, must be an object"),
        ({"$distinct_id": "7", "$set": {}}, "$token, missing or empty"),
        ({"$token": "", "$distinct_id": "7", "$set": {}}, "$token, missing or empty"),
        ({"$token": 5, "$distinct_id": "7", "$set": {}}, "$token, missing or empty"),
        ({"$token": "t", "$set": {}}, "$distinct_id, missing or empty"),
        ({"$token": "t", "$distinct_id": "", "$set": {}}, "$distinct_id, missing or empty"),
        ({"$token": "t", "$distinct_id": None, "$set": {}}, "$distinct_id, missing or empty"),
        (USER, "one operation expected, found none"),
        (user(set={}, unset=["a"]), "one operation expected, found $set and $unset"),
        (user(set=[]), "$set, wrong type"),
        (user(unset=[]), "$unset, wrong type"),
        (user(unset="a"), "$unset, wrong type"),
        (user(unset=[1]), "$unset, wrong type"),
        (user(add={"a": "1"}), "$add, wrong type"),
        (user(add={"a": True}), "$add, wrong type"),
        (user(union={"a": "x"}), "$union, wrong type"),
        (user(union={"a": []}), "$union, wrong type"),
        (user(union={"a": [True]}), "$union, wrong type"),
        (user(remove={"a": ["x"]}), "$remove, wrong type"),
        (user(set={str(n): n for n in range(PROPERTIES_MAX + 1)}), "$set, more than 2000 properties"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_bad_user_record_is_refused_with_its_reason(record: object, reason: str) -> None:
    assert read_record(record, group=False, lookup=False) == reason


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"$token": "t", "$group_id": "7", "$set": {}}, "$group_key, missing or empty"),
        ({"$token": "t", "$group_key": "company", "$set": {}}, "$group_id, missing or empty"),
        ({**GROUP, "$add": {"a": 1}}, "one operation expected, found none"),
        ({**GROUP, "$append": {"a": 1}}, "one operation expected, found none"),
    ],
    ids=str,
)
def test_a_bad_group_record_is_refused_with_its_reason(record: object, reason: str) -> None:
    assert read_record(record, group=True, lookup=False) == reason


@pytest.mark.parametrize("value", ["", None, "null", 0, {}])
def test_the_value_of_delete_is_ignored(value: object) -> None:
    assert read(user(delete=value)).operation == "$delete"


def test_a_number_is_taken_as_distinct_id_because_clients_send_them() -> None:
    assert read({"$token": "t", "$distinct_id": 7, "$set": {}}).owner == "7"


@pytest.mark.parametrize(
    ("extra", "lookup", "located"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"$ip": "0"}, True, False),
        ({"$ip": 0}, True, False),
        ({"$ip": "203.0.113.9"}, False, True),
    ],
    ids=str,
)
def test_a_place_is_derived_unless_the_record_or_the_request_forbids_it(
    extra: dict[str, Any], lookup: bool, located: bool
) -> None:
    record = {"$token": "t", "$distinct_id": "7", "$set": {}, **extra}
    assert read(record, lookup=lookup).located is located


def test_a_city_that_was_sent_wins_over_the_derived_one() -> None:
    properties: dict[str, Any] = {}
    change(properties, read({"$token": "t", "$distinct_id": "7", "$set": {"$city": "Oslo"}}, lookup=True))
    assert properties["$city"] == "Oslo"
    assert properties["$timezone"] == "Etc/UTC"


def test_deletes_and_groups_have_no_place() -> None:
    assert not read({"$token": "t", "$distinct_id": "7", "$delete": ""}, lookup=True).located
    assert not read({**GROUP, "$set": {}}, group=True, lookup=True).located
