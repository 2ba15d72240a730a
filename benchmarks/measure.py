"""Run one command and say what it cost, as one JSON line.

A process of its own that imports next to nothing: on Linux the peak memory that the kernel counts for a child begins
with that of whoever started it, so a starter with a database driver in it would hide a small child.

    python -I -S measure.py OUTPUT COMMAND [ARGUMENT]...
"""

import json
import os
import sys
import time

MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024
"""The unit of ``ru_maxrss``: getrusage(2) of macOS and of Linux."""


def main(output: str, command: list[str]) -> None:
    """Standard output and errors of the command go to the file ``output``."""
    files = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    began = time.perf_counter()
    pid = os.posix_spawnp(command[0], command, os.environ, file_actions=files)
    _, status, usage = os.wait4(pid, 0)
    wall_s = time.perf_counter() - began
    cost = {
        "exit_code": os.waitstatus_to_exitcode(status),
        "wall_s": wall_s,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "rss_mb": usage.ru_maxrss * MAXRSS_BYTES / 1e6,
    }
    print(json.dumps(cost))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
