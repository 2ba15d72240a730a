"""Cutting: nothing is lost, limits are kept, a profile is never split."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sending import outgoing

from sync_profiles.core.batching import BYTES_FLOOR, Cutter, cut, halve, halve_by_bytes
from sync_profiles.core.types import Batch, Outgoing

profiles = st.lists(
    st.builds(
        lambda key, size, records, delete: outgoing(str(key), body=b"x" * size, records=records, delete=delete),
        st.integers(0, 12),
        st.integers(2, 400),
        st.integers(1, 4),
        st.booleans(),
    ),
    max_size=60,
)
LIMITS = st.tuples(st.integers(1, 20), st.integers(10, 2_000))


def numbered(given_: list[Outgoing]) -> list[Outgoing]:
    """The same profiles with an ID of their own each."""
    return [msgspec.structs.replace(one, distinct_id=str(number)) for number, one in enumerate(given_)]


def keys(cut_: tuple[Outgoing, ...]) -> str:
    return "".join(profile.key for profile in cut_)


@settings(deadline=None)  # a busy machine is no failure
@given(profiles, LIMITS)
def test_cutting_loses_nothing_and_keeps_the_order(given_: list[Outgoing], limits: tuple[int, int]) -> None:
    cuts = list(cut(given_, records_max=limits[0], bytes_max=limits[1]))
    assert [profile for each in cuts for profile in each] == given_
    assert all(cuts), "a cut is never empty"


@settings(deadline=None)  # a busy machine is no failure
@given(st.one_of(profiles, profiles.map(numbered)), LIMITS, st.integers(1, 40))
def test_pages_of_any_size_are_cut_in_the_same_places(
    given_: list[Outgoing], limits: tuple[int, int], page: int
) -> None:
    cutter = Cutter(records_max=limits[0], bytes_max=limits[1])
    cuts = [each for start in range(0, len(given_), page) for each in cutter.extend(given_[start : start + page])]
    assert cuts + cutter.rest() == list(cut(given_, records_max=limits[0], bytes_max=limits[1]))


@settings(deadline=None)  # a busy machine is no failure
@given(profiles, LIMITS)
def test_a_cut_is_over_a_limit_only_when_it_is_a_single_profile(
    given_: list[Outgoing], limits: tuple[int, int]
) -> None:
    records_max, bytes_max = limits
    for each in cut(given_, records_max=records_max, bytes_max=bytes_max):
        batch = Batch(1, each)
        assert len(each) == 1 or (batch.records <= records_max and len(batch.body) <= bytes_max)


@settings(deadline=None)  # a busy machine is no failure
@given(profiles, LIMITS)
def test_deletes_and_repeated_ids_never_share_a_cut(given_: list[Outgoing], limits: tuple[int, int]) -> None:
    for each in cut(given_, records_max=limits[0], bytes_max=limits[1]):
        assert len({profile.delete for profile in each}) == 1
        assert len({profile.distinct_id for profile in each}) == len(each)


@settings(deadline=None)  # a busy machine is no failure
@given(profiles, LIMITS)
def test_a_cut_closes_only_for_a_reason(given_: list[Outgoing], limits: tuple[int, int]) -> None:
    records_max, bytes_max = limits
    cuts = list(cut(given_, records_max=records_max, bytes_max=bytes_max))
    for before, after in itertools.pairwise(cuts):
        joined = Batch(1, (*before, after[0]))
        assert (
            joined.records > records_max
            or joined.size > bytes_max
            or before[0].delete != after[0].delete
            or after[0].distinct_id in {profile.distinct_id for profile in before}
        )


@pytest.mark.parametrize(
    ("given_", "records_max", "expected"),
    [
        ("abcde", 2, ["ab", "cd", "e"]),
        ("abcd", 4, ["abcd"]),
        ("abab", 9, ["ab", "ab"]),
        ("aa", 9, ["a", "a"]),
        ("", 9, []),
    ],
)
def test_cuts_by_count_and_by_distinct_id(given_: str, records_max: int, expected: list[str]) -> None:
    assert [keys(each) for each in cut(map(outgoing, given_), records_max=records_max)] == expected


def test_a_body_of_exactly_the_limit_still_fits() -> None:
    pair = [outgoing("a", body=b"x" * 10), outgoing("b", body=b"x" * 10)]
    size = len(Batch(1, tuple(pair)).body)
    assert len(list(cut(pair, records_max=9, bytes_max=size))) == 1
    assert len(list(cut(pair, records_max=9, bytes_max=size - 1))) == 2


def test_what_is_open_is_carried_over_between_pages_and_handed_out_once() -> None:
    cutter = Cutter(records_max=3)
    assert cutter.extend([outgoing(key) for key in "ab"]) == []
    assert cutter.extend([outgoing("c")]) == []
    (closed,) = cutter.extend([outgoing("d")])
    assert closed is not None
    assert keys(closed) == "abc"
    assert [keys(each) for each in cutter.rest()] == ["d"]
    assert cutter.rest() == []


def test_after_a_413_later_cuts_are_smaller_and_never_grow_again() -> None:
    cutter = Cutter(records_max=100, bytes_max=100_000)
    cutter.shrink(20_000)
    cutter.shrink(50_000)
    closed = cutter.extend([outgoing(key, body=b"x" * 9_000) for key in "abcd"])
    assert [keys(each) for each in [*closed, *cutter.rest()]] == ["ab", "cd"]


def test_shrinking_stops_at_a_floor() -> None:
    cutter = Cutter(records_max=100, bytes_max=100_000)
    cutter.shrink(1)
    assert cutter.extend([outgoing(key, body=b"x" * (BYTES_FLOOR // 2 - 2)) for key in "ab"]) == []


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.integers(0, 500), min_size=2, max_size=50))
def test_halves_hold_everything_in_order_and_are_never_empty(sizes: list[int]) -> None:
    whole = tuple(outgoing(str(index), body=b"x" * size) for index, size in enumerate(sizes))
    for first, second in (halve(whole), halve_by_bytes(whole)):
        assert first + second == whole
        assert first
        assert second


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.integers(1, 500), min_size=2, max_size=50))
def test_halving_by_bytes_leaves_at_most_half_and_one_profile_in_each_part(sizes: list[int]) -> None:
    whole = tuple(outgoing(str(index), body=b"x" * size) for index, size in enumerate(sizes))
    for half in halve_by_bytes(whole):
        assert sum(len(profile.body) for profile in half) <= sum(sizes) / 2 + max(sizes)


def test_halving_by_bytes_sets_one_giant_apart() -> None:
    whole = (outgoing("a", body=b"x" * 9_000), outgoing("b"), outgoing("c"))
    assert [keys(half) for half in halve_by_bytes(whole)] == ["a", "bc"]


def test_one_profile_cannot_be_halved() -> None:
    for halving in (halve, halve_by_bytes):
        with pytest.raises(AssertionError, match="two profiles"):
            halving([outgoing()])
