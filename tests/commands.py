"""The installed command as a subprocess, in a workplace of its own: a folder, a user table, a local Mixpanel.

Whatever a command prints is searched for the workplace's secrets and for tracebacks, in every test.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from servers import LiveDatabase
from sources import numbers

from sync_profiles.sandbox.server import Sandbox

TOKEN = "e2e0token0that0nobody0may0print0"
COMMAND = (sys.executable, "-m", "sync_profiles")
PROPERTIES = ("$name", "$email", "plan")
PATIENCE_S = 60
EMAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+")
CONFIG = """\
[source]
url = "${DATABASE_URL}"

[mixpanel]
token = "${MIXPANEL_TOKEN}"
base_url = "${MIXPANEL_URL}"
"""
STATE = '[state]\nurl = "${STATE_URL}"\n\n'
USERS = """\
copy = ["plan"]

[sync.users.set]
"$name" = "name"
"$email" = "email"
"""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[Any]:
        """Each line of stdout as JSON."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def json(self) -> Any:
        """The one JSON line of stdout."""
        (only,) = self.lines
        return only


@dataclasses.dataclass(frozen=True)
class Workplace:
    """Where one test works. ``environ`` is all that a command finds in its environment."""

    folder: Path
    database: LiveDatabase
    sandbox: Sandbox
    environ: dict[str, str]

    @property
    def config(self) -> Path:
        """The configuration file, in the folder in which every command starts."""
        return self.folder / "config.toml"

    @property
    def state(self) -> Path:
        """The state file."""
        return self.folder / "state" / "state.db"

    def write(self, users: str = 'table = "users"\n', *, more: str = "", mixpanel: str = "") -> None:
        """A config with one sync ``users``; ``mixpanel`` are further lines of that section, ``more`` comes last."""
        state = STATE if "STATE_URL" in self.environ else ""
        self.config.write_text(f"{CONFIG}{mixpanel}\n{state}[sync.users]\n{users}{USERS}\n{more}")

    def run(self, *arguments: str, code: int | None = 0, within: Sequence[str] = (), **environ: str) -> Outcome:
        """Run a command to its end and check its exit code (None: any); ``within`` is put before it."""
        finished = subprocess.run(
            [*within, *COMMAND, *arguments],
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=self.environ | environ,
            stdin=subprocess.DEVNULL,
            timeout=PATIENCE_S,
            check=False,
        )
        outcome = Outcome(finished.returncode, finished.stdout, finished.stderr)
        self.check_discreet(outcome.out + outcome.err)
        self.check_nameless(outcome.err)
        assert code is None or outcome.code == code, outcome
        return outcome

    @contextlib.contextmanager
    def start(self, *arguments: str, **environ: str) -> Iterator[subprocess.Popen[str]]:
        """A command that is still at work; killed at the end of the block if it has not ended by then."""
        with subprocess.Popen(
            [*COMMAND, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=self.environ | environ,
            stdin=subprocess.DEVNULL,
        ) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()

    def ended(self, process: subprocess.Popen[str]) -> Outcome:
        """Wait for a started command."""
        out, err = process.communicate(timeout=PATIENCE_S)
        self.check_discreet(out + err)
        self.check_nameless(err)
        return Outcome(process.returncode, out, err)

    def interrupted(self, number: signal.Signals, *arguments: str, requests: int) -> Outcome:
        """Start a command and send it a signal once so many requests were answered."""
        before = len(self.sandbox.requests)
        with self.start(*arguments) as process:
            wait_until(lambda: len(self.sandbox.requests) >= before + requests or process.poll() is not None)
            assert process.poll() is None, f"it ended before it could be stopped: {self.ended(process)}"
            process.send_signal(number)
            return self.ended(process)

    def check_discreet(self, text: str) -> None:
        """No secret of this workplace and no traceback is in a text."""
        url = self.environ["DATABASE_URL"]
        for secret in (TOKEN, url, url.partition("://")[2], self.environ.get("STATE_URL", TOKEN)):
            assert secret not in text, "a secret was printed"
        assert "Traceback" not in text, text

    @staticmethod
    def check_nameless(lines: str) -> None:
        """No e-mail address is in what was logged."""
        assert EMAIL.search(lines) is None, lines

    # --- the table and what Mixpanel has of it ---------------------------------------------------------------------

    def fill(self, rows: int, table: str = "users") -> None:
        """A table of users 1 to ``rows``; every third has no e-mail address. Nothing of it goes through our mapping."""
        stamp = {"sqlite": "TEXT", "postgresql": "timestamptz"}.get(self.database.kind, "DATETIME(6)")
        text = "VARCHAR(100)"
        glue = "CONCAT('{}', n)" if self.database.kind == "mariadb" else "'{}' || n"
        name, email = glue.format("User "), f"CASE WHEN n % 3 <> 0 THEN {glue.format('mail')} END"
        self.database.execute(
            f"CREATE TABLE {table} (id BIGINT PRIMARY KEY, name {text}, email {text}, plan {text}, updated_at {stamp})",
            f"INSERT INTO {table} SELECT n, {name}, {email}, 'free', '2026-01-01 00:00:00'"
            f" FROM {numbers(self.database, rows)}",
        )

    def expected(self) -> dict[str, dict[str, Any]]:
        """What Mixpanel should hold, as the table says it."""
        with self.database.engine.connect() as connection:
            rows = connection.exec_driver_sql("SELECT id, name, email, plan FROM users").all()
        return {
            str(key): {name: value for name, value in zip(PROPERTIES, values, strict=True) if value is not None}
            for key, *values in rows
        }

    def assert_equal(self) -> None:
        """Mixpanel holds what the table holds, no more and no less."""
        held, expected = self.sandbox.profiles, self.expected()
        assert held.keys() == expected.keys()
        different = [key for key in expected if held[key] != expected[key]]
        assert not different, [(held[key], expected[key]) for key in different[:3]]

    def sent_twice(self) -> int:
        """How many profiles were in more than one request since the log was cleared."""
        times: Counter[str] = Counter()
        for request in self.sandbox.requests:
            times.update({record["$distinct_id"] for record in json.loads(request.body or "[]")})
        return sum(count > 1 for count in times.values())


@contextlib.contextmanager
def working(folder: Path, database: LiveDatabase, state_url: str | None = None) -> Iterator[Workplace]:
    """A workplace with a config, an empty local Mixpanel, and nothing else in the environment.

    ``state_url``: the state is kept there, and not in a file.
    """
    with Sandbox(token=TOKEN, keep_bodies=True) as sandbox:
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "STATE_DIRECTORY": str(folder / "state"),
            "DATABASE_URL": database.url,
            "MIXPANEL_TOKEN": TOKEN,
            "MIXPANEL_URL": sandbox.url,
        }
        if state_url is not None:
            environ["STATE_URL"] = state_url
        place = Workplace(folder, database, sandbox, environ)
        place.write()
        yield place


