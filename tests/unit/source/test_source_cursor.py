"""Cursors that are numbers; those that are times belong to the databases and are tested there."""

from __future__ import annotations

from decimal import Decimal

import pytest

from sync_profiles.core.types import Column, Kind
from sync_profiles.source.cursor import clamped, moved_back
from sync_profiles.source.numerals import as_decimal, as_integer, encodes, epoch_scale
from sync_profiles.source.postgres import PostgreSQL
from sync_profiles.source.sqlite import SQLite

INTEGER = Column("at", Kind.INTEGER, "bigint")
DECIMAL = Column("at", Kind.DECIMAL, "numeric")
TEXT = Column("at", Kind.TEXT, "text")
NOW = 1_800_000_000.9


@pytest.mark.parametrize(
    ("value", "scale"),
    [(0, 1), (42, 1), (1_800_000_000, 1), (1_800_000_000_000, 1000), (1_800_000_000_000_000, 10**6), (1.8e18, 10**9)],
)
def test_the_size_of_a_number_tells_its_unit(value: float, scale: int) -> None:
    assert epoch_scale(value) == scale


@pytest.mark.parametrize(
    ("lower", "column", "bound"),
    [
        ("1800000000", INTEGER, 1_799_999_100),
        ("1800000000000", INTEGER, 1_799_999_100_000),
        ("1800000000.5", DECIMAL, Decimal("1799999100.5")),
        ("100", INTEGER, -800),
        ("v7", TEXT, "v7"),
    ],
)
def test_a_bound_moves_back_in_its_own_unit(lower: str, column: Column, bound: object) -> None:
    assert moved_back(lower, 900, column, PostgreSQL()) == bound


def test_part_of_a_second_moves_a_bound_down_and_never_up() -> None:
    assert moved_back("1800000000", 0.5, INTEGER, PostgreSQL()) == 1_799_999_999


@pytest.mark.parametrize(
    ("value", "column", "cursor"),
    [
        (None, INTEGER, None),
        (1_700_000_000, INTEGER, "1700000000"),
        (1_900_000_000, INTEGER, "1800000000"),
        (1_900_000_000_000, INTEGER, "1800000000000"),
        (5, INTEGER, "5"),
        (20_000_000_000, INTEGER, "20000000000"),
        ("1900000000.25", DECIMAL, "1800000000"),
        ("NaN", DECIMAL, None),
        ("Infinity", DECIMAL, None),
        ("0000-00-00 00:00:00", TEXT, None),
        ("zzz", TEXT, "zzz"),
    ],
)
def test_a_watermark_lies_neither_ahead_of_now_nor_where_nothing_can_follow(
    value: object, column: Column, cursor: str | None
) -> None:
    assert clamped(value, NOW, column, PostgreSQL()) == cursor


@pytest.mark.parametrize(
    ("text", "kind", "number"),
    [("1800000000", Kind.DATETIME, 1_800_000_000), ("0", Kind.ANY, 0), ("7", Kind.TEXT, None), ("x", Kind.ANY, None)],
)
def test_sqlite_stores_numbers_where_times_are_declared(text: str, kind: Kind, number: int | None) -> None:
    assert SQLite().number(text, Column("at", kind, "")) == number


@pytest.mark.parametrize(
    "text", ["", " 1", "01", "+1", "1.0", "1e3", "x", "18446744073709551616", "-9223372036854775809"]
)
def test_only_the_usual_form_of_an_integer_of_64_bits_is_one(text: str) -> None:
    assert as_integer(text) is None


def test_numbers_are_read_exactly() -> None:
    assert as_integer("-9223372036854775808") == -(2**63)
    assert as_decimal("1.10") == Decimal("1.10")
    assert as_decimal("NaN") is as_decimal("x") is None


def test_lone_surrogates_are_no_unicode() -> None:
    assert encodes("ä日")
    assert not encodes("\udcff")
