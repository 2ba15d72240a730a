"""Files that ``init`` writes: the configuration, and the ``.env`` with its secrets beside it."""

from __future__ import annotations

import os
from pathlib import Path

from sync_profiles.errors import UsageError


def refuse_unwritable(file: Path, *, replace: bool) -> None:
    """Raises ``UsageError`` where a configuration is already, or could not be written; asked before any work."""
    if not file.parent.is_dir():
        raise UsageError(f"{file} cannot be written: there is no folder {file.parent}")
    if os.path.lexists(file) and not replace:
        raise _existing(file)


def write_config(file: Path, text: str, *, replace: bool) -> None:
    """The configuration, as whoever runs this may read and write files; ``replace`` one that is there."""
    _write(file, text, os.O_TRUNC if replace else os.O_EXCL, 0o666)


def write_dotenv(file: Path, text: str) -> None:
    """A new file that only its owner can read."""
    _write(file, text, os.O_EXCL, 0o600)


def _write(file: Path, text: str, flag: int, mode: int) -> None:
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | flag, mode), "w", encoding="utf-8") as opened:
            opened.write(text)
    except FileExistsError as error:
        raise _existing(file) from error
    except OSError as error:
        raise UsageError(
            f"{file} cannot be written: {error.strerror}", hint="--output PATH writes elsewhere"
        ) from error


def _existing(file: Path) -> UsageError:
    hint = "--force replaces a configuration, --output PATH writes elsewhere"
    return UsageError(f"{file} exists already; it was not touched", hint=hint)
