"""One sync on a live database and a sandbox, run in this process just as the commands run it; time moves on request."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from servers import LiveDatabase

from sync_profiles import config as configuration
from sync_profiles import wiring
from sync_profiles.cli.stopping import StopRequest
from sync_profiles.core.events import Event, RowRejected, Warned
from sync_profiles.core.types import PendingRow, RunSummary
from sync_profiles.engine.backfill import Selection, backfill_sync
from sync_profiles.engine.course import Surroundings
from sync_profiles.engine.ending import RunResult
from sync_profiles.engine.parts import RunOptions
from sync_profiles.engine.run import run_sync
from sync_profiles.sandbox.faults import Fault
from sync_profiles.sandbox.server import Sandbox
from sync_profiles.state.store import open_store

HOUR = 3600.0

MAPPING = """
copy = ["plan", "seats"]
[sync.users.set]
"$email" = "email"
[sync.users.set_once]
"$created" = "created_at"
"""

_TYPES = {
    "postgresql": ("bigint", "text", "timestamptz"),
    "mariadb": ("bigint", "varchar(100)", "datetime(6)"),
    "mysql": ("bigint", "varchar(100)", "datetime(6)"),
    "sqlite": ("integer", "text", "timestamp"),
}


class Impatient(StopRequest):
    """A stop whose waiting takes no time: a retry follows at once."""

    def wait(self, seconds: float) -> bool:
        return self.cause is not None

    def ask(self, cause: str = "SIGTERM") -> None:
        """Stop the run as a signal would."""
        self._signal = cause


class Clock:
    """The machine's clock, moved on by hours when a test says so."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def now(self) -> float:
        return time.time() + self.ahead_s

    def monotonic(self) -> float:
        return time.monotonic()


