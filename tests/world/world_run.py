"""One seed, one world: a table with writers, the real engine on simulated time, faults, crashes, and then peace.

``World(seed).live()`` ends well or raises ``Divergence`` with the seed and what happened. While faults last anything
may fail; when they are over and at most three quiet runs have passed, Mixpanel holds what the table says, nothing waits
but what is truly bad, a further run sends nothing, and nothing was ever sent that was known to be there.
"""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from world_mixpanel import SimulatedMixpanel
from world_oracle import History, Oracle, Wishes
from world_requests import Schedule
from world_source import MODEL, SimulatedSource
from world_state import FileStore, MemoryStore, ServerStore, WatchedState
from world_table import Table
from world_writers import Habits, Writers

from sync_profiles.core.gone import UNCERTAIN
from sync_profiles.core.mapping import compile_mapping
from sync_profiles.core.scanplan import lookback_s
from sync_profiles.core.types import Batch, Identity, Kind, Limit, MappingSpec, Outgoing, Property, Settlement
from sync_profiles.destination.layers import Paced, Retrying
from sync_profiles.engine.backfill import Selection, backfill_sync
from sync_profiles.engine.course import Surroundings
from sync_profiles.engine.dryrun import DryRun, dry_run_sync
from sync_profiles.engine.ending import RunResult
from sync_profiles.engine.parts import Outlet, Parts, Policy, RunOptions, Sync
from sync_profiles.engine.run import run_sync
from sync_profiles.errors import StateError, TemporaryError

DAY_S = 86_400.0
QUIET_RUNS = 3
TRACE_LINES = 120


class Crash(BaseException):
    """The process dies here; nothing it would still do happens."""


class Divergence(AssertionError):  # noqa: N818 - it is a finding
    """What must never be, with the story that led there."""


@dataclass(frozen=True)
class Setting:
    """What is drawn once for a world."""

    detect: str
    full_every_s: float | None
    lookback_s: float | None
    page_rows: int
    by_block: bool
    records_max: int
    threads: int
    exact: bool
    lost_tail: bool


class FreeLock:
    """Nobody else runs."""

    holder = ""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


