from __future__ import annotations

from typing import Any

import pytest
from mappings import (
    column,
    known,
    mapped,
    mapper,
    operations,
    outgoing,
    page,
    profile,
    properties,
    rejected,
)

from sync_profiles.core.types import (
    Page,
    Profile,
    Property,
    SoftDeleted,
    Unmappable,
)

SHA256_OF_A = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"


def test_a_row_becomes_its_properties_in_the_order_of_their_names() -> None:
    made = mapper(
        set={
            "$email": column("email"),
            "$name": Property(template="{first} {last}"),
            "$created": column("created_at"),
            "born": column("born"),
            "active": column("active"),
            "mrr": column("mrr"),
            "theme": column("settings", path="ui.theme"),
            "extra": column("extra"),
            "roles": column("roles"),
            "source": Property(value="app-db"),
        }
    )
    row = {
        "email": "ada@example.com",
        "first": "Ada",
        "last": "Lovelace",
        "created_at": "2024-05-01 10:00:00.25+00",
        "born": "1985-12-10",
        "active": True,
        "mrr": "10.50",
        "settings": '{"ui": {"theme": "dark"}}',
        "extra": '{"a": 1}',
        "roles": '["admin"]',
    }
    assert profile(made, **row).set_json == (
        b'{"$created":"2024-05-01T10:00:00.250","$email":"ada@example.com","$name":"Ada Lovelace","active":true,'
        b'"born":"1985-12-10","extra":{"a": 1},"mrr":10.5,"roles":["admin"],"source":"app-db","theme":"dark"}'
    )


@pytest.mark.parametrize(
    ("entry", "row", "expected"),
    [
        (column("plan"), {}, {}),
        (column("plan", default="free"), {}, {"x": "free"}),
        (column("plan", default=None), {}, {}),
        (column("score", default=0), {"score": float("nan")}, {"x": 0}),
        (column("score", default=None), {"score": float("inf")}, {}),
        (column("mrr", default=0), {"mrr": "NaN"}, {"x": 0}),
        (column("created_at", default="2000-01-01"), {"created_at": "infinity"}, {"x": "2000-01-01"}),
        (column("seen"), {"seen": "0000-00-00 00:00:00"}, {}),
        (column("seen", default="never"), {"seen": "0000-00-00 00:00:00"}, {"x": "never"}),
        (column("extra"), {"extra": "null"}, {}),
        (Property(template="{first}  {last}"), {"first": "A", "last": " B"}, {"x": "A   B"}),
        (Property(template="{first} {last}"), {"first": "A"}, {}),
        (Property(template="{first} {last}", default="?"), {"first": "A"}, {"x": "?"}),
        (Property(template="{{{first}}} {{}} %s {first}"), {"first": "{A}"}, {"x": "{{A}} {} %s {A}"}),
        (Property(template="{id}/{mrr}/{active}"), {"mrr": "1.50", "active": 1}, {"x": "1/1.50/true"}),
        (Property(template="{mrr}", type="number"), {"mrr": "1.50"}, {"x": 1.5}),
        (column("settings", path="a.b"), {"settings": '{"a": {"b": [1]}}'}, {"x": [1]}),
        (column("settings", path="a.1"), {"settings": '{"a": ["p", "q"]}'}, {"x": "q"}),
        (column("settings", path="a.7"), {"settings": '{"a": ["p", "q"]}'}, {}),
        (column("settings", path="a.b.c"), {"settings": '{"a": {"b": 1}}'}, {}),
        (column("settings", path="a"), {"settings": '{"a": null}'}, {}),
        (column("settings", path="a", default=0), {"settings": "[]"}, {"x": 0}),
        (column("plan", path="a", type="string"), {"plan": '{"a": 1.50}'}, {"x": "1.50"}),
        (column("extra", path="a", type="date"), {"extra": '{"a": "2024-05-01T01:00+02:00"}'}, {"x": "2024-04-30"}),
        (column("email", hash="sha256"), {"email": "a"}, {"x": SHA256_OF_A}),
        (column("email", hash="sha256"), {}, {}),
        (Property(value=[1, "a"]), {}, {"x": [1, "a"]}),
        (Property(value=False), {}, {"x": False}),
        (column("raw", type="string"), {"raw": b"abc"}, {"x": "abc"}),
        (column("any"), {"any": 5}, {"x": 5}),
    ],
)
def test_a_property_finds_its_value(entry: Property, row: dict[str, Any], expected: dict[str, Any]) -> None:
    assert properties(mapper(set={"x": entry}), **row) == expected


