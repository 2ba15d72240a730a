"""What an error of a database means, by its code where there is one and else by its words; and what may be said of it.

For the database that is read as for the one that keeps the state.
"""

from __future__ import annotations

import enum
import re


class Trouble(enum.Enum):
    """What an error of the database means for the run."""

    AWAY = "away"  # lost connection, restart, conflict, deadlock: the same statement may pass in a moment
    SLOW = "slow"  # the statement ran into its time limit
    REFUSED = "refused"  # log-in or rights
    WRONG = "wrong"  # the statement cannot pass as it is: unknown column, syntax, no such database
    VALUE = "value"  # a value does not fit: like WRONG, but the message may quote a row


_CONNECTION = re.compile(r"^(could not connect to server|connection to server (at|on) .*?failed): ", re.DOTALL)
_QUOTED = re.compile(r""""[^"]*"|'[^']*'""")
_MESSAGE_MAX = 300
_CAUSES = (  # SQLSTATEs by their beginning (postgresql.org/docs/current/errcodes-appendix.html); the first that fits
    ("57014", Trouble.SLOW),
    ("25006", Trouble.WRONG),  # it wants to write
    ("42501", Trouble.REFUSED),
    ("28", Trouble.REFUSED),
    ("22", Trouble.VALUE),
    *((code, Trouble.AWAY) for code in ("08", "25P", "40", "53", "55P03", "57", "58", "XX")),
)
_REFUSALS = (
    "authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "permission denied",
    "is not permitted",
)


def of_sqlstate(code: str) -> Trouble:
    """What one of PostgreSQL's error codes means."""
    return next((trouble for start, trouble in _CAUSES if code.startswith(start)), Trouble.WRONG)


def of_no_connection(text: str) -> Trouble:
    """What PostgreSQL's client library means when there is no connection: it gives words, and no code."""
    if any(words in text for words in _REFUSALS) or ("role " in text and "does not exist" in text):
        return Trouble.REFUSED
    return Trouble.WRONG if 'database "' in text and "does not exist" in text else Trouble.AWAY


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
