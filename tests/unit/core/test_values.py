from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync_profiles.core.columns import whole_column
from sync_profiles.core.problems import ValueProblem
from sync_profiles.core.types import Kind, ValueType
from sync_profiles.core.values import conversion

encode = msgspec.json.encode
TYPES: tuple[ValueType | None, ...] = (None, "string", "number", "boolean", "date", "datetime", "list", "json", "uuid")
UUID_TEXT = "8c8a2c5e-7b1f-4a52-9d3c-0123456789ab"


def canonical(kind: Kind, raw: Any, wanted: ValueType | None = None) -> str | None:
    value = conversion(kind, wanted).canonical(raw)
    return None if value is None else encode(value).decode()


def sent(kind: Kind, raw: Any, wanted: ValueType | None = None) -> str | None:
    made = conversion(kind, wanted)
    value = (made.sent or made.canonical)(raw)
    return None if value is None else encode(value).decode()


def problem(kind: Kind, raw: Any, wanted: ValueType | None = None) -> str:
    made = conversion(kind, wanted)
    with pytest.raises(ValueProblem) as first:
        made.canonical(raw)
    with pytest.raises(ValueProblem) as second:
        (made.sent or made.canonical)(raw)
    assert first.value.code == second.value.code
    return first.value.code


@pytest.mark.parametrize(
    ("kind", "raw", "expected"),
    [
        (Kind.TEXT, "Zoë", '"Zoë"'),
        (Kind.TEXT, "", '""'),
        (Kind.TEXT, "007", '"007"'),
        (Kind.UUID, UUID_TEXT, f'"{UUID_TEXT}"'),
        (Kind.INTEGER, 0, "0"),
        (Kind.INTEGER, 2**53, "9007199254740992"),
        (Kind.INTEGER, -(2**53), "-9007199254740992"),
        (Kind.INTEGER, 2**53 + 1, '"9007199254740993"'),
        (Kind.INTEGER, -(2**53) - 1, '"-9007199254740993"'),
        (Kind.INTEGER, 18446744073709551615, '"18446744073709551615"'),
        (Kind.INTEGER, "text where SQLite lets it in", '"text where SQLite lets it in"'),
        (Kind.TEXT, 7, "7"),
        (Kind.BYTES, "text", '"text"'),
        (Kind.JSON, 5, "5"),
        (Kind.FLOAT, 1.5, "1.5"),
        (Kind.FLOAT, 1e300, "1e300"),
        (Kind.BOOLEAN, True, "true"),
        (Kind.BOOLEAN, 0, "false"),
        (Kind.BOOLEAN, 1, "true"),
        (Kind.BOOLEAN, b"\x01", "true"),
        (Kind.BOOLEAN, b"\x00", "false"),
        (Kind.BOOLEAN, "t", "true"),
        (Kind.INSTANT, "2024-05-01 10:00:00+00", '"2024-05-01T10:00:00"'),
        (Kind.INSTANT, "2024-05-01 10:00:00.123456+00", '"2024-05-01T10:00:00.123"'),
        (Kind.INSTANT, "2024-05-01 10:00:00.999999+00", '"2024-05-01T10:00:00.999"'),
        (Kind.INSTANT, "2024-05-01 10:00:00.5+00", '"2024-05-01T10:00:00.500"'),
        (Kind.INSTANT, "2024-05-01 10:00:00.000456+00", '"2024-05-01T10:00:00"'),
        (Kind.INSTANT, "2024-05-01 10:00:00+05:30", '"2024-05-01T04:30:00"'),
        (Kind.INSTANT, "2024-05-01 10:00:00.25-08", '"2024-05-01T18:00:00.250"'),
        (Kind.INSTANT, "1961-04-12 06:07:00+00", '"1961-04-12T06:07:00"'),
        (Kind.INSTANT, "0044-03-15 12:00:00+00", '"0044-03-15T12:00:00"'),
        (Kind.DATETIME, "2024-05-01 10:00:00", '"2024-05-01T10:00:00"'),
        (Kind.DATETIME, "2024-05-01T10:00:00Z", '"2024-05-01T10:00:00"'),
        (Kind.DATETIME, "2024-05-01t10:00", '"2024-05-01T10:00:00"'),
        (Kind.DATETIME, "2024-05-01 10:00:00,5", '"2024-05-01T10:00:00.500"'),
        (Kind.DATETIME, "2024-05-01", '"2024-05-01T00:00:00"'),
        (Kind.DATETIME, 1714557600, '"2024-05-01T10:00:00"'),
        (Kind.DATETIME, "0000-00-00 00:00:00", None),
        (Kind.DATETIME, "2024-00-00 00:00:00", None),
        (Kind.DATE, "2024-05-01", '"2024-05-01"'),
        (Kind.DATE, "2024-05-00", None),
        (Kind.DATE, "0000-00-00", None),
        (Kind.TIME, "10:00:00", '"10:00:00"'),
        (Kind.TIME, "10:00:00.25", '"10:00:00"'),
        (Kind.TIME, "-838:59:59.000000", '"-838:59:59"'),
        (Kind.INTERVAL, "3600.000000", "3600"),
        (Kind.INTERVAL, "-0.500000", "-0.5"),
        (Kind.INTERVAL, 90, "90"),
        (Kind.SET, "b,a", '["a","b"]'),
        (Kind.SET, "", "[]"),
        (Kind.JSONB, '{"a": 1}', '{"a": 1}'),
        (Kind.JSONB, "null", None),
        (Kind.LIST, '["b", "a"]', '["b", "a"]'),
        (Kind.JSON, "null", None),
        (Kind.JSON, '"text"', '"text"'),
        (Kind.ANY, "text", '"text"'),
        (Kind.ANY, 7, "7"),
        (Kind.ANY, True, "true"),
        (Kind.ANY, 2**60, f'"{2**60}"'),
        (Kind.ANY, date(2024, 5, 1), '"2024-05-01"'),
        (Kind.ANY, datetime(2024, 5, 1, 10, tzinfo=UTC), '"2024-05-01T10:00:00"'),
        (Kind.ANY, datetime(2024, 5, 1, 10, 0, 0, 123999), '"2024-05-01T10:00:00.123"'),  # noqa: DTZ001 - naive is UTC
        (Kind.ANY, datetime(2024, 5, 1, 10, tzinfo=timezone(timedelta(hours=2))), '"2024-05-01T08:00:00"'),
        (Kind.ANY, time(10, 30, 0, 5), '"10:30:00"'),
        (Kind.ANY, timedelta(minutes=2), "120"),
        (Kind.ANY, timedelta(milliseconds=1500), "1.5"),
        (Kind.ANY, uuid.UUID(UUID_TEXT), f'"{UUID_TEXT}"'),
        (Kind.ANY, {"b", "a"}, '["a","b"]'),
        (Kind.ANY, ("x", 1), '["x",1]'),
        (Kind.ANY, {"when": date(2024, 5, 1)}, '{"when":"2024-05-01"}'),
    ],
)
def test_a_value_has_one_json_form(kind: Kind, raw: Any, expected: str | None) -> None:
    assert canonical(kind, raw) == expected
    assert sent(kind, raw) == expected


