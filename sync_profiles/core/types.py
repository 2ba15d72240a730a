"""The values that travel the line, from a row of the database to a settlement of the state.

Everything here is frozen. The small ones that exist once a row are ``gc=False``: they never form cycles, and the
cyclic collector would otherwise walk every live row again and again.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import msgspec

Key: TypeAlias = str
"""The one text form of a primary key (see ``keys.py``)."""
DistinctId: TypeAlias = str
Json: TypeAlias = Any
Row: TypeAlias = tuple[Any, ...]
"""Raw values of one row, ordered like ``Mapper.columns``; what a value looks like depends on its ``Kind``."""
Shape: TypeAlias = tuple[str, ...]
"""Names of the properties a profile was given, in mapping order."""

ABSENT: Any = msgspec.UNSET
"""No default was configured (``None`` is a possible default)."""


# --- what a database column is -------------------------------------------------------------------------------------


class Kind(enum.Enum):
    """What a column holds, and in which raw form the source hands it over.

    Text from the server wherever it is already what JSON or ISO wants: converting to Python objects and back is most
    of the cost of reading. ``None`` is NULL for every kind.
    """

    TEXT = "text"  # str; may hold NUL or lone surrogates where the database lets them in
    INTEGER = "integer"  # int
    DECIMAL = "decimal"  # str of digits as stored ("10.50"), or "NaN", "Infinity", "-Infinity"
    FLOAT = "float"  # float, may be nan or inf
    BOOLEAN = "boolean"  # bool, or 0 and 1
    INSTANT = "instant"  # str "YYYY-MM-DD HH:MM:SS[.ffffff]+00", already UTC; or "infinity", "... BC"
    DATETIME = "datetime"  # str "YYYY-MM-DD HH:MM:SS[.ffffff]" without zone, taken as UTC; "0000-00-00 ..." possible
    DATE = "date"  # str "YYYY-MM-DD"; "0000-00-00", "infinity", "... BC" possible
    TIME = "time"  # str "HH:MM:SS[.ffffff]"; MySQL's goes beyond 24 hours and below zero
    INTERVAL = "interval"  # str or number of seconds
    JSON = "json"  # str of JSON in any layout
    JSONB = "jsonb"  # str of JSON in the server's canonical layout: equal values have equal text
    LIST = "list"  # str of a JSON array in canonical layout (made by the database from its own array type)
    SET = "set"  # str "b,a": MySQL's SET
    BYTES = "bytes"  # bytes
    UUID = "uuid"  # str
    ANY = "any"  # whatever the driver gives: int, float, str, bytes, Decimal, date, datetime ... (SQLite, expressions)


class Column(msgspec.Struct, frozen=True):
    """One readable column of a model; ``type_name`` is the database's own word for its type, for messages."""

    name: str
    kind: Kind
    type_name: str


# --- what the user wants of it -------------------------------------------------------------------------------------

ValueType: TypeAlias = Literal["string", "number", "boolean", "date", "datetime", "list", "json", "uuid"]
Operation: TypeAlias = Literal["set", "set_once", "union"]
OnNull: TypeAlias = Literal["unset", "skip", "null"]
OnDelete: TypeAlias = Literal["ignore", "unset", "delete"]
Detect: TypeAlias = Literal["auto", "xmin", "cursor", "full"]


class Property(msgspec.Struct, frozen=True):
    """Where one value comes from: exactly one of ``column``, ``template``, ``value`` is given."""

    column: str | None = None
    template: str | None = None
    value: Json = ABSENT
    path: str | None = None
    type: ValueType | None = None
    hash: Literal["sha256"] | None = None
    default: Json = ABSENT
    secret: bool = False


class MappingSpec(msgspec.Struct, frozen=True):
    """The mapping of one sync as configured: property name -> where it comes from, per operation, in file order."""

    set: dict[str, Property]
    set_once: dict[str, Property] = {}
    union: dict[str, Property] = {}
    distinct_id: Property | None = None
    """None: the primary key, which then is one column."""
    on_null: OnNull = "unset"
    deleted: str | None = None
    group_key: str | None = None
    ignore_time: bool = False


class Limit(msgspec.Struct, frozen=True):
    """A guard's limit: a share of a total (0.02 = 2 %) or an absolute count."""

    share: float | None = None
    count: int | None = None


# --- reading -------------------------------------------------------------------------------------------------------


