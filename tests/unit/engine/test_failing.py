"""Profiles that Mixpanel answers with 5xx every time: the others arrive, and an outage is waited for as ever."""

from __future__ import annotations

from collections.abc import Callable

import builders as make
import pytest
from sending import Time
from test_deliver import Judge, Ledger, keys_of

from sync_profiles.core.failing import CUTS_MAX, PROBES_MAX
from sync_profiles.core.types import Accepted, Key, PendingRow, Uncertain, Verdict
from sync_profiles.destination.layers import PATIENCE_S, Retrying
from sync_profiles.engine.course import Course, Surroundings
from sync_profiles.engine.deliver import Delivery, DeliverySettings
from sync_profiles.errors import SyncProfilesError, TemporaryError

FAILS = Uncertain("HTTP 500", failed=True)


class Sent:
    """Profiles of these keys were offered to a Mixpanel that answers like this; what came of it."""

    def __init__(
        self, count: int, verdict: Callable[[set[Key], float], Verdict], threads: int, records_max: int
    ) -> None:
        self.time = Time()
        began = self.time.at
        self.ledger = Ledger()
        judge = Judge(lambda keys: verdict(keys, self.time.at - began), self.ledger)
        course = Course("users", Surroundings(self.time, self.time, lambda _event: None, lambda: "01"), "full")
        wire = Retrying(judge, stop=self.time, clock=self.time, jitter=lambda: 0.0)
        settings = DeliverySettings(threads, lambda: threads, records_max, group=False)
        delivery = Delivery(wire, self.ledger, settings, course)
        self.error: SyncProfilesError | None = None
        try:
            for start in range(0, count, records_max):
                delivery.offer([make.outgoing(key) for key in keys_of(count)[start : start + records_max]])
            delivery.drain()
        except SyncProfilesError as error:
            self.error = error
        finally:
            delivery.close()
        self.requests, self.seconds = len(judge.sent), self.time.at - began
        self.tally = course.tally

    @property
    def rows(self) -> dict[Key, PendingRow]:
        """Those that are rejected."""
        return {row.key: row for each in self.ledger.settlements for row in each.pending if row.rejected}


def failing_at(*bad: Key) -> Callable[[set[Key], float], Verdict]:
    return lambda keys, _at: FAILS if keys & set(bad) else Accepted()


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize(
    ("count", "records_max", "bad"),
    [
        (500, 100, ["217"]),
        (500, 500, ["217"]),
        (500, 500, ["000"]),
        (64, 64, ["003", "040", "063"]),
        (400, 100, ["001", "002", "399"]),
        (8, 4, ["001", "005"]),
        (2, 2, ["001"]),
    ],
)
def test_a_profile_that_mixpanel_fails_at_holds_up_no_other(
    count: int, records_max: int, bad: list[Key], threads: int
) -> None:
    sent = Sent(count, failing_at(*bad), threads, records_max)
    assert sent.error is None
    assert sent.ledger.keys("acknowledged") == [key for key in keys_of(count) if key not in bad]
    assert sorted(sent.rows) == bad
    assert {(row.code, row.attempts) for row in sent.rows.values()} == {("unanswered", 1)}
    assert {row.reason for row in sent.rows.values()} == {"Mixpanel fails at it and takes others: HTTP 500"}
    assert all(row.next_try_at >= sent.time.at - sent.seconds + 3600 for row in sent.rows.values())
    assert sent.requests <= count / records_max + 4 + 8 * len(bad) * 10
    assert sent.tally.rejected == len(bad)
    assert sent.ledger.open == set()


@pytest.mark.parametrize("threads", [1, 4])
def test_an_outage_is_waited_for_and_rejects_nobody(threads: int) -> None:
    sent = Sent(2000, lambda _keys, _at: FAILS, threads, 100)
    assert isinstance(sent.error, TemporaryError)
    assert (sent.rows, sent.ledger.keys("acknowledged")) == ({}, [])
    assert sent.seconds > PATIENCE_S / 2
    assert sent.requests < 4 * PROBES_MAX + 20 * (threads + 1), "and not with a storm of requests"


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("over_at", [15.0, 60.0, 200.0])
def test_when_an_outage_is_over_everything_arrives(threads: int, over_at: float) -> None:
    sent = Sent(1000, lambda _keys, at: FAILS if at < over_at else Accepted(), threads, 100)
    assert sent.error is None
    assert sent.rows == {}
    assert sent.ledger.keys("acknowledged") == keys_of(1000)


def test_a_single_profile_cannot_be_told_from_an_outage() -> None:
    sent = Sent(1, failing_at("000"), 1, 100)
    assert isinstance(sent.error, TemporaryError)
    assert sent.rows == {}


def test_of_many_that_fail_some_are_named_in_a_bounded_search_and_no_other() -> None:
    bad = keys_of(1000)[5::30]
    sent = Sent(1000, failing_at(*bad), 1, 100)
    assert 5 < len(sent.rows) <= len(bad)
    assert set(sent.rows) <= set(bad)
    assert len(sent.ledger.keys("acknowledged")) > 300
    assert sent.requests < 10 + 5 * (CUTS_MAX + PROBES_MAX)


def test_a_changed_row_is_tried_at_once_and_what_may_have_been_written_is_remembered() -> None:
    row = Sent(8, failing_at("003"), 1, 8).rows["003"]
    assert row.fingerprint == make.outgoing("003").fingerprint
    assert row.shape == make.outgoing("003").shape