@pytest.mark.parametrize(
    ("kind", "raw", "fingerprinted", "as_sent"),
    [
        (Kind.DECIMAL, "10.50", "10.5", "10.50"),
        (Kind.DECIMAL, "10.00", "10", "10.00"),
        (Kind.DECIMAL, "100", "100", "100"),
        (Kind.DECIMAL, "-0.00", "0", "-0.00"),
        (Kind.DECIMAL, "0.000", "0", "0.000"),
        (Kind.DECIMAL, "007.50", "7.5", "7.50"),
        (Kind.DECIMAL, "1E+3", "1000", "1000"),
        (Kind.DECIMAL, "1.5E-7", "0.00000015", "0.00000015"),
        (
            Kind.DECIMAL,
            "123456789012345678901234567890.10",
            "123456789012345678901234567890.1",
            "123456789012345678901234567890.10",
        ),
        (Kind.ANY, Decimal("10.50"), "10.5", "10.50"),
        (Kind.ANY, [Decimal("1.0")], "[1]", "[1.0]"),
        (Kind.JSON, '{ "b": 1.50,\n "a": [1, 2] }', '{"a":[1,2],"b":1.5}', '{ "b": 1.50,\n "a": [1, 2] }'),
        (Kind.JSON, "[12345678901234567890]", "[12345678901234567890]", "[12345678901234567890]"),
        (Kind.ANY, {"b": 1, "a": 2}, '{"a":2,"b":1}', '{"b":1,"a":2}'),
    ],
)
def test_digits_and_layout_are_sent_as_stored_and_fingerprinted_alike(
    kind: Kind, raw: Any, fingerprinted: str, as_sent: str
) -> None:
    assert canonical(kind, raw) == fingerprinted
    assert sent(kind, raw) == as_sent


