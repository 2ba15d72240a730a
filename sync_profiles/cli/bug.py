"""What is said when the program itself is at fault."""

from __future__ import annotations

import os
import traceback
from pathlib import Path


def confess(error: BaseException) -> None:
    """Name a bug by its kind and place; its text, which may quote a row, stays in the traceback.

    That is shown with ``-v`` or when ``SYNC_PROFILES_DEBUG`` is set.
    """
    from logging import INFO

    from sync_profiles.observe.log import ready

    log = ready()
    wanted = log.isEnabledFor(INFO) or bool(os.environ.get("SYNC_PROFILES_DEBUG"))
    hint = "please report it with its traceback" + ("" if wanted else "; run again with -v to see that")
    frame = traceback.extract_tb(error.__traceback__)[-1]
    words = ("this is a bug: %s at %s:%s", type(error).__name__, Path(frame.filename).name, frame.lineno)
    log.error(*words, exc_info=error if wanted else None, extra={"fields": {"hint": hint, "exit_code": 1}})
