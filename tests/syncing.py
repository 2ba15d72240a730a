"""A sync as a run sees it: a real table, the real engine, a state in memory and a Mixpanel that takes everything."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import builders as make
from fakes import MemoryState
from sending import Time
from servers import LiveDatabase
from sources import no_wait

from sync_profiles.core.events import Event, Warned
from sync_profiles.core.mapping import compile_mapping
from sync_profiles.core.ports import Source
from sync_profiles.core.scanplan import lookback_s
from sync_profiles.core.types import (
    Accepted,
    Batch,
    Kind,
    Limit,
    MappingSpec,
    Page,
    Part,
    Property,
    RunSummary,
    ScanPlan,
    Verdict,
)
from sync_profiles.engine.backfill import Selection, backfill_sync
from sync_profiles.engine.course import Surroundings
from sync_profiles.engine.ending import RunResult
from sync_profiles.engine.parts import Outlet, Parts, Policy, RunOptions, Sync
from sync_profiles.engine.run import run_sync
from sync_profiles.source.ahead import ReadAhead
from sync_profiles.source.sql import ModelSpec, open_database, open_source

ANY = Limit(share=1.0)


@dataclass
class Mirror:
    """A destination that applies every record."""

    profiles: dict[str, dict[str, Any]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    deleted: int = 0

    def send(self, batch: Batch) -> Verdict:
        with self.lock:
            for record in json.loads(batch.body):
                self._apply(record)
        return Accepted()

    def _apply(self, record: Mapping[str, Any]) -> None:
        key = record["$distinct_id"]
        if "$delete" in record:
            self.deleted += 1
            self.profiles.pop(key, None)
            return
        profile = self.profiles.setdefault(key, {})
        profile.update(record.get("$set", {}))
        for name in record.get("$unset", ()):
            profile.pop(name, None)


class FreeLock:
    """Nobody else runs."""

    holder = ""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


class Interrupted:
    """A source that does something after each page it has read, before the next; the pages are counted from 1."""

    def __init__(self, inner: Source, after: Callable[[int], None]) -> None:
        self._inner, self._after = inner, after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def pages(self, plan: ScanPlan, part: Part | None = None) -> Iterator[Page]:
        for number, page in enumerate(self._inner.pages(plan, part), 1):
            yield page
            self._after(number)


@dataclass
class Syncing:
    """One sync of ``table``, whose properties are named like its ``columns``; every run opens the source anew."""

    database: LiveDatabase
    columns: Sequence[str] = ("name", "plan")
    spec: Mapping[str, Any] = field(default_factory=dict)
    max_reject: Limit = ANY
    mapping: str = "m1"
    full_every_s: float | None = 24 * 3600.0
    time: Time = field(default_factory=Time)
    mirror: Mirror = field(default_factory=Mirror)
    state: MemoryState = field(default_factory=MemoryState)
    warned: dict[str, str] = field(default_factory=dict)
    numbers: Any = field(default_factory=lambda: itertools.count(1))
    after_page: Callable[[int], None] = lambda _number: None

    @property
    def table(self) -> str:
        return str(self.spec.get("table", "users"))

    def run(self, **options: bool) -> RunSummary:
        """A run an hour later that must end well."""
        result = self.tried(**options)
        assert result.exit_code == 0, (result.summary.message, result.error)
        return result.summary

    def tried(self, **options: bool) -> RunResult:
        """A run an hour later, however it ends."""
        self.time.at += 3600
        self.warned.clear()
        self.state._now = self.time.now
        result = run_sync(self._sync(), RunOptions(allow_mass_delete=True, **options), self._surroundings())
        if result.exit_code == 1:
            assert result.error is not None
            raise result.error
        return result

    def backfill(self, **selection: Any) -> RunSummary:
        """A backfill that must end well."""
        result = self.backfilled(**selection)
        assert result.exit_code == 0, (result.summary.message, result.error)
        return result.summary

    def backfilled(self, **selection: Any) -> RunResult:
        """A backfill, however it ends."""
        self.warned.clear()
        return backfill_sync(self._sync(), Selection(**selection), self._surroundings())

    def moved_to(self, database: LiveDatabase) -> Syncing:
        """The same sync, with all that it remembers, whose address leads to another server now."""
        return replace(self, database=database)

    def differing(self) -> dict[str, Any]:
        """Every profile that is not what its row says: what is held, what should be."""
        with self.database.engine.connect() as connection:
            rows = connection.exec_driver_sql(f"SELECT id, {', '.join(self.columns)} FROM {self.table}").all()
        wanted = {
            str(key): {name: value for name, value in zip(self.columns, values, strict=True) if value is not None}
            for key, *values in rows
        }
        keys = wanted.keys() | self.mirror.profiles.keys()
        pairs = {key: (self.mirror.profiles.get(key), wanted.get(key)) for key in keys}
        return {key: (held, should) for key, (held, should) in pairs.items() if held != should}

    def assert_equal(self) -> None:
        """Mixpanel holds what the table holds."""
        differing = self.differing()
        assert not differing, (len(differing), sorted(differing.items())[:3])

    def _sync(self) -> Sync:
        return Sync("users", self.state, FreeLock(), self._parts, self._outlet)

    def _surroundings(self) -> Surroundings:
        return Surroundings(self.time, self.time, self._observe, lambda: str(next(self.numbers)))

    def _observe(self, event: Event) -> None:
        if isinstance(event, Warned):
            self.warned[event.code] = event.message

    def _parts(self) -> Parts:
        opened = open_database(self.database.url, statement_timeout_s=60, sleep=no_wait)
        model = opened.model(ModelSpec(**{"table": "users", **self.spec}))
        mapping = MappingSpec(set={name: Property(column=name) for name in self.columns})
        mapper = compile_mapping(mapping, tuple(model.columns.values()), model.primary_key, token="t")
        source = open_source(model, mapper.columns, distinct_id=None)
        policy = Policy("delete", ANY, self.max_reject, self.full_every_s, lookback_s(None, Kind.INSTANT))
        return Parts(
            ReadAhead(Interrupted(source, self.after_page)), mapper, make.identity(mapping=self.mapping), policy
        )

    def _outlet(self, attempt: Any) -> Outlet:
        return Outlet(self.mirror, lambda: 2, 2, 500)
