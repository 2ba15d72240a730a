"""What PostgreSQL knows about the versions of a table's rows: which transaction wrote each one.

Every row carries the number of the transaction that wrote it, ``xmin``, readable and exact. A number means something
only to the counter it was taken from, so a horizon says to which server, which line of its history, which table and
which schema it belongs. Whatever else could change a row without a new number rules ``xmin`` out; that is asked first.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from sync_profiles.core.types import Horizon
from sync_profiles.errors import AccessError, ConfigError
from sync_profiles.source.blocks import Size, blocks_a_range, ranges, ranges_of, within_blocks

if TYPE_CHECKING:
    from sync_profiles.source.database import Database

_OTHERS = {"Redshift": "Redshift", "CockroachDB": "CockroachDB", "Greenplum": "Greenplum", "-YB-": "YugabyteDB"}
"""Words in ``version()`` of what speaks PostgreSQL's protocol and gives ``xmin`` no or another meaning."""
_NOT_A_TABLE = {"v": "a view", "m": "a materialised view", "f": "a foreign table"}

_RELATION = """
SELECT c.oid, c.relkind, pg_catalog.row_security_active(c.oid),
  CASE WHEN c.relkind IN ('r', 'p') THEN pg_catalog.has_column_privilege(c.oid, 'xmin', 'SELECT') END,
  CASE WHEN c.relkind IN ('r', 'p') THEN pg_catalog.has_column_privilege(c.oid, 'ctid', 'SELECT') END,
  EXISTS (SELECT FROM pg_catalog.pg_class d JOIN pg_catalog.pg_namespace m ON m.oid = d.relnamespace
          WHERE m.nspname = 'pg_catalog' AND d.relname = 'pg_dist_partition')
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = :schema AND c.relname = :table
"""
_TREE = """
WITH RECURSIVE tree(oid) AS (
  SELECT CAST(:oid AS oid) UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN tree ON i.inhparent = tree.oid)
"""
_LEAVES = f"""{_TREE}
SELECT c.relkind, coalesce(a.amname, 'heap'), c.reltuples, c.relpages,
  CASE WHEN c.relkind = 'r'
    THEN pg_catalog.pg_relation_size(c.oid) / CAST(pg_catalog.current_setting('block_size') AS bigint) END
FROM tree JOIN pg_catalog.pg_class c ON c.oid = tree.oid LEFT JOIN pg_catalog.pg_am a ON a.oid = c.relam
WHERE c.relkind <> 'p'
"""
_DISTRIBUTED = "SELECT EXISTS (SELECT FROM pg_catalog.pg_dist_partition WHERE logicalrelid = CAST(:oid AS regclass))"
# On a standby the control file lags behind what was replayed, so everything that knows a timeline is asked. A restart
# means something on a primary only: after a crash it may give numbers out again, or stand on an older copy of its disk.
_IDENTITY = """
SELECT CAST(s.system_identifier AS text),
  CAST(CASE WHEN pg_catalog.pg_is_in_recovery()
    THEN greatest(c.timeline_id, r.min_recovery_end_timeline,
                  (SELECT max(w.received_tli) FROM pg_catalog.pg_stat_wal_receiver w))
    ELSE CAST(CAST('x' || substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8) AS bit(32)) AS int)
  END AS text),
  CASE WHEN pg_catalog.pg_is_in_recovery() THEN ''
    ELSE CAST(extract(epoch FROM pg_catalog.pg_postmaster_start_time()) AS text) END,
  (SELECT CAST(d.oid AS text) FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
FROM pg_catalog.pg_control_system() s, pg_catalog.pg_control_checkpoint() c, pg_catalog.pg_control_recovery() r
"""
_SNAPSHOT = {  # by whether transactions are counted in 64 bit under their own names (PostgreSQL 13)
    True: """SELECT CAST(pg_catalog.pg_snapshot_xmin(s) AS text), CAST(pg_catalog.pg_snapshot_xmax(s) AS text)
FROM pg_catalog.pg_current_snapshot() AS s""",
    False: """SELECT pg_catalog.txid_snapshot_xmin(s), pg_catalog.txid_snapshot_xmax(s)
FROM pg_catalog.txid_current_snapshot() AS s""",
}
# A renamed label of an enum changes what rows say, too.
_COLUMNS = """
SELECT a.attnum, a.attname, CAST(a.atttypid AS bigint), a.atttypmod, pg_catalog.pg_get_expr(d.adbin, d.adrelid),
  {generated},
  ARRAY(SELECT CAST(e.enumlabel AS text) FROM pg_catalog.pg_enum e
        WHERE e.enumtypid IN (t.oid, t.typelem, t.typbasetype) ORDER BY e.oid)
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = CAST(:oid AS oid) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
# A partition that is attached brings rows of old transactions, one that was away while pages were read brings them
# back: who attached it tells the two apart. A default that was added fast changes rows without a transaction.
_ATTACHED = """(SELECT pg_catalog.string_agg(CAST(i.xmin AS text), ' ' ORDER BY i.inhseqno)
  FROM pg_catalog.pg_inherits i WHERE i.inhrelid = tree.oid)"""
_VALUES_WITHOUT_ROWS = f"""{_TREE}
SELECT CAST(tree.oid AS bigint), {_ATTACHED}, a.attnum, CAST(a.attmissingval AS text)
FROM tree LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = tree.oid AND a.atthasmissing ORDER BY 1, a.attnum
"""
_PARTITIONS = f"{_TREE} SELECT CAST(tree.oid AS bigint), {_ATTACHED} FROM tree ORDER BY 1"
# VACUUM FULL, CLUSTER and pg_repack write a table into another file.
_FILES = f"""{_TREE}
SELECT CAST(tree.oid AS bigint), CAST(pg_catalog.pg_relation_filenode(tree.oid) AS bigint) FROM tree ORDER BY 1
"""

# What committed without waiting for the disk is lost in a crash, and its numbers are given out again: a horizon is good
# once the log is written as far as it had come by then. PostgreSQL promises that within three times wal_writer_delay.
_WRITTEN = """
SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN NULL
    ELSE CAST(pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), '0/0') AS bigint) END,
  CASE WHEN pg_catalog.pg_is_in_recovery() THEN NULL
    ELSE CAST(pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_flush_lsn(), '0/0') AS bigint) END,
  extract(epoch FROM CAST(pg_catalog.current_setting('wal_writer_delay') AS interval))
