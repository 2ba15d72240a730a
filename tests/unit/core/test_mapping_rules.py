from __future__ import annotations

from typing import Any

import pytest
from mappings import (
    COLUMNS,
    KINDS,
    column,
    mapper,
    properties,
)

from sync_profiles.core.mapping import compile_mapping
from sync_profiles.core.types import (
    Column,
    Kind,
    MappingSpec,
    Property,
)
from sync_profiles.errors import ConfigError


def problems(primary_key: tuple[str, ...] = ("id",), **spec: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        mapper(primary_key, **spec)
    return caught.value.problems


@pytest.mark.parametrize(
    ("spec", "place", "words"),
    [
        ({"set": {"$email": column("emial")}}, 'set."$email"', 'unknown column "emial"; did you mean "email"?'),
        ({"set": {"x": column("PLAN")}}, "set.x", 'did you mean "plan"?'),
        ({"set": {"x": column("zzzzz")}}, "set.x", "there are: active, any"),
        ({"set": {'a"b': column("zzzzz")}}, 'set."a\\"b"', "unknown column"),
        ({"set": {"x": Property(template="{first} {lost}")}}, "set.x", 'unknown column "lost"; did you mean "last"?'),
        ({"set": {"x": Property(template="{first")}}, "set.x", "template: '{' at character 1 has no other half"),
        ({"set": {"x": Property(template="first}")}}, "set.x", "template: '}' at character 6 has no other half"),
        ({"set": {"x": Property(template="{}")}}, "set.x", "template: '{}' at character 1 names no column"),
        ({"set": {"x": Property(template="{{first}}")}}, "set.x", "template names no column"),
        ({"set": {"x": Property(template="{a!r}")}}, "set.x", 'unknown column "a!r"'),
        ({"set": {"x": Property(template="{password}")}}, "set.x", 'column "password" looks like a secret'),
        ({"set": {"x": column("password")}}, "set.x", '{ column = "password", secret = true }'),
        ({"set": {"x": column("password", hash="sha256")}}, "set.x", "looks like a secret"),
        ({"set_once": {"x": column("api_Token")}}, "set_once.x", "looks like a secret"),
        ({"union": {"x": column("api_Token")}}, "union.x", "looks like a secret"),
        ({"set": {"x": column("plan")}, "set_once": {"x": column("email")}}, "set_once.x", "one only"),
        ({"set": {"x": column("plan")}, "union": {"x": column("roles")}}, "union.x", "one only"),
        ({"set_once": {"x": column("plan")}, "union": {"x": column("roles")}}, "union.x", "one only"),
        ({"set": {"$distinct_id": column("id")}}, 'set."$distinct_id"', "cannot be a property"),
        ({"set": {"$token": column("id")}}, 'set."$token"', "cannot be a property"),
        ({"set": {"": column("id")}}, 'set.""', "name of a property is empty"),
        ({"set": {"n" * 256: column("id")}}, "set.nnn", "256 characters"),
        ({"set": {"a\0": column("id")}}, 'set."a', "NUL"),
        ({"set": {"x": Property()}}, "set.x", "exactly one of column, template, value"),
        ({"set": {"x": column("plan", value=1)}}, "set.x", "exactly one of column, template, value"),
        ({"set": {"x": Property(template="{plan}", path="a")}}, "set.x", "there is no column"),
        ({"set": {"x": column("id", path="a")}}, "set.x", '"id" is integer'),
        ({"set": {"x": column("extra", path="a..b")}}, "set.x", "empty step"),
        ({"set": {"x": Property(value=float("nan"))}}, "set.x", "value holds NaN"),
        ({"set": {"x": Property(value="a\0")}}, "set.x", "value holds a NUL"),
        ({"set": {"x": column("plan", type="number", default="none")}}, "set.x", "default holds something"),
        ({"union": {"x": Property(value=True)}}, "union.x", "texts and numbers"),
        ({"set": {}}, "set", "nothing to send"),
        ({"deleted": "deletd_at"}, "deleted", 'did you mean "deleted_at"?'),
        ({"distinct_id": column("uidd")}, "distinct_id", 'did you mean "uid"?'),
        ({"distinct_id": Property(value="x")}, "distinct_id", "several rows the same profile"),
        ({"distinct_id": column("uid", default="x")}, "distinct_id", "several rows the same profile"),
    ],
)
def test_a_wrong_mapping_is_refused_with_its_place(spec: dict[str, Any], place: str, words: str) -> None:
    found = problems(**spec)
    assert len(found) == 1
    assert found[0].startswith(place)
    assert words in found[0]


def test_all_problems_are_told_at_once() -> None:
    found = problems(("id", "uid"), set={"a": column("nope"), "b": column("password")}, deleted="nope")
    assert [line.partition(":")[0] for line in found] == ["set.a", "set.b", "distinct_id", "deleted"]


def test_a_composite_key_needs_a_distinct_id() -> None:
    assert problems(("id", "uid")) == ("distinct_id: is required, because the primary key has 2 columns",)
    assert not mapper(("id", "uid"), distinct_id=column("uid")).id_is_key


def test_secrets_can_be_sent_when_asked_for_by_name() -> None:
    assert properties(mapper(set={"x": column("password", secret=True)}), password="p") == {"x": "p"}


def test_reserved_names_are_the_users_choice() -> None:
    assert properties(mapper(set={"$city": column("plan"), "mp_x": column("plan")}), plan="p") == {
        "$city": "p",
        "mp_x": "p",
    }


def test_the_source_reads_each_column_once() -> None:
    spec = {"set": {"a": column("plan"), "b": Property(template="{first} {plan}")}, "set_once": {"c": column("born")}}
    made = mapper(**spec, union={"d": column("roles")}, deleted="deleted_at", distinct_id=column("uid"))
    assert made.columns == ("uid", "plan", "first", "born", "roles", "deleted_at")


def test_a_distinct_id_is_the_key_only_as_it_is() -> None:
    assert mapper().id_is_key
    assert mapper(distinct_id=column("id")).id_is_key
    assert not mapper(distinct_id=column("uid")).id_is_key
    assert not mapper(distinct_id=column("id", hash="sha256")).id_is_key
    assert not mapper(distinct_id=Property(template="u{id}")).id_is_key


def test_the_digest_tells_mappings_and_column_kinds_apart() -> None:
    other = [Column(name, Kind.ANY if name == "plan" else kind, "x") for name, kind in KINDS.items()]
    retyped = compile_mapping(MappingSpec(set={"plan": column("plan")}), other, ["id"], token="T0KEN")
    digests = [
        mapper().digest,
        retyped.digest,
        mapper(on_null="skip").digest,
        mapper(set={"plan": column("email")}).digest,
        mapper(distinct_id=column("uid")).digest,
        mapper(ignore_time=True).digest,
    ]
    assert len(set(digests)) == len(digests)
    assert all(len(digest) == 32 for digest in digests)
    unused = [*COLUMNS, Column("new", Kind.TEXT, "text")]
    assert compile_mapping(MappingSpec(set={"plan": column("plan")}), unused, ["id"], token="x").digest == digests[0]
