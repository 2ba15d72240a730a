"""What is measured: each case is one whole process, with what must be true before it begins."""

from __future__ import annotations

import compileall
import contextlib
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benchmarks.table import touch

if TYPE_CHECKING:
    from servers import LiveDatabase

ROOT = Path(__file__).parents[1]
TOKEN = "0123456789abcdef0123456789abcdef"
SLOW_DELAY_MS = 200
SLOW_CONCURRENCY = 8
STORM_S = 3
CASE_S_MAX = 3600
FOREIGN_SETTINGS = ("SYNC_PROFILES_", "PYTHONDONTWRITEBYTECODE", "PYTHONPROFILE")
"""Variables that would make the measured processes other than those of an installed package."""

CONFIG = """\
[source]
url = {database}

[mixpanel]
token = "{token}"
base_url = "${{BENCHMARK_SINK}}"
concurrency = {concurrency}
records_per_request = {records}

{state}[run]
deadline = "0"

[sync.users]
table = "users"
distinct_id = "uid"
detect = "{detect}"
cursor = "updated_at"

[sync.users.set]
"$email" = "email"
"$first_name" = "first_name"
"$last_name" = "last_name"
plan = "plan"
is_active = "is_active"
mrr = "mrr"
country = "country"
tags = {tags}
settings = {settings}
last_login = "last_login"

{once}"$created" = "created_at"
"""
ONCE = "[sync.users.set_once]\n"
"""Makes two records of a new profile, where the naive script has one."""
RECORDS_PER_REQUEST = 2000
"""As many as the naive script has."""

Before = Literal["nothing", "synced"]
"""What the state holds before a case: nothing, or what a first run leaves."""
PRODUCT = ("-m", "sync_profiles")
SENT_ALL = "wall 0.65, CPU 0.60; then 0.45 both"


@dataclasses.dataclass(frozen=True)
class Case:
    """One thing to measure.

    ``touched``: how many rows change before it, and must arrive: a count, or a share of the table when below 1.
    ``sends_all``: every profile must arrive. ``target`` is what the ratio, or the process where a unit says so, is to
    reach.
    """

    name: str
    title: str
    command: tuple[str, ...]
    target: str
    before: Before = "synced"
    detect: Literal["cursor", "xmin"] = "cursor"
    sends_all: bool = False
    touched: float = 0
    once: bool = False
    delay_ms: int = 0
    storm_s: int = 0
    exit_code: int = 0
    server_state: bool = False
    """The state is in the database that is read, instead of in a file."""

    @property
    def sink(self) -> tuple[int, int]:
        """How the sink answers: after so many milliseconds, with a storm of so many seconds."""
        return self.delay_ms, self.storm_s

    def sent(self, rows: int) -> int:
        """How many profiles of a table of so many rows must arrive."""
        if self.sends_all:
            return rows
        return min(rows, round(self.touched if self.touched >= 1 else self.touched * rows))


NAIVE = Case("naive", "naive script", ("-m", "benchmarks.naive"), "", "nothing", sends_all=True)
CASES = (
    NAIVE,
    Case("first", "first run, all sent", (*PRODUCT, "run"), SENT_ALL, "nothing", sends_all=True),
    Case("once", "the same with $set_once", (*PRODUCT, "run"), "", "nothing", sends_all=True, once=True),
    Case("full", "full pass, nothing changed", (*PRODUCT, "run", "--full"), "0.45 both"),
    Case("cursor", "cursor run, nothing changed", (*PRODUCT, "run"), "0.5 s"),
    Case("changed", "cursor run, 1,000 changed", (*PRODUCT, "run"), "0.7 s", touched=1000),
    Case("xmin", "xmin run, nothing changed", (*PRODUCT, "run"), "1.0 s, then 0.5 s", detect="xmin"),
    Case("xmin-changed", "xmin run, 1 % changed", (*PRODUCT, "run"), "0.10", detect="xmin", touched=0.01),
    Case("backfill", "backfill, all sent", (*PRODUCT, "backfill"), SENT_ALL, sends_all=True),
    Case(
        "slow",
        f"first run, 200 ms, {SLOW_CONCURRENCY} at once",
        (*PRODUCT, "run"),
        "60,000/s",
        "nothing",
        sends_all=True,
        delay_ms=SLOW_DELAY_MS,
    ),
    Case(
        "storm",
        f"first run, 200 ms, 429 for {STORM_S} s",
        (*PRODUCT, "run"),
        "",
        "nothing",
        sends_all=True,
        delay_ms=SLOW_DELAY_MS,
        storm_s=STORM_S,
    ),
    Case(
        "first-server",
        "first run, state in PostgreSQL",
        (*PRODUCT, "run"),
        "",
        "nothing",
        sends_all=True,
        server_state=True,
    ),
    Case("full-server", "full pass, state in PostgreSQL", (*PRODUCT, "run", "--full"), "", server_state=True),
    *(
        Case(
            f"workers-{workers}",
            f"backfill, {workers} process{'es' if workers > 1 else ''}, state there",
            (*PRODUCT, "backfill", "--workers", str(workers)),
            "",
            "nothing",
            sends_all=True,
            server_state=True,
        )
        for workers in (1, 2)
    ),
    Case("help", "--help", (*PRODUCT, "--help"), "0.1 s", "nothing"),
)


def cases_of(kind: str) -> list[Case]:
    """Those that this kind of database can answer, with what is to be reached on it."""
    if kind == "postgresql":
        return list(CASES)
    grow = {"first", "full", "backfill"}
    return [
        dataclasses.replace(case, target="0.70 both") if case.name in grow else case
        for case in CASES
        if case.detect != "xmin" and not case.server_state
    ]


