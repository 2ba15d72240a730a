"""What an answer changes in the state."""

from __future__ import annotations

import builders as make
import pytest

from sync_profiles.core.gone import DELETE_AGAIN, REKEYED
from sync_profiles.core.pending import SECOND_LOOK_S, late_until
from sync_profiles.core.settling import merged, settlement_of
from sync_profiles.core.types import InFlight, Settlement
from sync_profiles.core.verdict import Step

NOW = 5000.0


def settle(step, *, waiting=None):
    return settlement_of(step, now=NOW, waiting=waiting or {})


def test_an_acknowledged_profile_becomes_known_and_nothing_else_happens():
    out = make.outgoing()
    assert settle(Step(acknowledged=(out,))) == Settlement(acknowledged=[out], forgotten=[], resolved=[], pending=[])


def test_a_doubtful_acknowledgement_is_known_and_looked_at_again_ten_minutes_on():
    settled = settle(Step(doubtful=(make.outgoing(),)))
    assert [ack.key for ack in settled.acknowledged] == ["1"]
    assert [(row.code, row.next_try_at, row.rejected) for row in settled.pending] == [
        ("doubtful", NOW + SECOND_LOOK_S, False)
    ]


def test_a_profile_without_an_answer_is_pending_with_the_names_it_may_have_written():
    (row,) = settle(Step(unanswered=(make.outgoing(),))).pending
    assert (row.code, row.next_try_at, row.shape) == ("unanswered", NOW, ("plan",))


def test_what_was_not_touched_changes_nothing():
    assert settle(Step(untouched=(make.outgoing(),))) == Settlement(
        acknowledged=[], forgotten=[], resolved=[], pending=[]
    )


@pytest.mark.parametrize(
    ("before", "attempts", "since", "wait_h"),
    [
        (None, 1, NOW, 1),
        (make.refused(attempts=1), 2, 1000.0, 2),
        (make.refused(attempts=9), 10, 1000.0, 24),
        (make.refused(code="bad_value", attempts=3), 1, 1000.0, 1),
        (make.pending(), 1, NOW, 1),
    ],
    ids=["first", "second", "capped at a day", "refused for another reason before", "was only in doubt"],
)
def test_a_refused_row_waits_longer_each_time(before, attempts, since, wait_h):
    (row,) = settle(Step(rejected=((make.outgoing(), "bad"),)), waiting={"1": before} if before else {}).pending
    assert (row.attempts, row.since, row.next_try_at) == (attempts, since, NOW + wait_h * 3600)
    assert row.fingerprint == make.outgoing().fingerprint


def test_a_refused_row_of_which_an_earlier_attempt_may_come_late_is_remembered_as_such():
    (row,) = settle(Step(rejected=((make.outgoing(doubt="late"), "bad"),))).pending
    assert (row.rejected, row.reason, row.fingerprint) == (True, "bad", make.outgoing().fingerprint)
    assert late_until(row) == NOW + SECOND_LOOK_S


def test_a_deleted_profile_is_forgotten_and_deleted_once_more_in_the_next_run():
    settled = settle(Step(acknowledged=(make.removal(),)))
    assert settled.forgotten == ["1"]
    assert settled.resolved == [("gone", "1", "1")]
    assert [(row.kind, row.code, row.next_try_at) for row in settled.pending] == [("gone", DELETE_AGAIN, NOW)]


def test_the_second_delete_is_the_last():
    settled = settle(Step(acknowledged=(make.removal(cause=DELETE_AGAIN),)))
    assert (settled.forgotten, settled.pending) == ([], [])


def test_a_former_id_is_removed_without_forgetting_the_key():
    settled = settle(Step(acknowledged=(make.removal(distinct_id="old", cause=REKEYED),)))
    assert settled.forgotten == []
    assert settled.resolved == [("gone", "1", "old")]


def test_unset_is_not_repeated():
    settled = settle(Step(acknowledged=(make.removal(delete=False),)))
    assert (settled.forgotten, settled.pending) == (["1"], [])


def test_a_key_that_changed_its_id_leaves_the_former_one_to_be_looked_after():
    settled = settle(Step(acknowledged=(make.outgoing(former=("old", ("plan",))),)))
    assert [(row.distinct_id, row.code, row.shape) for row in settled.pending] == [("old", REKEYED, ("plan",))]


def test_a_former_id_is_looked_after_once_what_may_come_late_has_come():
    settled = settle(Step(acknowledged=(make.outgoing(former=("old", ()), doubt="late"),)))
    assert [row.next_try_at for row in settled.pending] == [NOW + SECOND_LOOK_S]


def test_a_removal_that_may_come_late_is_repeated_when_it_has():
    settled = settle(Step(doubtful=(make.removal(delete=False),)))
    assert [(row.code, row.next_try_at) for row in settled.pending] == [(DELETE_AGAIN, NOW + SECOND_LOOK_S)]


def test_a_removal_without_an_answer_stays_what_it_was():
    assert settle(Step(unanswered=(make.removal(),))).pending == []


def test_several_replies_become_one_settlement_and_lose_nothing():
    one, two = settle(Step(acknowledged=(make.outgoing("1"),))), settle(Step(unanswered=(make.outgoing("2"),)))
    both = merged([one, two], landed=[1, 2], dispatched=[InFlight(3, (make.outgoing("3"),))])
    assert [ack.key for ack in both.acknowledged] == ["1"]
    assert [row.key for row in both.pending] == ["2"]
    assert (both.landed, both.dispatched[0].number) == ([1, 2], 3)
