"""A backfill divided among workers, with the state on a server: real processes, a real Dask cluster, workers killed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import yaml
from commands import Workplace, wait_until, working
from processes import alive, spawned
from servers import LiveDatabase, Servers, labels

from sync_profiles.core.cutting import parts_wanted
from sync_profiles.sandbox.faults import Fault

ROOT = Path(__file__).parents[2]
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
    assert sum(sent.values()) - rows <= 1.2 * rows / parts_wanted(rows, 2), "more than a part was sent again"
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


# --- what else may happen ------------------------------------------------------------------------------------------


def slowed(place: Workplace) -> Workplace:
    """4,000 rows, and a Mixpanel that takes its time, so that there is a middle."""
    place.fill(4000)
    place.write(mixpanel="records_per_request = 100\nconcurrency = 4\n")
    place.sandbox.faults.add(Fault("slow", times=None, seconds=0.1))
    return place


@pytest.mark.proof
def test_a_full_run_by_workers_finds_changes_and_removals(place: Workplace) -> None:
    place.fill(ROWS)
    place.write('table = "users"\non_delete = "delete"\nmax_delete = "100%"\n')
    place.run("run")
    place.database.execute("DELETE FROM users WHERE id % 1000 = 0", "UPDATE users SET plan = 'pro' WHERE id % 500 = 1")
    summary = place.run("run", "--full", "--workers", "2", "--json").json
    assert (summary["outcome"], summary["detection"]) == ("ok", "full")
    assert (summary["sent"], summary["deleted"], summary["unchanged"]) == (40, 20, ROWS - 60)
    place.assert_equal()


@pytest.mark.proof
def test_workers_of_a_killed_command_end_and_the_next_takes_over_at_once(place: Workplace) -> None:
    slowed(place)
    with place.start("backfill", "--workers", "2") as process:
        wait_until(lambda: len(place.sandbox.requests) >= 6 or process.poll() is not None)
        workers = spawned(parent=process.pid)
        assert len(workers) == 2, process.poll()
        process.kill()
        wait_until(lambda: not any(alive(pid) for pid in workers), 10)
    place.sandbox.faults.clear()
    assert place.run("backfill", "--workers", "2", "--json").json["outcome"] == "ok"
    place.assert_equal()
    assert place.sent_twice() <= 4 * 100, "what was in flight"


@pytest.mark.proof
def test_a_429_for_one_worker_is_heard_by_all(place: Workplace, state_database: LiveDatabase) -> None:
    """One storm is one halving, for everybody; in the middle of a run, when all of them send."""
    slowed(place)
    place.sandbox.faults.add(Fault("status", code=429, times=1, skip=4))
    assert place.run("backfill", "--workers", "2", "--json").json["sent"] == 4000
    assert state_database.scalar("SELECT max(halvings) FROM sync_profiles.board") == 1
    place.assert_equal()


# --- Kubernetes ----------------------------------------------------------------------------------------------------


@pytest.mark.proof
def test_the_commands_of_the_manifest_are_a_cluster_that_works(place: Workplace) -> None:
    place.fill(ROWS)
    with contextlib.ExitStack() as stack:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = str(free.getsockname()[1])
        environ = {**place.environ, "PATH": f"{Path(sys.executable).parent}:{place.environ['PATH']}"}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        for pod in ("scheduler", "workers"):
            words = [
                word.replace("8786", port).replace("sync-profiles-scheduler", "127.0.0.1") for word in command(pod)
            ]
            words = [str(place.folder) if word == "/tmp" else word for word in words]
            process = subprocess.Popen(words, env=environ, cwd=place.folder, **quiet)  # type: ignore[call-overload]
            stack.callback(process.wait)
            stack.callback(process.terminate)
        wanted = command("backfill")
        address = wanted[-1].replace("sync-profiles-scheduler:8786", f"127.0.0.1:{port}")
        wait_until(lambda: socket.socket().connect_ex(("127.0.0.1", int(port))) == 0)
        assert wanted[-3:-1] == ["backfill", "--cluster"]
        assert place.run("backfill", "--cluster", address, "--json").json["outcome"] == "ok"
    place.assert_equal()


def command(pod: str) -> list[str]:
    """What a pod of the manifest runs."""
    for document in yaml.safe_load_all((ROOT / "ops" / "dask-cluster.yaml").read_text()):
        if document["metadata"]["name"] == f"sync-profiles-{pod}" and "template" in document["spec"]:
            (container,) = document["spec"]["template"]["spec"]["containers"]
            words: list[str] = container["command"]
            return words
    raise AssertionError(pod)