class Horizon(msgspec.Struct, frozen=True, kw_only=True):
    """Where PostgreSQL's transaction counter stood, and whose counter it is. Stored as JSON within a watermark.

    ``xmin`` (64 bit) is the lowest transaction that was still running: everything below was complete. ``xmax`` is the
    next one to be given out. A counter means nothing to another server (``system``), to another line of its history
    (``timeline``), after a restart that may have lost its tail (``started``), for another table (``relation``: oids
    of database and table); and a changed ``schema`` (a hash) changes rows without a transaction in them. ``stuck``
    counts the runs in a row that found the same transaction running.
    """

    xmin: int
    xmax: int
    system: str
    timeline: str
    started: str
    relation: str
    schema: str
    stuck: int = 0


class Watermark(msgspec.Struct, frozen=True):
    """Where the source stood when a run began to read. Stored as JSON; a field is only ever added.

    ``cursor`` is the largest value of the cursor column, clamped to the database's now, as the database's own text.
    ``full_at`` is when the last complete full pass began (unix seconds). ``horizon`` belongs to detection "xmin".
    """

    detection: Literal["xmin", "cursor", "full"]
    cursor: str | None = None
    full_at: float | None = None
    horizon: Horizon | None = None


class ScanFull(msgspec.Struct, frozen=True, tag="full"):
    """All rows, in the order that suits the source."""

    reason: str


class ScanSinceXid(msgspec.Struct, frozen=True):
    """Rows whose version was written by transaction ``horizon`` (64 bit) or a later one."""

    horizon: int
    reason: str


class ScanCursor(msgspec.Struct, frozen=True, tag="cursor"):
    """Rows with ``lower - lookback <= cursor <= upper`` in (cursor, key) order, then those where the cursor is NULL.

    The bounds are the database's own text, compared in the database. ``lower`` None: from the start.
    """

    lower: str | None
    lookback_s: float
    reason: str
    upper: str | None = None
    nulls: bool = True


ScanPlan: TypeAlias = ScanFull | ScanCursor | ScanSinceXid


class BlockPart(msgspec.Struct, frozen=True, tag="blocks"):
    """The rows in a range of a table's blocks, from ``first`` to the one before ``behind``; None: to the end.

    ``files`` (a hash) says in which files the table was when it was cut: in others the rows stand elsewhere.
    """

    first: int
    behind: int | None
    files: str


class KeyPart(msgspec.Struct, frozen=True, tag="keys"):
    """The rows behind ``after`` up to and including ``upto`` in the order of the plan; None: no bound on that side.

    The bounds are in the text form of a key: of the primary key, or of (cursor, primary key).
    """

    after: Key | None = None
    upto: Key | None = None


Part: TypeAlias = BlockPart | KeyPart
"""What one worker reads at a time; it travels as JSON or by pickle and holds nothing of a row but its key."""


class Page(msgspec.Struct, frozen=True):
    """Rows of one short transaction in reading order: ``keys[i]`` is the key of ``rows[i]``."""

    keys: Sequence[Key]
    rows: Sequence[Row]


# --- mapping -------------------------------------------------------------------------------------------------------


class Profile(msgspec.Struct, frozen=True, gc=False):
    """What Mixpanel should hold for one row.

    ``fingerprint`` (16 bytes) covers the canonical form of every property that is sent on each change; ``$set_once``
    is not part of it. ``set_json`` is the ``$set`` object in canonical form, ``absent`` names the properties that are
    left out of it. Everything else is derived from ``row`` by the mapper when, and only when, the profile has to be
    sent.
    """

    key: Key
    distinct_id: DistinctId
    fingerprint: bytes
    set_json: bytes
    row: Row
    absent: Shape = ()


class Unmappable(msgspec.Struct, frozen=True):
    """A row that cannot become a profile. ``reason`` names the column and the cure, never the value."""

    key: Key
    distinct_id: DistinctId | None
    code: str
    reason: str


class SoftDeleted(msgspec.Struct, frozen=True):
    """A row whose ``deleted`` column is true or not null: it counts as gone."""

    key: Key


Mapped: TypeAlias = Profile | Unmappable | SoftDeleted


class MappedPage(msgspec.Struct, frozen=True):
    """``mapped[i]`` is what became of row i; ``warnings`` are (code, message), each told once a run."""

    mapped: Sequence[Mapped]
    warnings: tuple[tuple[str, str], ...] = ()


