"""A driver's exception -> one of ours, once, at the border.

What an error means is decided by its code where there is one; a message is asked only where the driver gives nothing
else. No message that leaves here holds an address, a password or a value of a row.
"""

from __future__ import annotations

from sync_profiles.core.troubles import Trouble, sayable
from sync_profiles.errors import AccessError, ConfigError, SyncProfilesError, TemporaryError

HINTS = {
    Trouble.AWAY: "nothing is lost: the next run carries on",
    Trouble.SLOW: "raise [source] statement_timeout, or add an index on the cursor or the primary key",
    Trouble.REFUSED: "check user and password in [source] url, and that the user may SELECT from the table",
    Trouble.WRONG: "check [source] url and the sync's table, query and where",
    Trouble.VALUE: "a conversion in the sync's query or where does not fit every row",
}


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
