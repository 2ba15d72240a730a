"""What a settlement is in SQL: statements that travel together in one message and are one transaction."""

from __future__ import annotations

from collections.abc import Sequence

from sync_profiles.core.types import Key, PendingKind, PendingRow
from sync_profiles.state.postgres.arrays import bytes_array, number_array, storable, text_array
from sync_profiles.state.postgres.database import SCHEMA, Place, Statement
from sync_profiles.state.postgres.schema import ordinals
from sync_profiles.state.rows import identity_of

LEASE_LEFT_S = 30
"""A run behind a pooler writes only while its lease lasts this much longer: what it has in flight may then land."""


def fence(place: Place, number: int, locked_pid: int | None, attempt: int = 0) -> Statement:
    """Fails (division by zero) unless run ``number`` (0: none was begun) is the sync's last and its lock is not lost.

    Whoever begins another run, or a part once more, waits for the transactions that passed here, and none passes here
    afterwards: what a dead process had asked the server for may still be done. A lock that hangs on a session is there
    as long as that very server process answers; a lease as long as it says.
    """
    sync_id, part = place
    joined = f" JOIN {SCHEMA}.attempt a ON a.sync_id = s.id AND a.part = %s AND a.number = %s" if part else ""
    return (
        (
            f"SELECT 1 / count(*) FROM (SELECT FROM {SCHEMA}.sync s{joined} WHERE s.id = %s"
            " AND %s IN (0, s.last_number) AND coalesce(%s = pg_catalog.pg_backend_pid(), true)"
            f" AND NOT EXISTS (SELECT FROM {SCHEMA}.holder h WHERE h.sync = s.name"
            f" AND h.until < pg_catalog.now() + interval '{LEASE_LEFT_S} s')"
            f" FOR SHARE OF {'s, a' if part else 's'}) AS ours"
        ),
        (*((part, attempt) if part else ()), sync_id, number, locked_pid),
    )


def attempted(place: Place) -> Statement:
    """One more attempt at a part; gives its number."""
    return (
        (
            f"INSERT INTO {SCHEMA}.attempt AS a (sync_id, part, number) VALUES (%s, %s, 1)"
            " ON CONFLICT (sync_id, part) DO UPDATE SET number = a.number + 1 RETURNING number"
        ),
        place,
    )


def landed(place: Place, numbers: Sequence[int]) -> Statement:
    """Batches whose answer is settled are forgotten."""
    return (
        f"DELETE FROM {SCHEMA}.inflight WHERE sync_id = %s AND part = %s AND number = ANY(%s::int[])",
        (*place, number_array(numbers)),
    )


def dispatched(place: Place, batches: Sequence[tuple[int, bytes]]) -> Statement:
    """Batches that are about to be sent, by number, are written down."""
    return (
        (
            f"INSERT INTO {SCHEMA}.inflight (sync_id, part, number, profiles)"
            " SELECT %s, %s, number, profiles FROM unnest(%s::int[], %s::bytea[]) AS given (number, profiles)"
            " ON CONFLICT (sync_id, part, number) DO UPDATE SET profiles = excluded.profiles"
        ),
        (*place, number_array([number for number, _ in batches]), bytes_array([blob for _, blob in batches])),
    )


def acknowledged(place: Place, at: tuple[int, int], columns: Sequence[str]) -> list[Statement]:
    """Keys become known and lose their pending row; ``at`` is (acknowledged at, run, 0: the sync's last).

    ``columns`` are arrays of keys, each of them once, IDs (NULL where it is the key), fingerprints and shapes. Only a
    key that is new takes an ordinal: asked for by a subquery, since a join may be made by reading the whole table. Its
    row has no ``xmax``: what is updated was locked before.
    """
    sync_id, keys, (now, run) = place.sync_id, columns[0], at
    return [
        (
            (
                f"DELETE FROM {SCHEMA}.pending"
                " WHERE sync_id = %s AND kind = 'row' AND gone_id = '' AND key = ANY(%s::text[])"
            ),
            (sync_id, keys),
        ),
        (
            f"WITH written AS (INSERT INTO {SCHEMA}.profile AS p"
            " (acknowledged_at, run, sync_id, key, distinct_id, fingerprint, shape_id, ordinal)"
            f" SELECT %s, coalesce(nullif(%s, 0), (SELECT last_number FROM {SCHEMA}.sync WHERE id = %s)), %s, given.*,"
            f" coalesce((SELECT 0 FROM {SCHEMA}.profile o WHERE o.sync_id = %s AND o.key = given.key),"
            f" nextval('{ordinals(sync_id)}'))"
            " FROM unnest(%s::text[], %s::text[], %s::bytea[], %s::int[]) AS given (key, distinct_id, fp, shape)"
            " ON CONFLICT (sync_id, key) DO UPDATE SET distinct_id = excluded.distinct_id,"
            " fingerprint = excluded.fingerprint, shape_id = excluded.shape_id,"
            " acknowledged_at = excluded.acknowledged_at, run = excluded.run RETURNING p.xmax = 0 AS fresh) "
            + _tally("SELECT count(*) FROM written WHERE fresh"),
            (now, run, sync_id, sync_id, sync_id, *columns, *place),
        ),
    ]


