"""Row versions of PostgreSQL: where they can be trusted, and what reading by them selects."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from clusters import burn
from servers import LiveDatabase
from sources import FULL, keys, model_of, opened, rows, since, source_of

from sync_profiles.core.types import Horizon, ScanSinceXid
from sync_profiles.errors import ConfigError
from sync_profiles.source.blocks import within_blocks
from sync_profiles.source.sql import ModelSpec, SqlSource
from sync_profiles.source.versions import Refusal, RowVersions, row_versions

USERS = "CREATE TABLE users (id bigint PRIMARY KEY, name text)"


@pytest.fixture
def users(postgres_database: LiveDatabase) -> LiveDatabase:
    postgres_database.execute(USERS, "INSERT INTO users SELECT n, 'n' FROM generate_series(1, 1000) AS s(n)")
    return postgres_database


def by_version(database: LiveDatabase, columns: tuple[str, ...] = ("id",), **spec: object) -> SqlSource:
    return source_of(database, columns, detect="xmin", **spec)


def horizon(source: SqlSource) -> Horizon:
    found = source.watermark().horizon
    assert found is not None
    return found


def changed(source: SqlSource, since_when: Horizon) -> list[str]:
    return sorted(keys(source, ScanSinceXid(since_when.xmin, "test")))


def asked(database: LiveDatabase, table: str = "users", schema: str = "public") -> RowVersions | Refusal:
    with opened(database) as reader:
        return row_versions(reader, schema, table)


# --- where they can be trusted -------------------------------------------------------------------------------------

PARTS = "CREATE TABLE users (id bigint PRIMARY KEY) PARTITION BY RANGE (id)"
FOREIGN = (
    "CREATE EXTENSION IF NOT EXISTS file_fdw",
    "CREATE SERVER elsewhere FOREIGN DATA WRAPPER file_fdw",
)


@pytest.mark.parametrize(
    ("statements", "reason"),
    [
        (("CREATE VIEW users AS SELECT 1::bigint AS id",), "a view"),
        (("CREATE MATERIALIZED VIEW users AS SELECT 1::bigint AS id",), "a materialised view"),
        (
            (*FOREIGN, "CREATE FOREIGN TABLE users (id bigint) SERVER elsewhere OPTIONS (filename '/dev/null')"),
            "a foreign table",
        ),
        ((USERS, "CREATE TABLE more () INHERITS (users)"), "inherit"),
        (
            (
                *FOREIGN,
                "CREATE TABLE users (id bigint) PARTITION BY RANGE (id)",
                "CREATE FOREIGN TABLE far PARTITION OF users DEFAULT SERVER elsewhere OPTIONS (filename '/dev/null')",
            ),
            "foreign",
        ),
    ],
    ids=["view", "materialised view", "foreign table", "inheritance", "foreign partition"],
)
def test_what_has_no_row_versions_of_its_own_is_refused_with_the_reason(
    postgres_database: LiveDatabase, statements: tuple[str, ...], reason: str
) -> None:
    if any("file_fdw" in statement for statement in statements) and not postgres_database.scalar(
        "SELECT count(*) FROM pg_available_extensions WHERE name = 'file_fdw'"
    ):
        pytest.skip("this PostgreSQL comes without file_fdw")
    postgres_database.execute(*statements)
    found = asked(postgres_database)
    assert isinstance(found, Refusal)
    assert reason in found.reason
    assert found.cure is None
    with pytest.raises(ConfigError, match=f"^detect: xmin is not possible here: .*{reason}"):
        model_of(postgres_database, detect="xmin", primary_key=("id",))
    model = model_of(postgres_database, detect="auto", primary_key=("id",))
    assert (model.detection, model.notes) == ("full", ())


def test_a_query_is_refused_and_auto_takes_the_cursor(users: LiveDatabase) -> None:
    query = {"query": "SELECT id FROM users", "primary_key": ("id",), "cursor": "id"}
    with pytest.raises(ConfigError, match=r"^detect: .*a query has no row versions"):
        model_of(users, detect="xmin", **query)
    assert model_of(users, detect="auto", **query).detection == "cursor"


def test_other_databases_say_why_not(database: LiveDatabase) -> None:
    if database.kind == "postgresql":
        pytest.skip("PostgreSQL has row versions")
    database.execute("CREATE TABLE users (id bigint PRIMARY KEY)")
    with pytest.raises(ConfigError, match=r"^detect: .*only PostgreSQL"):
        model_of(database, detect="xmin")
    assert model_of(database, detect="auto").detection == "full"


@pytest.mark.parametrize(
    ("detect", "cursor", "detection"),
    [
        ("auto", None, "xmin"),
        ("auto", "id", "xmin"),
        ("xmin", "id", "xmin"),
        ("cursor", "id", "cursor"),
        ("full", None, "full"),
        ("full", "id", "full"),
    ],
)
def test_auto_takes_row_versions_and_a_word_is_obeyed(
    users: LiveDatabase, detect: str, cursor: str | None, detection: str
) -> None:
    source = source_of(users, ("id",), detect=detect, cursor=cursor)
    assert source.watermark().detection == detection


# --- rights --------------------------------------------------------------------------------------------------------


@pytest.fixture
def reader(users: LiveDatabase) -> Iterator[LiveDatabase]:
    """The same database as a role that may read two columns."""
    role = f"{sa.make_url(users.url).database}_reader"
    users.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'", f"GRANT SELECT (id, name) ON users TO {role}")
    url = sa.make_url(users.url).set(username=role, password="x")
    engine = sa.create_engine(url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    yield LiveDatabase("postgresql", users.label, url.render_as_string(hide_password=False), engine)
    users.execute(f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_a_right_that_is_missing_is_named_and_auto_says_it_too(reader: LiveDatabase) -> None:
    with pytest.raises(ConfigError, match="may not read xmin") as caught:
        model_of(reader, detect="xmin")
    assert caught.value.hint == 'GRANT SELECT (xmin, ctid) ON "public"."users" TO this user'
    source = source_of(reader, ("id",), detect="auto")
    assert source.watermark().detection == "full"
    ((code, message),) = source.notes()
    assert code == "no_xmin"
    assert "GRANT SELECT (xmin, ctid)" in message


@pytest.mark.parametrize("granted", ["xmin", "xmin, ctid"])
def test_with_the_right_granted_changes_are_found_with_or_without_blocks(
    users: LiveDatabase, reader: LiveDatabase, granted: str
) -> None:
    """Without ``ctid`` the pages go along the key, as on servers before 14."""
    users.execute(f"GRANT SELECT ({granted}) ON users TO {sa.make_url(reader.url).username}")
    source = by_version(reader, page_size=100)
    assert sorted(keys(source)) == sorted(str(n) for n in range(1, 1001))
    before = horizon(source)
    users.execute("UPDATE users SET name = 'x' WHERE id IN (5, 500)")
    assert changed(source, before) == ["5", "500"]
    assert source.notes() == ()


def test_where_rights_hide_which_server_this_is_row_versions_are_not_used(
    users: LiveDatabase, reader: LiveDatabase
) -> None:
    role = sa.make_url(reader.url).username
    users.execute(f"GRANT SELECT ON users TO {role}", "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
    try:
        found = asked(reader)
    finally:
        users.execute("GRANT EXECUTE ON FUNCTION pg_control_system() TO PUBLIC")
    assert isinstance(found, Refusal)
    assert found.cure is not None
    assert "GRANT EXECUTE ON FUNCTION pg_control_system()" in found.cure


def test_row_level_security_rules_row_versions_out(users: LiveDatabase, reader: LiveDatabase) -> None:
    """A policy may let a row appear that nobody wrote."""
    role = sa.make_url(reader.url).username
    users.execute(f"GRANT SELECT ON users TO {role}", "ALTER TABLE users ENABLE ROW LEVEL SECURITY")
    found = asked(reader)
    assert isinstance(found, Refusal)
    assert "row-level security" in found.reason
    assert isinstance(asked(users), RowVersions), "nobody hides rows from the owner"


# --- what is selected ----------------------------------------------------------------------------------------------


def test_a_quiet_table_has_nothing_to_read_and_a_changed_row_is_found(users: LiveDatabase) -> None:
    source = by_version(users)
    before = horizon(source)
    assert changed(source, before) == []
    users.execute("UPDATE users SET name = 'x' WHERE id = 7", "INSERT INTO users VALUES (-1, 'new')")
    assert changed(source, before) == ["-1", "7"]
    assert changed(source, horizon(source)) == []


def test_pages_by_block_hold_every_row_once_and_none_is_over_its_size(users: LiveDatabase) -> None:
    source = by_version(users, page_size=77)
    pages = list(source.pages(FULL))
    read = [key for page in pages for key in page.keys]
    assert sorted(read) == sorted(str(n) for n in range(1, 1001))
    assert max(len(page.keys) for page in pages) == 77
    assert [row for page in pages for row in page.rows] == [(int(key),) for key in read]


def test_few_changes_in_many_ranges_come_in_few_pages_and_every_range_lets_the_reader_stop(
    users: LiveDatabase,
) -> None:
    users.execute("INSERT INTO users SELECT n, repeat('x', 1000) FROM generate_series(1001, 8000) AS s(n)")
    source = by_version(users)
    before = horizon(source)
    users.execute("UPDATE users SET name = 'y' WHERE id % 100 = 0")
    sizes = [len(page.keys) for page in source.pages(ScanSinceXid(before.xmin, "test"))]
    assert [size for size in sizes if size] == [80]
    assert len(sizes) > 2


def test_an_empty_table_is_read(postgres_database: LiveDatabase) -> None:
    postgres_database.execute(USERS)
    source = by_version(postgres_database)
    assert keys(source) == []
    assert changed(source, horizon(source)) == []


def test_a_where_and_a_narrower_one_hold_in_every_range(users: LiveDatabase) -> None:
    source = by_version(users, where="id <= 10", extra_where="id % 2 = 0")
    assert sorted(keys(source), key=int) == ["2", "4", "6", "8", "10"]
    before = horizon(source)
    users.execute("UPDATE users SET name = 'x' WHERE id BETWEEN 9 AND 12")
    assert changed(source, before) == ["10"]


def test_a_table_that_grows_while_it_is_read_is_read_to_its_end(users: LiveDatabase) -> None:
    users.execute("INSERT INTO users SELECT n, 'n' FROM generate_series(1001, 20000) AS s(n)", "ANALYZE users")
    pages = by_version(users).pages(FULL)
    read = list(next(pages).keys)
    users.execute("INSERT INTO users SELECT n, 'n' FROM generate_series(20001, 50000) AS s(n)")
    read += [key for page in pages for key in page.keys]
    assert sorted(read, key=int) == [str(n) for n in range(1, 50001)]


def test_a_row_that_moves_to_where_the_reader_has_been_is_found_by_the_next_horizon(users: LiveDatabase) -> None:
    users.execute("ANALYZE users", "DELETE FROM users WHERE ctid < '(1,0)'", "VACUUM users")
    users.engine.dispose()  # a session would go on where it inserted last
    source = by_version(users)
    before = horizon(source)
    versions = model_of(users, detect="xmin").versions
    assert versions is not None
    behind = sa.select(sa.func.count()).select_from(sa.table("users"))
    with users.engine.connect() as connection:
        assert connection.execute(behind.where(within_blocks(0, 1))).scalar_one() == 0
        users.execute("UPDATE users SET name = 'moved' WHERE id = 500")
        assert connection.execute(behind.where(within_blocks(0, 1))).scalar_one() == 1, "it moved to the first block"
    assert changed(source, before) == ["500"]


def test_ranges_of_blocks_are_read_by_their_address(users: LiveDatabase) -> None:
    versions = model_of(users, detect="xmin").versions
    assert versions is not None
    assert versions.by_block
    conditions = (within_blocks(1, 2), versions.changed_since(700))
    statement = sa.select(sa.column("id")).select_from(sa.table("users")).where(*conditions)
    compiled = statement.compile(users.engine, compile_kwargs={"literal_binds": True})
    with users.engine.connect() as connection:
        shown = "\n".join(connection.exec_driver_sql(f"EXPLAIN {compiled}").scalars())
    assert "Tid Range Scan on users" in shown


def test_a_key_that_nothing_makes_unique_is_read_in_its_order_so_that_equal_ones_are_found(
    postgres_database: LiveDatabase,
) -> None:
    postgres_database.execute("CREATE TABLE users (id int, name text)", "INSERT INTO users VALUES (1), (2), (1)")
    with pytest.raises(ConfigError, match="not unique"):
        keys(by_version(postgres_database, primary_key=("id",)))


def test_a_change_column_that_is_configured_as_well_serves_a_backfill(users: LiveDatabase) -> None:
    source = by_version(users, cursor="id")
    assert keys(source, since("999", nulls=False)) == ["999", "1000"]


def test_how_much_changed_is_not_guessed(users: LiveDatabase) -> None:
    source = by_version(users)
    assert source.estimate(ScanSinceXid(1, "test")) is None
    assert source.estimate(FULL) is not None


# --- partitions ----------------------------------------------------------------------------------------------------


def test_a_partitioned_table_is_read_through_its_parent(postgres_database: LiveDatabase) -> None:
    """The largest leaf sets the ranges; a leaf below a leaf counts, and no right on a leaf is needed."""
    postgres_database.execute(
        PARTS,
        "CREATE TABLE low PARTITION OF users FOR VALUES FROM (0) TO (1000)",
        "CREATE TABLE high PARTITION OF users FOR VALUES FROM (1000) TO (100000) PARTITION BY RANGE (id)",
        "CREATE TABLE higher PARTITION OF high FOR VALUES FROM (1000) TO (100000)",
        "INSERT INTO users SELECT generate_series(1, 5000)",
        "ANALYZE users",
    )
    source = by_version(postgres_database, page_size=400)
    read = keys(source)
    assert sorted(read, key=int) == [str(n) for n in range(1, 5001)]
    before = horizon(source)
    postgres_database.execute("UPDATE users SET id = 6001 WHERE id = 1", "UPDATE users SET id = id WHERE id = 4000")
    assert changed(source, before) == ["4000", "6001"]
    assert rows(source, ScanSinceXid(before.xmin, "test"))


# --- the identity of a horizon -------------------------------------------------------------------------------------

SCHEMA_CHANGES = {
    "a column": "ALTER TABLE users ADD COLUMN more int",
    "a fast default": "ALTER TABLE users ADD COLUMN more int DEFAULT 5",
    "a type": "ALTER TABLE users ALTER COLUMN name TYPE varchar(500)",
    "a name": "ALTER TABLE users RENAME COLUMN name TO called",
    "a label": "ALTER TYPE plan RENAME VALUE 'pro' TO 'paid'",
}


@pytest.mark.parametrize("change", SCHEMA_CHANGES)
def test_what_changes_rows_without_writing_them_changes_the_schema(
    postgres_database: LiveDatabase, change: str
) -> None:
    postgres_database.execute(
        "CREATE TYPE plan AS ENUM ('free', 'pro')", "CREATE TABLE users (id bigint PRIMARY KEY, name text, plan plan)"
    )
    with opened(postgres_database) as reader:
        versions = reader.model(ModelSpec("users")).versions
        assert versions is not None
        before = versions.horizon()
        postgres_database.execute("INSERT INTO users VALUES (1, 'a', 'pro')", "ANALYZE users")
        assert versions.horizon().schema == before.schema
        postgres_database.execute(SCHEMA_CHANGES[change])
        after = versions.horizon()
    assert after.schema != before.schema
    assert (after.relation, after.system, after.timeline) == (before.relation, before.system, before.timeline)


def test_attaching_and_detaching_a_partition_changes_the_schema(postgres_database: LiveDatabase) -> None:
    postgres_database.execute(PARTS, "CREATE TABLE old (id bigint PRIMARY KEY)")
    seen = [horizon(by_version(postgres_database)).schema]
    for change in ("ATTACH PARTITION old FOR VALUES FROM (0) TO (10)", "DETACH PARTITION old"):
        postgres_database.execute(f"ALTER TABLE users {change}")
        seen.append(horizon(by_version(postgres_database)).schema)
    assert seen[0] == seen[2] != seen[1]


def test_another_table_of_the_same_name_is_another_relation(users: LiveDatabase) -> None:
    before = horizon(by_version(users))
    users.execute("DROP TABLE users", USERS)
    after = horizon(by_version(users))
    assert before.relation != after.relation


def test_the_horizon_is_the_oldest_transaction_that_is_running(users: LiveDatabase) -> None:
    source = by_version(users)
    with users.engine.connect().execution_options(isolation_level="READ COMMITTED") as connection:
        with connection.begin():
            running = int(connection.exec_driver_sql("SELECT txid_current()").scalar_one())
            burn(users, 3)
            held = horizon(source)
            assert held.xmin <= running
            assert held.xmax >= running + 4
            assert "a transaction open for" in str(source.oldest_transaction())
        assert horizon(source).xmin > running
