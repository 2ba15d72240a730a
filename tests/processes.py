"""What /proc says of processes."""

from __future__ import annotations

import contextlib
from pathlib import Path


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def spawned(*, parent: int | None = None, within: Path | None = None) -> list[int]:
    """Workers that multiprocessing started: children of a process, or those with a folder in their environment."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if not folder.name.isdigit() or "spawn_main" not in (folder / "cmdline").read_text():
                continue
            of_parent = parent is None or int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == parent
            if of_parent and (within is None or str(within) in (folder / "environ").read_text()):
                found.append(int(folder.name))
    return found
