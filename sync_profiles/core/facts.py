"""What ``check`` finds out, as plain facts: counts, names and keys, never a value of a row; and what it says of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from sync_profiles.core.types import DistinctId, Identity, Key

Level: TypeAlias = Literal["ok", "warn", "error"]


class Finding(msgspec.Struct, frozen=True):
    """One line of ``check``: how bad, a stable ``code``, what there is, and what to do about it ("" for nothing)."""

    level: Level
    code: str
    message: str
    hint: str = ""


class Count(msgspec.Struct, frozen=True):
    """So many rows, some of them by key."""

    rows: int
    keys: tuple[Key, ...] = ()


class CursorFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The change column. ``indexed`` None: nobody can say, as for a query. ``stamped_by``: who sets it on an update, as
    far as can be seen; None: only the application.
    """

    name: str
    nulls: int
    ahead: bool
    indexed: bool | None
    stamped_by: Literal["trigger", "column"] | None


class TableFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A table or query as it stands. ``now`` is the database's clock in unix seconds.

    ``certain_key``: the database itself forbids NULL and equal keys. ``may_write``: rights that are not needed.
    ``row_security``: the database decides for each row whether this user sees it.
    ``secrets`` are columns that look like secrets and are left out, ``sent_secrets`` those that are sent as they are.
    """

    rows: int
    key: tuple[str, ...]
    certain_key: bool
    null_keys: int
    shared_keys: int
    detection: str
    notes: tuple[tuple[str, str], ...]
    cursor: CursorFacts | None
    read_only: bool
    may_write: tuple[str, ...]
    row_security: bool
    secrets: tuple[str, ...]
    sent_secrets: tuple[str, ...]
    now: float


class IdFacts(msgspec.Struct, frozen=True):
    """Distinct IDs as the database counts them, by what is wrong: ``null``, ``blank``, ``padded``, ``long``,
    ``refused``, ``duplicate``, ``case_twin``. ``judged`` False: they cannot be computed in SQL; ``compared`` False:
    nor can it be asked which are equal.
    """

    counts: Mapping[str, Count]
    judged: bool
    compared: bool


class ValueFacts(msgspec.Struct, frozen=True):
    """One thing that is wrong in one place of the mapping, such as ``column "x"``; ``code`` "long" is only cut."""

    place: str
    code: str
    text: str
    found: Count


class SampleFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Rows mapped on trial: ``profiles`` of them make so many ``records`` of so many ``bytes``."""

    rows: int
    profiles: int
    records: int
    bytes: int
    values: tuple[ValueFacts, ...]
    warnings: tuple[tuple[str, str], ...]


class StateFacts(msgspec.Struct, frozen=True):
    """Where the state is kept; ``filesystem`` is the kernel's word for it, None where it gives none.

    ``owners`` is what the state of each sync belongs to, None before its first run. On a server ``free_bytes`` is None,
    ``size_bytes`` is what the state takes there, and ``pooled`` that a pooler stands in between.
    """

    path: str
    writable: bool
    filesystem: str | None
    free_bytes: int | None
    owners: Mapping[str, Identity | None] = {}
    size_bytes: int = 0
    pooled: bool = False


class ReachFacts(msgspec.Struct, frozen=True):
    """What Mixpanel's host said to a request that carries nothing. ``status`` None: no answer, and ``why``.

    ``expected``: the answer has Mixpanel's form.
    """

    status: int | None
    why: str = ""
    expected: bool = False


class CanaryFacts(msgspec.Struct, frozen=True):
    """A profile that was written to prove the token.

    ``outcome``: "proven" it was read back; "unseen" it was taken and never seen; "refused" it was not taken;
    "unread" it was taken and reading failed; "stopped" nobody waited. ``removed``: it was deleted again.
    """

    distinct_id: DistinctId
    outcome: Literal["proven", "unseen", "refused", "unread", "stopped"]
    seconds: float = 0.0
    why: str = ""
    removed: bool = True
