"""Each form reads what it documents, refuses the rest with a reason, and shows what it would read back."""

from __future__ import annotations

import copy
import pickle
from datetime import date

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_profiles.config import Secret, parse_duration
from sync_profiles.config.addresses import BASE_URL, HEALTHCHECK_URL, database_url, has_password
from sync_profiles.config.forms import (
    JSON,
    LIMIT,
    NAMES,
    TEXT,
    Form,
    MisfitError,
    choice,
    duration,
    format_duration,
    switch,
    whole,
    without_spaces,
)
from sync_profiles.core.types import Limit

DATABASE = database_url("postgresql", "sqlite")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("15m", 900),
        ("24h", 86_400),
        ("2d", 172_800),
        ("1h30m", 5_400),
        ("1d 2h 3m 4s", 93_784),
        ("60", 60),
        (" 5m ", 300),
        ("0", 0),
        ("0s", 0),
    ],
)
def test_a_duration_is_read_as_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", " ", "m", "5 minutes", "1.5h", "-5m", "30m1h", "5M", "\u0665m", "9" * 30, "1h30", "never"]
)
def test_anything_else_is_not_a_duration(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)


@given(st.integers(0, 10**9))
def test_a_shown_duration_reads_back(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("form", "written", "value"),
    [
        (duration(), 60, 60.0),
        (duration(zero=True), "0", 0.0),
        (duration(off="0"), "0", None),
        (duration(off="0"), 0, None),
        (duration(off="0"), "0s", None),
        (duration(off="never"), "never", None),
        (LIMIT, "2%", Limit(share=0.02)),
        (LIMIT, "0.5 %", Limit(share=0.005)),
        (LIMIT, "100%", Limit(share=1.0)),
        (LIMIT, "0%", Limit(share=0.0)),
        (LIMIT, "500", Limit(count=500)),
        (LIMIT, 0, Limit(count=0)),
        (whole(1, 64), 64, 64),
        (whole(1, 64), "8", 8),
        (choice("us", "eu"), "eu", "eu"),
        (switch(off="touch", on="keep"), "keep", True),
        (switch(off="touch", on="keep"), "touch", False),
        (NAMES, "id", ("id",)),
        (NAMES, ["tenant", "id"], ("tenant", "id")),
        (TEXT, " a ", " a "),
        (JSON, {"a": [1, 2.5, True, "x", ""]}, {"a": [1, 2.5, True, "x", ""]}),
        (BASE_URL, "https://gateway.example.com/mixpanel/", "https://gateway.example.com/mixpanel"),
        (BASE_URL, "http://127.0.0.1:8066", "http://127.0.0.1:8066"),
        (BASE_URL, "http://[::1]:8066", "http://[::1]:8066"),
        (BASE_URL, "http://LOCALHOST", "http://LOCALHOST"),
        (HEALTHCHECK_URL, "http://health.internal/x", Secret("http://health.internal/x")),
        (DATABASE, "postgresql+psycopg2://u:p@h/d", Secret("postgresql+psycopg2://u:p@h/d")),
        (DATABASE, "sqlite:///app.db", Secret("sqlite:///app.db")),
    ],
)
def test_a_form_reads_what_it_documents(form: Form, written: object, value: object) -> None:
    assert form.read(written) == value