@pytest.mark.parametrize(
    ("wanted", "kind", "raw", "expected"),
    [
        ("string", Kind.INTEGER, 7, '"7"'),
        ("string", Kind.INTEGER, 2**70, f'"{2**70}"'),
        ("string", Kind.BOOLEAN, 1, '"true"'),
        ("string", Kind.DECIMAL, "10.50", '"10.50"'),
        ("string", Kind.FLOAT, 1.5, '"1.5"'),
        ("string", Kind.INSTANT, "2024-05-01 10:00:00+00", '"2024-05-01T10:00:00"'),
        ("string", Kind.INSTANT, "infinity", '"infinity"'),
        ("string", Kind.DATETIME, "soon", '"soon"'),
        ("string", Kind.DATETIME, "0000-00-00 00:00:00", None),
        ("string", Kind.DATE, "0044-03-15 BC", '"0044-03-15 BC"'),
        ("string", Kind.TIME, "noon", '"noon"'),
        ("string", Kind.BYTES, "Zoë".encode(), '"Zoë"'),
        ("string", Kind.BYTES, memoryview(b"a"), '"a"'),
        ("string", Kind.JSONB, '{"b": 1, "a": 2}', '"{\\"a\\":2,\\"b\\":1}"'),
        ("string", Kind.JSON, '"text"', '"text"'),
        ("number", Kind.TEXT, "12.50", "12.5"),
        ("number", Kind.TEXT, " 7 ", "7"),
        ("number", Kind.TEXT, "+.5", "0.5"),
        ("number", Kind.TEXT, "1e3", "1000"),
        ("number", Kind.BOOLEAN, True, "1"),
        ("number", Kind.INTEGER, 7, "7"),
        ("boolean", Kind.INTEGER, 0, "false"),
        ("boolean", Kind.INTEGER, 1, "true"),
        ("boolean", Kind.TEXT, "T", "true"),
        ("boolean", Kind.TEXT, "false", "false"),
        ("boolean", Kind.TEXT, "Yes", "true"),
        ("boolean", Kind.DECIMAL, "0.00", "false"),
        ("date", Kind.INSTANT, "2024-05-01 23:00:00+00", '"2024-05-01"'),
        ("date", Kind.TEXT, "2024-05-01T23:00:00-05:00", '"2024-05-02"'),
        ("date", Kind.INTEGER, 1714557600, '"2024-05-01"'),
        ("datetime", Kind.DATE, "2024-05-01", '"2024-05-01T00:00:00"'),
        ("datetime", Kind.INTEGER, 1714557600, '"2024-05-01T10:00:00"'),
        ("datetime", Kind.INTEGER, 1714557600123, '"2024-05-01T10:00:00.123"'),
        ("datetime", Kind.FLOAT, 1714557600.123, '"2024-05-01T10:00:00.123"'),
        ("datetime", Kind.DECIMAL, "1714557600.999999", '"2024-05-01T10:00:00.999"'),
        ("datetime", Kind.INTEGER, -1, '"1969-12-31T23:59:59"'),
        ("datetime", Kind.TEXT, "1714557600", '"2024-05-01T10:00:00"'),
        ("datetime", Kind.TEXT, "2024-05-01T10:00:00.1+02:00", '"2024-05-01T08:00:00.100"'),
        ("datetime", Kind.TEXT, "0000-00-00 00:00:00", None),
        ("list", Kind.TEXT, '["a", 1]', '["a",1]'),
        ("list", Kind.LIST, '["a", "b"]', '["a","b"]'),
        ("list", Kind.SET, "b,a", '["a","b"]'),
        ("json", Kind.TEXT, '{"b": 1, "a": 2}', '{"a":2,"b":1}'),
        ("json", Kind.ANY, "[1, 2]", "[1,2]"),
        ("json", Kind.TEXT, "null", None),
        ("uuid", Kind.BYTES, uuid.UUID(UUID_TEXT).bytes, f'"{UUID_TEXT}"'),
        ("uuid", Kind.TEXT, UUID_TEXT.upper().replace("-", ""), f'"{UUID_TEXT}"'),
    ],
)
def test_a_type_converts_what_can_be_converted(wanted: ValueType, kind: Kind, raw: Any, expected: str | None) -> None:
    assert canonical(kind, raw, wanted) == expected


