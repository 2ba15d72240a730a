"""What every state promises: the model in memory and the file on disk, reopened where a process may have died."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import builders as make
import msgspec
import pytest
from fakes import MemoryState
from servers import Servers, labels
from summaries import a_summary

from sync_profiles.core.ports import State
from sync_profiles.core.types import (
    Acknowledged,
    InFlight,
    Key,
    Known,
    Mismatch,
    Outgoing,
    PendingKind,
    PendingRow,
    Settlement,
    Verification,
    Watermark,
)
from sync_profiles.state import ordered
from sync_profiles.state.store import Store, open_store

NOW = 1_700_000_000.0


class Home(Protocol):
    """Where a state lives: ``reopen`` is what the next process sees after this one died."""

    state: State

    def reopen(self) -> State: ...


class MemoryHome:
    def __init__(self) -> None:
        self.state: State = MemoryState(lambda: NOW)

    def reopen(self) -> State:
        return self.state


class StoredHome:
    def __init__(self, place: Path | str) -> None:
        self._place = place
        self._store: Store | None = None
        self.state: State = self.reopen()

    def reopen(self) -> State:
        self.close()
        self._store = open_store(self._place, now=lambda: NOW)
        self.state = self._store.sync("users")
        return self.state

    def close(self) -> None:
        if self._store is not None:
            self._store.close()


@pytest.fixture(params=["memory", "sqlite", "journal", "postgresql"])
def home(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, servers: Servers
) -> Iterator[Home]:
    if request.param == "memory":
        yield MemoryHome()
        return
    if request.param == "postgresql":  # one version of it: what it is asked for is the same in all
        with servers.get(labels("postgres")[0]).fresh_database() as database:
            server_home = StoredHome(database.url)
            yield server_home
            server_home.close()
        return
    if request.param == "journal":  # no keys are close enough to be written in their order at once
        monkeypatch.setattr(ordered, "STRANGERS_MAX", -1_000_000)
    file_home = StoredHome(tmp_path / "state.db")
    yield file_home
    file_home.close()


@pytest.fixture
def state(home: Home) -> State:
    """A state in the middle of its first run."""
    home.state.begin_run("first", NOW)
    return home.state


# --- builders ------------------------------------------------------------------------------------------------------


def ack(
    key: Key = "1", distinct_id: str | None = None, *, plan: str = "pro", shape: Sequence[str] = ("plan",)
) -> Acknowledged:
    return Acknowledged(key, distinct_id or key, plan.encode().ljust(16, b"."), tuple(shape))


def acknowledge(state: State, *entries: Acknowledged, now: float = NOW) -> None:
    state.settle(Settlement(acknowledged=entries), now)


def gone(key: str = "1", distinct_id: str | None = None, **changes: object) -> PendingRow:
    return make.pending(key, **{"kind": "gone", "distinct_id": distinct_id or key, "code": "deleted", **changes})


def fly(state: State, number: int, *profiles: Outgoing) -> None:
    state.settle(Settlement(dispatched=[InFlight(number, profiles)]), NOW)


def everything_pending(state: State) -> Sequence[PendingRow]:
    return state.due(1_000_000, float("inf"))


def swept(state: State, seen: Sequence[Key], limit: int | None = None) -> list[Key]:
    """The keys of a sweep after a pass that saw ``seen``."""
    limit = state.ordinal_limit() if limit is None else limit
    bits = bytearray((limit + 7) // 8)
    for known in state.known(seen).values():
        bits[known.ordinal >> 3] |= 1 << (known.ordinal & 7)
    return [key for chunk in state.unseen(bits, limit) for key, _ in chunk]


# --- what is known -------------------------------------------------------------------------------------------------


def test_at_first_nothing_is_known(home: Home) -> None:
    state = home.state
    assert state.known(["1"]) == {}
    assert (state.known_count(), state.pending_count(), state.ordinal_limit()) == (0, 0, 0)
    assert (state.watermark(), state.identity(), state.last_success_at()) == (None, None, None)
    assert (everything_pending(state), state.owners(["1"]), state.waiting(["1"])) == ([], {}, {})


def test_what_is_acknowledged_is_known_with_its_run_and_second(state: State) -> None:
    acknowledge(state, ack("1"), ack("2", "b", plan="free", shape=("plan", "city")), now=NOW + 0.75)
    known = state.known(["1", "2", "3"])
    assert {key: msgspec.structs.replace(entry, ordinal=0) for key, entry in known.items()} == {
        "1": Known("1", b"pro.............", ("plan",), int(NOW), 1, 0),
        "2": Known("b", b"free............", ("plan", "city"), int(NOW), 1, 0),
    }


@pytest.mark.parametrize("ending", ["none", "crash", "finish", "finish and reopen", "crash and run"])
def test_what_is_acknowledged_stays_known_however_the_run_ends(home: Home, ending: str) -> None:
    state = home.state
    state.begin_run("first", NOW)
    acknowledge(state, ack("1"), ack("2"))
    if "finish" in ending:
        state.finish_run(a_summary())
    if "crash" in ending or "reopen" in ending:
        state = home.reopen()
    if "run" in ending:
        state.begin_run("second", NOW)
    assert set(state.known(["1", "2", "3"])) == {"1", "2"}
    assert state.known_count() == 2


def test_the_last_acknowledgement_of_a_key_counts(home: Home, state: State) -> None:
    acknowledge(state, ack("1"), ack("1", "x", plan="free"))
    acknowledge(state, ack("1", plan="gold"))
    state.finish_run(a_summary())
    home.reopen().begin_run("second", NOW)
    acknowledge(home.state, ack("1", "x", plan="trial"), now=NOW + 60)
    (known,) = home.state.known(["1"]).values()
    assert (known.distinct_id, known.fingerprint[:5], known.run, known.acknowledged_at) == (
        "x",
        b"trial",
        2,
        int(NOW) + 60,
    )
    assert home.state.known_count() == 1


@pytest.mark.parametrize(
    ("known", "sent"),
    [
        (["7", "8", "9", "10", "11"], ["8", "9", "10"]),
        (["a", "b", "c"], ["a", "b", "c"]),
        (["a", "b", "c", "d"], ["a", "d"]),
        ([str(number) for number in range(90, 210)], [str(number) for number in range(95, 205)]),
    ],
    ids=["numbers of one digit and two", "all", "with others between them", "many numbers"],
)
@pytest.mark.parametrize("moved", [0, 1], ids=["unchanged", "one of them changed"])
def test_what_is_confirmed_is_known_as_before_but_from_this_run(
    home: Home, state: State, known: list[str], sent: list[str], moved: int
) -> None:
    acknowledge(state, *(ack(key, f"id {key}") for key in known))
    before = dict(state.known(known))
    state.finish_run(a_summary())
    state = home.reopen()
    state.begin_run("second", NOW)
    changed = [ack(key, f"id {key}", plan="new") for key in sent[:moved]]
    confirmed = [msgspec.structs.replace(ack(key, f"id {key}"), confirms=True) for key in sent[moved:]]
    acknowledge(state, *changed, *confirmed, now=NOW + 60)
    now = state.known(known)
    for key in known:
        assert (now[key].run, now[key].acknowledged_at) == ((2, int(NOW) + 60) if key in sent else (1, int(NOW)))
        assert (now[key].fingerprint == before[key].fingerprint) == (key not in sent[:moved])
        assert (now[key].distinct_id, now[key].shape, now[key].ordinal) == (f"id {key}", ("plan",), before[key].ordinal)
    assert state.known_count() == len(known)


def test_what_is_confirmed_and_was_never_known_is_known_then(state: State) -> None:
    acknowledge(state, ack("1"), ack("3"))
    acknowledge(state, *(msgspec.structs.replace(ack(key, f"id {key}"), confirms=True) for key in "123"))
    assert {key: known.distinct_id for key, known in state.known(list("1234")).items()}.keys() == set("123")
    assert state.known(["2"])["2"].distinct_id == "id 2"


def test_settling_twice_is_settling_once(state: State) -> None:
    acknowledge(state, ack("3"))
    fly(state, 1, make.outgoing("1"), make.outgoing("2"))
    settlement = Settlement(
        acknowledged=[ack("1")],
        forgotten=["3"],
        resolved=[("gone", "9", "9")],
        pending=[make.pending("2"), gone("1", "old")],
        landed=[1],
        dispatched=[InFlight(2, (make.outgoing("4"),))],
    )
    state.settle(settlement, NOW)
    once = (state.known(["1", "2", "3", "4"]), everything_pending(state), state.known_count())
    state.settle(settlement, NOW)
    assert (state.known(["1", "2", "3", "4"]), everything_pending(state), state.known_count()) == once


def test_a_settlement_is_applied_in_its_order(state: State) -> None:
    """Acknowledged before forgotten, resolved before pending: the later word wins."""
    state.settle(Settlement(pending=[gone("1", code="deleted")]), NOW)
    state.settle(
        Settlement(
            acknowledged=[ack("1"), ack("2")],
            forgotten=["1"],
            resolved=[("gone", "1", "1")],
            pending=[gone("1", code="delete_again"), make.pending("2", code="doubtful")],
        ),
        NOW,
    )
    assert set(state.known(["1", "2"])) == {"2"}
    assert [(row.key, row.code) for row in everything_pending(state)] == [("1", "delete_again"), ("2", "doubtful")]


def test_a_forgotten_key_is_new_when_it_comes_back(home: Home, state: State) -> None:
    acknowledge(state, ack("1"), ack("2"))
    state.finish_run(a_summary())
    state.begin_run("second", NOW)
    state.settle(Settlement(forgotten=["1", "never there"]), NOW)
    assert (set(state.known(["1", "2"])), state.known_count()) == ({"2"}, 1)
    state = home.reopen()
    assert (set(state.known(["1", "2"])), state.known_count()) == ({"2"}, 1)
    state.begin_run("third", NOW)
    acknowledge(state, ack("1"))
    assert state.known_count() == 2


@pytest.mark.parametrize("key", ["", " ", "0", "ä", "漢字", "😀", "a'b\"c", '["1","b"]', "\\x00ff", "%_", "k" * 3000])
def test_any_text_can_be_a_key(home: Home, state: State, key: str) -> None:
    acknowledge(state, ack(key, "id"), ack("other", key or "id2"))
    state.settle(Settlement(pending=[make.pending(key, code="doubtful", shape=("a", "ä"))]), NOW)
    state.finish_run(a_summary())
    state = home.reopen()
    assert list(state.known([key])) == [key]
    assert state.waiting([key])[key].shape == ("a", "ä")
    assert state.owners(["id"]) == {"id": [key]}
    state.begin_run("second", NOW)
    assert sorted(swept(state, [])) == sorted([key, "other"])


def test_many_keys_are_looked_up_at_once(home: Home, state: State) -> None:
    keys = [f"{number:05}" for number in range(2345)]
    acknowledge(state, *[ack(key) for key in keys])
    state.settle(Settlement(pending=[make.pending(key) for key in keys[:1234]]), NOW)
    for look_at in (lambda: state, home.reopen):
        seen = look_at()
        assert set(seen.known(keys)) == set(keys)
        assert len(seen.waiting(keys)) == 1234
        assert len(seen.owners(keys)) == 2345
    home.state.begin_run("second", NOW)
    acknowledge(home.state, *[ack(key) for key in keys[:1000]])
    assert home.state.pending_count() == 234


# --- owners --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("merged", [False, True])
def test_owners_are_the_keys_that_hold_an_id_now(home: Home, state: State, merged: bool) -> None:
    acknowledge(state, ack("1"), ack("2", "1"), ack("3", "c"), ack("4", "d"), ack("5", "e"))
    if merged:
        state.finish_run(a_summary())
        state.begin_run("second", NOW)
    acknowledge(state, ack("3", "new"), ack("6", "d"))
    state.settle(Settlement(forgotten=["5"]), NOW)
    expected = {"1": ["1", "2"], "new": ["3"], "d": ["4", "6"]}
    assert state.owners(["1", "c", "new", "d", "e", "none"]) == expected
    assert home.reopen().owners(["1", "c", "new", "d", "e", "none"]) == expected


# --- the sweep -----------------------------------------------------------------------------------------------------


def test_a_sweep_finds_the_known_keys_that_a_pass_did_not_see(state: State) -> None:
    acknowledge(state, *[ack(key) for key in "abcdefghij"])
    assert swept(state, ["b", "d", "j"]) == list("acefghi")
    assert swept(state, list("abcdefghij")) == []


def test_a_sweep_leaves_out_what_became_known_during_the_pass(state: State) -> None:
    acknowledge(state, ack("a"), ack("c"))
    limit = state.ordinal_limit()
    acknowledge(state, ack("b"), ack("c", plan="free"))
    assert swept(state, ["c"], limit) == ["a"]


def test_a_large_sweep_comes_in_chunks_in_key_order_while_settlements_go_on(state: State) -> None:
    keys = [f"{number:05}" for number in range(5000)]
    acknowledge(state, *[ack(key) for key in reversed(keys)])
    limit = state.ordinal_limit()
    found: list[Key] = []
    for chunk in state.unseen(bytearray((limit + 7) // 8), limit):
        assert 0 < len(chunk) <= 2000
        found += [key for key, _ in chunk]
        state.settle(Settlement(pending=[gone(key) for key, _ in chunk], forgotten=["04999"]), NOW)
        acknowledge(state, ack("00000", plan="back"), ack("a new one"))
    assert found == keys[:-1]
    assert state.pending_count() == 4999


def test_a_sweep_tells_what_is_known_of_a_key(state: State) -> None:
    acknowledge(state, ack("1", "id", plan="gold", shape=("a", "b")))
    limit = state.ordinal_limit()
    (((key, known),),) = list(state.unseen(bytearray(1), limit))
    assert known == state.known(["1"])[key]
    assert known.shape == ("a", "b")


def test_every_key_has_an_ordinal_of_its_own_that_stays_and_is_never_given_again(home: Home) -> None:
    """A bitmap taken at the start of a pass would otherwise count a key as seen because of another."""
    taken: dict[Key, int] = {}
    for number in range(1, 6):
        state = home.reopen()
        state.begin_run(str(number), NOW)
        still_known = list(state.known(list(taken)))
        fresh = [f"{number}{letter}" for letter in "zmaqb"]
        acknowledge(state, *[ack(key) for key in (*fresh, *still_known[::2])])
        ordinals = {key: known.ordinal for key, known in state.known([*still_known, *fresh]).items()}
        assert {key: taken[key] for key in still_known} == {key: ordinals[key] for key in still_known}
        assert not {ordinals[key] for key in fresh} & set(taken.values())
        taken |= ordinals
        assert sorted(taken.values()) == list(range(state.ordinal_limit())), "none is left out either"
        state.settle(Settlement(forgotten=[fresh[0]]), NOW)
        state.finish_run(a_summary())


# --- what is pending -----------------------------------------------------------------------------------------------


def test_a_pending_row_comes_back_as_it_was_written(home: Home, state: State) -> None:
    rows = [
        make.pending("1", distinct_id=None, since=1.25, next_try_at=NOW + 0.5, shape=()),
        make.refused("2", attempts=7, since=2.0, reason="the answer's own text", shape=("a", "b")),
        gone("3", "former", since=3.0),
    ]
    state.settle(Settlement(pending=rows), NOW)
    assert everything_pending(home.reopen()) == rows


def test_rows_come_due_oldest_first_and_not_before_their_time(state: State) -> None:
    rows = [
        make.pending("late", since=1.0, next_try_at=NOW + 1),
        make.pending("b", since=3.0, next_try_at=NOW),
        make.pending("a", since=2.0, next_try_at=NOW - 5),
        gone("c", since=2.5, next_try_at=NOW),
    ]
    state.settle(Settlement(pending=rows), NOW)
    assert [row.key for row in state.due(10, NOW)] == ["a", "c", "b"]
    assert [row.key for row in state.due(2, NOW)] == ["a", "c"]
    assert [row.key for row in state.due(10, NOW + 1)] == ["late", "a", "c", "b"]


def test_a_key_waits_once_but_each_of_its_former_ids_is_removed(state: State) -> None:
    state.settle(Settlement(pending=[make.pending("1", distinct_id="a"), gone("1", "a"), gone("1", "b")]), NOW)
    state.settle(Settlement(pending=[make.pending("1", distinct_id="c", code="doubtful")]), NOW)
    assert state.pending_count() == 3
    assert state.waiting(["1"])["1"].code == "doubtful"
    state.settle(Settlement(resolved=[("gone", "1", "a"), ("gone", "1", "none"), ("row", "2", None)]), NOW)
    assert [(row.kind, row.distinct_id) for row in everything_pending(state)] == [("gone", "b"), ("row", "c")]
    state.settle(Settlement(resolved=[("row", "1", None)]), NOW)
    assert [row.kind for row in everything_pending(state)] == ["gone"]


def test_an_acknowledged_key_waits_no_longer_but_its_removals_do(state: State) -> None:
    state.settle(Settlement(pending=[make.pending("1"), gone("1", "former"), make.pending("2")]), NOW)
    acknowledge(state, ack("1"))
    assert set(state.waiting(["1", "2"])) == {"2"}
    assert state.pending_count() == 2


def test_the_repetition_of_a_delete_is_not_counted(state: State) -> None:
    state.settle(Settlement(pending=[gone("1"), gone("2", code="delete_again")]), NOW)
    assert state.pending_count() == 1


def test_the_oldest_pending_row_tells_since_when_something_waits(state: State) -> None:
    assert state.pending_since() is None
    rows = [make.pending("1", since=7.0), make.refused("2", since=5.5), gone("3", code="delete_again", since=1.0)]
    state.settle(Settlement(pending=rows), NOW)
    assert state.pending_since() == 5.5


def test_rejected_rows_are_told_newest_first(state: State) -> None:
    rows = [make.refused("1", since=1.0), make.pending("2"), make.refused("3", since=3.0), make.refused("4", since=2.0)]
    state.settle(Settlement(pending=rows), NOW)
    assert [row.key for row in state.rejected()] == ["3", "4", "1"]
    assert (state.rejected_count(), state.pending_count()) == (3, 4)


def test_rows_can_be_made_due_at_once(state: State) -> None:
    rows = [
        make.refused("1", distinct_id="a", next_try_at=NOW + 3600),
        make.refused("2", distinct_id="a", next_try_at=NOW - 1),
        make.refused("3", distinct_id="b", next_try_at=NOW + 3600),
    ]
    state.settle(Settlement(pending=rows), NOW)
    assert state.hasten(["a", "a", "none"]) == 2
    assert {row.key: row.next_try_at for row in state.due(9, NOW)} == {"1": NOW, "2": NOW - 1}
    assert state.hasten([]) == 0
    assert state.hasten() == 3
    assert len(state.due(9, NOW)) == 3


# --- in flight -----------------------------------------------------------------------------------------------------


def test_what_a_dead_run_had_in_flight_is_looked_at_again(home: Home, state: State) -> None:
    fly(state, 1, make.outgoing("1", distinct_id="a", shape=("x",)), make.outgoing("2"))
    fly(state, 2, make.outgoing("3"))
    state.settle(Settlement(landed=[2], acknowledged=[ack("3")]), NOW)
    state = home.reopen()
    assert everything_pending(state) == []
    assert state.begin_run("second", NOW).interrupted == 2
    row = state.waiting(["1", "2", "3"])["1"]
    assert (row.code, row.distinct_id, row.shape, row.rejected, row.next_try_at) == (
        "interrupted",
        "a",
        ("x",),
        False,
        NOW,
    )
    assert [row.key for row in state.due(9, NOW)] == ["1", "2"]
    assert home.reopen().begin_run("third", NOW).interrupted == 0
    assert home.state.pending_count() == 2


def test_a_run_that_ended_leaves_nothing_in_flight(home: Home, state: State) -> None:
    fly(state, 1, make.outgoing("1"))
    state.settle(Settlement(acknowledged=[ack("1")], landed=[1]), NOW)
    state.finish_run(a_summary())
    assert home.reopen().begin_run("second", NOW).interrupted == 0


def test_a_removal_that_is_asked_for_again_keeps_what_is_remembered_of_it(state: State) -> None:
    first = gone("1", attempts=2, shape=("a",), since=3.0, next_try_at=NOW + 9)
    state.settle(Settlement(pending=[first]), NOW)
    state.settle(Settlement(pending=[gone("1", shape=("b",), since=NOW, next_try_at=NOW)]), NOW)
    (row,) = everything_pending(state)
    assert (row.attempts, row.shape, row.since, row.next_try_at) == (2, ("a", "b"), 3.0, NOW + 9)
    state.settle(Settlement(resolved=[("gone", "1", "1")], pending=[gone("1", code="delete_again", shape=())]), NOW)
    (row,) = everything_pending(state)
    assert (row.code, row.attempts, row.shape) == ("delete_again", 0, ()), "resolved first: nothing is left of it"


def test_an_interrupted_removal_is_asked_for_by_its_own_row(home: Home, state: State) -> None:
    asked = gone("1", code="rekeyed", distinct_id="former", next_try_at=NOW + 9, shape=("a",))
    state.settle(Settlement(pending=[asked]), NOW)
    fly(state, 1, make.removal("1", distinct_id="former", cause="rekeyed"), make.removal("2"))
    state = home.reopen()
    assert state.begin_run("second", NOW).interrupted == 2
    rows = {row.key: row for row in everything_pending(state)}
    assert rows["1"] == msgspec.structs.replace(asked, next_try_at=NOW)
    assert (rows["2"].kind, rows["2"].distinct_id, rows["2"].code) == ("gone", "2", "deleted")


def test_an_interrupted_row_remembers_what_earlier_requests_may_have_written(home: Home, state: State) -> None:
    state.settle(Settlement(pending=[make.refused("1", since=5.0, shape=("a", "b"))]), NOW)
    fly(state, 1, make.outgoing("1", shape=("b", "c")))
    home.reopen().begin_run("second", NOW)
    row = home.state.waiting(["1"])["1"]
    assert (row.shape, row.since, row.rejected, row.fingerprint) == (("a", "b", "c"), 5.0, False, None)


# --- runs and the sync itself --------------------------------------------------------------------------------------


def test_runs_are_numbered_upwards_dead_or_not(home: Home) -> None:
    numbers = []
    for ending in ("dead", "finished", "dead"):
        state = home.reopen()
        numbers.append(state.begin_run(ending, NOW).number)
        if ending == "finished":
            state.finish_run(a_summary())
    assert numbers == sorted(set(numbers))


def test_a_backfill_goes_on_until_it_is_done(home: Home) -> None:
    def begun(forced: str | None, *, restart: bool = False, done: bool = False) -> tuple[int, int]:
        run = home.reopen().begin_run("run", NOW, forced=forced, restart=restart)
        if done:
            home.state.finish_run(a_summary(), forced_done=True)
        return run.number, run.forced_since

    assert begun("all") == (1, 1)
    assert begun("all") == (2, 1)
    assert begun(None) == (3, 0)
    assert begun("all") == (4, 1)
    assert begun("some keys") == (5, 5)
    assert begun("some keys", restart=True) == (6, 6)
    assert begun("some keys", done=True) == (7, 6)
    assert begun("some keys") == (8, 8)


def test_watermark_and_identity_are_remembered(home: Home, state: State) -> None:
    watermark = Watermark("cursor", cursor="2026-11-24 10:00:00+00", full_at=NOW, horizon=make.horizon())
    state.move_watermark(watermark)
    state.set_identity(make.identity())
    state = home.reopen()
    assert (state.watermark(), state.identity()) == (watermark, make.identity())
    state.move_watermark(Watermark("full"))
    assert state.watermark() == Watermark("full")


def test_the_last_run_that_came_to_its_end_is_remembered(home: Home) -> None:
    stamps: list[tuple[str, str | None]] = [("ok", "1"), ("failed", "1"), ("rejected", "3"), ("stopped", "3")]
    for number, (outcome, expected) in enumerate(stamps, start=1):
        state = home.reopen()
        state.begin_run("run", NOW)
        state.finish_run(a_summary(outcome=outcome, started_at=str(number)))
        assert home.reopen().last_success_at() == expected


def test_forgetting_leaves_nothing_known_pending_or_in_flight(home: Home, state: State) -> None:
    acknowledge(state, ack("1"), ack("2", "b"))
    state.finish_run(a_summary())
    state.begin_run("second", NOW)
    acknowledge(state, ack("3"))
    state.settle(Settlement(pending=[make.pending("4")]), NOW)
    fly(state, 1, make.outgoing("5"))
    state.move_watermark(Watermark("full"))
    state.set_identity(make.identity())
    state.forget()
    assert (state.known(["1", "2", "3"]), state.known_count(), everything_pending(state)) == ({}, 0, [])
    assert (state.watermark(), state.owners(["b"])) == (None, {})
    acknowledge(state, ack("1"))
    state = home.reopen()
    assert state.begin_run("third", NOW).interrupted == 0
    assert (set(state.known(["1", "2", "3"])), state.known_count()) == ({"1"}, 1)


KINDS: tuple[PendingKind, ...] = ("row", "gone")


@pytest.mark.parametrize("kind", KINDS)
def test_resolving_what_is_not_pending_is_fine(state: State, kind: PendingKind) -> None:
    state.settle(Settlement(resolved=[(kind, "1", "1")], landed=[5]), NOW)
    assert state.pending_count() == 0


# --- a verification ------------------------------------------------------------------------------------------------

PROGRESS = Verification(
    NOW,
    "m",
    9,
    b"\x00\xff\x80",
    matching=3,
    left_out=1,
    found=(Mismatch("different", "1", "é", ("plan", "$email"), unsent=True), Mismatch("missing", "", "x")),
)


def test_how_far_a_verification_has_come_outlives_a_death_and_is_replaced_and_ended(home: Home) -> None:
    assert home.state.verification() is None
    home.state.keep_verification(PROGRESS)
    state = home.reopen()
    assert state.verification() == PROGRESS
    later = msgspec.structs.replace(PROGRESS, seen=b"\xff" * 3, found=())
    state.keep_verification(later)
    assert home.reopen().verification() == later
    home.state.keep_verification(None)
    assert home.reopen().verification() is None


def test_a_verification_of_what_is_forgotten_is_forgotten_too(state: State) -> None:
    state.keep_verification(PROGRESS)
    state.forget()
    assert state.verification() is None