"""
_DURABLE_LOOKS_A_DELAY = 10
# A prepared transaction is seen by everybody, a session only by its user and by monitors.
_OLDEST = """
SELECT what, seconds FROM (
  SELECT 'a prepared transaction' AS what, age(transaction) AS age, extract(epoch FROM now() - prepared) AS seconds
  FROM pg_catalog.pg_prepared_xacts
  UNION ALL
  SELECT 'a transaction', age(backend_xid), extract(epoch FROM now() - xact_start)
  FROM pg_catalog.pg_stat_activity WHERE backend_xid IS NOT NULL AND xact_start IS NOT NULL) AS running
ORDER BY age DESC LIMIT 1
"""


@dataclasses.dataclass(frozen=True)
class Refusal:
    """Why a table's row versions cannot be used, for people; ``cure`` when the want of a right is the only reason."""

    reason: str
    cure: str | None = None


@dataclasses.dataclass(frozen=True)
class RowVersions:
    """The row versions of a base table or a partitioned one. ``by_block``: it can be read in ranges of blocks."""

    database: Database
    schema: str
    table: str
    release: int
    by_block: bool

    def horizon(self) -> Horizon:
        """Where the transaction counter stands; what is read afterwards holds everything that was complete by then.

        The counter is read last: an identity that is older than it can only ask for one full pass too many.
        """

        def look(connection: sa.Connection) -> Horizon:
            system, timeline, started, database = connection.execute(sa.text(_IDENTITY)).one()
            oid = self._oid(connection)
            schema = self._schema_hash(connection, oid)
            xmin, xmax = connection.execute(sa.text(_SNAPSHOT[self.release >= 130000])).one()
            _await_durable(connection)
            return Horizon(
                xmin=int(xmin),
                xmax=int(xmax),
                system=system,
                timeline=timeline,
                started=started,
                relation=f"{database}/{oid}",
                schema=schema,
            )

        return self.database.within(look)

    def oldest_transaction(self) -> str | None:
        """How long the oldest running transaction that this user may see has been open, and what it is."""

        def look(connection: sa.Connection) -> str | None:
            found = connection.execute(sa.text(_OLDEST)).one_or_none()
            return None if found is None else f"{found[0]} open for {_duration(float(found[1]))}"

        return self.database.within(look)

    def changed_since(self, horizon: int) -> sa.ColumnElement[bool]:
        """The rows that this transaction or a later one wrote; a very old frozen row may be among them.

        Both ages are taken from the same counter, so the comparison survives its wrap at 32 bit.
        """
        limit = sa.select(sa.func.age(sa.cast(sa.literal(str(horizon % 2**32), sa.Text), _Xid())))
        return sa.func.age(sa.literal_column("xmin")) <= limit.scalar_subquery()

    def block_ranges(
        self, part: tuple[int, int | None] = (0, None), *, all_rows: bool
    ) -> Iterator[sa.ColumnElement[bool]]:
        """Conditions that together select every row of some blocks, as long as the table's ``files`` are the same.

        Then a row that moves to another block has a new version.
        """
        size = self._size()
        for first, behind in ranges_of(part, size.blocks, blocks_a_range(size, all_rows=all_rows)):
            yield within_blocks(first, behind)

    def parts(self, count: int) -> list[tuple[int, int | None]]:
        """The table's blocks in at most ``count`` ranges of about one size; the last has no end."""
        blocks = self._size().blocks
        return list(ranges(blocks, max(1, -(-blocks // count))))

    def _size(self) -> Size:
        return self.database.within(lambda connection: _size(connection, self._oid(connection)))

    def files(self) -> tuple[tuple[int, int | None], ...]:
        """The files of the table and its partitions; when one is another, rows have moved and kept their versions."""

        def look(connection: sa.Connection) -> tuple[tuple[int, int | None], ...]:
            found = connection.execute(sa.text(_FILES), {"oid": self._oid(connection)}).all()
            return tuple((int(oid), file) for oid, file in found)

        return self.database.within(look)

    def _oid(self, connection: sa.Connection) -> int:
        found = _relation(connection, self.schema, self.table)
        if found is None:
            raise ConfigError(f'table: "{self.table}" does not exist any more')
        return int(found[0])

    def _schema_hash(self, connection: sa.Connection, oid: int) -> str:
        generated = "CAST(a.attgenerated AS text)" if self.release >= 120000 else "''"
        columns = connection.execute(sa.text(_COLUMNS.format(generated=generated)), {"oid": oid}).all()
        others = _VALUES_WITHOUT_ROWS if self.release >= 110000 else _PARTITIONS
        leaves = connection.execute(sa.text(others), {"oid": oid}).all()
        return hashlib.blake2b(repr((columns, leaves)).encode("utf-8", "replace"), digest_size=16).hexdigest()


def row_versions(database: Database, schema: str, table: str) -> RowVersions | Refusal:
    """The row versions of a table, or why they cannot be used."""
    version = str(database.fetch(sa.text("SELECT version()"))[0][0])
    for word, name in _OTHERS.items():
        if word in version:
            return Refusal(f"{name} has no row versions that can be compared")
    return database.within(lambda connection: _unusable(connection, schema, table)) or _identified(
        database, schema, table
    )


def _unusable(connection: sa.Connection, schema: str, table: str) -> Refusal | None:
    found = _relation(connection, schema, table)
    if found is None:
        return Refusal("the table is gone")
    oid, kind, secured, may_xmin, _, citus = found
    if kind in _NOT_A_TABLE:
        return Refusal(f"{_NOT_A_TABLE[kind]} has no row versions of its own")
    leaves = connection.execute(sa.text(_LEAVES), {"oid": oid}).all()
    if kind == "r" and len(leaves) > 1:
        return Refusal("other tables inherit from it")
    if any(leaf[0] != "r" for leaf in leaves):
        return Refusal("one of its partitions is a foreign table")
    foreign = next((method for _, method, *_ in leaves if method != "heap"), None)
    if foreign is not None:
        return Refusal(f'its storage ("{foreign}") is not PostgreSQL\'s own')
    if secured:
        return Refusal("row-level security decides what this user sees, and may change without the row")
    if citus and connection.execute(sa.text(_DISTRIBUTED), {"oid": oid}).scalar_one():
        return Refusal("Citus distributes it over several servers")
    if not may_xmin:
        return Refusal("this user may not read xmin", f'GRANT SELECT (xmin, ctid) ON "{schema}"."{table}" TO this user')
    return None


def _identified(database: Database, schema: str, table: str) -> RowVersions | Refusal:
    try:
        database.fetch(sa.text(_IDENTITY))
    except (AccessError, ConfigError):
        functions = "pg_control_system(), pg_control_checkpoint(), pg_control_recovery()"
        reason = "this user may not ask which server this is, and after a failover numbers are given out again"
        return Refusal(reason, f"GRANT EXECUTE ON FUNCTION {functions} TO this user")

    def look(connection: sa.Connection) -> RowVersions:
        release = int(connection.execute(sa.text("SELECT current_setting('server_version_num')")).scalar_one())
        found = _relation(connection, schema, table)
        may_ctid = found is not None and bool(found[4])
        return RowVersions(database, schema, table, release, by_block=release >= 140000 and may_ctid)

    return database.within(look)


def _relation(connection: sa.Connection, schema: str, table: str) -> tuple[Any, ...] | None:
    found = connection.execute(sa.text(_RELATION), {"schema": schema, "table": table}).one_or_none()
    return None if found is None else tuple(found)


def _size(connection: sa.Connection, oid: int) -> Size:
    leaves = connection.execute(sa.text(_LEAVES), {"oid": oid}).all()
    blocks = max((leaf[4] or 0 for leaf in leaves), default=0)
    return Size(int(blocks), len(leaves), sum(max(0.0, leaf[2]) for leaf in leaves), sum(leaf[3] for leaf in leaves))


def _await_durable(connection: sa.Connection) -> None:
    """Wait until everything that is complete by now is on disk; at most as long as PostgreSQL may take for it."""
    target, flushed, delay_s = connection.execute(sa.text(_WRITTEN)).one()
    if target is None:
        return
    pause = sa.select(sa.func.pg_sleep(float(delay_s) / _DURABLE_LOOKS_A_DELAY))
    for _ in range(3 * _DURABLE_LOOKS_A_DELAY):
        if flushed >= target:
            return
        connection.execute(pause)
        _, flushed, _ = connection.execute(sa.text(_WRITTEN)).one()


def _duration(seconds: float) -> str:
    if seconds >= 2 * 3600:
        return f"{seconds / 3600:.0f} hours"
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"


class _Xid(sa.types.UserDefinedType[str]):
    """The type of a transaction's number in 32 bit."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Its name."""
        return "xid"
