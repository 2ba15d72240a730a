"""One run of a sync at a time: a file that the kernel unlocks when its holder dies."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import filelock

from sync_profiles.errors import StateError


class RunLock:
    """The lock of one sync, beside the state; who holds it stands in a small file next to it, for the message."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._note = path.with_name(path.name + ".holder")
        self._lock = filelock.FileLock(str(path), mode=0o600)

    def acquire(self) -> bool:
        """Take the lock, or say False at once. Raises ``StateError`` when the folder does not let us."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
            self._note.write_text(f"process {os.getpid()}, since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC", "utf-8")
        except filelock.Timeout:
            return False
        except OSError as error:
            self._lock.release()
            reason = error.strerror or type(error).__name__
            hint = "The folder of the state must belong to the user who runs sync-profiles."
            raise StateError(f"cannot lock {self._path}: {reason}", hint=hint) from error
        return True

    def release(self) -> None:
        """Give the lock back."""
        self._lock.release()

    @property
    def holder(self) -> str:
        """Who has it, as far as is known."""
        try:
            return self._note.read_text("utf-8").strip() or "another process"
        except OSError:
            return "another process"