def forgotten(place: Place, keys: Sequence[Key]) -> Statement:
    """Keys stop being known; their rows are looked up one by one, for the same reason."""
    return (
        (
            f"WITH gone AS (DELETE FROM {SCHEMA}.profile WHERE ctid = ANY(ARRAY(SELECT ("
            f"SELECT p.ctid FROM {SCHEMA}.profile p WHERE p.sync_id = %s AND p.key = given.key)"
            " FROM unnest(%s::text[]) AS given (key))) RETURNING 1) " + _tally("SELECT -count(*) FROM gone")
        ),
        (place.sync_id, text_array(keys), *place),
    )


def _tally(count: str) -> str:
    """Each part counts for itself, so that none waits for another."""
    return (
        f"INSERT INTO {SCHEMA}.tally AS t (profiles, sync_id, part) VALUES (({count}), %s, %s)"
        " ON CONFLICT (sync_id, part) DO UPDATE SET profiles = t.profiles + excluded.profiles"
    )


def resolved(place: Place, identities: Sequence[tuple[PendingKind, Key, str]]) -> Statement:
    """Rows stop being pending; those that are not there are fine."""
    kinds, keys, gone_ids = zip(*identities, strict=True)
    return (
        (
            f"DELETE FROM {SCHEMA}.pending p"
            " USING unnest(%s::text[], %s::text[], %s::text[]) AS given (kind, key, gone_id)"
            " WHERE p.sync_id = %s AND p.kind = given.kind AND p.key = given.key AND p.gone_id = given.gone_id"
        ),
        (text_array(kinds), text_array(keys), text_array(gone_ids), place.sync_id),
    )


def pending(place: Place, rows: Sequence[PendingRow], shape_ids: Sequence[int]) -> Statement:
    """Pending rows, each identity once, in place of those of the same identity."""
    columns = {
        "since": ("float8", number_array([row.since for row in rows])),
        "next_try_at": ("float8", number_array([row.next_try_at for row in rows])),
        "shape_id": ("int", number_array(shape_ids)),
        "attempts": ("int", number_array([row.attempts for row in rows])),
        "rejected": ("bool", "{" + ",".join(["t" if row.rejected else "f" for row in rows]) + "}"),
        "kind": ("text", text_array([row.kind for row in rows])),
        "key": ("text", text_array([row.key for row in rows])),
        "gone_id": ("text", text_array([identity_of(row)[2] for row in rows])),
        "distinct_id": ("text", text_array([storable(row.distinct_id) for row in rows])),
        "code": ("text", text_array([row.code for row in rows])),
        "reason": ("text", text_array([storable(row.reason) for row in rows])),
        "fingerprint": ("bytea", bytes_array([row.fingerprint for row in rows])),
    }
    names, types = ", ".join(columns), ", ".join([f"%s::{kind}[]" for kind, _ in columns.values()])
    updates = ", ".join([f"{name} = excluded.{name}" for name in columns])
    return (
        (
            f"INSERT INTO {SCHEMA}.pending (sync_id, {names}) SELECT %s, given.* FROM unnest({types}) AS given"
            f" ON CONFLICT (sync_id, kind, key, gone_id) DO UPDATE SET {updates}"
        ),
        (place.sync_id, *[array for _, array in columns.values()]),
    )
