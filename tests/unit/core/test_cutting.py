"""How many parts, where integer keys are cut, and how a budget is divided."""

from __future__ import annotations

import itertools

import pytest

from sync_profiles.core.cutting import (
    PART_ROWS,
    PARTS_MOST,
    integer_cuts,
    parts_wanted,
    share_of,
    thinned,
)


@pytest.mark.parametrize(
    ("rows", "workers", "parts"),
    [
        (0, 1, 2),
        (1, 4, 8),
        (20 * PART_ROWS, 2, 20),
        (20 * PART_ROWS + 1, 2, 21),
        (PART_ROWS, 50, 100),
        (10**12, 2, PARTS_MOST),
        (10**12, PARTS_MOST, 2 * PARTS_MOST),
        (None, 3, 24),
    ],
)
def test_parts_are_of_some_size_and_always_more_than_workers(rows: int | None, workers: int, parts: int) -> None:
    assert parts_wanted(rows, workers) == parts


@pytest.mark.parametrize("count", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(("least", "greatest"), [(1, 1), (1, 2), (-50, 49), (-(2**63), -(2**63) + 100), (0, 10**5 - 1)])
def test_integer_cuts_leave_no_part_wider_than_another_could_be(least: int, greatest: int, count: int) -> None:
    cuts = integer_cuts(least, greatest, count, None)
    assert cuts is not None
    assert len(cuts) < count or count == len(cuts) + 1
    bounds = [least - 1, *cuts, greatest]
    widths = [upto - after for after, upto in itertools.pairwise(bounds)]
    assert min(widths) >= 1
    assert max(widths) == -(-(greatest - least + 1) // count)


@pytest.mark.parametrize(
    ("greatest", "rows", "even"),
    [
        (4 * 10**6, 10**6, True),
        (4 * 10**6 + 4, 10**6, False),  # a range may hold nearly every row
        (2**62, 10**6, False),
        (2**62, None, False),
        (2 * PART_ROWS, 3, True),  # however they lie, no part is larger than a part may be
        (2 * PART_ROWS, None, True),
    ],
)
def test_numbers_far_apart_are_not_cut_by_arithmetic(greatest: int, rows: int | None, even: bool) -> None:
    assert (integer_cuts(1, greatest, 2, rows) is not None) is even


@pytest.mark.parametrize(("found", "most"), [(0, 3), (3, 3), (4, 3), (100, 7), (1000, 999), (5, 1)])
def test_too_many_cuts_are_thinned_evenly(found: int, most: int) -> None:
    kept = thinned(range(found), most)
    assert len(kept) == min(found, most)
    if found > most:
        gaps = [after - before for before, after in zip([-1, *kept], kept, strict=False)]
        assert max(gaps) - min(gaps) <= 1


def test_no_cut_is_left_where_one_part_is_wanted() -> None:
    assert thinned([1, 2, 3], 0) == []


@pytest.mark.parametrize(
    ("total", "shares"), [(4, [2, 2]), (5, [3, 2]), (4, [4]), (1, [1, 1, 1]), (7, [2, 2, 2, 1]), (20, [10, 10])]
)
def test_the_requests_in_flight_are_divided_and_nobody_gets_none(total: int, shares: list[int]) -> None:
    assert [share_of(total, len(shares), index) for index in range(len(shares))] == shares
