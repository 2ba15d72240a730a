from __future__ import annotations

from typing import Any

import pytest
from mappings import (
    COLUMNS,
    column,
    known,
    mapped,
    mapper,
    operations,
    outgoing,
    profile,
    records,
)

from sync_profiles.core.mapping import compile_mapping
from sync_profiles.core.types import (
    MappingSpec,
    Outgoing,
    Profile,
    Property,
    Unmappable,
)


def test_a_user_record_has_the_envelope_mixpanel_asks_for() -> None:
    assert outgoing(mapper(), {"plan": "pro"}).body == (
        b'{"$token":"T0KEN","$distinct_id":"1","$ip":"0","$set":{"plan":"pro"}}'
    )
    assert outgoing(mapper(ignore_time=True), {"plan": "pro"}).body == (
        b'{"$token":"T0KEN","$distinct_id":"1","$ip":"0","$ignore_time":true,"$set":{"plan":"pro"}}'
    )


def test_a_percent_sign_in_a_token_a_name_or_a_value_stays_one() -> None:
    made = compile_mapping(MappingSpec(set={"50%b": column("plan")}), COLUMNS, ("id",), token="T%sN")
    sent = outgoing(made, {"plan": "%d"}, known(("100%",)))
    assert sent.body == (
        b'{"$token":"T%sN","$distinct_id":"1","$ip":"0","$set":{"50%b":"%d"}},'
        b'{"$token":"T%sN","$distinct_id":"1","$ip":"0","$unset":["100%"]}'
    )


def test_a_group_record_has_its_own_envelope() -> None:
    made = mapper(group_key="company", ignore_time=True)
    assert made.group
    assert not mapper().group
    assert outgoing(made, {"plan": "pro"}).body == (
        b'{"$token":"T0KEN","$group_key":"company","$group_id":"1","$set":{"plan":"pro"}}'
    )


def test_numbers_and_json_are_sent_as_they_are_stored() -> None:
    made = mapper(set={"mrr": column("mrr"), "s": column("settings"), "plan": column("plan")})
    sent = outgoing(made, {"mrr": "10.50", "s": "x", "settings": '{"b": 1.0, "a": 2}', "plan": None})
    assert sent.body.endswith(b'"$set":{"mrr":10.50,"s":{"b": 1.0, "a": 2}}}')
    assert sent.shape == ("mrr", "s")


def test_set_once_is_sent_until_the_profile_is_acknowledged_and_never_unset() -> None:
    made = mapper(set_once={"first": column("first"), "born": column("born")})
    new = outgoing(made, {"plan": "pro", "first": "A"})
    assert operations(new) == {"$set": {"plan": "pro"}, "$set_once": {"first": "A"}}
    assert new.shape == ("plan", "first")
    later = outgoing(made, {"plan": "pro"}, known(("plan", "first")))
    assert operations(later) == {"$set": {"plan": "pro"}}
    assert later.shape == ("plan", "first")
    again = outgoing(made, {"plan": "pro"}, known(("plan", "first")), every_null=True)
    assert operations(again) == {"$set": {"plan": "pro"}}


def test_a_set_once_value_that_cannot_be_sent_rejects_new_rows_only() -> None:
    made = mapper(set_once={"raw": column("raw"), "first": column("first")})
    assert isinstance(made.outgoing(profile(made, plan="p", raw=b"x"), known(("plan",))), Outgoing)
    refused = made.outgoing(profile(made, plan="p", raw=b"x"), None)
    assert isinstance(refused, Unmappable)
    assert (refused.key, refused.distinct_id, refused.code) == ("1", "1", "bytes")
    for first in ("\0", "\udc80"):
        refused = made.outgoing(profile(made, plan="p", first=first), None)
        assert isinstance(refused, Unmappable)
        assert refused.reason.startswith('column "first": holds a ')


def test_unions_are_lists_of_texts_and_numbers() -> None:
    made = mapper(union={"roles": column("roles"), "id": column("id"), "plans": column("plan")})
    sent = outgoing(made, {"roles": '["a", null, 2, 1.50]', "plan": None})
    assert operations(sent)["$union"] == {"roles": ["a", 2, 1.5], "id": [1]}
    assert sent.shape == ("id", "roles")


def test_an_empty_list_adds_nothing_and_removes_nothing() -> None:
    made = mapper(union={"roles": column("roles")})
    sent = outgoing(made, {"plan": "p", "roles": "[]"}, known(("plan", "roles")), every_null=True)
    assert operations(sent) == {"$set": {"plan": "p"}}
    assert sent.shape == ("plan", "roles")
    assert outgoing(made, {"plan": "p", "roles": "[]"}).shape == ("plan",)
    assert operations(outgoing(made, {"plan": "p"}, known(("plan", "roles"))))["$unset"] == ["roles"]


TWO = {"plan": column("plan"), "mrr": column("mrr")}
BOTH = ("plan", "mrr")
P = {"$set": {"plan": "p"}}


