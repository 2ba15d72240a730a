"""The file on disk does what the model in memory does, whatever is asked of both in whatever order."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import builders as make
import hypothesis.strategies as st
import msgspec
import pytest
from fakes import MemoryState
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from servers import Server, Servers, labels
from summaries import a_summary

from sync_profiles.core.ports import State
from sync_profiles.core.types import Acknowledged, InFlight, Key, Known, Outgoing, PendingRow, Settlement, Watermark
from sync_profiles.state import journal, ordered
from sync_profiles.state.store import Store, open_store

KEYS = ["", "1", "10", "11", "2", "a", "ä", "z"]
IDS = [*KEYS[1:], "x", "y"]
SHAPES = [(), ("plan",), ("plan", "city")]

keys = st.sampled_from(KEYS)
ids = st.sampled_from(IDS)
shapes = st.sampled_from(SHAPES)
times = st.sampled_from([1.0, 2.5, 3.0])
acknowledgements = st.builds(
    Acknowledged, key=keys, distinct_id=ids, fingerprint=st.sampled_from([b"a" * 16, b"b" * 16]), shape=shapes
)


@st.composite
def pending_rows(draw: st.DrawFn) -> PendingRow:
    kind = draw(st.sampled_from(["row", "gone"]))
    code = draw(st.sampled_from(["refused", "delete_again"]))
    return make.pending(
        draw(keys),
        kind=kind,
        distinct_id=draw(ids if kind == "gone" else st.none() | ids),
        code=code,
        rejected=draw(st.booleans()),
        since=draw(times),
        next_try_at=draw(times),
        shape=draw(shapes),
    )


@st.composite
def profiles(draw: st.DrawFn) -> Outgoing:
    made = make.removal if draw(st.booleans()) else make.outgoing
    return made(draw(keys), distinct_id=draw(ids), shape=draw(shapes), cause=draw(st.sampled_from(["", "deleted"])))


batches = st.builds(InFlight, number=st.integers(1, 4), profiles=st.lists(profiles(), max_size=3).map(tuple))
settlements = st.builds(
    Settlement,
    acknowledged=st.lists(acknowledgements, max_size=6),
    forgotten=st.lists(keys, max_size=2),
    resolved=st.lists(st.tuples(st.sampled_from(["row", "gone"]), keys, st.none() | ids), max_size=2),
    pending=st.lists(pending_rows(), max_size=3),
    landed=st.lists(st.integers(1, 4), max_size=2),
    dispatched=st.lists(batches, max_size=1),
)


def confirms(known: Mapping[Key, Known], entry: Acknowledged | Outgoing) -> bool:
    held = known.get(entry.key)
    said = (entry.distinct_id, entry.fingerprint, entry.shape)
    return held is not None and (held.distinct_id, held.fingerprint, held.shape) == said


class TwoStates(RuleBasedStateMachine):
    """Everything is done to both; a crash is a state that is closed in the middle of a run."""

    def __init__(self) -> None:
        super().__init__()
        self._leave = ExitStack()
        self._place = self._new_place()
        self._time = 1.0
        self._store: Store | None = None
        self.model = MemoryState(self._now)
        self.real: State
        self.running = False
        self._open()

    def _new_place(self) -> Path | str:
        return Path(self._leave.enter_context(tempfile.TemporaryDirectory())) / "state.db"

    def _now(self) -> float:
        return self._time

    def _open(self) -> None:
        if self._store is not None:
            self._store.close()
        self._store = open_store(self._place, now=self._now)
        self.real = self._store.sync("users")
        self.running = False

    def teardown(self) -> None:
        assert self._store is not None
        self._store.close()
        self._leave.close()

    # --- what happens ------------------------------------------------------------------------------------------

    @rule()
    def crash(self) -> None:
        self._open()

    @precondition(lambda self: not self.running)
    @rule(forced=st.sampled_from([None, "all", "some"]), restart=st.booleans())
    def begin(self, forced: str | None, restart: bool) -> None:
        ours, theirs = (
            state.begin_run("run", self._time, forced=forced, restart=restart) for state in (self.model, self.real)
        )
        assert (ours.number, ours.forced_since, ours.interrupted) == (
            theirs.number,
            theirs.forced_since,
            theirs.interrupted,
        )
        self.running = True

    @precondition(lambda self: self.running)
    @rule(done=st.booleans(), outcome=st.sampled_from(["ok", "failed"]))
    def finish(self, done: bool, outcome: str) -> None:
        summary = a_summary(outcome=outcome, started_at=str(self._time))
        for state in (self.model, self.real):
            state.finish_run(summary, forced_done=done)
        self.running = False

    @rule(settlement=settlements, again=st.booleans(), strangers_max=st.sampled_from([-1_000_000, 0, 5]))
    def settle(self, settlement: Settlement, again: bool, strangers_max: int) -> None:
        ordered.STRANGERS_MAX = strangers_max  # by the journal, or in the order of the keys at once
        known = self.model.known([entry.key for entry in settlement.acknowledged])
        entries = [msgspec.structs.replace(e, confirms=confirms(known, e)) for e in settlement.acknowledged]
        settlement = msgspec.structs.replace(settlement, acknowledged=entries)
        self.model.settle(settlement, self._time)
        for _ in range(1 + again):
            self.real.settle(settlement, self._time)

    @rule(chosen=st.none() | st.lists(ids, max_size=2))
    def hasten(self, chosen: Sequence[str] | None) -> None:
        assert self.model.hasten(chosen) == self.real.hasten(chosen)

    @rule()
    def forget(self) -> None:
        self.model.forget()
        self.real.forget()

    @rule(watermark=st.builds(Watermark, detection=st.just("cursor"), cursor=st.none() | keys))
    def move_watermark(self, watermark: Watermark) -> None:
        self.model.move_watermark(watermark)
        self.real.move_watermark(watermark)

    @rule(seconds=st.sampled_from([0.5, 1.0]))
    def wait(self, seconds: float) -> None:
        self._time += seconds

    @precondition(lambda self: self.running)
    @rule(seen=st.lists(keys))
    def sweep(self, seen: Sequence[Key]) -> None:
        assert unseen(self.model, seen) == unseen(self.real, seen)

    # --- what must be the same ---------------------------------------------------------------------------------

    @invariant()
    def the_same_is_known(self) -> None:
        assert without_ordinals(self.model.known(KEYS)) == without_ordinals(self.real.known(KEYS))
        assert self.model.known_count() == self.real.known_count()
        assert self.model.owners(IDS) == self.real.owners(IDS)
        assert self.model.watermark() == self.real.watermark()
        assert self.model.last_success_at() == self.real.last_success_at()

    @invariant()
    def the_same_is_pending(self) -> None:
        assert self.model.due(99, float("inf")) == self.real.due(99, float("inf"))
        assert self.model.due(2, self._time) == self.real.due(2, self._time)
        assert self.model.waiting(KEYS) == self.real.waiting(KEYS)
        assert self.model.pending_count() == self.real.pending_count()
        assert self.model.pending_since() == self.real.pending_since()
        assert self.model.rejected() == self.real.rejected()

    @invariant()
    def ordinals_tell_keys_apart(self) -> None:
        ordinals = [known.ordinal for known in self.real.known(KEYS).values()]
        assert len(set(ordinals)) == len(ordinals)


def without_ordinals(known: Mapping[Key, Known]) -> dict[Key, Known]:
    return {key: msgspec.structs.replace(entry, ordinal=0) for key, entry in known.items()}


def unseen(state: State, seen: Sequence[Key]) -> dict[Key, Known]:
    limit = state.ordinal_limit()
    bits = bytearray((limit + 7) // 8)
    for known in state.known(seen).values():
        bits[known.ordinal >> 3] |= 1 << (known.ordinal & 7)
    return without_ordinals(dict(pair for chunk in state.unseen(bits, limit) for pair in chunk))


@pytest.fixture(autouse=True)
def small_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that merges happen in the middle of runs, and in several chunks."""
    monkeypatch.setattr(journal, "MERGE_ROWS", 8)
    monkeypatch.setattr(journal, "CHUNK_ROWS", 2)
    monkeypatch.setattr(journal, "INSERT_ROWS", 3)
    monkeypatch.setattr(ordered, "INSERT_ROWS", 3)
    monkeypatch.setattr(ordered, "STRANGERS_MAX", 0)


def some(examples: int) -> settings:
    return settings(
        max_examples=examples, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
    )


TwoStates.TestCase.settings = some(25)
TestTwoStates = TwoStates.TestCase


def on_postgres(server: Server) -> type[TwoStates]:
    """The same with the state on a server, a database for each example."""

    class OnPostgres(TwoStates):
        def _new_place(self) -> Path | str:
            return self._leave.enter_context(server.fresh_database()).url

    return OnPostgres


def test_the_state_on_a_server_does_the_same(servers: Servers) -> None:
    run_state_machine_as_test(on_postgres(servers.get(labels("postgres")[0])), settings=some(5))


@pytest.mark.proof
def test_the_state_on_every_server_does_the_same_however_long(postgres: Server) -> None:
    run_state_machine_as_test(on_postgres(postgres), settings=some(300))
