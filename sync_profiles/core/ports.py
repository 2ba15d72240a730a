"""The seams: what the engine asks of a database, of Mixpanel, of the state and of time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from sync_profiles.core.spreading import Assignment, Board, Cut, Lost, PartReport
from sync_profiles.core.types import (
    Batch,
    DistinctId,
    Identity,
    Json,
    Key,
    Known,
    Page,
    Part,
    PendingRow,
    ProfilePage,
    RunSummary,
    ScanPlan,
    Settlement,
    Verdict,
    Verification,
    Watermark,
)


class Source(Protocol):
    """A model of one database, read only. Every call is one or more short transactions of its own.

    Raises ``TemporaryError`` when the database stays away after three tries, ``AccessError`` when it refuses,
    ``ConfigError`` when the model does not fit.
    """

    def watermark(self) -> Watermark:
        """Where the source stands now; the caller reads it before any row."""
        ...

    def pages(self, plan: ScanPlan, part: Part | None = None) -> Iterator[Page]:
        """Every row the plan selects, at least once, in pages, some of which may be empty; only those of a ``part``.

        With a horizon in the watermark, a row that is written while the pages are read may be left out: its version
        is one that ``ScanSinceXid`` of that horizon selects.
        """
        ...

    def parts(self, plan: ScanPlan, count: int, *, by_key: bool = False) -> Sequence[Part]:
        """The rows of the plan cut into at most ``count`` parts of about one size: every row is in exactly one.

        Rows that come meanwhile are in one of them too. ``by_key``: not by where the rows stand in a file.
        """
        ...

    def whole(self, parts: Sequence[Part]) -> bool:
        """Whether these parts, all of them read since they were cut, held every row.

        False when the table was written anew meanwhile, which moves its rows between parts.
        """
        ...

    def read(self, keys: Sequence[Key]) -> Page:
        """The rows that exist among ``keys``, in any order; the others are gone."""
        ...

    def duplicates(self) -> Iterator[Page]:
        """Rows that may share their distinct ID with another row; nothing when a constraint forbids it.

        A superset: the caller compares the mapped IDs.
        """
        ...

    def sharing(self, ids: Sequence[DistinctId]) -> Page:
        """All rows that may have one of these distinct IDs (a superset); the caller compares the mapped IDs."""
        ...

    def estimate(self, plan: ScanPlan) -> int | None:
        """About how many rows the plan will read, for a progress bar; None when it is not cheap to know."""
        ...

    def notes(self) -> Sequence[tuple[str, str]]:
        """What the operator should know of how this model is read, as far as it is known: (code, message).

        Asked before and after a pass; each is told once a run.
        """
        ...

    def count(self) -> int | None:
        """How many rows there are now, where that costs no more than finding what changed; else None."""
        ...

    def oldest_transaction(self) -> str | None:
        """What is known of the transaction that holds the horizon where it is, for a message."""
        ...


class Destination(Protocol):
    """Where profiles go. Called from several threads at once."""

    def send(self, batch: Batch) -> Verdict:
        """Send one batch and say what the answer means; expected answers are never exceptions."""
        ...


class ProfileReader(Protocol):
    """Reads profiles back."""

    def fetch(self, ids: Sequence[DistinctId]) -> Mapping[DistinctId, Json]:
        """The properties of those IDs that exist."""
        ...


class ProfileBook(ProfileReader, Protocol):
    """Reads profiles back with a known number of queries, since those are scarce.

    Both raise ``QuotaError`` when the limit is reached, and what ``ProfileReader.fetch`` raises.
    """

    @property
    def ids_per_query(self) -> int:
        """How many IDs one query may name."""
        ...

    def look_up(self, ids: Sequence[DistinctId]) -> Mapping[DistinctId, Json]:
        """The properties of those IDs that exist, at most ``ids_per_query``: one query."""
        ...

    def page(self, names: Sequence[str], after: ProfilePage | None = None) -> ProfilePage:
        """One page of all profiles, with these properties only: one query.

        Raises ``SessionLostError`` when Mixpanel does not know ``after`` any more.
        """
        ...


class StateReader(Protocol):
    """The part of one sync's state that can be looked at: what ``preview`` and a dry run get."""

    def watermark(self) -> Watermark | None:
        """Of the last run that ended well; None before the first."""
        ...

    def identity(self) -> Identity | None:
        """What the state belongs to; None before the first run."""
        ...

    def known(self, keys: Sequence[Key]) -> Mapping[Key, Known]:
        """Those of ``keys`` that Mixpanel acknowledged before, as of the last settlement."""
        ...

    def known_count(self) -> int:
        """How many profiles are known."""
        ...

    def owners(self, ids: Sequence[DistinctId]) -> Mapping[DistinctId, Sequence[Key]]:
        """Known keys that hold one of these distinct IDs."""
        ...

    def waiting(self, keys: Sequence[Key]) -> Mapping[Key, PendingRow]:
        """Those of ``keys`` that are pending as kind "row"."""
        ...

    def unseen(self, seen: bytearray, ordinal_limit: int) -> Iterator[Sequence[tuple[Key, Known]]]:
        """Known keys below ``ordinal_limit`` whose bit in ``seen`` is not set, in chunks; for the sweep."""
        ...

    def ordinal_limit(self) -> int:
        """One more than the largest ordinal in use: the size of a sweep's bitmap."""
        ...

    def due(self, limit: int, now: float) -> Sequence[PendingRow]:
        """Pending rows whose next try has come, oldest first."""
        ...

    def pending_count(self) -> int:
        """How many pending rows there are, rejected ones included.

        The repetition of a delete (code "delete_again") is not counted: nothing is owed there.
        """
        ...

    def pending_since(self) -> float | None:
        """Since when the oldest of those rows has been pending (unix seconds); None when there is none."""
        ...

    def rejected(self) -> Sequence[PendingRow]:
        """Pending rows that will not pass as they are, newest first."""
        ...

    def rejected_count(self) -> int:
        """How many of the pending rows are rejected."""
        ...

    def last_success_at(self) -> str | None:
        """When the last run that came to its end began (ISO 8601, UTC)."""
        ...

    def verification(self) -> Verification | None:
        """A verification of all profiles that has not come to its end."""
        ...