def wait_until(condition: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    """Look again and again, for as long as patience lasts."""
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def on_terminal(
    arguments: Sequence[str],
    *,
    cwd: Path,
    environ: Mapping[str, str],
    answer: bytes = b"",
    replies: Sequence[tuple[str, str]] = (),
) -> tuple[int, str]:
    """Run a command on a pseudo terminal, type ``answer``; exit code and everything that was painted.

    ``replies``: once the first text of a pair is painted, the second is typed, one pair after the other.
    """
    ours, theirs = pty.openpty()
    painted, waiting, heard = b"", list(replies), 0
    with subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=cwd,
        env=dict(environ),
        close_fds=True,
        start_new_session=True,  # or a question for a password would go to the terminal of whoever runs the tests
    ) as process:
        os.close(theirs)
        os.write(ours, answer)
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if select.select([ours], [], [], 0.1)[0]:
                try:
                    chunk = os.read(ours, 65536)
                except OSError:  # Linux says EIO when the other side is closed
                    break
                if not chunk:
                    break
                painted += chunk
            if waiting and waiting[0][0].encode() in painted[heard:]:
                question, reply = waiting.pop(0)
                heard = painted.index(question.encode(), heard) + len(question.encode())
                os.write(ours, f"{reply}\n".encode())
        os.close(ours)
        assert not waiting, f"was not asked: {waiting[0][0]}; {painted!r}"
        return process.wait(PATIENCE_S), painted.decode("utf-8", "replace")