@dataclasses.dataclass(frozen=True)
class Cost:
    """What one process took, and what arrived while it ran."""

    wall_s: float
    cpu_s: float
    rss_mb: float
    records: int
    requests: int
    refused: int
    recovered_s: float
    state_bytes: int


class FailedError(Exception):
    """A case did not do what it is measured for; the text says what its process said."""


class Sink:
    """The stand-in for Mixpanel in its own process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.url = f"http://127.0.0.1:{int(process.stdout.readline())}"

    def taken(self) -> dict[str, Any]:
        """What arrived since this was last asked, as ``benchmarks.sink.Totals`` names it."""
        with urllib.request.urlopen(f"{self.url}/stats") as answer:
            totals: dict[str, Any] = json.load(answer)
            return totals


@contextlib.contextmanager
def running_sink(delay_ms: int, storm_s: int = 0) -> Iterator[Sink]:
    """A sink that answers after so many milliseconds; see ``benchmarks.sink`` for a storm."""
    command = [sys.executable, "-m", "benchmarks.sink", "0", str(delay_ms), str(storm_s)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Sink(process)
        finally:
            process.kill()


class Bench:
    """A table, a config, sinks and the state after a first run: everything that cases share.

    A case gets a copy of that state and leaves the table as it found it, so cases do not depend on one another.
    """

    def __init__(self, database: LiveDatabase, rows: int, folder: Path, sinks: dict[tuple[int, int], Sink]) -> None:
        self._database = database
        self._rows = rows
        self._folder = folder
        self._sinks = sinks
        # As an installer does: no case pays for compiling.
        compileall.compile_dir(ROOT / "sync_profiles", quiet=1)

    def measure(self, case: Case) -> Cost:
        """One process. Raises ``FailedError`` when it fails, or when what arrives is not what the case sends."""
        state = self._folder / "state"
        self._prepare(case, state)
        sent = case.sent(self._rows)
        if not case.touched:
            cost = self._run(case, state)
        else:
            every = self._rows // sent
            touch(self._database, every)
            try:
                cost = self._run(case, state)
            finally:
                touch(self._database, every, undo=True)
        # A profile may be several records, so there are at least as many.
        if cost.records < sent or (cost.records and not sent and not case.exit_code):
            raise FailedError(f"{case.title}: {cost.records} records arrived, {sent} profiles were to be sent")
        return cost

    def _prepare(self, case: Case, state: Path) -> None:
        shutil.rmtree(state, ignore_errors=True)
        if case.server_state:
            self._database.execute("DROP SCHEMA IF EXISTS sync_profiles CASCADE")
        if case.before == "nothing":
            state.mkdir(mode=0o700)
            return
        if case.server_state:
            self._run(dataclasses.replace(case, command=(*PRODUCT, "run")), state)
            return
        synced = self._folder / f"synced-{case.detect}"
        catching_up = Case("", "getting ready", (*PRODUCT, "run"), "", detect=case.detect)
        if not synced.exists():
            synced.mkdir(mode=0o700)
            self._run(catching_up, synced)
        shutil.copytree(synced, state)
        if case.detect == "xmin":
            # A row that was touched and made what it was is the same row in a new version.
            self._run(catching_up, state)

    def _run(self, case: Case, state: Path) -> Cost:
        sink, output = self._sinks[case.sink], self._folder / "output"
        arguments: tuple[str, ...] = ()
        if case is NAIVE:
            arguments = (self._database.url, f"{sink.url}/engage?strict=1", TOKEN)
        measure = [sys.executable, "-I", "-S", str(Path(__file__).with_name("measure.py")), str(output)]
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_SETTINGS)},
            "SYNC_PROFILES_CONFIG": str(self._config(case)),
            "STATE_DIRECTORY": str(state),
            "BENCHMARK_SINK": sink.url,
            "NO_PROXY": "127.0.0.1",
        }
        sink.taken()
        measured = subprocess.run(
            [*measure, sys.executable, *case.command, *arguments],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            timeout=CASE_S_MAX,
            check=True,
        )
        cost = json.loads(measured.stdout)
        if cost.pop("exit_code") != case.exit_code:
            raise FailedError(f"{case.title} failed:\n{output.read_text(errors='replace')[-4000:]}")
        arrived = sink.taken()
        size = (
            self._server_bytes()
            if case.server_state
            else sum(path.stat().st_size for path in state.rglob("*") if path.is_file())
        )
        del arrived["bytes"]
        return Cost(**cost, **arrived, state_bytes=size)

    def _server_bytes(self) -> int:
        size = self._database.scalar(
            "SELECT sum(pg_total_relation_size(oid)) FROM pg_class"
            " WHERE relnamespace = 'sync_profiles'::regnamespace AND relkind = 'r'"
        )
        return int(size)

    def _config(self, case: Case) -> Path:
        path = self._folder / "config.toml"
        path.touch(mode=0o600)
        # MariaDB's JSON is text, and SQLite's too.
        form = '"{0}"' if self._database.kind == "postgresql" else '{{ column = "{0}", type = "json" }}'
        text = CONFIG.format(
            database=json.dumps(self._database.url),
            token=TOKEN,
            concurrency=SLOW_CONCURRENCY if case.delay_ms else 4,
            records=RECORDS_PER_REQUEST,
            once=ONCE if case.once else "",
            detect=case.detect,
            state=f"[state]\nurl = {json.dumps(self._database.url)}\n\n" if case.server_state else "",
            tags=form.format("tags"),
            settings=form.format("settings"),
        )
        path.write_text(text)
        return path