class State(StateReader, Protocol):
    """What is remembered of one sync between two runs. One writer: only the main thread calls it.

    Every method that writes is one transaction and durable when it returns.
    """

    def begin_run(self, run: str, started_at: float, *, forced: str | None = None, restart: bool = False) -> BegunRun:
        """Open a run, turning batches that a dead run left in flight into pending rows.

        ``forced`` names a backfill's selection: an unfinished backfill of the same name is continued, unless
        ``restart``.
        """
        ...

    def settle(self, settlement: Settlement, now: float) -> None:
        """Apply a settlement; twice is the same as once."""
        ...

    def move_watermark(self, watermark: Watermark) -> None:
        """Called last, when every change before it is acknowledged or pending."""
        ...

    def set_identity(self, identity: Identity) -> None:
        """Remember what the state belongs to."""
        ...

    def hasten(self, ids: Sequence[DistinctId] | None = None) -> int:
        """Make pending rows due now: those with one of ``ids``, or all; returns how many."""
        ...

    def forget(self) -> None:
        """Drop what is known and pending (another project: nothing of it is there)."""
        ...

    def keep_verification(self, progress: Verification | None) -> None:
        """Remember how far a verification of all profiles has come; None: it has ended. Not part of a run."""
        ...

    def finish_run(self, summary: RunSummary, *, forced_done: bool = False) -> None:
        """Close the run, bring the acknowledgements into their final order, keep the summary."""
        ...


@runtime_checkable
class SharedState(State, Protocol):
    """A state that several processes write in one run: one began it, the others join it, each for one part at a time.

    Whoever writes for a run that is not the last one begun gets a ``StateError``, and nothing is written.
    """

    def begin_part(self, run: int, part: int, forced_since: int) -> None:
        """Go on with a run that another process began, as the one that does ``part`` (from 1; 0 is the run itself).

        What an earlier attempt at the part left in flight becomes pending rows.
        """
        ...

    def finish_part(self, counts: Mapping[str, int]) -> None:
        """Remember that the part is done, and what was counted in it."""
        ...

    def look(self, halvings: int, *, halve: bool = False) -> Board:
        """The board of the run; ``halve`` adds one halving, unless somebody did since there were ``halvings``."""
        ...

    def ask_stop(self, cause: str) -> None:
        """Write on the board that everybody is to end."""
        ...

    def cut(self) -> Cut | None:
        """What ``keep_cut`` kept last."""
        ...

    def keep_cut(self, cut: Cut | None) -> None:
        """Remember into which parts a backfill is cut, none of them done yet; None: it has ended."""
        ...

    def parts_done(self) -> Collection[int]:
        """Which parts of the cut are done."""
        ...


class Crew(Protocol):
    """Workers that do parts of one errand; leaving its block lets them go, whatever they are at.

    Every method raises ``TemporaryError`` when there is no way to reach them any more.
    """

    @property
    def slots(self) -> int:
        """How many parts can be at work at once."""
        ...

    @property
    def free(self) -> int:
        """How many more parts can be handed out now."""
        ...

    def hand_out(self, assignment: Assignment) -> None:
        """Let a free worker do a part."""
        ...

    def collect(self, wait_s: float) -> Sequence[tuple[int, PartReport | Lost]]:
        """What became of parts, by number; waits so long for the first. The workers of lost parts are replaced."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class BegunRun(Protocol):
    """What ``begin_run`` hands back."""

    @property
    def number(self) -> int:
        """Number of this run, growing; stands in ``Known.run``."""
        ...

    @property
    def forced_since(self) -> int:
        """Keys known from a run before this number count as unknown (0 when nothing is forced)."""
        ...

    @property
    def interrupted(self) -> int:
        """How many keys a dead run had in flight."""
        ...


class Clock(Protocol):
    """Time comes in by the front door."""

    def now(self) -> float:
        """Unix seconds."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...


class Stop(Protocol):
    """A wish to end early: a signal or the deadline."""

    @property
    def cause(self) -> str | None:
        """None while nothing was asked; else "SIGTERM", "SIGINT" or "deadline"."""
        ...

    def wait(self, seconds: float) -> bool:
        """Sleep, but wake at once when a stop is asked; True when it was."""
        ...

    def remaining_s(self) -> float | None:
        """Seconds until the deadline; None without one."""
        ...
