"""A backfill divided among workers, with the state on a server: real processes, a real Dask cluster, workers killed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from commands import Workplace, wait_until, working
from processes import spawned
from servers import LiveDatabase, Servers, labels

ROWS = 20_000
MANY_ROWS = 1_000_000
PATIENCE_S = 600.0
HOW_MANY = pytest.mark.parametrize("rows", [ROWS, pytest.param(MANY_ROWS, marks=pytest.mark.proof)])


@pytest.fixture
def place(tmp_path: Path, servers: Servers, state_database: LiveDatabase) -> Iterator[Workplace]:
    """Table and state in PostgreSQL, in two databases."""
    with (
        servers.get(labels("postgres")[0]).fresh_database() as database,
        working(tmp_path, database, state_database.url) as workplace,
    ):
        workplace.write(mixpanel="records_per_request = 500\nconcurrency = 4\n")
        yield workplace


@contextlib.contextmanager
def cluster(place: Workplace, workers: int) -> Iterator[tuple[str, Sequence[int]]]:
    """A Dask scheduler and workers with the secrets in their environment; its address, and the nannies."""
    file = place.folder / "scheduler.json"
    with contextlib.ExitStack() as stack:

        def started(program: str, *arguments: str) -> subprocess.Popen[bytes]:
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{program}", *arguments],
                env=place.environ,
                cwd=place.folder,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)
            return process

        started("dask_scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", str(file))
        wait_until(file.exists)
        wait_until(lambda: file.read_text().strip().endswith("}"))
        address = json.loads(file.read_text())["address"]
        nannies = [
            started("dask_worker", address, "--nthreads", "1", "--no-dashboard", "--name", str(number))
            for number in range(workers)
        ]
        yield address, [nanny.pid for nanny in nannies]


def ended_by_force(place: Workplace, parents: Sequence[int] | None, arguments: Sequence[str]) -> tuple[int, str]:
    """Run a command and kill one of its workers in mid part; exit code and what it said."""
    with place.start(*arguments) as process:
        answered = len(place.sandbox.requests)
        wait_until(lambda: len(place.sandbox.requests) >= answered + 8 or process.poll() is not None, PATIENCE_S)
        assert process.poll() is None, process.communicate()
        victims = [pid for parent in parents or [process.pid] for pid in spawned(parent=parent)]
        os.kill(victims[0], signal.SIGKILL)
        out, err = process.communicate(timeout=PATIENCE_S)
    place.check_discreet(out + err)
    return process.returncode, out + err


def assert_complete(place: Workplace, code: int, said: str, rows: int) -> None:
    """Everything is there, and one kill cost one part at most."""
    assert code == 0, said
    place.assert_equal()
    assert len(re.findall("a worker was lost", said)) <= 1, said
    sent: Counter[str] = Counter()
    for request in place.sandbox.requests:
        sent.update({record["$distinct_id"] for record in json.loads(request.body or "[]")})
    assert sum(sent.values()) - rows <= max(rows // 4, 250_000 if rows > 250_000 else 0)
    assert place.run("run", "--json").json["sent"] == 0


@HOW_MANY
def test_a_worker_that_is_killed_costs_its_part_and_nothing_else(place: Workplace, rows: int) -> None:
    place.fill(rows)
    code, said = ended_by_force(place, None, ("backfill", "--workers", "2"))
    assert_complete(place, code, said, rows)


@HOW_MANY
def test_a_worker_of_a_cluster_that_is_killed_costs_its_part_and_nothing_else(place: Workplace, rows: int) -> None:
    place.fill(rows)
    with cluster(place, 2) as (address, nannies):
        code, said = ended_by_force(place, nannies, ("backfill", "--cluster", address))
    assert_complete(place, code, said, rows)


def test_an_interrupted_backfill_goes_on_with_the_parts_that_are_left(place: Workplace) -> None:
    place.fill(ROWS)
    stopped = place.interrupted(signal.SIGTERM, "backfill", "--workers", "2", requests=12)
    assert stopped.code == 143, stopped
    before = sum(len(json.loads(request.body or "[]")) for request in place.sandbox.requests)
    assert 0 < before < ROWS
    outcome = place.run("backfill", "--workers", "2", "--json")
    place.assert_equal()
    assert outcome.json["sent"] <= ROWS - before + 2 * 4 * 500, "what was in flight may be sent again"
