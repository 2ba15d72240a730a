"""A worker hears of a stop and of too many requests from the board, and tells the others."""

from __future__ import annotations

import threading

from fakes import MemoryState
from sending import Scripted, Time, batch_of

from sync_profiles.core.types import Accepted, Throttled
from sync_profiles.destination.layers import Paced
from sync_profiles.engine.following import LOOK_EVERY_S, Following
from sync_profiles.engine.parts import Outlet


class Sender:
    """One worker: its pace, and what it hears."""

    def __init__(self, state: MemoryState, time: Time, limit: int = 8) -> None:
        self.script: list[object] = []
        self.paced = Paced(Scripted(self.script), limit=limit)  # type: ignore[arg-type]
        outlet = Outlet(self.paced, lambda: self.paced.limit, limit, 1, lambda: self.paced.halvings, self.paced.halve)
        self.following = Following(state, time)
        self.following.follow(outlet)
        assert self.following.cause is None

    def hears(self, *verdicts: object) -> None:
        for verdict in verdicts:
            self.script.append(verdict)
            self.paced.send(batch_of(1))


def looked(time: Time, *senders: Sender) -> list[int]:
    """The limits after everybody has looked once more, the first one first."""
    for sender in senders:
        time.at += LOOK_EVERY_S
        assert sender.following.cause is None
    return [sender.paced.limit for sender in senders]


def test_a_429_for_one_halves_all() -> None:
    state, time = MemoryState(), Time()
    one, two, three = (Sender(state, time) for _ in range(3))
    one.hears(Throttled())
    assert looked(time, one, two, three) == [4, 4, 4]
    assert looked(time, one, two, three) == [4, 4, 4]


def test_one_storm_that_several_hear_of_halves_once() -> None:
    state, time = MemoryState(), Time()
    one, two, three = (Sender(state, time) for _ in range(3))
    one.hears(Throttled())
    two.hears(Throttled())
    assert looked(time, one, two, three) == [4, 4, 4]
    assert state.look(0).halvings == 1


def test_storms_one_after_another_halve_again_down_to_one() -> None:
    state, time = MemoryState(), Time()
    one, two = Sender(state, time), Sender(state, time)
    for limit in (4, 2, 1, 1):
        one.hears(Throttled())
        assert looked(time, one, two) == [limit, limit]


def test_who_missed_several_halvings_catches_up() -> None:
    state, time = MemoryState(), Time()
    one, two = Sender(state, time), Sender(state, time)
    for _ in range(2):
        one.hears(Throttled())
        looked(time, one)
    assert looked(time, two) == [2]


def test_each_grows_again_by_its_own_acknowledgements() -> None:
    state, time = MemoryState(), Time()
    one, two = Sender(state, time), Sender(state, time)
    one.hears(Throttled())
    looked(time, one, two)
    one.hears(*[Accepted()] * 4)
    assert looked(time, one, two) == [5, 4]


def test_who_comes_after_a_storm_begins_with_its_whole_share() -> None:
    state, time = MemoryState(), Time()
    first = Sender(state, time)
    first.hears(Throttled())
    looked(time, first)
    assert Sender(state, time).paced.limit == 8


def test_a_stop_is_heard_at_the_next_look_and_wakes_who_waits() -> None:
    state, time = MemoryState(), Time()
    following = Sender(state, time).following
    state.ask_stop("SIGTERM")
    assert following.cause is None  # it looked just now
    assert not following.wait(0)
    time.at += LOOK_EVERY_S
    assert following.cause == "SIGTERM"
    assert following.wait(60)
    assert following.remaining_s() is None


def test_only_the_thread_that_made_it_touches_the_state() -> None:
    state, time = MemoryState(), Time()
    following = Sender(state, time).following
    state.ask_stop("SIGINT")
    time.at += LOOK_EVERY_S
    heard: list[str | None] = []
    other = threading.Thread(target=lambda: heard.append(following.cause))
    other.start()
    other.join()
    assert heard == [None]
    assert following.cause == "SIGINT"
