"""How a table is cut into ranges of blocks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_profiles.source.blocks import Size, blocks_a_range, ranges


@given(st.integers(0, 5000), st.integers(1, 1024), st.integers(0, 10_000))
def test_every_block_is_in_one_range_also_one_that_the_table_grew_by(blocks: int, step: int, block: int) -> None:
    found = [(first, behind) for first, behind in ranges(blocks, step) if first <= block and (behind or 10**9) > block]
    assert len(found) == 1


@given(st.integers(0, 5000), st.integers(1, 1024))
def test_only_the_last_range_is_open_and_it_begins_in_the_table(blocks: int, step: int) -> None:
    cut = list(ranges(blocks, step))
    assert [behind for _, behind in cut].count(None) == 1
    assert cut[-1][1] is None
    assert cut[-1][0] < max(1, blocks)


@pytest.mark.parametrize(
    ("size", "all_rows", "expected"),
    [
        (Size(55_000, 1, 1_000_000, 55_000), True, 220),
        (Size(55_000, 1, 1_000_000, 55_000), False, 1024),
        (Size(5000, 1, 1_000_000, 5000), True, 20),
        (Size(5000, 1, 1_000_000, 5000), False, 256),
        (Size(5000, 10, 1_000_000, 5000), False, 26),
        (Size(50_000, 1000, 1_000_000, 50_000), True, 1),
        (Size(100, 1, 0, 0), True, 80),
        (Size(100, 1, -1, 0), False, 800),
        (Size(0, 0, 0, 0), True, 80),
    ],
    ids=[
        "wide",
        "wide, quiet",
        "narrow",
        "narrow, quiet",
        "partitions",
        "many partitions",
        "new",
        "new, quiet",
        "none",
    ],
)
def test_a_range_holds_a_few_thousand_rows_or_a_few_megabytes(size: Size, all_rows: bool, expected: int) -> None:
    assert blocks_a_range(size, all_rows=all_rows) == expected