@pytest.mark.parametrize(
    ("wanted", "kind", "raw", "code"),
    [
        (None, Kind.FLOAT, float("nan"), "not_finite"),
        (None, Kind.FLOAT, float("-inf"), "not_finite"),
        (None, Kind.DECIMAL, "NaN", "not_finite"),
        (None, Kind.DECIMAL, "-Infinity", "not_finite"),
        (None, Kind.DECIMAL, "1e999999999", "not_finite"),
        (None, Kind.DECIMAL, "0e-999999999", "not_finite"),
        (None, Kind.ANY, Decimal("NaN"), "not_finite"),
        (None, Kind.ANY, [float("inf")], "not_finite"),
        (None, Kind.DECIMAL, "money", "bad_value"),
        (None, Kind.INSTANT, "infinity", "not_finite"),
        (None, Kind.INSTANT, "-infinity", "not_finite"),
        (None, Kind.DATE, "infinity", "not_finite"),
        (None, Kind.INSTANT, "0044-03-15 00:00:00+00 BC", "bad_date"),
        (None, Kind.INSTANT, "10000-01-01 00:00:00+00", "bad_date"),
        (None, Kind.INSTANT, "0001-01-01 00:00:00+05", "bad_date"),
        (None, Kind.DATE, "294276-12-31", "bad_date"),
        (None, Kind.DATETIME, "2023-02-29 00:00:00", "bad_date"),
        (None, Kind.DATETIME, "2024-05-01 24:00:00", "bad_date"),
        (None, Kind.DATETIME, "yesterday", "bad_date"),
        (None, Kind.DATETIME, "", "bad_date"),
        (None, Kind.TIME, "noon", "bad_date"),
        (None, Kind.BYTES, b"\xff", "bytes"),
        (None, Kind.ANY, b"abc", "bytes"),
        (None, Kind.ANY, [b"abc"], "bytes"),
        (None, Kind.ANY, object(), "bad_value"),
        (None, Kind.BOOLEAN, "maybe", "bad_value"),
        (None, Kind.JSON, "{", "bad_json"),
        (None, Kind.JSON, "", "bad_json"),
        (None, Kind.JSON, "NaN", "bad_json"),
        (None, Kind.JSON, '"\\ud800"', "bad_json"),
        (None, Kind.JSON, '"\udc80"', "bad_json"),
        (None, Kind.JSON, "[" * 5000 + "]" * 5000, "bad_json"),
        ("string", Kind.BYTES, b"\xff", "bytes"),
        ("number", Kind.BYTES, b"1", "bad_value"),
        ("number", Kind.TEXT, "1,5", "bad_value"),
        ("number", Kind.TEXT, "", "bad_value"),
        ("number", Kind.TEXT, "1_000", "bad_value"),
        ("number", Kind.TEXT, "٣", "bad_value"),
        ("number", Kind.TEXT, "nan", "not_finite"),
        ("number", Kind.DATE, "2024-05-01", "bad_value"),
        ("boolean", Kind.FLOAT, 0.5, "bad_value"),
        ("date", Kind.TEXT, "01.05.2024", "bad_date"),
        ("datetime", Kind.TEXT, "20240501", "bad_date"),
        ("datetime", Kind.INTEGER, 10**15, "bad_date"),
        ("datetime", Kind.BOOLEAN, True, "bad_date"),
        ("datetime", Kind.FLOAT, float("nan"), "bad_date"),
        ("list", Kind.TEXT, "a,b", "bad_json"),
        ("list", Kind.JSONB, '{"a": 1}', "bad_value"),
        ("list", Kind.INTEGER, 1, "bad_value"),
        ("json", Kind.TEXT, "{", "bad_json"),
        ("uuid", Kind.BYTES, b"short", "bad_value"),
        ("uuid", Kind.TEXT, "no-uuid", "bad_value"),
        ("uuid", Kind.INTEGER, 1, "bad_value"),
    ],
)
def test_what_cannot_be_sent_is_refused_with_a_code(wanted: ValueType | None, kind: Kind, raw: Any, code: str) -> None:
    assert problem(kind, raw, wanted) == code


def refusal(kind: Kind, wanted: ValueType | None, raw: Any) -> ValueProblem | None:
    try:
        conversion(kind, wanted).canonical(raw)
    except ValueProblem as found:
        return found
    return None


