from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_profiles.core.keys import key_of, key_parts, keys_of

ANY_TEXT = st.text(st.characters(exclude_categories=()))  # lone surrogates and NUL included
PART = st.one_of(ANY_TEXT, st.binary(), st.none(), st.sampled_from(["\\x41", "\\\\", "\\N", "\\s00", '["1"]', ""]))


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ([7], "7"),
        ([-7], "-7"),
        ([2**70], str(2**70)),
        (["ada"], "ada"),
        (["Zoë"], "Zoë"),
        ([" 7 "], " 7 "),
        ([""], ""),
        ([b"\x01\xff"], "\\x01ff"),
        ([bytearray(b"A")], "\\x41"),
        ([memoryview(b"A")], "\\x41"),
        (["\\x41"], "\\\\x41"),
        (["a\\b"], "a\\b"),
        (["a\0b"], "\\s610062"),
        (["\udc80"], "\\sedb280"),
        ([None], "\\N"),
        (["\\N"], "\\\\N"),
        ([1, "a"], '["1","a"]'),
        (["a,b", 'c"d'], '["a,b","c\\"d"]'),
        ([1, None, b"A"], '["1","\\\\N","\\\\x41"]'),
    ],
)
def test_a_key_has_one_text_form(values: list[object], key: str) -> None:
    assert key_of(values) == key


@given(st.lists(PART, min_size=1, max_size=4))
def test_texts_bytes_and_nulls_come_back_from_their_key(values: list[str | bytes | None]) -> None:
    assert key_parts(key_of(values), len(values)) == tuple(values)


@given(st.lists(PART, min_size=2, max_size=2), st.lists(PART, min_size=2, max_size=2))
def test_different_rows_have_different_keys(one: list[object], other: list[object]) -> None:
    assert (key_of(one) == key_of(other)) == (one == other)


@given(st.lists(st.one_of(PART, st.integers()), min_size=1, max_size=3))
def test_every_key_can_be_stored_as_utf8_text_without_nul(values: list[object]) -> None:
    assert b"\0" not in key_of(values).encode()


@given(
    st.one_of(
        st.lists(st.integers()),
        st.lists(st.text()),
        st.lists(ANY_TEXT),
        st.lists(st.one_of(PART, st.integers())),
    )
)
def test_a_page_has_the_keys_of_its_rows(column: list[object]) -> None:
    assert keys_of([column]) == [key_of([value]) for value in column]
    assert keys_of([column, column]) == [key_of([value, value]) for value in column]


def test_a_composite_key_is_json_that_people_can_type() -> None:
    assert json.loads(key_of([1, "Zoë"])) == ["1", "Zoë"]
    assert key_parts('[ "1", "Zoë" ]', 2) == ("1", "Zoë")


@pytest.mark.parametrize(
    ("key", "n"),
    [("1", 2), ('["1"]', 2), ('["1","2","3"]', 2), ("[1,2]", 2), ("{}", 2), ("\\xzz", 1), ("\\q", 1), ("\\Nx", 1)],
)
def test_text_that_is_no_key_is_refused(key: str, n: int) -> None:
    with pytest.raises(ValueError):
        key_parts(key, n)
