"""What others say is kept short, on one line, and without token or values of ours."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sending import TOKEN

from sync_profiles.core.masking import REASON_LENGTH_MAX, masking, shortened, values_of

BODY = (
    b'[{"$token":"%b","$distinct_id":"user-4711","$set":{"$email":"ann@x.example","city":"S\\u00e3o Paulo",'
    b'"mrr":1234.5,"n":12,"on":true,"tags":["alpha"],"deep":{"in":"nested value"}}},'
    b'{"$token":"%b","$distinct_id":"user-4711","$unset":["middle_name"]}]' % (TOKEN.encode(), TOKEN.encode())
)


def mask(text: str) -> str:
    return masking(TOKEN, BODY)(text)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("$token, missing or empty", "$token, missing or empty"),
        (f"token {TOKEN} is unknown", "token *** is unknown"),
        (f"token={TOKEN.upper()}&x", "token=***&x"),
        ("bad id user-4711", "bad id ***"),
        ("$email 'ann@x.example' is wrong", "$email '***' is wrong"),
        ("bob@else.example is not yours", "*** is not yours"),
        ("cut ann@x.exa...", "cut ***"),
        ("city São Paulo too long", "city *** too long"),
        ("mrr 1234.5 and n 12", "mrr *** and n 12"),
        ("tags alpha, nested value", "tags ***, ***"),
        ("alphabet is another word", "alphabet is another word"),
        ("property middle_name is unknown", "property middle_name is unknown"),
    ],
)
def test_token_and_values_are_masked_and_names_stay(said: str, kept: str) -> None:
    assert mask(said) == kept


def test_a_long_value_is_masked_before_the_text_is_cut() -> None:
    value = "v" * 300
    body = b'[{"$set":{"bio":"%b"}}]' % value.encode()
    assert shortened(f"refused: {value}", masking(TOKEN, body)) == "refused: ***"


def test_a_body_that_is_no_json_has_no_values() -> None:
    assert values_of(b"\xff[") == set()


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("  two\r\nlines\tand \x1b[31mcolour\x00 ", "two lines and [31mcolour"),
        ("half \ud800 pair", "half pair"),
        ("right-to-left \u202e mark", "right-to-left mark"),
        ("é ok", "é ok"),
    ],
)
def test_a_reason_is_one_printable_line(said: str, kept: str) -> None:
    assert shortened(said, str) == kept


@settings(deadline=None)  # a busy machine is no failure
@given(st.text())
def test_a_reason_is_never_long_and_always_printable(said: str) -> None:
    reason = shortened(said, mask)
    assert len(reason) <= REASON_LENGTH_MAX
    assert reason.isprintable()