@pytest.mark.parametrize("raw", ["h0stile", b"h0stile", {"h0stile": b"x"}, "{h0stile", ["h0stile", object()]])
def test_a_problem_never_tells_the_value(raw: Any) -> None:
    trusted = {Kind.JSONB, Kind.LIST}
    found = [refusal(kind, wanted, raw) for kind in Kind for wanted in TYPES if kind not in trusted]
    assert any(found)
    assert not any("h0stile" in f"{problem} {problem.text} {problem.code}" for problem in found if problem)


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("wanted", TYPES)
def test_null_is_null_everywhere(kind: Kind, wanted: ValueType | None) -> None:
    assert canonical(kind, None, wanted) is None
    assert sent(kind, None, wanted) is None


# --- properties ----------------------------------------------------------------------------------------------------

ANY_TEXT = st.text(st.characters(exclude_categories=()))
DIGITS = st.from_regex(r"-?[0-9]{1,30}(\.[0-9]{1,12})?", fullmatch=True)


def stamps(*zones: str) -> st.SearchStrategy[str]:
    fractions = ["", ".1", ".12", ".123", ".0001", ".000000", ".999999", ".100200"]
    return st.builds(
        lambda moment, letter, fraction, zone: moment.isoformat(letter, "seconds") + fraction + zone,
        st.datetimes(),
        st.sampled_from("   T"),
        st.sampled_from(fractions),
        st.sampled_from(zones),
    )


STAMPS = stamps("+00", "", "+02", "-05:30", "Z")
ODD_DATES = ["infinity", "0000-00-00", "0000-00-00 00:00:00", "2024-00-00", "2024-05-01", "2024-05-01 10:00:00\n"]
ODD_NUMBERS = ["NaN", "-0.0", "-0.50", "1\n2", ".", "1e5", "00", "1."]
ODD = st.sampled_from([*ODD_DATES, *ODD_NUMBERS, "0044-03-15 00:00:00.12+00 BC", "null", "", "+00", "\udc80", "\0"])
RAW = st.one_of(
    ANY_TEXT,
    DIGITS,
    STAMPS,
    ODD,
    st.dates().map(str),
    st.integers(),
    st.integers(-(2**54), 2**54),
    st.floats(),
    st.booleans(),
    st.binary(max_size=3),
    st.sampled_from(['{"b": 1, "a": 1.50}', "[1, 2]", '"x"', Decimal("1.50"), Decimal("NaN")]),
)
# What the database hands over as JSON of its own making is JSON: these kinds are not handed anything else.
TRUSTED = {Kind.JSONB, Kind.LIST}


def one_by_one(kind: Kind, wanted: ValueType | None, values: list[Any]) -> list[Any] | None:
    try:
        found = [conversion(kind, wanted).canonical(value) for value in values]
    except ValueProblem:
        return None
    return None if None in found else found


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        (Kind.DECIMAL, ["1\n2"], None),
        (Kind.DECIMAL, ["1.50", "-0.50"], None),
        (Kind.DECIMAL, ["1.50", "100", "0.0"], ["1.5", "100", "0"]),
        (Kind.INSTANT, ["2024-05-01 10:00:00.000456+00"], ['"2024-05-01T10:00:00"']),
        (
            Kind.INSTANT,
            ["2024-05-01 10:00:00.1+00", "2024-05-01 10:00:00+00"],
            ['"2024-05-01T10:00:00.100"', '"2024-05-01T10:00:00"'],
        ),
        (Kind.INSTANT, ["2024-05-01 10:00:00.123456+00"], ['"2024-05-01T10:00:00.123"']),
        (Kind.INSTANT, ["2024-05-01 10:00:00+01"], None),
        (Kind.INSTANT, ["10000-01-01 00:00:00.5+00"], None),
        (Kind.INSTANT, ["0044-03-15 00:00:00.12+00 BC"], None),
        (Kind.INSTANT, ["2024-05-01 10:00:00+00\n2024-05-01 10:00:00+00"], None),
        (Kind.DATETIME, ["2024-05-01 10:00:00", "2024-00-01 10:00:00"], None),
        (Kind.DATETIME, ["0000-05-01 10:00:00"], None),
        (
            Kind.DATETIME,
            ["2024-05-01T10:00:00.5Z", "2024-05-01 10:00:00"],
            ['"2024-05-01T10:00:00.500"', '"2024-05-01T10:00:00"'],
        ),
        (Kind.DATE, ["2024-05-01"], ['"2024-05-01"']),
        (Kind.DATE, ["2024-05-00"], None),
        (Kind.DATE, ["2024-05-01 10:00:00"], None),
    ],
)
def test_a_whole_column_is_fast_only_where_nothing_asks_for_a_closer_look(
    kind: Kind, values: list[str], expected: list[str] | None
) -> None:
    convert = whole_column(kind, None)
    assert convert is not None
    found = convert(values, {str})
    assert (found if found is None else [encode(value).decode() for value in found]) == expected


