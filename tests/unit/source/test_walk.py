"""Pages that were read in more than one transaction."""

from __future__ import annotations

import pytest

from sync_profiles.core.types import Page
from sync_profiles.source.walk import latest


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        (Page([], []), Page([], [])),
        (Page(["1", "2"], [("a",), ("b",)]), Page(["1", "2"], [("a",), ("b",)])),
        (Page(["1", "2", "1"], [("old",), ("b",), ("new",)]), Page(["1", "2"], [("new",), ("b",)])),
    ],
    ids=["empty", "as it is", "a row that changed in between"],
)
def test_a_row_that_was_read_twice_is_there_once_as_it_was_read_last(page: Page, expected: Page) -> None:
    assert latest(page) == expected
