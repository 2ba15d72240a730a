"""Where the state's file lies: whether it can be written, on what kind of disk, and how much is free there."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from sync_profiles.core.facts import StateFacts
from sync_profiles.errors import StateError

_ESCAPE = re.compile(r"\\([0-7]{3})")


def place_of(database: Path) -> StateFacts:
    """Look without making anything; a folder that is not there yet is judged by the nearest one above it.

    Raises ``StateError`` when nobody may look.
    """
    try:
        folder = database.absolute().parent
        while not folder.exists():
            folder = folder.parent
        writable = os.access(folder, os.W_OK | os.X_OK) and folder.is_dir()
        if database.exists():
            writable = writable and os.access(database, os.R_OK | os.W_OK)
        free = shutil.disk_usage(folder).free
        real = folder.resolve()
    except OSError as error:
        raise StateError(f"cannot look at the state {database}: {error.strerror or type(error).__name__}") from error
    return StateFacts(str(database), writable, filesystem_at(str(real), _mounts()), free)


def filesystem_at(path: str, mounts: str) -> str | None:
    """The type of the file system that an absolute path lies on, by the text of ``/proc/mounts``."""
    best: tuple[int, str | None] = (-1, None)
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = _ESCAPE.sub(lambda found: chr(int(found[1], 8)), fields[1])
        if path == point or path.startswith(point.rstrip("/") + "/"):
            best = max((len(point), fields[2]), best, key=lambda found: found[0])  # of equals, the later one
    return best[1]


def _mounts() -> str:
    """Empty where the system has none, as on a Mac."""
    try:
        return Path("/proc/mounts").read_text("utf-8", "replace")
    except OSError:
        return ""
