"""Rows that are looked at again."""

from __future__ import annotations

import builders as make
import pytest

from sync_profiles.core.pending import REPAIR, SECOND_LOOK_S, has_left, late_until, sent_whole, unmappable_row, written

NOW = 5000.0


def test_an_unmappable_row_keeps_the_names_that_an_unanswered_request_may_have_written():
    assert unmappable_row(make.unmappable(), NOW, make.pending(shape=("theme",))).shape == ("theme",)


def test_an_unmappable_row_with_another_id_has_nothing_to_remember():
    before = make.pending(distinct_id="former", shape=("theme",))
    assert unmappable_row(make.unmappable(), NOW, before).shape == ()


@pytest.mark.parametrize(
    ("row", "until"),
    [
        (None, 0.0),
        (make.refused(), 0.0),
        (make.refused(code="bad_value", fingerprint=None, shape=()), 0.0),
        (make.refused(code="bad_value", fingerprint=None, shape=("a",), since=NOW), NOW + SECOND_LOOK_S),
        (make.pending(code=REPAIR, shape=()), 0.0),
        (make.pending(code=REPAIR, next_try_at=NOW), NOW + SECOND_LOOK_S),
        (make.pending(code="doubtful", since=NOW), NOW + SECOND_LOOK_S),
        (make.pending(code="unanswered", since=1.0, next_try_at=NOW), NOW + SECOND_LOOK_S),
    ],
    ids=[
        "nothing pending",
        "refused",
        "never left",
        "left before it was unmappable",
        "to be repaired",
        "to be repaired and unanswered",
        "doubtful",
        "unanswered",
    ],
)
def test_a_request_without_an_answer_may_be_applied_for_ten_minutes(row, until):
    assert late_until(row) == until


@pytest.mark.parametrize(
    ("row", "left"),
    [
        (make.pending(shape=()), True),
        (make.refused(shape=()), True),
        (make.pending(code=REPAIR, shape=()), False),
        (make.refused(code="bad_value", fingerprint=None, shape=()), False),
        (make.refused(code="bad_value", fingerprint=None, shape=("a",)), True),
    ],
    ids=["in doubt", "refused by Mixpanel", "only to be repaired", "never left", "an earlier request left"],
)
def test_whether_a_profile_may_exist(row, left):
    assert has_left(row) is left


def test_names_are_joined_only_under_one_id():
    assert written(("a",), "1", make.pending(shape=("b", "a"))) == ("a", "b")
    assert written(("a",), "1", make.pending(distinct_id="2", shape=("b",))) == ("a",)


def test_what_is_sent_whole_is_due_at_once_and_is_not_rejected():
    row = sent_whole("1", "one", ("a",), NOW)
    assert (row.kind, row.next_try_at, row.rejected, row.shape) == ("row", NOW, False, ("a",))
