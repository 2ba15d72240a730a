"""A driver's exception -> one of ours, once, at the border.

What an error means is decided by its code where there is one; a message is asked only where the driver gives nothing
else. No message that leaves here holds an address, a password or a value of a row.
"""

from __future__ import annotations

import enum
import re

from sync_profiles.errors import AccessError, ConfigError, SyncProfilesError, TemporaryError


class Trouble(enum.Enum):
    """What an error of the database means for the run."""

    AWAY = "away"  # lost connection, restart, conflict, deadlock: the same statement may pass in a moment
    SLOW = "slow"  # the statement ran into its time limit
    REFUSED = "refused"  # log-in or rights
    WRONG = "wrong"  # the statement cannot pass as it is: unknown column, syntax, no such database
    VALUE = "value"  # a value does not fit: like WRONG, but the message may quote a row


HINTS = {
    Trouble.AWAY: "nothing is lost: the next run carries on",
    Trouble.SLOW: "raise [source] statement_timeout, or add an index on the cursor or the primary key",
    Trouble.REFUSED: "check user and password in [source] url, and that the user may SELECT from the table",
    Trouble.WRONG: "check [source] url and the sync's table, query and where",
    Trouble.VALUE: "a conversion in the sync's query or where does not fit every row",
}
_CONNECTION = re.compile(r"^(could not connect to server|connection to server (at|on) .*?failed): ", re.DOTALL)
_QUOTED = re.compile(r""""[^"]*"|'[^']*'""")
_MESSAGE_MAX = 300


def retriable(trouble: Trouble) -> bool:
    """Whether the same statement may pass when it is tried again."""
    return trouble in {Trouble.AWAY, Trouble.SLOW}


def failure(trouble: Trouble, text: str, label: str, *, place: str | None = None) -> SyncProfilesError:
    """The error to raise: ``text`` is the driver's, ``label`` the database's, ``place`` the setting to blame."""
    said = sayable(text, values=trouble is Trouble.VALUE)
    match trouble:
        case Trouble.AWAY | Trouble.SLOW:
            return TemporaryError(f"{label}: {said}", hint=HINTS[trouble])
        case Trouble.REFUSED:
            return AccessError(f"{label}: {said}", hint=HINTS[trouble])
        case Trouble.WRONG | Trouble.VALUE:
            return ConfigError(f"{place or label}: {said}", hint=HINTS[trouble])


def sayable(text: str, *, values: bool = False) -> str:
    """The first line of a driver's text, without the server's address and, where ``values`` may be in it, them.

    >>> sayable('connection to server at "10.1.2.3", port 5432 failed: FATAL:  the database system is shutting down')
    'the database system is shutting down'
    """
    line = next((line.strip() for line in _CONNECTION.sub("", text.strip()).splitlines() if line.strip()), "no reason")
    line = re.sub(r"^(FATAL|ERROR):\s+", "", line)
    if values:
        line = _QUOTED.sub("…", line)
    return line[:_MESSAGE_MAX]
