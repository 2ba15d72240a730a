from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_profiles.observe import redact as module
from sync_profiles.observe.redact import redact, register_secret


@pytest.fixture(autouse=True)
def _no_secrets_of_others() -> Iterator[None]:
    before = set(module._secrets)
    module._secrets.clear()
    yield
    module._secrets.clear()
    module._secrets.update(before)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("cannot reach postgresql://app:hunter2@db:5432/app", "cannot reach postgresql://***@db:5432/app"),
        ("mysql+pymysql://app:p@ss/w:rd@db/app is away", "mysql+pymysql://***@db/app is away"),
        ("redis://:hunter2@cache/0", "redis://***@cache/0"),
        ("https://ci.example/ping is up", "https://ci.example/ping is up"),
        ("http://127.0.0.1:8066/engage refused", "http://127.0.0.1:8066/engage refused"),
        ("Key (email)=(ada.l+news@mail.example.org) already exists", "Key (email)=(***) already exists"),
        ("row 7: <ada@example.org>", "row 7: <***>"),
        ("Grüße an jürgen@müller.example", "Grüße an ***"),
        ("host=db user=app password=hunter2 dbname=app", "host=db user=app password=*** dbname=app"),
        ("sslpassword='two words' host=db", "sslpassword=*** host=db"),
        ("GET /engage?token=0123abcd&verbose=1", "GET /engage?token=***&verbose=1"),
        ('Write it as { column = "x", secret = true }', 'Write it as { column = "x", secret = true }'),
        ("@user is no address, nor is a@b", "@user is no address, nor is a@b"),
    ],
)
def test_what_looks_like_a_login_or_an_address_is_masked_and_nothing_else(text: str, masked: str) -> None:
    assert redact(text) == masked


def test_a_registered_secret_is_masked_plain_and_as_it_looks_inside_a_url() -> None:
    register_secret("p@ss word/1")
    text = "p@ss word/1 p%40ss%20word%2F1 p%40ss+word%2F1"
    assert redact(text) == "*** *** ***"


def test_a_secret_inside_another_one_leaves_no_remainder() -> None:
    register_secret("token")
    register_secret("token-of-production")
    assert redact("sent with token-of-production") == "sent with ***"


@pytest.mark.parametrize("nothing", [None, "", "   ", "abc"])
def test_what_is_too_short_to_be_a_secret_masks_nothing(nothing: str | None) -> None:
    register_secret(nothing)
    assert redact("abc   def") == "abc   def"


def test_masking_a_line_of_json_leaves_json() -> None:
    line = msgspec.json.encode({"url": "http://proxy", "a": "postgres://u:p@h/x", "b": "ada@example.org"}).decode()
    assert msgspec.json.decode(redact(line)) == {"url": "http://proxy", "a": "postgres://***@h/x", "b": "***"}


@given(st.text())
def test_masking_twice_is_masking_once(text: str) -> None:
    once = redact(text)
    assert redact(once) == once


@pytest.mark.timeout(20)
@pytest.mark.parametrize("text", ["a" * 200_000, "a:" * 100_000, "a@" * 100_000, "://:" * 50_000, "://a" * 50_000])
def test_a_long_hostile_line_comes_back_at_all(text: str) -> None:
    """A search that is quadratic in the length of the line would run into the time limit."""
    assert redact(f"{text} @ ada@example.org").endswith(" @ ***")
