"""What no test may leave behind: a token, an address or a value of a row in a log, in captured output or in a state.

Values that tests take for distinct IDs are in the state on purpose; they are told by ``ids``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from commands import Workplace
from line import Line

SECRETS = (
    *("e2e0token0that0nobody0may0print0", "0123456789abcdef0123456789abcdef", "a-token-of-ours"),
    *("wr0ng-secret", "sandbox-secret"),
)
STATE_SECRETS = (*SECRETS, "sandbox-token", "postgresql+psycopg2://", "mysql+pymysql://", "sqlite:///")
VALUES = re.compile(rb"\b(u|n|new|ada|ann)\d*@example\.com|\bUser \d+\b|\bmail\d+\b")
"""E-mail addresses and names as ``line.py``, ``commands.py`` and others give them to users."""
_KEPT = ("state.db", ".lock", ".prom", ".log")


def told(sections: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Secrets in what a test printed and logged, in which section."""
    for title, text in sections:
        yield from (f"{secret!r} in {title}" for secret in SECRETS if secret in text)


def kept(folder: Path, *, values: bool) -> Iterator[str]:
    """Secrets, and ``values`` of rows too, in the states, locks, metrics and logs of a folder, in which file."""
    for path in folder.rglob("*"):
        if path.is_file() and any(word in path.name for word in _KEPT):
            content = path.read_bytes()
            yield from (f"{secret!r} in {path.name}" for secret in STATE_SECRETS if secret.encode() in content)
            found = VALUES.search(content) if values else None
            if found:
                yield f"{found.group()!r} in {path.name}"


def takes_values_for_ids(arguments: dict[str, Any]) -> bool:
    """Whether a test's distinct IDs are e-mail addresses or names."""
    lines = [one for one in arguments.values() if isinstance(one, Line)]
    places = [one for one in arguments.values() if isinstance(one, Workplace)]
    texts = [f"{line.settings}{line.mapping}" for line in lines]
    texts += [place.config.read_text() for place in places if place.config.exists()]
    return not texts or any("distinct_id" in text for text in texts)
