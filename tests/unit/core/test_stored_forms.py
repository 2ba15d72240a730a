"""What is sent is what is stored: the quick way over whole pages against each value by itself."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from mappings import column, mapper, outgoing, page

from sync_profiles.core.changes import Change
from sync_profiles.core.records import encode
from sync_profiles.core.types import Outgoing, Profile

NUMBERS = st.sampled_from(["10.50", "10.5", "0.00", "100", "7.10", None])
ODD_NUMBERS = st.sampled_from(["-0.00", "-0.50", "1e3", None])
JSONS = st.sampled_from(
    [
        '{"b": 1.0, "a": 2}',
        '{"a":2}',
        "[1, 2]",
        '{"mrr": 10.5, "settings": {"mrr":10.5}}',
        '{"settings":{"a":2,"b":1}}',
        '"mrr\\":10.5"',
        "1.0",
        "null",
        None,
    ]
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.integers(1, 9),
            "mrr": st.one_of(NUMBERS, ODD_NUMBERS),
            "settings": JSONS,
            "extra": JSONS,
            "any": st.sampled_from(["x", 1, 1.5, True, None]),
        }
    ),
    min_size=1,
    max_size=12,
)
MAPPER = mapper(set={name: column(name) for name in ("mrr", "settings", "extra", "any")})


@settings(deadline=None)  # a busy machine is no failure
@given(ROWS)
def test_a_page_is_sent_as_each_value_by_itself_would_be(rows: list[dict[str, Any]]) -> None:
    profiles = [entry for entry in MAPPER(page(MAPPER, *rows)).mapped if isinstance(entry, Profile)]
    sent = MAPPER.outgoing_page([Change(profile, None, "new") for profile in profiles])
    for profile, made in zip(profiles, sent, strict=True):
        assert isinstance(made, Outgoing)
        values = {reader.name: reader.sent(profile.row) for reader in MAPPER.readers}
        stored = {name: encode(value) for name, value in values.items() if value is not msgspec.UNSET}
        record = msgspec.json.decode(made.body, type=dict[str, msgspec.Raw])
        set_ = msgspec.json.decode(record["$set"], type=dict[str, msgspec.Raw])
        assert {name: bytes(raw) for name, raw in set_.items()} == stored


def test_a_name_that_stands_in_another_value_too_is_not_mistaken() -> None:
    row = {"id": 1, "mrr": "10.50", "extra": '{"mrr":10.5}', "settings": None, "any": None}
    assert outgoing(MAPPER, row).body.endswith(b'"$set":{"extra":{"mrr":10.5},"mrr":10.50}}')
