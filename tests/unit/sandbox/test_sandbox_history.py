"""What a profile went through, as the sandbox's page tells it; and what the log calls trouble."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from sync_profiles.sandbox.exchange import Request
from sync_profiles.sandbox.faults import Fault, Faults
from sync_profiles.sandbox.log import LINES_MAX, Log, is_trouble
from sync_profiles.sandbox.paging import Pages
from sync_profiles.sandbox.profiles import HISTORY_MAX, Change, Profiles
from sync_profiles.sandbox.records import Update

SPACE = ("t", None)


def update(operation: str, value: Any = None, owner: str = "7", token: str = "t") -> Update:
    return Update(token, None, owner, operation, value, ignore_time=False, located=False)


def request(**changes: Any) -> Request:
    plain = Request(
        number=0,
        method="POST",
        path="/engage",
        params={},
        records=2,
        applied=2,
        bytes=10,
        status=200,
        reply="1",
        fault=None,
        at=5.0,
        connection=1,
        body=b"[]",
    )
    return msgspec.structs.replace(plain, **changes)


def test_each_record_tells_what_it_changed_the_newest_first() -> None:
    store = Profiles(keep_history=True)
    store.apply([update("$set", {"plan": "free", "seats": 1}), update("$set", {"plan": "pro", "seats": 1})], 1.0)
    store.apply([update("$unset", ["seats"]), update("$set_once", {"plan": "x"})], 2.0)
    assert [(event.operation, event.at, list(event.changes)) for event in store.history(SPACE, "7")] == [
        ("$set_once", 2.0, []),
        ("$unset", 2.0, [Change("seats", before=1)]),
        ("$set", 1.0, [Change("plan", "free", "pro")]),
        ("$set", 1.0, [Change("plan", after="free"), Change("seats", after=1)]),
    ]


def test_a_deleted_profile_is_remembered_with_what_it_held() -> None:
    store = Profiles(keep_history=True)
    store.apply([update("$set", {"plan": None}), update("$delete", ""), update("$delete", "")], 1.0)
    newest, deleted, _ = store.history(SPACE, "7")
    assert (deleted.operation, list(deleted.changes)) == ("$delete", [Change("plan", before=None)])
    assert (newest.operation, list(newest.changes)) == ("$delete", [])
    assert store.get(SPACE, "7") is None


def test_an_absent_side_is_left_out_of_the_json_and_null_is_not() -> None:
    assert msgspec.json.encode(Change("a", after=None)) == b'{"name":"a","after":null}'


def test_history_ends_after_fifty_records_and_is_not_kept_unless_asked() -> None:
    store, forgetful = Profiles(keep_history=True), Profiles()
    for number in range(HISTORY_MAX + 5):
        store.apply([update("$set", {"n": number})], float(number))
    forgetful.apply([update("$set", {"n": 1})], 1.0)
    assert len(store.history(SPACE, "7")) == HISTORY_MAX
    assert store.history(SPACE, "7")[0].at == HISTORY_MAX + 4
    assert forgetful.history(SPACE, "7") == ()
    store.clear()
    assert store.history(SPACE, "7") == ()


def test_changes_strangers_and_users_are_counted_apart() -> None:
    store = Profiles()
    ours = [update("$set", {"$name": "Alice"}), update("$set", {}, owner="8"), update("$delete", owner="8")]
    store.apply([*ours, update("$set", {}, token="other")], 3.0)
    assert (store.changes, store.strangers("t"), store.count(SPACE)) == (4, 1, 1)
    assert [(user.distinct_id, user.name, user.updated_at) for user in store.users(SPACE)] == [("7", "Alice", 3.0)]
    store.clear_counts()
    assert store.changes == 0


@pytest.mark.parametrize(
    ("changes", "trouble"),
    [
        ({}, False),
        ({"fault": "slow"}, True),
        ({"status": 404}, True),
        ({"applied": 1}, True),
        ({"records": 0, "applied": 0}, False),
    ],
    ids=str,
)
def test_trouble_is_whatever_did_not_get_what_it_wanted(changes: Any, trouble: bool) -> None:
    assert is_trouble(request(**changes)) is trouble


def test_the_log_is_read_newest_first_page_by_page_without_bodies() -> None:
    log = Log()
    for number in range(5):
        log.note(request(status=500 if number == 1 else 200))
    pages, lines = log.newest(Pages(1, 2), only_trouble=False)
    assert ([line.number for line in lines], pages.total, pages.count) == ([5, 4], 5, 3)
    assert [line.body for line in lines] == [None, None]
    assert [line.number for line in log.newest(Pages(1, 2), only_trouble=True)[1]] == [2]
    log.clear()
    assert (log.lines, log.count) == ((), 0)


def test_the_log_keeps_the_last_ten_thousand_and_counts_them_all() -> None:
    log = Log()
    for _ in range(LINES_MAX + 1):
        log.note(request())
    assert (len(log.lines), log.count, log.lines[0].number) == (LINES_MAX, LINES_MAX + 1, 2)


def test_a_standing_fault_tells_how_often_it_struck_and_can_be_taken_back_alone() -> None:
    faults = Faults()
    faults.add(Fault("html", times=None), Fault("empty", times=2))
    faults.take("/engage")
    first, second = faults.standing
    assert [(one.fault.kind, one.struck) for one in (first, second)] == [("html", 1), ("empty", 0)]
    faults.clear(first.number)
    assert [one.fault.kind for one in faults.standing] == ["empty"]
    faults.clear(99)
    assert faults.waiting == 1
    faults.clear()
    assert faults.standing == []
