"""Every row of a page ends in exactly one class."""

from __future__ import annotations

import builders as make
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_profiles.core.changes import Change, Rules, diff, shared_ids
from sync_profiles.core.gone import UNCERTAIN
from sync_profiles.core.pending import REPAIR
from sync_profiles.core.types import SoftDeleted

NOBODY: dict = {}


def one(entry, *, known=None, waiting=None, **rules):
    found = diff(
        [entry],
        {entry.key: known} if known else {},
        {entry.key: waiting} if waiting else {},
        Rules(**rules),
    )
    classes = {
        "changed": len(found.changed),
        "unchanged": found.unchanged,
        "rejected": len(found.rejected),
        "waiting": found.waiting,
        "deleted": len(found.deleted),
    }
    return next(name for name, count in classes.items() if count), found


@pytest.mark.parametrize(
    ("known", "waiting", "rules", "expected", "why"),
    [
        pytest.param(None, None, {}, "changed", "new", id="a key never acknowledged is new"),
        pytest.param(make.known(), None, {}, "unchanged", None, id="the same fingerprint is unchanged"),
        pytest.param(make.known(plan="free"), None, {}, "changed", "changed", id="another fingerprint is a change"),
        pytest.param(make.known(distinct_id="x"), None, {}, "changed", "rekeyed", id="another ID is another profile"),
        pytest.param(make.known(run=3), None, {"forced_since": 4}, "changed", "again", id="forced: sent before"),
        pytest.param(make.known(run=4), None, {"forced_since": 4}, "unchanged", None, id="forced: sent since"),
        pytest.param(make.known(), make.pending(), {"due": {"1"}}, "changed", "again", id="unanswered: sent again"),
        pytest.param(make.known(), make.pending(), {}, "unchanged", None, id="unanswered, not due: waits"),
        pytest.param(make.known(plan="free"), make.pending(), {}, "changed", "changed", id="unanswered, changed: sent"),
        pytest.param(None, make.refused(), {}, "waiting", None, id="refused: not before its time"),
        pytest.param(None, make.refused(), {"due": {"1"}}, "changed", "again", id="refused, due: sent"),
        pytest.param(None, make.refused(fingerprint=b"x" * 16), {}, "changed", "new", id="refused, changed: sent"),
        pytest.param(
            make.known(), make.refused(fingerprint=None, code="bad_value", shape=()), {}, "unchanged", None,
            id="a row that could not be mapped and now equals what Mixpanel has is unchanged",
        ),
        pytest.param(
            make.known(), make.refused(fingerprint=None, code="bad_value", shape=("plan",)), {}, "changed", "again",
            id="a row that could not be mapped, after a request without an answer, is sent whole",
        ),
        pytest.param(
            make.known(fingerprint=UNCERTAIN), None, {}, "changed", "new", id="back after it was left alone: as new"
        ),
        pytest.param(
            make.known(fingerprint=UNCERTAIN, run=3), None, {"forced_since": 4}, "changed", "new",
            id="back after it was left alone, forced: as new",
        ),
        pytest.param(
            make.known(shape=("plan", "old")), None, {"stale": [("plan", "old")]}, "changed", "changed",
            id="a property that left the mapping is a change",
        ),
        pytest.param(None, None, {"shared": {"1": "also row 2"}}, "rejected", None, id="a shared distinct ID rejects"),
    ],
)  # fmt: skip
def test_a_profile_is_classified_by_what_is_known_of_its_key(known, waiting, rules, expected, why):
    got, found = one(make.profile(), known=known, waiting=waiting, **rules)
    assert got == expected
    assert [change.why for change in found.changed] == ([why] if why else [])


def test_a_rekeyed_row_is_a_new_profile_and_remembers_the_former_id():
    _, found = one(make.profile(), known=make.known(distinct_id="old"))
    assert found.changed == [
        Change(make.profile(), None, "rekeyed", every_null=True, former=make.known(distinct_id="old"))
    ]


