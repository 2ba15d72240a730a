"""Local workers and a Dask cluster do the same: parts are done, a worker that is killed is replaced, nobody is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from processes import alive

from sync_profiles.core.spreading import Assignment, Lost, PartReport
from sync_profiles.core.types import KeyPart
from sync_profiles.workers.local import LocalCrew


def work(commission: Any, assignment: Assignment) -> PartReport:
    """Instead of a part: what the commission says of its number, or nothing."""
    deed = commission.get(assignment.number, "")
    if deed == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if deed == "die once":
        marker = Path(commission["folder"], f"died-{assignment.number}")
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    if deed == "leave":
        os._exit(7)
    if deed == "interrupt":
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
    if deed == "hang":
        Path(commission["folder"], "hangs").write_text(str(os.getpid()))
        time.sleep(600)
    return PartReport(complete=True, scanned=assignment.number, sent=os.getpid())


def part(number: int) -> Assignment:
    return Assignment(number, KeyPart(), 1)


def collected(crew: LocalCrew, count: int) -> dict[int, PartReport | Lost]:
    """What becomes of so many parts."""
    found: dict[int, PartReport | Lost] = {}
    for _ in range(200):
        found.update(crew.collect(0.5))
        if len(found) >= count:
            return found
    raise AssertionError(f"only {found} came back")


def test_every_process_does_one_part_after_another() -> None:
    with LocalCrew({}, 2, work) as crew:
        assert (crew.slots, crew.free) == (2, 2)
        found: dict[int, PartReport | Lost] = {}
        for number in range(4):
            if not crew.free:
                found.update(collected(crew, 1))
            crew.hand_out(part(number))
        found.update(collected(crew, 4 - len(found)))
        assert crew.free == 2
        pids = {report.sent for report in found.values() if isinstance(report, PartReport)}
        assert {number: report.scanned for number, report in found.items()} == {0: 0, 1: 1, 2: 2, 3: 3}  # type: ignore[union-attr]
        assert 1 <= len(pids) <= 2
        assert os.getpid() not in pids
    assert not any(alive(pid) for pid in pids)


def test_a_killed_process_is_lost_with_its_part_and_replaced() -> None:
    with LocalCrew({1: "die", 2: "leave"}, 1, work) as crew:
        crew.hand_out(part(1))
        assert collected(crew, 1) == {1: Lost("its process was ended by signal 9")}
        crew.hand_out(part(2))
        assert collected(crew, 1) == {2: Lost("its process ended with code 7")}
        crew.hand_out(part(3))
        assert isinstance(collected(crew, 1)[3], PartReport)


@pytest.mark.proof
def test_a_process_that_died_while_it_waited_is_replaced_when_it_is_needed() -> None:
    with LocalCrew({}, 1, work) as crew:
        crew.hand_out(part(0))
        report = collected(crew, 1)[0]
        assert isinstance(report, PartReport)
        os.kill(report.sent, signal.SIGKILL)
        until(lambda: not alive(report.sent))
        crew.hand_out(part(1))
        assert isinstance(collected(crew, 1)[1], Lost)
        crew.hand_out(part(1))
        assert isinstance(collected(crew, 1)[1], PartReport)


@pytest.mark.proof
def test_a_signal_that_everybody_gets_ends_no_worker() -> None:
    """Ctrl-C reaches all processes of a terminal; what the first one asks for is what they do."""
    with LocalCrew({0: "interrupt"}, 1, work) as crew:
        crew.hand_out(part(0))
        assert isinstance(collected(crew, 1)[0], PartReport)


def test_leaving_ends_a_worker_that_hangs(tmp_path: Path) -> None:
    with LocalCrew({0: "hang", "folder": str(tmp_path)}, 1, work) as crew:
        crew.hand_out(part(0))
        until((tmp_path / "hangs").exists)
        until(lambda: (tmp_path / "hangs").read_text() != "")
    assert not alive(int((tmp_path / "hangs").read_text()))


def test_workers_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    """Killed with -9, it can ask nobody for anything; what they would still send nobody would know of."""
    script = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "import test_crews as crews\n"
        "if __name__ == '__main__':\n"
        "    crew = crews.LocalCrew({0: 'hang', 'folder': sys.argv[1]}, 1, crews.work)\n"
        "    crew.hand_out(crews.part(0))\n"
        "    crews.collected(crew, 1)\n"
    )
    path = tmp_path / "starter.py"
    path.write_text(script)
    with subprocess.Popen(
        [sys.executable, str(path), str(tmp_path), str(Path(__file__).parent), str(Path(__file__).parents[1])]
    ) as starter:
        until(lambda: (tmp_path / "hangs").exists() and (tmp_path / "hangs").read_text() != "")
        pid = int((tmp_path / "hangs").read_text())
        assert alive(pid)
        starter.kill()
    until(lambda: not alive(pid))


def until(true: Callable[[], bool], within_s: float = 30) -> None:
    """Wait until it is so."""
    ends = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < ends, "it did not come to that"
        time.sleep(0.02)
