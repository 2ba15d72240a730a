"""The error tree.

    SyncProfilesError            1   a bug, unless a subclass says otherwise
     +- UsageError               2   flags that do not fit together
     +- GuardStop                3   a limit asks for a decision
     +- StateError              74   the state store cannot be read or written
     |   +- OutputError              neither can the output be
     |   +- FencedError              another run has begun since, so this one may not write any more
     +- TemporaryError          75   try again later, nothing is lost
     |   +- QuotaError               Mixpanel's limit of queries is reached
     |   +- SessionLostError         the pages of an earlier query cannot be turned any further
     +- AccessError             77   credentials or rights refused
     +- ConfigError             78   configuration; carries every problem found

The text, the hint and the exit code live on the exception: whoever prints it needs no ladder of ``except``.
Messages never hold a token, a password, a DSN or a row's value.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar


class SyncProfilesError(Exception):
    """Base of every error this program raises on purpose; ``hint`` says what to do about it."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(SyncProfilesError):
    """The command line asks for something that does not exist or does not fit together."""

    exit_code = 2


class GuardStop(SyncProfilesError):  # noqa: N818 - it is a stop that asks, not a failure
    """A guard stopped the run before harm was done; a person has to decide."""

    exit_code = 3


class StateError(SyncProfilesError):
    """The state store cannot be read or written."""

    exit_code = 74


class OutputError(StateError):
    """What was asked for could not be printed: the disk behind stdout is full. Whatever was sent is settled."""


class FencedError(StateError):
    """The lock of this run was lost and another run may have begun: nothing more is written."""


class TemporaryError(SyncProfilesError):
    """The database or Mixpanel is away; the next run carries on."""

    exit_code = 75


class QuotaError(TemporaryError):
    """Mixpanel's limit of queries is reached; ``retry_after_s`` when the answer named a time."""

    def __init__(self, message: str, *, hint: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class SessionLostError(TemporaryError):
    """Mixpanel no longer knows the query whose next page was asked for."""


class AccessError(SyncProfilesError):
    """Credentials or rights were refused."""

    exit_code = 77


class ConfigError(SyncProfilesError):
    """Every problem of a configuration at once, one line each, with its place."""

    exit_code = 78

    def __init__(self, problems: Iterable[str] | str, *, hint: str | None = None) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems), hint=hint)


SEVERITY = (1, 74, 78, 77, 3, 75, 65, 0)
"""Exit codes of several syncs in one run, the most serious first."""


def most_serious(codes: Iterable[int]) -> int:
    """The one exit code for several syncs; a signal's code (130, 143) outranks what it interrupted."""
    seen = set(codes)
    for signal_code in (130, 143):
        if signal_code in seen:
            return signal_code
    return next((code for code in SEVERITY if code in seen), 1 if seen - {0} else 0)