WHOLE = [(kind, wanted) for kind in Kind for wanted in TYPES if whole_column(kind, wanted) is not None]
OF_A_KIND = {
    Kind.DECIMAL: st.one_of(DIGITS, ODD),
    Kind.INSTANT: stamps("+00"),
    Kind.DATETIME: stamps(""),
    Kind.DATE: st.one_of(st.dates().map(str), ODD),
    Kind.INTEGER: st.one_of(st.integers(), st.integers(-5, 5)),
    Kind.FLOAT: st.floats(),
    Kind.BOOLEAN: st.one_of(st.booleans(), st.integers(0, 2)),
    Kind.JSONB: st.sampled_from(["null", "1", '{"a": "null"}', '"\udc80"']),
    Kind.LIST: st.sampled_from(["[]", '["a", null]', '["\udc80"]']),
}


@pytest.mark.parametrize(("kind", "wanted"), WHOLE)
@settings(max_examples=25, deadline=None)  # a busy machine is no failure
@given(picked=st.data())
def test_a_whole_column_is_converted_as_its_values_are(
    kind: Kind, wanted: ValueType | None, picked: st.DataObject
) -> None:
    """The fast way gives the same values, or says that it cannot; it never lets a bad value through."""
    usual = OF_A_KIND.get(kind, ANY_TEXT)
    anything = usual if kind in TRUSTED else st.one_of(usual, RAW)
    values = picked.draw(st.one_of(st.lists(usual, min_size=1), st.lists(anything, min_size=1)))
    convert = whole_column(kind, wanted)
    assert convert is not None
    found = convert(values, set(map(type, values)))
    if found is not None:
        expected = one_by_one(kind, wanted, values)
        assert expected is not None
        try:
            assert [encode(value) for value in found] == [encode(value) for value in expected]
        except UnicodeEncodeError:  # lone surrogates are left to the encoder, in both ways
            assert list(found) == expected


@given(DIGITS, st.integers(0, 5))
def test_trailing_zeros_do_not_change_the_fingerprinted_form(digits: str, zeros: int) -> None:
    longer = digits + ("" if "." in digits else ".0") + "0" * zeros
    assert canonical(Kind.DECIMAL, digits) == canonical(Kind.DECIMAL, longer)


@given(DIGITS, DIGITS)
def test_different_numbers_have_different_fingerprinted_forms(one: str, other: str) -> None:
    assert (canonical(Kind.DECIMAL, one) == canonical(Kind.DECIMAL, other)) == (Decimal(one) == Decimal(other))


@given(DIGITS)
def test_the_number_that_is_sent_is_the_number_that_is_stored(digits: str) -> None:
    text = sent(Kind.DECIMAL, digits)
    assert text is not None
    assert msgspec.json.decode(text, type=Decimal) == Decimal(digits)


JSON_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.floats(allow_nan=False, allow_infinity=False)),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=8,
)


def reordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: reordered(value[name]) for name in reversed(value)}
    return [reordered(member) for member in value] if isinstance(value, list) else value


@given(JSON_VALUES)
def test_json_is_fingerprinted_without_its_layout_and_sent_with_it(value: Any) -> None:
    compact = encode(value).decode()
    spaced = msgspec.json.format(encode(reordered(value)), indent=2).decode()
    assert canonical(Kind.JSON, compact) == canonical(Kind.JSON, spaced)
    if value is not None:
        assert sent(Kind.JSON, spaced) == spaced


@given(JSON_VALUES, JSON_VALUES)
def test_different_json_is_fingerprinted_differently(one: Any, other: Any) -> None:
    first, second = (canonical(Kind.JSON, encode(value).decode()) for value in (one, other))
    if first == second:
        assert one == other


@given(st.sampled_from(list(Kind)), st.sampled_from(TYPES), RAW)
def test_every_value_becomes_json_or_a_problem(kind: Kind, wanted: ValueType | None, raw: Any) -> None:
    if kind in TRUSTED and isinstance(raw, str):
        return
    made = conversion(kind, wanted)
    for form in (made.canonical, made.sent or made.canonical):
        try:
            text = encode(form(raw))
        except (ValueProblem, UnicodeEncodeError):
            continue
        msgspec.json.decode(text)