class World:
    """Everything of one seed. ``crash_at``: the step (from 1) of the first run that is its last, for a sweep.

    The state is in a file in ``folder``, in the PostgreSQL database at the URL ``server``, or in memory.
    """

    def __init__(
        self, seed: int, folder: Path | None = None, *, crash_at: int | None = None, server: str | None = None
    ) -> None:
        self.seed = seed
        self.rng = random.Random(f"world {seed}")
        self.trace: list[str] = []
        self.at = 1_700_000_000.0 + self.rng.randint(0, 1000)
        self.wishes = self._draw_wishes()
        self.setting = self._draw_setting()
        self.history = History()
        self.table = Table(self.rng, self.history.note)
        self.writers = Writers(self.table, self._draw_habits(), self.rng, self.now)
        self.writers.tell = self.tell
        self.oracle = Oracle(self.table, self.history)
        self.mixpanel = SimulatedMixpanel(
            self.rng,
            self.now,
            self.step,
            self.tell,
            poison_stores_others=self.rng.random() < 0.5,
            records_max=self.rng.choice((None, None, 6)),
        )
        self.mixpanel.doubted = self._doubt
        self.store: Any = MemoryStore(self.now)
        if server is not None:
            self.store = ServerStore(server, self.now)
            self.setting = replace(self.setting, lost_tail=False)
        elif folder is not None:
            self.store = FileStore(folder, self.now)
        self.dead = False
        self.crash_at = crash_at
        self.crash_in: int | None = None
        self.steps = 0
        self.writing_rate = 0.0
        self.trouble_rate = 0.0
        self.stop_rate = 0.0
        self.stop_cause: str | None = None
        self.deadline: float | None = None
        self.forcing = False
        self.clean: dict[str, Any] = {}
        self.doubtful: set[str] = set()
        self._sent: dict[str, Any] = {}
        self.in_flight: dict[int, tuple[str, ...]] = {}
        self.images: list[Any] = []
        self.runs = 0

    # --- what is drawn -----------------------------------------------------------------------------------------

    def _draw_wishes(self) -> Wishes:
        rng = self.rng
        return Wishes(
            set=dict([("a", "a"), ("n", "n"), ("b", "b")][: rng.randint(1, 3)]),
            once=rng.random() < 0.4,
            union=rng.random() < 0.25,
            on_null=rng.choice(("unset", "unset", "unset", "skip", "null")),
            on_delete=rng.choice(("ignore", "unset", "delete", "delete")),
            by_uid=rng.random() < 0.4,
            soft=rng.random() < 0.3,
        )

    def _draw_setting(self) -> Setting:
        rng = self.rng
        detect = rng.choice(("full", "cursor", "cursor", "xmin", "xmin", "xmin"))
        exact = detect != "cursor" or rng.random() < 0.6
        return Setting(
            detect=detect,
            full_every_s=DAY_S if detect == "cursor" and not exact else rng.choice((None, None, DAY_S)),
            lookback_s=rng.choice((None, 600.0, 300.0)),
            page_rows=rng.choice((1, 2, 3, 5, 50)),
            by_block=detect == "xmin" and rng.random() < 0.6,
            records_max=rng.choice((1, 2, 4, 4, 100)),
            threads=rng.choice((1, 1, 2, 3)),
            exact=exact,
            lost_tail=rng.random() < 0.08,
        )

    def _draw_habits(self) -> Habits:
        rng, setting = self.rng, self.setting
        honest = setting.detect == "cursor" and setting.exact
        return Habits(
            honest=honest,
            forward=setting.lost_tail,
            late_s=lookback_s(setting.lookback_s, Kind.INSTANT),
            grid_s=rng.choice((1, 60, 300)) if honest else rng.choice((1, 60)),
            keys=rng.choice((4, 10, 25)),
            ids=rng.choice((3, 8, 20)),
            server_events=not honest,
        )

    # --- time and steps ----------------------------------------------------------------------------------------

    def now(self) -> float:
        return self.at

    monotonic = now

    def database_now(self) -> int:
        """The database's clock, as coarse as its clock column."""
        grid = self.writers._habits.grid_s
        return int(self.at) // grid * grid

    def tell(self, text: str) -> None:
        self.trace.append(f"{self.at - 1_700_000_000:>10.1f} {text}")

    def advance(self, seconds: float) -> None:
        """Time passes; what is late lands, who is at a limit commits, and some go on writing."""
        target = self.at + seconds
        grid = float(self.writers._habits.grid_s) if self.writers._habits.honest else 300.0
        while self.at < target:
            next_late = self.mixpanel.next_late()
            stops = [target, (self.at // grid + 1) * grid, *([next_late] if next_late is not None else [])]
            self.at = min(stop for stop in stops if stop > self.at)
            self.mixpanel.land()
            self.writers.due()
            if target - self.at > 60 and self.rng.random() < self.writing_rate / 10:
                self.writers.act()

    def step(self, what: str) -> None:
        """Between any two things that the process does."""
        if self.dead:
            raise Crash
        self.steps += 1
        if self.crash_at is not None and self.runs == 1 and self.steps == self.crash_at:
            self._crash(what)
        if self.crash_in is not None:
            self.crash_in -= 1
            if self.crash_in <= 0:
                self._crash(what)
        if self.rng.random() < self.writing_rate:
            self.writers.act()
        if self.rng.random() < 0.1:
            self.advance(self.rng.choice((0.1, 1.0, 20.0)))
        if self.stop_cause is None and self.rng.random() < self.stop_rate:
            self.stop_cause = "SIGTERM"
            self.tell("SIGTERM")
        if self.rng.random() < self.trouble_rate:
            self._trouble(what)
        if self.setting.lost_tail and what == "before settle":
            self.images.append(self.store.image())

    def _crash(self, what: str) -> None:
        self.tell(f"CRASH at step {self.steps}: {what}")
        self.dead = True
        raise Crash

    def _trouble(self, what: str) -> None:
        if what in {"page", "read", "sharing", "duplicates", "watermark", "count"}:
            self.tell(f"database away: {what}")
            raise TemporaryError("the database is away")
        if what.startswith("before"):
            self.tell(f"disk full: {what}")
            raise StateError("the disk is full")

    # --- Stop --------------------------------------------------------------------------------------------------

    @property
    def cause(self) -> str | None:
        if self.stop_cause is None and self.deadline is not None and self.at >= self.deadline:
            self.stop_cause = "deadline"
        return self.stop_cause

    def wait(self, seconds: float) -> bool:
        self.advance(seconds)
        return self.cause is not None

    def remaining_s(self) -> float | None:
        return None if self.deadline is None else self.deadline - self.at

    # --- what must hold throughout -----------------------------------------------------------------------------

    def _departs(self, air: list[Batch], batch: Batch) -> None:
        ids = [profile.distinct_id for profile in batch.profiles]
        flying = {profile.distinct_id for other in air for profile in other.profiles}
        if flying & set(ids) or len(set(ids)) < len(ids):
            raise self._diverged(f"one distinct ID in two requests at once, or twice in one: {ids}")
        for profile in batch.profiles:
            if profile.fingerprint is None:
                self._forget_id(profile.distinct_id)
                continue
            content = _content(profile)
            clean = self.clean.get(profile.key) == content and profile.key not in self.doubtful
            if clean and not self.forcing and not self._cures(profile.distinct_id, profile.body):
                raise self._diverged(f"row {profile.key} was sent although Mixpanel had acknowledged just that")
            self.clean[profile.key] = None

    def _forget_id(self, distinct_id: str) -> None:
        for key, content in self.clean.items():
            if content is not None and content[0] == distinct_id:
                self.clean[key] = None

    def _cures(self, distinct_id: str, body: bytes) -> bool:
        """Whether the records unset something that is there."""
        held = self.mixpanel.profiles.get(distinct_id, {})
        return any(name in held for record in json.loads(b"[" + body + b"]") for name in record.get("$unset", ()))

    def _doubt(self, batch: Batch) -> None:
        self.doubtful.update(profile.key for profile in batch.profiles)

    def _committed(self, settlement: Settlement) -> None:
        for number in settlement.landed:
            self.in_flight.pop(number, None)
        for entry in settlement.acknowledged:
            self.doubtful.discard(entry.key)
            self.clean[entry.key] = None if entry.fingerprint == UNCERTAIN else self._sent.get(entry.key)
        for row in settlement.pending:
            self.doubtful.add(row.key)
        for batch in settlement.dispatched:
            self.in_flight[batch.number] = tuple(profile.key for profile in batch.profiles)
            for profile in batch.profiles:
                if profile.fingerprint is not None:
                    self._sent[profile.key] = _content(profile)

    def _diverged(self, what: str) -> Divergence:
        story = "\n".join(self.trace[-TRACE_LINES:])
        return Divergence(
            f"world {self.seed}: {what}\n{self.wishes}\n{self.setting}\n{self.writers._habits}\n{story}\n"
            f"replay: python -m pytest tests/world --world-seed {self.seed}"
        )

    # --- a process ---------------------------------------------------------------------------------------------

    def _parts(self) -> Parts:
        wishes, setting = self.wishes, self.setting
        mapper = compile_mapping(_mapping(wishes), MODEL, ("id",), token="T")
        source = SimulatedSource(
            self.table,
            mapper.columns,
            detect=setting.detect,
            page_rows=setting.page_rows,
            by_block=setting.by_block,
            unique_ids=not wishes.by_uid,
            step=self.step,
            now=self.database_now,
            rng=self.rng,
        )
        policy = Policy(
            on_delete=wishes.on_delete,  # type: ignore[arg-type]  # drawn from its values
            max_delete=Limit(share=1.0),
            max_reject=Limit(share=1.0),
            full_every_s=setting.full_every_s,
            lookback_s=lookback_s(setting.lookback_s, Kind.INSTANT),
        )
        identity = Identity("source", "source", "project", "project", f"{mapper.digest} {wishes.soft}")
        return Parts(source, mapper, identity, policy)

    def _outlet(self, count: Callable[[int], None]) -> Outlet:
        paced = Paced(self.mixpanel, limit=self.setting.threads)
        retrying = Retrying(
            paced,
            stop=self,
            clock=self,
            jitter=self.rng.random,
            patience_s=self.rng.choice((1.0, 30.0, 300.0)),
            count=count,
        )
        return Outlet(retrying, lambda: paced.limit, self.setting.threads, self.setting.records_max)

    def run(self, start: Callable[[Sync, Surroundings], RunResult], *, calm: bool = False) -> RunResult | None:
        """One process; None when it died."""
        self.runs += 1
        self.steps = 0
        self.dead, self.stop_cause, self._sent = False, None, {}
        self.images.clear()
        schedule = Schedule(
            self.rng,
            wait=self.advance,
            alive=self._alive,
            departs=self._departs,
            stall_rate=0.0 if calm else self.rng.choice((0.0, 0.0, 0.2)),
        )
        result: RunResult | None = None
        with pytest.MonkeyPatch.context() as patch:
            schedule.install(patch)
            state = WatchedState(self.store.open(), self.step, self._committed)
            sync = Sync("users", state, FreeLock(), self._parts, self._outlet)
            with contextlib.suppress(Crash):
                result = start(sync, Surroundings(self, self, lambda _event: None, lambda: f"run {self.runs}"))
        self._end(schedule, result)
        return result

    def _alive(self) -> None:
        if self.dead:
            raise Crash

    def _end(self, schedule: Schedule, result: RunResult | None) -> None:
        for batch in schedule.air:
            self.mixpanel.abandon(batch)
        for keys in self.in_flight.values():
            self.doubtful.update(keys)
        self.in_flight.clear()
        if result is None:
            lost = self.setting.lost_tail and bool(self.images)
            if lost:
                self.tell("the tail of the state is lost")
                self.clean.clear()
            self.store.die(self.rng.choice(self.images) if lost else None)
        else:
            self.store.close()
            self.tell(f"ended {result.summary.outcome} {result.summary.why} {result.summary.message}: {result.summary}")
            if result.exit_code == 1:
                raise self._diverged(f"a bug: {result.error!r}") from result.error

    # --- a life ------------------------------------------------------------------------------------------------

    def live(self) -> None:
        """Trouble, then peace, then judgement."""
        self.writers.fill(self.rng.randint(0, self.writers._habits.keys))
        for _ in range(self.rng.randint(3, 8)):
            self._trouble_run()
        self._peace()
        self._last_word()
        self._after_peace()
        self.advance(DAY_S + 3600.0)
        self._judgement()

    def _trouble_run(self) -> None:
        rng = self.rng
        self.writing_rate = rng.choice((0.0, 0.1, 0.4))
        self.mixpanel.fault_rate = rng.choice((0.0, 0.2, 0.6))
        self.trouble_rate = rng.choice((0.0, 0.0, 0.01))
        self.stop_rate = rng.choice((0.0, 0.0, 0.02))
        self.crash_in = rng.randint(1, rng.choice((10, 60))) if self.crash_at is None and rng.random() < 0.45 else None
        self.deadline = self.at + rng.choice((5.0, 60.0)) if rng.random() < 0.15 else None
        self._between()
        if self.crash_at is not None and self.runs == 0:
            self.run(self._hourly())
            return
        choice = rng.random()
        if choice < 0.75:
            self.run(self._hourly(full=rng.random() < 0.1))
        elif choice < 0.9:
            self._backfill(restart=rng.random() < 0.2, changed_only=rng.random() < 0.2)
        else:
            self._dry_run()

    def _between(self) -> None:
        rng = self.rng
        for _ in range(rng.choice((0, 1, 3, 8))):
            self.writers.act()
        self.advance(rng.choice((0.0, 30.0, 300.0, 300.0, 600.0, 900.0, 3600.0)))
        if rng.random() < 0.1:
            self.writers.vacuum_full()
        if rng.random() < 0.1 and not self.setting.lost_tail:
            self._change_mapping()

    def _change_mapping(self) -> None:
        chosen = self.rng.choice(({"a": "a"}, {"a": "a", "b": "b"}, {"x": "a", "n": "n"}, {"a": "n", "b": "a"}))
        self.wishes = self.wishes.with_set(**chosen)
        self.tell(f"mapping: {chosen}")

    def _hourly(self, *, full: bool = False) -> Callable[[Sync, Surroundings], RunResult]:
        options = RunOptions(full=full, allow_mass_delete=True)
        self.tell(f"--- run {'--full' if full else ''}")
        return lambda sync, surroundings: run_sync(sync, options, surroundings)

    def _backfill(self, *, restart: bool, changed_only: bool) -> None:
        selection = Selection(restart=restart, changed_only=changed_only)
        self.tell(f"--- backfill {selection}")
        self.forcing = not changed_only
        self.run(lambda sync, surroundings: backfill_sync(sync, selection, surroundings))
        self.forcing = False

    def _dry_run(self) -> None:
        self.tell("--- dry run")
        self.crash_in, self.dead, self.stop_cause = None, False, None
        self.store.open()
        self.store.close()
        before, requests = self.store.dump(), self.mixpanel.requests
        dry = DryRun("users", self.store.reader(), self._parts)
        result = dry_run_sync(dry, RunOptions(), Surroundings(self, self, lambda _event: None, lambda: "dry"))
        self.store.close()
        if result.exit_code == 1:
            raise self._diverged(f"a bug: {result.error!r}") from result.error
        if (self.store.dump(), self.mixpanel.requests) != (before, requests):
            raise self._diverged("a dry run changed something")

    # --- peace -------------------------------------------------------------------------------------------------

    def _peace(self) -> None:
        self.writing_rate = self.mixpanel.fault_rate = self.trouble_rate = self.stop_rate = 0.0
        self.crash_in = self.deadline = self.crash_at = None
        self.tell("=== peace")
        self.writers.finish()

    def _quiet_run(self, *, full: bool = False) -> RunResult:
        result = self.run(self._hourly(full=full), calm=True)
        assert result is not None
        if result.exit_code not in {0, 65}:
            raise self._diverged(f"a quiet run ended with {result.exit_code}: {result.summary.message}")
        return result

    def _last_word(self) -> None:
        """Something rare and unkind, in the middle of peace, that only the next runs can make good."""
        detect, habits = self.setting.detect, self.writers._habits
        if not self.setting.exact or habits.forward or detect == "full":
            return
        self.advance(700.0)
        if detect == "cursor":
            self._late_commit_at_the_edge()
            return
        self._quiet_run()
        if self.rng.random() < 0.5:
            self.tell("fast default b = 'last'")
            self.table.fast_default("b", "last")
            return
        image = self.table.image()
        self.writers.fill(4)
        self._quiet_run()
        promoted = self.rng.random() < 0.5
        self.tell("failover" if promoted else "restart from an older disk")
        self.table.restore(image, promoted=promoted)
        self.writers.fill(2)

    def _late_commit_at_the_edge(self) -> None:
        """Open for exactly as long as the lookback, over a run that read the newest cursor there can be."""
        late = self.writers.begin()
        self.advance(self.writers._habits.late_s)
        self.writers.fill(1)
        self._quiet_run()
        self.writers.settle_overdue()
        if late in self.table.open:
            self.writers.finish()

    def _after_peace(self) -> None:
        """Exact detection: what was committed is there after quiet runs without a full pass, or is pending."""
        if not self.setting.exact:
            return
        for _ in range(QUIET_RUNS):
            self.advance(700.0)
            self._quiet_run()
        good = self.oracle.living(self.wishes).keys() - self.oracle.bad(self.wishes)
        state = self.store.open()
        waiting = {int(row.key) for row in state.due(10_000, self.at + 100 * DAY_S)}
        self.store.close()
        wrong = self.oracle.wrong(self.wishes, self.mixpanel.profiles, sorted(good - waiting))
        if wrong:
            raise self._diverged(f"missed without a full pass: {wrong}")

    def _judgement(self) -> None:
        for number in range(QUIET_RUNS):
            self._quiet_run(full=number == 0 and self.setting.full_every_s is None)
            self.advance(3600.0)
        self._judge_profiles()
        result = self._quiet_run()
        if result.summary.sent or result.summary.deleted:
            raise self._diverged(f"a further run sent {result.summary.sent} and deleted {result.summary.deleted}")
        self._judge_profiles()

    def _judge_profiles(self) -> None:
        wishes, profiles = self.wishes, self.mixpanel.profiles
        bad = self.oracle.bad(wishes)
        wrong = self.oracle.wrong(wishes, profiles, sorted(self.oracle.living(wishes).keys() - bad))
        wrong |= self.oracle.surplus(wishes, profiles)
        if wrong:
            raise self._diverged(f"not equal: {wrong}")
        state = self.store.open()
        rejected = {int(row.key) for row in state.rejected()}
        pending = state.pending_count()
        self.store.close()
        # Of rows that share an ID, the one whose profile it is may have been found unchanged.
        missing = bad - rejected - self.oracle.shared(wishes)
        if missing or rejected - bad or pending != len(rejected):
            raise self._diverged(f"{pending} pending, {sorted(rejected)} rejected; truly bad are {sorted(bad)}")


def _content(profile: Outgoing) -> Any:
    """What a profile's records say of properties that are sent on every change."""
    records = json.loads(b"[" + profile.body + b"]")
    said = [(name, record[name]) for record in records for name in ("$set", "$union") if name in record]
    return profile.distinct_id, profile.fingerprint, said


def _mapping(wishes: Wishes) -> MappingSpec:
    return MappingSpec(
        set={name: Property(column=column) for name, column in wishes.set.items()},
        set_once={"$created": Property(column="created")} if wishes.once else {},
        union={"tags": Property(column="tags")} if wishes.union else {},
        distinct_id=Property(column="uid") if wishes.by_uid else None,
        on_null=wishes.on_null,  # type: ignore[arg-type]  # drawn from its values
        deleted="deleted" if wishes.soft else None,
    )
