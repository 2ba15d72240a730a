from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from mappings import (
    column,
    known,
    mapper,
    operations,
    page,
    profile,
)

from sync_profiles.core.types import (
    Outgoing,
    Profile,
    Property,
)

EVERYTHING = {
    "set": {
        "plan": column("plan"),
        "name": Property(template="{first} {last}"),
        "at": column("created_at"),
        "seen": column("seen"),
        "born": column("born"),
        "active": column("active"),
        "mrr": column("mrr", default=0),
        "score": column("score"),
        "settings": column("settings"),
        "extra": column("extra", path="a"),
        "any": column("any"),
        "hashed": column("email", hash="sha256"),
    },
    "set_once": {"first": column("first"), "started": column("created_at")},
    "union": {"roles": column("roles"), "tag": column("last")},
    "distinct_id": column("email"),
    "deleted": "deleted_at",
}
INSTANTS = ["2024-05-01 10:00:00+00", "2024-05-01 10:00:00.12+00", "infinity", "1955-01-01 00:00:00+00"]
TEXT = st.text(st.characters(exclude_categories=()), max_size=5)
JSON_TEXT = st.sampled_from(
    ['{"b": 1.50, "a": [1]}', '{"a": "\\u0000"}', '{"a": {"x": 10.0}}', "null", "[]", "{", '"\\ud800"']
)
ROW = st.fixed_dictionaries(
    {},
    optional={
        "email": st.sampled_from(["ada", "bob@example.com", "null", " x", "", "\udc80", "a" * 300, None]),
        "first": TEXT,
        "last": TEXT,
        "plan": st.one_of(TEXT, st.just("\\u0000")),
        "created_at": st.sampled_from(INSTANTS),
        "seen": st.sampled_from(["2024-05-01 10:00:00", "0000-00-00 00:00:00", "x"]),
        "born": st.sampled_from(["2024-05-01", "2024-00-01", "5 May"]),
        "active": st.sampled_from([True, False, 0, 1]),
        "mrr": st.sampled_from(["10.50", "10.5", "-0.00", "NaN", "1e3"]),
        "score": st.floats(),
        "settings": JSON_TEXT,
        "extra": JSON_TEXT,
        "roles": st.sampled_from(['["a", "b"]', "[]", "[null]", "[true]", '["\\u0000"]', "[1.50]"]),
        "any": st.one_of(st.integers(), TEXT, st.floats(), st.binary(max_size=2), st.none()),
        "deleted_at": st.sampled_from([None, None, None, "2024-05-01 10:00:00", "0000-00-00 00:00:00"]),
    },
)


@given(st.lists(ROW, max_size=6), st.sampled_from(["unset", "skip", "null"]))
def test_every_row_ends_in_exactly_one_class_and_alike_on_any_page(rows: list[dict[str, Any]], on_null: Any) -> None:
    """Neighbours on a page do not matter, and whatever is sent is JSON with each property in one record."""
    made = mapper(**EVERYTHING, on_null=on_null)
    found = made(page(made, *rows))
    assert [entry.key for entry in found.mapped] == [str(number) for number in range(1, len(rows) + 1)]
    for number, (entry, row) in enumerate(zip(found.mapped, rows, strict=True), 1):
        assert [entry] == list(made(page(made, {"id": number, **row})).mapped)
        if isinstance(entry, Profile):
            for before in (None, known(made._composer.names), known(("gone", "plan", "roles", "first"))):
                sent = made.outgoing(entry, before, prior=("started", "lost"), every_null=number % 2 == 0)
                if isinstance(sent, Outgoing):
                    check_sent(entry, sent)


def check_sent(entry: Profile, sent: Outgoing) -> None:
    named = [name for payload in operations(sent).values() for name in payload]
    assert len(named) == len(set(named)), "a property in two records"
    payloads = operations(sent)
    given_names = {*payloads.get("$set", ()), *payloads.get("$set_once", ()), *payloads.get("$union", ())}
    assert given_names <= set(sent.shape)
    assert not set(payloads.get("$unset", ())) & set(sent.shape)
    assert payloads.get("$set", {}) == msgspec.json.decode(entry.set_json), (
        "sent and fingerprinted form differ in value"
    )
    assert all(payloads.get("$union", {}).values()), "an empty union"
    assert b"\\u0000" not in sent.body.replace(b"\\\\", b"")


@given(st.permutations(['"a": 1', '"b": 2.50', '"c": [1, 2]']), st.integers(0, 3))
def test_layout_and_zeros_do_not_change_a_fingerprint(parts: list[str], zeros: int) -> None:
    made = mapper(set={"settings": column("settings"), "mrr": column("mrr")})
    plain = profile(made, settings='{"a":1,"b":2.5,"c":[1,2]}', mrr="10.5")
    varied = profile(made, settings="{" + " , ".join(parts) + "}", mrr="10.5" + "0" * zeros)
    assert varied.fingerprint == plain.fingerprint


NAMES = ("plan", "email", "first")
SENDABLE = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"))
TEXT_ROW = st.dictionaries(st.sampled_from(NAMES), SENDABLE)


@given(TEXT_ROW, TEXT_ROW)
def test_different_rows_have_different_fingerprints(one: dict[str, str], other: dict[str, str]) -> None:
    made = mapper(set={name: column(name) for name in NAMES})
    first, second = profile(made, **one), profile(made, **other)
    assert (first.fingerprint == second.fingerprint) == (one == other)