@pytest.mark.parametrize("name", ['a"b', "c\\d", "e\n", "ü"])
def test_names_that_json_must_escape_are_properties_like_others(name: str) -> None:
    made = mapper(set={name: column("mrr"), "plan": column("plan")})
    assert properties(made, mrr="1.50") == {name: 1.5}
    sent = outgoing(made, {"mrr": "1.50"}, known(("plan",)))
    assert operations(sent) == {"$set": {name: 1.5}, "$unset": ["plan"]}
    assert b":1.50}" in sent.body
    assert operations(outgoing(made, {"plan": "p"}, known((name,)))) == {"$set": {"plan": "p"}, "$unset": [name]}


@pytest.mark.parametrize(
    ("row", "code", "reason"),
    [
        ({"plan": "a\0b"}, "bad_value", 'column "plan": holds a NUL character'),
        ({"plan": "\udc80"}, "bad_value", 'column "plan": holds a lone surrogate, which is not Unicode text'),
        ({"settings": '{"a": "\\u0000"}'}, "bad_value", 'column "settings": holds a NUL character'),
        ({"extra": '{"a": "\\u0000"}'}, "bad_value", 'column "extra": holds a NUL character'),
        ({"extra": '{"a": "\\ud800"}'}, "bad_json", 'column "extra": holds JSON that is not valid'),
        ({"settings": "{"}, "bad_json", 'column "settings": holds text that is not valid JSON'),
        ({"score": float("nan")}, "not_finite", 'column "score": holds NaN or infinity'),
        ({"raw": b"x"}, "bytes", 'column "raw": holds bytes'),
        ({"first": "\0"}, "bad_value", 'property "name": holds a NUL character'),
        ({"roles": '[{"a": 1}]'}, "bad_value", 'column "roles": holds something a union cannot take'),
        ({"roles": '["\\u0000"]'}, "bad_value", 'column "roles": holds a NUL character'),
        ({"created_at": "10000-01-01 00:00:00+00"}, "bad_date", 'column "created_at": holds a date outside'),
    ],
)
def test_only_the_bad_row_of_a_page_is_rejected(row: dict[str, Any], code: str, reason: str) -> None:
    made = mapper(
        set={name: column(name) for name in ("plan", "settings", "extra", "score", "raw", "created_at")}
        | {"name": Property(template="{first}")},
        union={"roles": column("roles")},
    )
    fine = {"plan": "pro", "created_at": "2024-05-01 10:00:00+00", "score": 1.0, "first": "A", "roles": '["a"]'}
    first, bad, last = mapped(made, fine, {**fine, **row}, fine)
    assert isinstance(bad, Unmappable)
    assert (bad.key, bad.distinct_id, bad.code) == ("2", "2", code)
    assert bad.reason.startswith(reason)
    assert isinstance(first, Profile)
    assert isinstance(last, Profile)
    assert first.fingerprint == last.fingerprint == profile(made, **fine).fingerprint


def test_text_that_only_looks_like_an_escape_is_sent() -> None:
    made = mapper(set={"plan": column("plan"), "extra": column("extra")})
    row = {"plan": "\\u0000 \\ud800 \n\x01", "extra": '"\\\\u0000 \\ud83d\\ude00"'}
    assert properties(made, **row) == {"plan": row["plan"], "extra": "\\u0000 😀"}


