"""Batches out, verdicts in: what is settled, in which order, and when sending stops."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import builders as make
import pytest
from sending import Time

from sync_profiles.core.types import (
    Accepted,
    Batch,
    Invalid,
    Key,
    PendingRow,
    Refused,
    Settlement,
    Throttled,
    TooLarge,
    Uncertain,
    Verdict,
)
from sync_profiles.engine.course import Course, Surroundings
from sync_profiles.engine.deliver import SUSPECTS_MAX, Delivery, DeliverySettings
from sync_profiles.errors import AccessError, ConfigError, TemporaryError


@dataclass
class Ledger:
    """A state that keeps every settlement, and notices a batch that is settled without having been written down."""

    settlements: list[Settlement] = field(default_factory=list)
    open: set[int] = field(default_factory=set)

    def settle(self, settlement: Settlement, now: float) -> None:
        assert set(settlement.landed) <= self.open, "a batch landed that was never written down"
        self.open -= set(settlement.landed)
        self.open |= {batch.number for batch in settlement.dispatched}
        self.settlements.append(settlement)

    def waiting(self, keys: Sequence[Key]) -> Mapping[Key, PendingRow]:
        return {}

    def keys(self, field_name: str) -> list[Key]:
        return sorted(entry.key for each in self.settlements for entry in getattr(each, field_name))


@dataclass
class Judge:
    """A destination that answers by looking at the keys of a batch."""

    verdict: Callable[[set[Key]], Verdict]
    ledger: Ledger
    sent: list[set[Key]] = field(default_factory=list)
    unwritten: list[int] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, batch: Batch) -> Verdict:
        keys = {profile.key for profile in batch.profiles}
        with self.lock:
            self.sent.append(keys)
            if batch.number not in self.ledger.open:
                self.unwritten.append(batch.number)
        return self.verdict(keys)


def deliver(keys, verdict, *, threads=1, records_max=4, time=None, make_out=make.outgoing):
    ledger = Ledger()
    judge = Judge(verdict, ledger)
    time = time or Time()
    course = Course("users", Surroundings(time, time, lambda _event: None, lambda: "01"), "full")
    settings = DeliverySettings(threads, lambda: threads, records_max, group=False)
    delivery = Delivery(judge, ledger, settings, course)
    error = None
    try:
        for start in range(0, len(keys), 7):
            delivery.offer([make_out(key) for key in keys[start : start + 7]])
        delivery.drain()
    except Exception as caught:
        error = caught
    finally:
        delivery.close()
    assert not ledger.open or error is not None, "something was left in flight"
    assert judge.unwritten == [], "a batch left before it was written down as in flight"
    return ledger, judge, course.tally, error


def keys_of(count):
    return [f"{number:03}" for number in range(count)]


@pytest.mark.parametrize("threads", [1, 4])
def test_every_profile_is_acknowledged_once_and_nothing_stays_in_flight(threads):
    ledger, judge, tally, error = deliver(keys_of(30), lambda _: Accepted(), threads=threads)
    assert error is None
    assert ledger.keys("acknowledged") == keys_of(30)
    assert ledger.open == set()
    assert (tally.sent, len(judge.sent)) == (30, 8)


@pytest.mark.parametrize("threads", [1, 4])
def test_bad_records_are_isolated_by_halving_and_the_others_arrive(threads):
    bad = {"003", "017", "018"}
    ledger, judge, tally, error = deliver(
        keys_of(32), lambda keys: Invalid("bad") if keys & bad else Accepted(), threads=threads, records_max=16
    )
    assert error is None
    assert ledger.keys("acknowledged") == sorted(set(keys_of(32)) - bad)
    assert ledger.keys("pending") == sorted(bad)
    assert tally.rejected == 3
    assert len(judge.sent) <= 2 * 3 * 4 + 2


def test_when_everything_is_refused_nothing_is_rejected_and_the_configuration_is_blamed():
    ledger, judge, tally, error = deliver(keys_of(200), lambda _: Invalid("no such project"), records_max=64)
    assert isinstance(error, ConfigError)
    assert "no such project" in str(error)
    assert (ledger.keys("pending"), tally.rejected) == ([], 0)
    assert len(judge.sent) <= 3 * SUSPECTS_MAX


def test_a_single_changed_row_that_is_refused_is_rejected_though_nothing_else_was_there_to_pass():
    ledger, _, tally, error = deliver(["001"], lambda _: Invalid("bad"))
    assert error is None
    assert (ledger.keys("pending"), tally.rejected) == (["001"], 1)


def test_rows_refused_before_the_first_good_one_are_rejected_when_it_has_passed():
    ledger, _, tally, _ = deliver(keys_of(4), lambda keys: Invalid("bad") if keys & {"000"} else Accepted())
    assert (ledger.keys("pending"), ledger.keys("acknowledged"), tally.rejected) == (["000"], ["001", "002", "003"], 1)


@pytest.mark.parametrize(
    ("verdict", "error_type", "pending"),
    [
        (Refused("HTTP 401"), AccessError, 0),
        (Refused("HTTP 404", 78), ConfigError, 0),
        (Throttled(), TemporaryError, 0),
        (Uncertain("time-out"), TemporaryError, 4),
    ],
)
def test_what_cannot_be_sent_stops_the_sending_and_only_the_unanswered_stays_pending(verdict, error_type, pending):
    ledger, judge, tally, error = deliver(keys_of(40), lambda _: verdict)
    assert isinstance(error, error_type)
    assert (ledger.keys("acknowledged"), tally.rejected) == ([], 0)
    assert len(ledger.keys("pending")) == pending
    assert len(judge.sent) == 1


def test_a_request_that_is_too_large_is_halved_and_later_ones_are_cut_smaller():
    _, judge, _, error = deliver(
        keys_of(64),
        lambda keys: TooLarge() if len(keys) > 8 else Accepted(),
        records_max=16,
        make_out=lambda key: make.outgoing(key, body=b"x" * 3000),
    )
    assert error is None
    assert max(len(keys) for keys in judge.sent[8:]) <= 8


def test_a_stop_sends_nothing_more():
    time = Time(stop_at=1_700_000_000.0)
    ledger, judge, _, error = deliver(keys_of(40), lambda _: Accepted(), time=time)
    assert (error, judge.sent, ledger.settlements) == (None, [], [])


def test_one_distinct_id_is_never_in_two_requests_at_once():
    flying: list[set[str]] = []
    overlap = []
    lock = threading.Lock()

    def verdict(keys):
        ids = {"same"} if any(key.endswith("7") for key in keys) else set(keys)
        with lock:
            overlap.extend(ids & other for other in flying if ids & other)
            flying.append(ids)
        threading.Event().wait(0.002)
        with lock:
            flying.remove(ids)
        return Accepted()

    def out(key):
        return make.outgoing(key, distinct_id="same" if key.endswith("7") else key)

    _, _, tally, _ = deliver(keys_of(100), verdict, threads=4, records_max=2, make_out=out)
    assert (overlap, tally.sent) == ([], 100)


def test_deletes_travel_without_others_and_are_counted_as_deleted():
    def out(key):
        return make.removal(key) if int(key) % 3 == 0 else make.outgoing(key)

    ledger, judge, tally, _ = deliver(keys_of(9), lambda _: Accepted(), make_out=out)
    assert (tally.sent, tally.deleted) == (6, 3)
    assert all(len({int(key) % 3 == 0 for key in keys}) == 1 for keys in judge.sent)
    assert [each for settled in ledger.settlements for each in settled.forgotten] == ["000", "003", "006"]


def test_an_error_in_a_sending_thread_ends_the_run_and_is_not_swallowed():
    def verdict(_):
        raise RuntimeError("a bug")

    _, _, _, error = deliver(["001"], verdict)
    assert isinstance(error, RuntimeError)