@pytest.mark.parametrize(
    ("on_null", "row", "before", "more", "expected", "shape"),
    [
        ("unset", {"plan": "p"}, None, {}, P, ("plan",)),
        ("unset", {"plan": "p"}, ("plan", "mrr"), {}, P | {"$unset": ["mrr"]}, ("plan",)),
        ("unset", {"plan": "p"}, ("plan",), {}, P, ("plan",)),
        ("unset", {"plan": "p"}, None, {"prior": ("mrr",)}, P | {"$unset": ["mrr"]}, ("plan",)),
        ("unset", {"plan": "p"}, ("plan",), {"prior": ("plan", "mrr")}, P | {"$unset": ["mrr"]}, ("plan",)),
        ("unset", {"plan": "p"}, None, {"every_null": True}, P | {"$unset": ["mrr"]}, ("plan",)),
        ("unset", {"plan": "p"}, ("plan",), {"every_null": True}, P | {"$unset": ["mrr"]}, ("plan",)),
        ("unset", {"plan": "p"}, ("old", "plan"), {}, P | {"$unset": ["old"]}, ("plan",)),
        ("unset", {"plan": "p", "mrr": "1"}, ("plan",), {"every_null": True}, {"$set": {"plan": "p", "mrr": 1}}, BOTH),
        ("unset", {}, None, {}, {"$set": {}}, ()),
        ("unset", {}, None, {"every_null": True}, {"$set": {}, "$unset": ["mrr", "plan"]}, ()),
        ("unset", {}, ("plan",), {}, {"$unset": ["plan"]}, ()),
        ("unset", {}, (), {}, {"$set": {}}, ()),
        ("skip", {"plan": "p"}, ("plan", "mrr"), {}, P, ("plan", "mrr")),
        ("skip", {"plan": "p"}, ("plan", "old"), {}, P | {"$unset": ["old"]}, ("plan",)),
        ("skip", {"plan": "p"}, None, {"every_null": True}, P, ("plan",)),
        ("skip", {}, ("plan",), {}, {"$set": {}}, ("plan",)),
        ("null", {"plan": "p"}, None, {}, {"$set": {"plan": "p", "mrr": None}}, BOTH),
        ("null", {}, ("plan", "old"), {}, {"$set": {"plan": None, "mrr": None}, "$unset": ["old"]}, BOTH),
    ],
)
def test_nulls_and_lost_properties_follow_the_policy(
    on_null: Any, row: dict[str, Any], before: tuple[str, ...] | None, more: Any, expected: Any, shape: tuple[str, ...]
) -> None:
    made = mapper(set=TWO, on_null=on_null)
    sent = outgoing(made, row, None if before is None else known(before), **more)
    assert operations(sent) == expected
    assert sent.shape == tuple(sorted(shape))
    assert sent.fingerprint == profile(made, **row).fingerprint


def test_a_property_that_moves_to_another_operation_is_not_unset() -> None:
    made = mapper(set_once={"first": column("first")}, union={"roles": column("roles")})
    sent = outgoing(made, {"plan": "p", "first": "A", "roles": '["a"]'}, known(("plan", "first", "roles")))
    assert operations(sent) == {"$set": {"plan": "p"}, "$union": {"roles": ["a"]}}


@pytest.mark.parametrize("wanted", [None, "json"])
@pytest.mark.parametrize("name", ["plan", "settings"])
def test_a_value_that_no_record_can_hold_is_rejected_with_its_size_before_it_is_encoded(name: str, wanted: Any) -> None:
    made = mapper(set={"large": column(name, type=wanted), "email": column("email")})
    large = '{"a":"' + "x" * 1_000_000 + '"}'
    refused, other = mapped(made, {name: large}, {name: "1"})
    assert isinstance(refused, Unmappable)
    assert isinstance(other, Profile)
    assert (refused.code, refused.reason) == (
        "too_large",
        f'column "{name}": holds {len(large):,} characters; Mixpanel takes records of at most 1,000,000 bytes',
    )
    part = mapper(set={"small": column("settings", path="b")})
    assert isinstance(mapped(part, {"settings": large[:-1] + ',"b":1}'})[0], Profile)


def test_a_record_over_the_size_limit_is_rejected_with_its_size() -> None:
    made = mapper(set={"a": column("plan"), "b": column("email")})
    refused = made.outgoing(profile(made, plan="x" * 600_000, email="y" * 600_000), None)
    assert isinstance(refused, Unmappable)
    assert refused.code == "too_large"
    assert "a record of 1,200," in refused.reason
    split = mapper(set={"a": column("plan")}, set_once={"b": column("email")})
    assert isinstance(split.outgoing(profile(split, plan="x" * 600_000, email="y" * 600_000), None), Outgoing)


def test_more_properties_than_mixpanel_keeps_are_rejected() -> None:
    made = mapper(set={f"p{number}": Property(value=number) for number in range(2001)})
    refused = made.outgoing(profile(made), None)
    assert isinstance(refused, Unmappable)
    assert refused.code == "too_many"


def test_a_removal_is_a_delete_or_an_unset() -> None:
    users, groups = mapper(set=TWO), mapper(group_key="company")
    deleted = users.removal("7", "u7", ("plan",), policy="delete")
    assert deleted == Outgoing("7", "u7", None, ("plan",), deleted.body, 1, delete=True)
    assert deleted.body == (
        b'{"$token":"T0KEN","$distinct_id":"u7","$ip":"0","$ignore_time":true,"$ignore_alias":true,"$delete":""}'
    )
    unset = users.removal("7", "u7", ("plan",), policy="unset")
    assert unset == Outgoing("7", "u7", None, ("plan",), unset.body, 1, delete=False)
    assert operations(unset) == {"$unset": ["plan"]}
    assert operations(users.removal("7", "u7", (), policy="unset")) == {"$unset": ["mrr", "plan"]}
    assert records(groups.removal("7", "u7", (), policy="delete")) == [
        {"$token": "T0KEN", "$group_key": "company", "$group_id": "u7", "$delete": ""}
    ]
    with pytest.raises(ValueError):
        users.removal("7", "u7", (), policy="ignore")
