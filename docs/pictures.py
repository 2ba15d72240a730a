"""Makes the terminal pictures of the README from real runs: ``make pictures``.

A table of users, a local Mixpanel, a day of hourly runs (the clock of each is moved, nothing else is), then a run and
a status on a pseudo terminal. What they paint becomes one SVG for light and one for dark; ``--columns`` and ``--show``
are for looking at other widths.
"""

from __future__ import annotations

import argparse
import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import sqlalchemy as sa
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from sync_profiles.demo import config_text, make_table, open_engine
from sync_profiles.sandbox.faults import Fault
from sync_profiles.sandbox.server import Sandbox

HERE = Path(__file__).parent
USERS = 24_000
HOURS = 11
CHANGED = (8000, 3100, 1200, 0, 450, 9800, 14000, 11000, 400, 7100)
"""Rows that change before each hourly run."""

DARK = "161b22 c9d1d9  484f58 ff7b72 7ee787 e3b341 79c0ff d2a8ff a5d6ff b1bac4"
LIGHT = "ffffff 24292f  8c959f cf222e 116329 7d4e00 0969da 8250df 1b7c83 6e7781"
"""Background, text, and the eight colours of a terminal from black to white."""

# With a moved clock: the program itself is the installed one.
MOVED = "import sys, time; t = time.time; time.time = lambda: t() - {0}; from sync_profiles.__main__ import main; "


class Screen:
    """What stands on a terminal after some output: only what progress displays use, lines of styled text."""

    def __init__(self) -> None:
        self.lines = [""]
        self.row = 0

    def feed(self, text: str) -> None:
        """Apply one piece of output."""
        for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r?\n|\r|[^\x1b\r\n]+", text):
            self._apply(part)

    def _apply(self, part: str) -> None:
        if part.endswith("\n"):
            self.row += 1
            if self.row == len(self.lines):
                self.lines.append("")
        elif part == "\r":
            self._returned = True
        elif part.endswith("A") and part.startswith("\x1b["):
            self.row -= int(part[2:-1] or 1)
        elif part.endswith("K"):
            self.lines[self.row] = ""
        elif not part.startswith("\x1b[") or part.endswith("m"):
            if self._returned:
                self.lines[self.row] = ""
            self._returned = False
            self.lines[self.row] += part

    _returned = False

    def text(self) -> list[str]:
        """Its lines, the empty ones at the end left out."""
        shown = list(self.lines)
        while shown and not shown[-1]:
            shown.pop()
        return shown


def painted(command: Sequence[str], environ: dict[str, str], columns: int) -> Iterator[str]:
    """Everything that a command writes on a terminal so wide, as it comes."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environ, close_fds=True):
        os.close(theirs)
        while True:
            try:
                yield os.read(ours, 65_536).decode("utf-8", "replace")
            except OSError:  # how Linux says that the other side is closed
                os.close(ours)
                return


def story(columns: int) -> list[str]:
    """The lines of the picture, with their colours."""
    with tempfile.TemporaryDirectory() as folder, Sandbox() as sandbox:
        engine = open_engine(sa.make_url(f"sqlite:///{folder}/users.db"))
        make_table(engine, USERS)
        environ = _environment(Path(folder), sandbox)
        _a_day(environ, lambda count: _change(engine, count))
        _change(engine, USERS // 2)
        sandbox.faults.add(Fault("slow", times=None, seconds=0.4))
        command = [sys.executable, "-m", "sync_profiles"]
        running, screen = [], Screen()
        for piece in painted([*command, "run", "--full"], environ, columns):
            screen.feed(piece)
            if "in flight" in piece and time_is_told(screen.text()):
                running = screen.text()
        status = Screen()
        status.feed("".join(painted([*command, "status", "--limit", "8"], environ, columns)))
        prompt = "\x1b[32m$\x1b[0m "
        return [
            *(f"{prompt}sync-profiles run --full", *running[-2:], "", *screen.text(), ""),
            *(f"{prompt}sync-profiles status --limit 8", *status.text()),
        ]


def time_is_told(lines: Sequence[str]) -> bool:
    """Whether the display is past its first moments."""
    return any(re.search(r"[345]\d %", line) for line in lines)


def _environment(folder: Path, sandbox: Sandbox) -> dict[str, str]:
    config = folder / "config.toml"
    config.write_text(config_text(sandbox.url), "utf-8")
    return os.environ | {
        "SYNC_PROFILES_CONFIG": str(config),
        "DEMO_DATABASE_URL": f"sqlite:///{folder}/users.db",
        "DEMO_STATE_URL": f"sqlite:///{folder}/state/state.db",
        "DEMO_TOKEN": "a-token-for-a-picture",
        "TERM": "xterm-256color",
        "COLORTERM": "",
        "NO_COLOR": "",
    }


def _a_day(environ: dict[str, str], change: Callable[[int], None]) -> None:
    for hour, count in enumerate((0, *CHANGED)):
        change(count)
        late = (HOURS - hour) * 3600
        moved = MOVED.format(late) + "sys.exit(main(['run', '--full']))"
        subprocess.run([sys.executable, "-c", moved], env=environ, check=True)


def _change(engine: sa.Engine, count: int) -> None:
    with engine.begin() as connection:
        statement = "UPDATE sync_profiles_demo_users SET seats = seats + 1 WHERE id <= :count"
        connection.execute(sa.text(statement), {"count": count})


def svg(lines: Sequence[str], colors: str, columns: int) -> str:
    """The lines as a picture that asks nobody for a font."""
    console = Console(record=True, width=columns, file=io.StringIO(), force_terminal=True)
    console.print(Text("\n").join(Text.from_ansi(line) for line in lines), no_wrap=True, overflow="crop")
    background, text_color, *palette = ((int(c[:2], 16), int(c[2:4], 16), int(c[4:], 16)) for c in colors.split())
    theme = TerminalTheme(background, text_color, palette)
    text = console.export_svg(title="sync-profiles", theme=theme, unique_id="sync-profiles")
    return re.sub(r"@font-face \{.*?\}\s*", "", text, flags=re.DOTALL)


def main() -> None:
    """Write the pictures, or show the lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--columns", type=int, default=96)
    parser.add_argument("--show", action="store_true", help="print instead of writing the pictures")
    parser.add_argument("--to", type=Path, default=HERE)
    given = parser.parse_args()
    began = time.monotonic()
    lines = story(given.columns)
    if given.show:
        print("\n".join(lines))
        return
    for name, colors in (("light", LIGHT), ("dark", DARK)):
        (given.to / f"terminal-{name}.svg").write_text(svg(lines, colors, given.columns), "utf-8")
    print(f"two pictures in {given.to} ({time.monotonic() - began:.0f} s)")


if __name__ == "__main__":
    main()