@pytest.mark.parametrize(
    ("distinct_id", "code"),
    [
        (None, "null_id"),
        ("", "refused_id"),
        ("  ", "refused_id"),
        (" a", "refused_id"),
        ("a\u00a0", "refused_id"),
        ("Anonymous", "refused_id"),
        ("NULL", "refused_id"),
        ("<nil>", "refused_id"),
        ("00000000-0000-0000-0000-000000000000", "refused_id"),
        ("é" * 128, "refused_id"),
        ("a" * 256, "refused_id"),
        ("a\0b", "bad_value"),
        ("a\udc80", "bad_value"),
    ],
)
def test_what_is_no_distinct_id_is_rejected_and_not_repeated(distinct_id: str | None, code: str) -> None:
    made = mapper(distinct_id=column("email"))
    good, bad = mapped(made, {"email": "ada"}, {"email": distinct_id})
    assert isinstance(good, Profile)
    assert isinstance(bad, Unmappable)
    assert (bad.code, bad.distinct_id) == (code, None)
    assert bad.reason.startswith('distinct ID (column "email"): ')


@pytest.mark.parametrize(
    ("distinct_id", "code"), [(None, "null_id"), ("00000000-0000-0000-0000-000000000000", "refused_id")]
)
def test_a_column_of_uuids_may_hold_what_is_no_distinct_id_too(distinct_id: str | None, code: str) -> None:
    made = mapper(distinct_id=column("uid"))
    uid = "c4ca4238-a0b9-2382-0dcc-509a6f75849b"
    good, bad, last = mapped(made, {"uid": uid}, {"uid": distinct_id}, {"uid": uid})
    assert isinstance(good, Profile)
    assert isinstance(last, Profile)
    assert good.distinct_id == uid
    assert isinstance(bad, Unmappable)
    assert (bad.code, bad.distinct_id) == (code, None)


@pytest.mark.parametrize("number", [0, -1])
def test_ids_that_mixpanel_refuses_are_rejected_as_numbers_too(number: int) -> None:
    assert rejected(mapper(), id=number).code == "refused_id"


@pytest.mark.parametrize(
    ("entry", "row", "distinct_id"),
    [
        (column("id"), {"id": 7}, "7"),
        (column("id"), {"id": 2**60}, str(2**60)),
        (column("email"), {"email": "Ada@Example.com"}, "Ada@Example.com"),
        (column("email"), {"email": "two words"}, "two words"),
        (column("email"), {"email": "a" * 255}, "a" * 255),
        (column("any"), {"any": 7}, "7"),
        (column("mrr"), {"mrr": "7.0"}, "7.0"),
        (column("extra", path="id"), {"extra": '{"id": 7}'}, "7"),
        (Property(template="u-{id}"), {"id": 7}, "u-7"),
        (column("raw", type="string"), {"raw": b"abc"}, "abc"),
        (column("raw", type="uuid"), {"raw": bytes(15) + b"\1"}, "00000000-0000-0000-0000-000000000001"),
        (column("email", hash="sha256"), {"email": "a"}, SHA256_OF_A),
    ],
)
def test_a_distinct_id_is_text_and_keeps_its_case(entry: Property, row: dict[str, Any], distinct_id: str) -> None:
    assert profile(mapper(distinct_id=entry), **row).distinct_id == distinct_id


def test_bytes_are_no_distinct_id_unless_their_type_is_said() -> None:
    found = rejected(mapper(distinct_id=column("raw")), raw=b"abc")
    assert (found.code, found.distinct_id) == ("bytes", None)


@pytest.mark.parametrize(
    ("name", "value", "deleted"),
    [
        ("deleted_at", None, False),
        ("deleted_at", "2024-05-01 10:00:00", True),
        ("deleted_at", "0000-00-00 00:00:00", False),
        ("deleted_at", "infinity", True),
        ("active", True, True),
        ("active", False, False),
        ("active", 1, True),
        ("active", 0, False),
        ("id", 1, True),
        ("plan", "f", False),
        ("plan", "", False),
        ("plan", "yes", True),
        ("any", 0, False),
        ("any", 1, True),
        ("any", "0", False),
        ("raw", b"\0", False),
        ("raw", b"\1", True),
    ],
)
def test_a_row_counts_as_deleted_when_its_column_says_yes(name: str, value: Any, deleted: bool) -> None:
    made = mapper(deleted=name)
    (entry,) = mapped(made, {"plan": "pro", name: value})
    assert entry == SoftDeleted("1") if deleted else isinstance(entry, Profile)


