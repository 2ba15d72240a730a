"""What is said of a change column that cannot do its work."""

from __future__ import annotations

import pytest

from sync_profiles.source.cursor import cursor_notes


@pytest.mark.parametrize(
    ("nulls", "ahead", "codes", "words"),
    [
        (0, False, [], ""),
        (1, False, ["null_cursor"], "1 row has no updated_at"),
        (2, False, ["null_cursor"], "2 rows have no updated_at"),
        (0, True, ["future_cursor"], "updated_at lies in the future"),
        (3, True, ["null_cursor", "future_cursor"], ""),
    ],
)
def test_what_a_change_column_hides_is_said(nulls: int, ahead: bool, codes: list[str], words: str) -> None:
    notes = cursor_notes("updated_at", nulls, ahead=ahead)
    assert [code for code, _ in notes] == codes
    assert words in " ".join(message for _, message in notes)