@pytest.mark.parametrize(
    ("form", "written", "reason"),
    [
        (duration(), "0", "longer than 0"),
        (duration(off="never"), 0, 'write "never"'),
        (duration(), True, "not a duration"),
        (duration(), 1.5, "not a duration"),
        (duration(), "9999999d", "longer than"),
        (duration(longest_s=60), "61s", "longer than 1m"),
        (LIMIT, "101%", "not a share"),
        (LIMIT, "-1", "not a share"),
        (LIMIT, -1, "not a share"),
        (LIMIT, True, "not a share"),
        (LIMIT, 0.02, "not a share"),
        (LIMIT, "two", "not a share"),
        (whole(1, 64), 0, "from 1 to 64"),
        (whole(1, 64), 65, "from 1 to 64"),
        (whole(1, 64), True, "from 1 to 64"),
        (whole(1, 64), 4.0, "from 1 to 64"),
        (whole(1, 64), "four", "from 1 to 64"),
        (choice("us", "eu", "in"), "EU", "one of us, eu, in; did you mean 'eu'"),
        (choice("us", "eu"), ["us"], "one of us, eu"),
        (NAMES, [], "column name"),
        (NAMES, ["a", "a"], "twice"),
        (NAMES, ["a", " "], "empty"),
        (NAMES, "", "empty"),
        (NAMES, ["a", 1], "column name"),
        (TEXT, "", "is empty"),
        (TEXT, " \n", "is empty"),
        (TEXT, 5, "text in quotes"),
        (TEXT, "a\0b", "NUL"),
        (TEXT, "a\udcff", "UTF-8"),
        (JSON, float("nan"), "finite"),
        (JSON, [date(2026, 1, 1)], "put it in quotes"),
        (BASE_URL, "http://gateway.example.com", "must be https"),
        (BASE_URL, "http://127.0.0.1.example.com", "must be https"),
        (BASE_URL, "http://localhost.example.com", "must be https"),
        (BASE_URL, "https://user:pw@gateway.example.com", "credentials"),
        (BASE_URL, "http://127.0.0.1@example.com", "credentials"),
        (BASE_URL, "https://gateway.example.com/?a=1", "end with its path"),
        (BASE_URL, "ftp://gateway.example.com", "web address"),
        (BASE_URL, "gateway.example.com", "web address"),
        (BASE_URL, "https://", "web address"),
        (BASE_URL, "https://[::1", "web address"),
        (BASE_URL, "https://host:port", "web address"),
        (BASE_URL, 5, "text in quotes"),
        (BASE_URL, "", "empty"),
        (HEALTHCHECK_URL, "health.example.com", "web address"),
        (DATABASE, "oracle://u:p@h/d", "postgresql, sqlite"),
        (DATABASE, "postgresql:u:p@h", "database URL"),
        (DATABASE, "app.db", "database URL"),
        (DATABASE, "sqlite:///a.db\n", "line end around it"),
    ],
)
def test_a_form_refuses_with_a_reason_that_never_repeats_the_value(form: Form, written: object, reason: str) -> None:
    with pytest.raises(MisfitError) as caught:
        form.read(written)

    assert reason in str(caught.value)
    assert "u:p@" not in str(caught.value)
    assert "user:pw" not in str(caught.value)


@pytest.mark.parametrize("token", ["a b", "abc\n", " abc", ""])
def test_a_token_has_no_white_space(token: str) -> None:
    with pytest.raises(MisfitError):
        without_spaces(token)


@pytest.mark.parametrize(
    ("form", "written"),
    [
        (LIMIT, "2%"),
        (LIMIT, "7%"),
        (LIMIT, "12.3456%"),
        (LIMIT, "99.9999%"),
        (LIMIT, "10"),
        (duration(off="never"), "never"),
        (duration(off="0"), "0"),
        (duration(off="0"), "50m"),
        (duration(zero=True), "0"),
        (switch(off="touch", on="keep"), "keep"),
        (switch(off="touch", on="keep"), "touch"),
        (whole(1, 9), "5"),
    ],
)
def test_what_a_form_shows_it_reads_back(form: Form, written: str) -> None:
    assert form.show(form.read(written)) == written


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("postgresql://u:p@h/d", True),
        ("postgresql://:p@h/d", True),
        ("postgresql://u:p/w@h/d", True),
        ("postgresql://h/d?user=u&password=p", True),
        ("postgresql://u@h/d", False),
        ("postgresql://u:@h/d", False),
        ("postgresql://h:5432/d", False),
        ("postgresql://u@h:5432/d", False),
        ("sqlite:////srv/a:b@c.db", False),
    ],
)
def test_a_password_in_a_url_is_recognised(url: str, found: bool) -> None:
    assert has_password(url) is found


def test_a_secret_shows_itself_only_to_reveal() -> None:
    secret = Secret("hunter2")

    shown = [str(secret), repr(secret), f"{secret}", f"{secret:>20}", f"{secret!r:s}", "%s" % secret, f"{[secret]}"]  # noqa: UP031 - one of the ways to print
    assert not any("hunter2" in text for text in shown)
    assert secret.reveal() == "hunter2"
    assert not isinstance(secret, str)
    assert not hasattr(secret, "__dict__")


@pytest.mark.parametrize("leak", [pickle.dumps, copy.deepcopy, msgspec.json.encode])
def test_a_secret_is_not_serialised(leak: object) -> None:
    with pytest.raises(TypeError) as caught:
        leak(Secret("hunter2"))  # type: ignore[operator]  # each is a function of one value

    assert "hunter2" not in str(caught.value)


def test_secrets_are_equal_by_value() -> None:
    assert Secret("a") == Secret("a")
    assert hash(Secret("a")) == hash(Secret("a"))
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