class Known(msgspec.Struct, frozen=True, gc=False):
    """What the state remembers of a key: as last acknowledged by Mixpanel.

    ``run`` is the number of the run that sent it, ``acknowledged_at`` unix seconds, ``ordinal`` a small number that is
    the key's own within its sync (a sweep marks seen keys in a bitmap with it).
    """

    distinct_id: DistinctId
    fingerprint: bytes
    shape: Shape
    acknowledged_at: int
    run: int
    ordinal: int


# --- sending -------------------------------------------------------------------------------------------------------


Doubt: TypeAlias = Literal["none", "stored", "late"]
"""What earlier requests left open about a profile. "stored": it was refused together with others, and the good ones of
them may be stored already. "late": one ended without an answer and may still be applied, at any later time."""


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """One profile on its way: its records, encoded once and joined by commas, for one request.

    ``fingerprint`` None: the profile is to be removed, by ``$delete`` when ``delete`` is True, else by ``$unset``;
    ``cause`` then is the code of the pending row that asked for it. ``former`` is an ID and shape that the key held
    before and that is to be removed once this one is acknowledged. ``confirms``: once it is, no more is known of the
    key than before.
    """

    key: Key
    distinct_id: DistinctId
    fingerprint: bytes | None
    shape: Shape
    body: bytes
    records: int
    confirms: bool = False
    delete: bool = False
    cause: str = ""
    former: tuple[DistinctId, Shape] | None = None
    doubt: Doubt = "none"


class Suspicion(msgspec.Struct, frozen=True):
    """Mixpanel failed (5xx) at these profiles, first at ``since`` (monotonic seconds), and they may be the reason.

    ``waited``: nothing is left to find out; from now on they wait like everything else until Mixpanel is back.
    """

    since: float
    waited: bool = False


class Batch(msgspec.Struct, frozen=True):
    """The profiles of one request. ``number`` is unique within a run; deletes never share a batch with others."""

    number: int
    profiles: tuple[Outgoing, ...]
    group: bool = False
    """Group profiles go to /groups, users to /engage."""
    suspicion: Suspicion | None = None

    @property
    def records(self) -> int:
        """How many Mixpanel records the request carries; what ``num_good_events`` must say."""
        return sum([profile.records for profile in self.profiles])

    @property
    def body(self) -> bytes:
        """The request's body, a JSON array."""
        bodies = [profile.body for profile in self.profiles]
        bodies[0] = b"[" + bodies[0]  # to put it around them all would copy them all once more
        bodies[-1] += b"]"
        return b",".join(bodies)

    @property
    def size(self) -> int:
        """Length of ``body`` in bytes, without making it."""
        return 1 + len(self.profiles) + sum([len(profile.body) for profile in self.profiles])


class Accepted(msgspec.Struct, frozen=True):
    """Mixpanel acknowledged every record.

    ``doubtful``: an earlier attempt of the same bytes ended without an answer and may still be applied late.
    ``counted`` False: the reply did not say how many records were good.
    """

    doubtful: bool = False
    counted: bool = True


class Invalid(msgspec.Struct, frozen=True):
    """At least one record was refused; ``reason`` is the answer's own text, shortened, without values of ours.

    ``doubtful``, here and below: an earlier attempt of the same bytes ended without an answer.
    """

    reason: str
    doubtful: bool = False


class TooLarge(msgspec.Struct, frozen=True):
    """The request was over the receiver's size limit (413)."""

    doubtful: bool = False


class Throttled(msgspec.Struct, frozen=True):
    """429; ``retry_after_s`` when the answer named one."""

    retry_after_s: float | None = None


class Uncertain(msgspec.Struct, frozen=True):
    """Nobody knows whether it was applied: time-out, reset, 5xx, an answer that is not Mixpanel's.

    ``failed``: it was an answer, that the server itself failed (5xx).
    """

    why: str
    failed: bool = False


class Failing(msgspec.Struct, frozen=True):
    """Mixpanel failed (5xx) several times in a row, first at ``since``, and what is in this batch may be the reason.

    ``alone``: since then it acknowledged other batches, the last one not long ago.
    """

    why: str
    since: float
    alone: bool


class Refused(msgspec.Struct, frozen=True):
    """The request as such is refused (401, 403, 404, 3xx); ``exit_code`` is 77 or 78."""

    why: str
    exit_code: int = 77
    doubtful: bool = False


Verdict: TypeAlias = Accepted | Invalid | TooLarge | Throttled | Uncertain | Failing | Refused


# --- settling ------------------------------------------------------------------------------------------------------

PendingKind: TypeAlias = Literal["row", "gone"]


