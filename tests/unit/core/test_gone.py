"""Profiles that are to be removed, or left alone."""

from __future__ import annotations

import builders as make
import msgspec
import pytest

from sync_profiles.core.gone import DELETE_AGAIN, DELETED, REKEYED, UNCERTAIN, gone_row, gone_rows, left_alone, over
from sync_profiles.core.pending import SECOND_LOOK_S

NOW = 5000.0


def gone(code=DELETED, **changes):
    row = gone_row("1", "1", changes.pop("shape", ("plan",)), code, changes.pop("since", NOW))
    return msgspec.structs.replace(row, **changes)


def test_only_keys_that_mixpanel_was_given_are_removed_from_it():
    assert [row.key for row in gone_rows(["1", "2"], {"1": make.known("1")}, NOW)] == ["1"]


def test_what_an_unanswered_request_may_have_written_is_removed_too_and_not_before_it_has_come():
    waiting = {"1": make.pending(shape=("theme",), code="doubtful", since=NOW - 60)}
    (row,) = gone_rows(["1"], {"1": make.known("1")}, NOW, waiting)
    assert (set(row.shape), row.next_try_at) == ({"plan", "theme"}, NOW - 60 + SECOND_LOOK_S)


@pytest.mark.parametrize(
    ("before", "row", "kept"),
    [
        pytest.param(None, gone(), {}, id="asked for the first time"),
        pytest.param(gone(shape=("theme",)), gone(), {"shape": ("theme", "plan")}, id="names are not forgotten"),
        pytest.param(gone(attempts=2), gone(), {"attempts": 2}, id="that it may have left is not forgotten"),
        pytest.param(gone(next_try_at=NOW + 9), gone(), {"next_try_at": NOW + 9}, id="a wait is not cut short"),
        pytest.param(gone(since=9.0, next_try_at=9.0), gone(), {"since": 9.0}, id="since when it is wanted"),
        pytest.param(
            gone(rejected=True, attempts=1, reason="no"), gone(),
            {"rejected": True, "attempts": 1, "reason": "no"}, id="that Mixpanel refused it is not forgotten",
        ),
        pytest.param(
            gone(rejected=True, attempts=1), gone(attempts=2), {"attempts": 2}, id="a new attempt is a new attempt"
        ),
        pytest.param(gone(DELETE_AGAIN, attempts=1), gone(), {"attempts": 1}, id="a repeated delete, wanted anew"),
        pytest.param(
            gone(rejected=True, attempts=1), gone(REKEYED), {"rejected": True, "attempts": 1, "reason": gone().reason},
            id="its row came back and left the ID: the last cause counts",
        ),
    ],
)  # fmt: skip
def test_a_removal_that_is_asked_for_again_keeps_what_is_remembered_of_it(before, row, kept):
    assert over(row, before) == msgspec.structs.replace(row, **kept)
    assert over(over(row, before), before) == over(row, before), "twice is the same as once"


def test_a_row_that_is_pending_is_written_over_as_it_is():
    assert over(make.pending(), make.refused()) == make.pending()


@pytest.mark.parametrize(
    ("known", "shape"),
    [
        (make.known("1"), ("plan", "theme")),
        (None, ("theme",)),
        (make.known("1", distinct_id="another"), None),
    ],
    ids=["it was acknowledged", "only an unanswered request may have made it", "its key has another ID"],
)
def test_a_profile_that_is_left_alone_is_remembered_as_uncertain(known, shape):
    entry = left_alone(gone(REKEYED, shape=("theme",)), known)
    assert (None if entry is None else (entry.distinct_id, entry.fingerprint, entry.shape)) == (
        None if shape is None else ("1", UNCERTAIN, shape)
    )
