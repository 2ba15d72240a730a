"""A pass that several workers divide: what they are told, and what they report."""

from __future__ import annotations

import msgspec

from sync_profiles.core.types import (
    DistinctId,
    Identity,
    Key,
    Part,
    ScanCursor,
    ScanFull,
    Watermark,
)


class Errand(msgspec.Struct, frozen=True, kw_only=True):
    """What every worker is told once a run; it holds no secret and no value of a row but keys.

    ``number`` is the run's in the state, which writes for no other.
    ``forced_since``: see ``BegunRun``; None: only what changed is sent. ``ordinal_limit``: the size of the sweep's
    bitmap; None: nothing is swept. ``rows`` is about how many rows there are, what a share of rejected ones is of.
    ``shared``: keys whose distinct ID another row has as well, with the reason.
    ``kept``: finished parts are remembered, for the backfill that goes on after an interruption.
    """

    sync: str
    number: int
    identity: Identity
    plan: ScanFull | ScanCursor
    forced_since: int | None = None
    ordinal_limit: int | None = None
    rows: int = 0
    shared: dict[Key, str] | None = None
    kept: bool = False


class Assignment(msgspec.Struct, frozen=True):
    """One part for one worker, with its share of the requests in flight; ``number`` counts from 1.

    ``passed``: Mixpanel has taken a record in this run, so one that it refuses is the row's own fault.
    """

    number: int
    part: Part
    concurrency: int
    passed: bool = False


class Failure(msgspec.Struct, frozen=True):
    """What ended a part before its end, as an error of the run; ``exit_code`` 1 is a bug, named by kind and place."""

    exit_code: int
    message: str
    hint: str | None = None


class PartReport(msgspec.Struct, frozen=True, kw_only=True):
    """How a part ended; its counts are those of a run, ``size`` the bytes that left.

    ``complete``: every row of it is acknowledged, pending or unchanged. ``refused`` are the rejected rows, (key,
    distinct ID, code, reason) each. ``seen`` are the ordinals of known keys, packed.
    """

    complete: bool
    seen: bytes = b""
    scanned: int = 0
    unchanged: int = 0
    sent: int = 0
    requests: int = 0
    size: int = 0
    refused: tuple[tuple[Key, DistinctId | None, str, str], ...] = ()
    warnings: tuple[tuple[str, str], ...] = ()
    failure: Failure | None = None


class Lost(msgspec.Struct, frozen=True):
    """The worker of a part is gone; ``why`` is for a message."""

    why: str


class Cut(msgspec.Struct, frozen=True):
    """Into which parts a backfill was cut, and where the source stood before. Stored as JSON; a field is only added.

    ``forced_since`` says of which backfill (see ``BegunRun``), ``mapping`` is that of ``Identity``.
    """

    forced_since: int
    mapping: str
    watermark: Watermark
    parts: tuple[Part, ...]


class Board(msgspec.Struct, frozen=True):
    """What all workers of a run look at from time to time.

    ``halvings``: how often one of them heard that there are too many requests. ``stop``: why all of them are to end.
    """

    halvings: int = 0
    stop: str | None = None