def test_an_unanswered_request_may_have_written_so_every_null_is_unset():
    _, found = one(make.profile(), known=make.known(), waiting=make.pending(shape=("theme",)), due={"1"})
    assert (found.changed[0].prior, found.changed[0].every_null) == (("theme",), True)


def test_what_was_found_to_be_another_is_sent_whole_with_set_once_and_unsets_what_was_ever_there():
    row = make.pending(code=REPAIR, shape=("theme", "plan"))
    _, found = one(make.profile(), known=make.known(shape=("plan", "seats")), waiting=row, due={"1"})
    assert found.changed == [Change(make.profile(), None, "again", ("plan", "seats", "theme"), every_null=True)]
    _, found = one(make.profile(), known=make.known(distinct_id="old"), waiting=row, due={"1"})
    assert found.changed[0].why == "rekeyed"


def test_a_row_that_settled_by_itself_stops_being_pending():
    _, found = one(
        make.profile(), known=make.known(), waiting=make.refused(fingerprint=None, code="bad_value", shape=())
    )
    assert found.settled == ["1"]


@pytest.mark.parametrize(
    ("waiting", "due", "expected"),
    [
        (None, (), "rejected"),
        (make.refused(code="bad_value", reason=make.unmappable().reason, fingerprint=None), (), "waiting"),
        (make.refused(code="bad_value", reason=make.unmappable().reason, fingerprint=None), ("1",), "rejected"),
        (make.refused(code="null_id", fingerprint=None), (), "rejected"),
        (make.pending(), (), "rejected"),
    ],
    ids=["first time", "named before, not due", "named before, due", "another reason than before", "was in doubt"],
)
def test_an_unmappable_row_is_named_again_only_when_it_is_due_or_its_reason_changed(waiting, due, expected):
    assert one(make.unmappable(), waiting=waiting, due=due)[0] == expected


def test_a_soft_deleted_row_counts_as_gone():
    assert one(SoftDeleted("1"), known=make.known())[1].deleted == ["1"]


def test_rows_with_one_distinct_id_are_all_named_with_the_others():
    mapped = [make.profile("1"), make.profile("2", distinct_id="1"), make.profile("3"), make.profile("1")]
    assert shared_ids(mapped) == {
        "1": "its distinct ID is also that of row 2",
        "2": "its distinct ID is also that of row 1",
    }


ENTRIES = st.one_of(
    st.builds(
        lambda key, plan: make.profile(key, plan=plan), st.sampled_from("abcdef"), st.sampled_from(["pro", "free"])
    ),
    st.builds(make.unmappable, st.sampled_from("abcdef")),
    st.builds(SoftDeleted, st.sampled_from("abcdef")),
)
KNOWN = st.builds(
    lambda plan, run, id_: make.known(plan=plan, run=run, distinct_id=id_),
    st.sampled_from(["pro", "free"]), st.integers(1, 3), st.sampled_from("abx"),
)  # fmt: skip
WAITING = st.sampled_from([make.pending(), make.refused(), make.refused(fingerprint=None, code="bad_value")])


@given(
    st.lists(ENTRIES, max_size=12, unique_by=lambda entry: entry.key),
    st.dictionaries(st.sampled_from("abcdef"), KNOWN),
    st.dictionaries(st.sampled_from("abcdef"), WAITING),
    st.integers(0, 3),
    st.sets(st.sampled_from("abcdef")),
)
def test_no_row_is_lost_or_classified_twice(mapped, known, waiting, forced_since, due):
    found = diff(mapped, known, waiting, Rules(forced_since, due))
    named = [change.profile.key for change in found.changed] + [u.key for u in found.rejected] + found.deleted
    assert len(named) == len(set(named))
    assert len(named) + found.unchanged + found.waiting == len(mapped)
    assert set(found.settled) <= {entry.key for entry in mapped} - set(named)
