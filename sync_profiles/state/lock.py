"""One run of a sync at a time."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import filelock

from sync_profiles.errors import StateError


class RunLock:
    """A lock file beside the state, held by the kernel for its process: whoever dies has let go.

    The file stays when the lock is given back; it says who holds it, or held it last.
    """

    def __init__(self, path: Path, *, now: Callable[[], float] = time.time) -> None:
        self._path = path
        self._now = now
        self._lock = filelock.FileLock(path, mode=0o600)

    def acquire(self) -> bool:
        """Take the lock, or say False at once; raises ``StateError`` when there can be no lock file."""
        if self._lock.is_locked:
            return False
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock.acquire(blocking=False)
        except filelock.Timeout:
            return False
        except OSError as error:
            raise StateError(
                f"cannot lock {self._path}: {error.strerror or type(error).__name__}",
                hint="the folder and the file must belong to the user who runs sync-profiles",
            ) from error
        self._sign()
        return True

    def release(self) -> None:
        """Give it back; fine when it is not held."""
        self._lock.release()

    @property
    def holder(self) -> str:
        """Who has it, for a message."""
        try:
            signature = self._path.read_text(encoding="utf-8").strip()
        except OSError:
            signature = ""
        return signature or "an unknown process"

    def _sign(self) -> None:
        since = datetime.fromtimestamp(self._now(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        with contextlib.suppress(OSError):  # the name is a courtesy, and a full disk is told where it matters
            self._path.write_text(f"process {os.getpid()} since {since}\n", encoding="utf-8")