class Line:
    """The whole line. ``run`` and ``backfill`` give the summary; ``result`` and ``events`` are the last one's."""

    def __init__(self, database: LiveDatabase, sandbox: Sandbox, folder: Path) -> None:
        self.database, self.sandbox, self.folder = database, sandbox, folder
        self.clock = Clock()
        self.stop = Impatient()
        self.settings: dict[str, str] = {"table": '"users"', "on_delete": '"delete"'}
        self.mapping = MAPPING
        self.mixpanel: dict[str, str] = {}
        self.token = sandbox.token
        self.events: list[Event] = []
        self.result: RunResult | None = None
        self._stop_at: int | None = None

    @property
    def state_file(self) -> Path:
        """Where the state is."""
        return self.folder / "state" / "state.db"

    # --- the table ---------------------------------------------------------------------------------------------

    def table(self, rows: int = 0) -> None:
        """A table ``users`` with keys from 1."""
        number, text, moment = _TYPES[self.database.kind]
        self.database.execute(
            f"CREATE TABLE users (id {number} PRIMARY KEY, email {text}, plan {text}, seats {number},"
            f" created_at {moment}, updated_at {moment}, deleted_at {moment} NULL)"
        )
        self.add(*range(1, rows + 1))

    def add(self, *keys: int, at: str = "2026-01-01 00:00:00", **columns: Any) -> None:
        """Insert rows with these keys; ``columns`` replaces values."""
        base = {"email": None, "plan": None, "seats": None, "created_at": "2026-01-01 00:00:00", "updated_at": at}
        rows = []
        for key in keys:
            own = {"email": f"u{key}@example.com", "plan": ("free", "pro")[key % 2], "seats": key % 7}
            rows.append((key, *{**base, **own, **columns}.values()))
        names = ["id", *base]
        marks = ", ".join("?" * len(names))
        self.database.insert(f"INSERT INTO users ({', '.join(names)}) VALUES ({marks})", rows)

    def change(self, *statements: str) -> None:
        """Run SQL on the table."""
        self.database.execute(*statements)

    def expected(self) -> dict[str, dict[str, Any]]:
        """What Mixpanel should hold for the standard mapping, worked out here and not by the product."""
        query = "SELECT id, email, plan, seats, created_at FROM users WHERE deleted_at IS NULL"
        with self.database.engine.connect() as connection:
            rows = connection.execute(sa.text(query)).all()
        profiles = {}
        for key, email, plan, seats, created in rows:
            moment = str(created)[:19].replace(" ", "T") if created is not None else None
            values = {"$email": email, "plan": plan, "seats": seats, "$created": moment}
            profiles[str(key)] = {name: value for name, value in values.items() if value is not None}
        return profiles

    def assert_equal(self) -> None:
        """Mixpanel holds what the table holds."""
        expected, found = self.expected(), self.sandbox.profiles
        differing = [key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key)]
        assert not differing, {key: (expected.get(key), found.get(key)) for key in sorted(differing)[:3]}

    # --- runs --------------------------------------------------------------------------------------------------

    def config(self) -> configuration.Config:
        """The configuration as it stands."""
        url = self.database.url
        mixpanel = {"token": f'"{self.token}"', "base_url": f'"{self.sandbox.url}"', **self.mixpanel}
        text = [f"[source]\nurl = '{url}'", "[mixpanel]", *(f"{key} = {value}" for key, value in mixpanel.items())]
        text.append(f"[state]\nurl = 'sqlite:///{self.state_file}'")
        text += ["[sync.users]", *(f"{key} = {value}" for key, value in self.settings.items())]
        path = self.folder / "config.toml"
        path.write_text("\n".join([*text, self.mapping]), "utf-8")
        return configuration.load(str(path), {})

    @contextlib.contextmanager
    def opened(self, where: str | None = None) -> Iterator[tuple[Any, Surroundings]]:
        """The sync ready to run, and its surroundings."""
        self.stop = Impatient()
        self.events = []
        config = self.config()
        store = open_store(self.state_file, now=self.clock.now)
        around = Surroundings(self.clock, self.stop, self.events.append, wiring._new_run_id)
        with contextlib.closing(store), self._watched():
            sync = wiring.open_sync(config, config.syncs[0], store, self.stop, where=where)
            yield sync, around

    def run(self, **options: bool) -> RunSummary:
        """The hourly run."""
        with self.opened() as (sync, around):
            self.result = run_sync(sync, RunOptions(**options), around)
        return self.result.summary

    def backfill(self, **selection: Any) -> RunSummary:
        """A run by hand."""
        with self.opened(selection.get("where")) as (sync, around):
            self.result = backfill_sync(sync, Selection(**selection), around)
        return self.result.summary

    def later(self, hours: float = 1) -> None:
        """Let time pass."""
        self.clock.ahead_s += hours * HOUR

    def settle(self, runs: int = 3) -> None:
        """Faults are over: a day later, so many quiet runs."""
        self.sandbox.faults.clear()
        self.sandbox.land()
        for _ in range(runs):
            self.later(25)
            self.run()

    def stop_after(self, requests: int) -> None:
        """Ask the next run to stop when Mixpanel has seen so many requests more."""
        self._stop_at = len(self.sandbox.requests) + requests

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        """Ask for the stop that ``stop_after`` wished for, unless the run is over before."""
        stop_at, self._stop_at = self._stop_at, None
        over = threading.Event()

        def watch() -> None:
            while stop_at is not None and not over.wait(0.002):
                if len(self.sandbox.requests) >= stop_at:
                    self.stop.ask()
                    return

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()

    # --- what came of it ---------------------------------------------------------------------------------------

    @property
    def exit_code(self) -> int:
        """Of the last run."""
        assert self.result is not None
        return self.result.exit_code

    def rejected_keys(self) -> list[str]:
        """Rows named as rejected in the last run."""
        return [event.key for event in self.events if isinstance(event, RowRejected)]

    def warnings(self) -> list[str]:
        """Codes of the last run's warnings."""
        return [event.code for event in self.events if isinstance(event, Warned)]

    def waiting(self) -> list[PendingRow]:
        """Rejected rows in the state."""
        with contextlib.closing(open_store(self.state_file, now=self.clock.now)) as store:
            return list(store.reader("users").rejected())


def poison(*ids: str) -> Any:
    """A sandbox that refuses these profiles."""

    def refuse(record: Mapping[str, Any]) -> str | None:
        return "bad record" if record.get("$distinct_id") in ids else None

    return refuse


def fault(kind: str, **more: Any) -> Fault:
    """One fault."""
    return Fault(kind, **more)  # type: ignore[arg-type]


REFUSING = (401, 404, 413, 429)
"""HTTP's word that nothing was done; 400 is not, since good records of a refused request may be stored."""


def random_fault(chance: random.Random, skip_max: int = 5) -> Fault:
    """A fault that Mixpanel, or the way to it, could have: what says that nothing was done did nothing."""
    kind = chance.choice(["status", "reset", "zombie", "html", "empty", "bare", "wrong_count", "truncated"])
    code = chance.choice([400, 500, 503, *REFUSING])
    applied = chance.choice(["none", "half", "all"])
    if kind == "bare":  # for a single record a 1 is Mixpanel's word that it was taken
        applied = "all"
    if kind == "status" and code in REFUSING:
        applied = "none"
    return fault(kind, skip=chance.randint(0, skip_max), code=code, applied=applied, times=chance.randint(1, 2))
