"""Files that others read while they are written: they change in one step."""

from __future__ import annotations

import os
from pathlib import Path


def replace_text(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Write ``text`` beside ``path`` and put it in its place; raises ``OSError`` and then leaves nothing behind.

    The draft's name begins with a dot and ends in a number, so that whoever picks files up by name never takes it.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(text, "utf-8")
        draft.chmod(mode)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