def test_a_deleted_row_needs_no_good_values() -> None:
    made = mapper(deleted="active")
    assert mapped(made, {"active": True, "plan": "\0"}, {"active": False, "plan": "\0"})[0] == SoftDeleted("1")


def test_dates_before_1970_are_sent_and_warned_of_once_a_page() -> None:
    made = mapper(set={"a": column("born"), "b": column("created_at"), "c": column("plan", type="date")})
    row = {"born": "1961-04-12", "created_at": "1969-12-31 23:59:59+00", "plan": "1950-01-01"}
    found = made(page(made, row, row, {"born": "1970-01-01"}))
    assert all(isinstance(entry, Profile) for entry in found.mapped)
    assert [code for code, _ in found.warnings] == ["before_1970"] * 3
    assert found.warnings[0][1].startswith('column "born": holds dates before 1970')
    assert made(page(made, {"born": "1970-01-01"}, {"born": "0000-00-00"})).warnings == ()


def test_an_empty_page_maps_to_nothing() -> None:
    assert mapper()(Page([], [])).mapped == []


def test_a_mapping_may_have_only_one_operation() -> None:
    only_once = mapper(set={}, set_once={"a": column("plan")})
    assert operations(outgoing(only_once, {"plan": "p"})) == {"$set_once": {"a": "p"}}
    only_union = mapper(set={}, union={"a": column("plan")})
    assert operations(outgoing(only_union, {"plan": "p"})) == {"$union": {"a": ["p"]}}


# --- fingerprints --------------------------------------------------------------------------------------------------


def test_the_fingerprint_covers_what_is_set_and_united_and_nothing_else() -> None:
    made = mapper(union={"roles": column("roles")}, set_once={"first": column("first")})
    base = {"plan": "pro", "roles": '["a"]', "first": "x", "id": 1}
    changes: dict[str, dict[str, Any]] = {
        "same": {},
        "plan": {"plan": "free"},
        "null": {"plan": None},
        "roles": {"roles": '["b"]'},
        "empty": {"roles": "[]"},
        "no roles": {"roles": None},
        "once": {"first": "y"},
        "id": {"id": 2},
    }
    prints = {name: profile(made, **{**base, **change}).fingerprint for name, change in changes.items()}
    assert prints["same"] == prints["once"] == prints["id"]
    assert len(set(prints.values())) == 6
    assert all(len(value) == 16 for value in prints.values())


def test_fingerprints_do_not_change_between_versions_by_accident() -> None:
    """If this fails, the canonical form changed: raise FINGERPRINT_VERSION, or every user is sent again unasked."""
    made = mapper(
        set={"plan": column("plan"), "mrr": column("mrr"), "at": column("created_at"), "s": column("settings")}
    )
    row = {"plan": "Zoë", "mrr": "10.50", "created_at": "2024-05-01 10:00:00.25+00", "settings": '{"b": 1.0, "a": []}'}
    assert profile(made, **row).set_json == (
        '{"at":"2024-05-01T10:00:00.250","mrr":10.5,"plan":"Zoë","s":{"a":[],"b":1}}'.encode()
    )
    assert profile(made, **row).fingerprint.hex() == "1101a718bf7bd42d4849e2aa2947e246"


def test_a_mapping_written_in_another_order_is_the_same_mapping() -> None:
    one = mapper(set={"plan": column("plan"), "mrr": column("mrr")}, union={"a": column("plan"), "b": column("roles")})
    two = mapper(set={"mrr": column("mrr"), "plan": column("plan")}, union={"b": column("roles"), "a": column("plan")})
    row = {"plan": "pro", "mrr": "10.50", "roles": '["x"]'}
    assert profile(one, **row).fingerprint == profile(two, **row).fingerprint
    assert one.digest == two.digest
