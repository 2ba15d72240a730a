"""While rows are worked on, the threads of this process stay on one core, and move when the system wants them to."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from sync_profiles.source import cores
from sync_profiles.source.cores import LOOK_S, staying

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2, reason="needs Linux and two cores"
)


class Hands:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def allowed(thread: int = 0) -> set[int]:
    return os.sched_getaffinity(thread)


def test_within_there_is_one_core_and_afterwards_there_are_all():
    before = allowed()
    with staying():
        assert len(allowed()) == 1
    assert allowed() == before


def test_after_an_error_there_are_all_again():
    before = allowed()
    with pytest.raises(KeyError), staying():
        raise KeyError
    assert allowed() == before


def test_threads_that_begin_meanwhile_share_the_core_and_are_let_go_too():
    before, go = allowed(), threading.Event()
    other = threading.Thread(target=go.wait, daemon=True)
    with staying():
        other.start()
        assert allowed(other.native_id) == allowed()
    assert allowed(other.native_id) == before
    go.set()
    other.join()


def test_now_and_then_the_system_may_choose_another_one():
    before, clock = allowed(), Hands()
    with staying(clock) as core:
        clock.now += LOOK_S - 0.1
        core.look()
        assert len(allowed()) == 1, "not yet"
        clock.now += 0.2
        core.look()
        assert allowed() == before, "for the time until the next look"
        core.look()
        assert len(allowed()) == 1


def test_all_threads_follow_to_the_core_that_was_chosen(monkeypatch):
    go = threading.Event()
    other = threading.Thread(target=go.wait, daemon=True)
    other.start()
    (one, another, *_) = sorted(allowed())
    clock, here = Hands(), [one, another]
    monkeypatch.setattr(cores, "_current", lambda: here.pop(0))
    with staying(clock) as core:
        assert allowed(other.native_id) == allowed() == {one}
        clock.now += LOOK_S
        core.look()
        core.look()
        assert allowed(other.native_id) == allowed() == {another}
    go.set()
    other.join()


def test_a_system_that_does_not_allow_it_is_left_alone(monkeypatch):
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    before = allowed()
    with staying() as core:
        core.look()
        assert allowed() == before


def test_a_system_that_does_not_say_where_a_thread_is_is_left_alone(monkeypatch):
    def refuse() -> int:
        raise FileNotFoundError

    monkeypatch.setattr(cores, "_current", refuse)
    before = allowed()
    with staying():
        assert allowed() == before


@pytest.mark.parametrize("platform", ["darwin", "freebsd14"])
def test_other_systems_are_left_alone(monkeypatch, platform):
    monkeypatch.setattr(sys, "platform", platform)
    before = allowed()
    with staying() as core:
        core.look()
        assert allowed() == before


def test_a_process_that_was_given_one_core_stays_there():
    before = allowed()
    one = {min(before)}
    os.sched_setaffinity(0, one)
    try:
        with staying() as core:
            core.look()
            assert allowed() == one
        assert allowed() == one
    finally:
        os.sched_setaffinity(0, before)
