"""The real program, many times over: forked from one process that has imported it already, made to die on request.

A fork costs a hundredth of a start, so that every point at which a run can die may be tried. Started as a program, this
file reads one request a line on stdin and answers it on stdout; ``Forks`` is the other side.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from commands import Outcome

How = Literal["kill -9", "os._exit"]
EXITED = 99
DEATHS: dict[How, int] = {"kill -9": -signal.SIGKILL, "os._exit": EXITED}
"""The exit codes of those that died, as ``subprocess`` would say them."""
_PRELOADED = (
    *("sync_profiles.__main__", "sync_profiles.wiring", "sync_profiles.cli.run", "sync_profiles.cli.backfill"),
    *("sync_profiles.source.postgres", "sync_profiles.source.mysql", "sync_profiles.source.sqlite"),
    *("sync_profiles.destination.mixpanel", "sync_profiles.destination.layers", "sync_profiles.state.store"),
    "sync_profiles.state.postgres.store",
    *("sync_profiles.engine.run", "sync_profiles.engine.backfill", "sync_profiles.observe.log", "psycopg2", "pymysql"),
)


class Forks:
    """Runs commands of the program in forks; every fork ends before the answer is given."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(
        self,
        *argv: str,
        cwd: Path,
        environ: Mapping[str, str],
        die_at: int = 0,
        how: How = "kill -9",
        file_bytes_max: int | None = None,
    ) -> Outcome:
        """One command. It dies at its ``die_at``-th point (0: never), and no file may grow beyond a size."""
        one = self._ask({"argv": argv, "die_at": die_at, "how": how, "file_bytes_max": file_bytes_max}, cwd, environ)
        return one[0]

    def at_once(
        self, *argv: str, count: int, kill_s: float | None, cwd: Path, environ: Mapping[str, str]
    ) -> list[Outcome]:
        """``count`` commands at the same time; whoever holds the lock ``kill_s`` seconds later is killed."""
        return self._ask({"argv": argv, "count": count, "kill_s": kill_s}, cwd, environ)

    def _ask(self, request: dict[str, Any], cwd: Path, environ: Mapping[str, str]) -> list[Outcome]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked = {**request, "cwd": str(cwd), "environ": dict(environ)}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return [Outcome(*answer) for answer in json.loads(self._process.stdout.readline())]


@contextlib.contextmanager
def forks() -> Iterator[Forks]:
    """The process that forks, for the length of the block."""
    command = [sys.executable, str(Path(__file__))]
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parent)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ) as process:
        try:
            yield Forks(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()


# --- in the process that forks -------------------------------------------------------------------------------------


@dataclass
class Points:
    """Counts the points a run comes by, and dies at one of them; threads come by too."""

    die_at: int
    how: How
    passed: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    def come_by(self) -> None:
        with self._lock:
            self.passed += 1
            dies = self.passed == self.die_at
        if dies and self.how == "kill -9":
            os.kill(os.getpid(), signal.SIGKILL)
        if dies:
            os._exit(EXITED)


def set_points(points: Points) -> None:
    """Before and after every commit of the state, every request and every page."""
    from sync_profiles.destination.mixpanel import Mixpanel
    from sync_profiles.source.sql import SqlSource
    from sync_profiles.state import database
    from sync_profiles.state.postgres import database as server

    send, pages, message = Mixpanel.send, SqlSource.pages, server.Database.send

    def transactions(commit: Any) -> Any:
        @contextlib.contextmanager
        def writing(self: Any, *fences: Any) -> Iterator[Any]:
            with commit(self, *fences) as connection:
                yield connection
                points.come_by()
            points.come_by()

        return writing

    def messages(self: Any, statements: Any) -> None:
        points.come_by()
        message(self, statements)
        points.come_by()

    def sending(self: Mixpanel, batch: Any) -> Any:
        points.come_by()
        verdict = send(self, batch)
        points.come_by()
        return verdict

    def paging(self: SqlSource, plan: Any, part: Any = None) -> Iterator[Any]:
        points.come_by()
        for page in pages(self, plan, part):
            points.come_by()
            yield page
            points.come_by()

    Mixpanel.send, SqlSource.pages, server.Database.send = sending, paging, messages
    for kind in (database.Database, server.Database):
        kind.writing = transactions(kind.writing)


def note_the_holder(log: Path) -> None:
    """Whoever takes the lock says so in a file, and says so again before giving it back."""
    from sync_profiles.state.lock import RunLock
    from sync_profiles.state.postgres.lock import ServerLock

    def note(what: str) -> None:
        with log.open("a") as file:
            file.write(f"{what} {os.getpid()}\n")

    def noted(kind: Any, holds: Callable[[Any], bool]) -> None:
        acquire, release = kind.acquire, kind.release

        def acquiring(self: Any) -> bool:
            taken: bool = acquire(self)
            if taken:
                note("in")
            return taken

        def releasing(self: Any) -> None:
            if holds(self):
                note("out")
            release(self)

        kind.acquire, kind.release = acquiring, releasing

    noted(RunLock, lambda lock: lock._lock.is_locked)
    noted(ServerLock, lambda lock: lock._held)


def fork(request: Mapping[str, Any], out: int, err: int) -> int:
    """A child that runs the command; its process ID."""
    child = os.fork()
    if child:
        return child
    code = 120
    try:
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["environ"])
        prepare(request)
        from sync_profiles.__main__ import main

        code = main(request["argv"])
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def prepare(request: Mapping[str, Any]) -> None:
    if request.get("file_bytes_max") is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["file_bytes_max"], resource.RLIM_INFINITY))
    if request.get("die_at"):
        set_points(Points(request["die_at"], request["how"]))
    if request.get("count"):
        note_the_holder(Path(request["cwd"]) / "holders.log")


def answer(request: Mapping[str, Any]) -> list[tuple[int, str, str]]:
    """Pipes hold what a command says until it has ended (64 KiB): a limit on files does not touch them."""
    pipes = [(os.pipe(), os.pipe()) for _ in range(request.get("count") or 1)]
    children = [fork(request, out[1], err[1]) for out, err in pipes]
    if request.get("kill_s") is not None:
        time.sleep(request["kill_s"])
        kill_the_holder(Path(request["cwd"]) / "holders.log", children)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    return [(code, said(*out), said(*err)) for code, (out, err) in zip(codes, pipes, strict=True)]


def said(reading: int, writing: int) -> str:
    os.close(writing)
    with os.fdopen(reading) as pipe:
        return pipe.read()


def kill_the_holder(log: Path, children: Sequence[int]) -> None:
    lines = log.read_text().split() if log.exists() else []
    if lines and int(lines[-1]) in children and lines[-2] == "in":
        os.kill(int(lines[-1]), signal.SIGKILL)  # nobody waits for it yet, so the number is still its own


def serve(ask: Callable[[], str], tell: Callable[[str], object]) -> None:
    for name in _PRELOADED:
        importlib.import_module(name)
    while line := ask():
        tell(json.dumps(answer(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve(sys.stdin.readline, sys.stdout.write)