class PendingRow(msgspec.Struct, frozen=True):
    """Something that must be looked at again; holds no value of the row.

    ``kind`` "row": the key is read and mapped again. "gone": the profile ``distinct_id`` is to be removed (a deleted
    row, or the former ID of a key). ``rejected``: it will not pass as it is. ``fingerprint`` is that of the refused
    payload, so that a changed row is tried at once. ``shape`` names properties that an unanswered request may have
    written. Times are unix seconds.
    """

    kind: PendingKind
    key: Key
    distinct_id: DistinctId | None
    code: str
    reason: str
    rejected: bool
    attempts: int
    since: float
    next_try_at: float
    fingerprint: bytes | None = None
    shape: Shape = ()


class Acknowledged(msgspec.Struct, frozen=True, gc=False):
    """A key whose profile Mixpanel now provably holds; ``confirms``: all of this was known before."""

    key: Key
    distinct_id: DistinctId
    fingerprint: bytes
    shape: Shape
    confirms: bool = False


class InFlight(msgspec.Struct, frozen=True):
    """A batch that is about to be sent, written down before the first byte leaves.

    A run that dies leaves it behind; the next one turns its keys into pending rows, because Mixpanel may hold what the
    state does not know of.
    """

    number: int
    profiles: tuple[Outgoing, ...]


class Settlement(msgspec.Struct, frozen=True):
    """What one or more verdicts change in the state, all of it or nothing.

    Order of application: ``landed`` batches are forgotten, ``acknowledged`` keys become known and lose their pending
    "row" (a profile that was sent stands for its own acknowledgement), ``forgotten`` keys stop being known,
    ``resolved`` (kind, key, distinct ID or None) stop being pending, ``pending`` rows are written, ``dispatched``
    batches are written down.
    """

    acknowledged: Sequence[Acknowledged | Outgoing] = ()
    forgotten: Sequence[Key] = ()
    resolved: Sequence[tuple[PendingKind, Key, DistinctId | None]] = ()
    pending: Sequence[PendingRow] = ()
    landed: Sequence[int] = ()
    dispatched: Sequence[InFlight] = ()


class Identity(msgspec.Struct, frozen=True):
    """What a sync's state belongs to. Hashes, so that no address or token is stored; labels are for messages.

    ``mapping`` is the hash of the compiled mapping and of what selects its rows. ``columns`` maps each mapped column to
    the database's own word for its type; empty in a state that was written before they were kept.
    """

    source: str
    source_label: str
    project: str
    project_label: str
    mapping: str
    columns: dict[str, str] = {}


# --- reading back --------------------------------------------------------------------------------------------------


class ProfilePage(msgspec.Struct, frozen=True):
    """One page of all profiles of a project, in no particular order.

    ``size`` is how many Mixpanel puts on a page, ``total`` how many there are in all (``session`` names the query whose
    further pages have numbers above ``number``). ``last``: no page follows.
    """

    profiles: dict[DistinctId, Json]
    number: int
    size: int
    total: int
    session: str
    last: bool


class Mismatch(msgspec.Struct, frozen=True):
    """A profile that is not what the table says; holds no value.

    ``properties`` names what differs. ``unsent``: the row is not as it was when it was last acknowledged, so the next
    run would send it anyway.
    """

    kind: Literal["missing", "different", "unwanted"]
    key: Key
    distinct_id: DistinctId
    properties: Shape = ()
    unsent: bool = False


class Verification(msgspec.Struct, frozen=True):
    """How far a verification of all profiles has come. Stored as JSON; a field is only ever added.

    ``began_at`` is unix seconds. ``limit`` and ``seen`` are a sweep's bitmap (see ``StateReader.unseen``): set bits are
    keys that are done, or were not known when it began. ``mapping`` is that of ``Identity``.
    """

    began_at: float
    mapping: str
    limit: int
    seen: bytes
    matching: int = 0
    left_out: int = 0
    found: tuple[Mismatch, ...] = ()


Outcome: TypeAlias = Literal["ok", "rejected", "deferred", "stopped", "skipped", "failed"]


class RunSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One run of one sync, as ``--json`` prints it and the state keeps it. The names are public."""

    schema: int = 1
    sync: str
    run: str
    outcome: Outcome
    detection: str
    why: str
    scanned: int
    unchanged: int
    sent: int
    deleted: int
    rejected: int
    pending: int
    requests: int
    bytes: int
    started_at: str
    seconds: float
    message: str | None
