"""Every SQL statement of docs/databases.md is run on real servers, and the user it makes can do what the page says."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa
from line import Line
from servers import LiveDatabase
from sources import no_wait

from sync_profiles.core.facts import TableFacts
from sync_profiles.core.types import MappingSpec, Property, ScanFull
from sync_profiles.errors import AccessError
from sync_profiles.sandbox.server import Sandbox
from sync_profiles.source.facts import SourceFacts
from sync_profiles.source.sql import Model, ModelSpec, open_database, open_source

PAGE = (Path(__file__).parents[2] / "docs" / "databases.md").read_text("utf-8")
POSTGRES, MYSQL = (PAGE.partition(f"\n## {start}")[2].partition("\n## ")[0] for start in ("PostgreSQL", "MySQL"))
BY_TABLE, BY_COLUMN, FUNCTIONS, BYPASS, POLICY = re.findall(r"```sql\n(.+?)```", POSTGRES, re.DOTALL)
MYSQL_BY_TABLE, MYSQL_BY_COLUMN = re.findall(r"```sql\n(.+?)```", MYSQL, re.DOTALL)
(VIEW,) = re.findall(r"```sql\n(.+?)```", PAGE.partition("\n## Several")[2], re.DOTALL)

TABLE = (
    "CREATE TABLE users (id int PRIMARY KEY, email varchar(80), plan varchar(9), api_token varchar(9), updated_at {})"
)
STAMPED = "timestamp(6) NOT NULL DEFAULT current_timestamp(6) ON UPDATE current_timestamp(6)"
ROWS = [(number, f"u{number}@example.com", "pro", "secret") for number in range(1, 51)]


@dataclasses.dataclass
class Reader:
    """A database with fifty users, and the user that the page makes in it."""

    database: LiveDatabase
    name: str

    @property
    def url(self) -> str:
        """Of this user."""
        url = sa.make_url(self.database.url).set(username=self.name, password="choose-one")
        return url.render_as_string(hide_password=False)

    def admin(self, *blocks: str) -> None:
        """Run blocks of the page as they stand, under names of this test's own."""
        app = str(sa.make_url(self.database.url).database)
        for block in blocks:
            text = re.sub(r"\bapp\b", app, re.sub(r"\bsync_profiles\b", self.name, block))
            self.database.execute(*(part.strip() for part in text.split(";") if part.strip()))

    def table(self, table: str = "users", **spec: object) -> TableFacts:
        return SourceFacts(self._model(table, **spec), self._mapping()).table()

    def keys(self, table: str = "users", **spec: object) -> Sequence[str]:
        """Every key that this user finds, read as a run reads it; two connections must do."""
        source = open_source(self._model(table, **spec), ("id", "email", "plan"), distinct_id=None)
        return sorted((key for page in source.pages(ScanFull("test")) for key in page.keys), key=int)

    def _model(self, table: str, **spec: object) -> Model:
        opened = open_database(self.url, statement_timeout_s=60, sleep=no_wait)
        return opened.model(ModelSpec(**{"table": table, "cursor": "updated_at", **spec}))

    def _mapping(self) -> MappingSpec:
        return MappingSpec(set={name: Property(column=name) for name in ("email", "plan")})


@pytest.fixture
def on_postgres(postgres_database: LiveDatabase) -> Iterator[Reader]:
    postgres_database.execute(TABLE.format("timestamptz"))
    postgres_database.insert("INSERT INTO users VALUES (?, ?, ?, ?, now())", ROWS)
    reader = Reader(postgres_database, f"reader_{time.monotonic_ns()}")
    yield reader
    postgres_database.execute(f"DROP OWNED BY {reader.name}", f"DROP ROLE {reader.name}")


@pytest.fixture
def on_mariadb(mariadb_database: LiveDatabase) -> Iterator[Reader]:
    mariadb_database.execute(TABLE.format(STAMPED))
    mariadb_database.insert("INSERT INTO users VALUES (?, ?, ?, ?, now())", ROWS)
    reader = Reader(mariadb_database, f"r{time.monotonic_ns()}")
    yield reader
    mariadb_database.execute(f"DROP USER '{reader.name}'@'%'")


ALL = [str(row[0]) for row in ROWS]


@pytest.mark.parametrize(
    "blocks", [(BY_TABLE,), (BY_COLUMN,), (BY_COLUMN, FUNCTIONS)], ids=["table", "columns", "more"]
)
def test_the_granted_user_finds_changes_by_xmin_and_may_do_nothing_else(
    on_postgres: Reader, blocks: Sequence[str]
) -> None:
    on_postgres.admin(*blocks, "ALTER ROLE sync_profiles CONNECTION LIMIT 2")
    facts = on_postgres.table()
    assert (facts.rows, facts.detection, facts.read_only, facts.may_write) == (50, "xmin", True, ())
    assert (facts.notes, facts.row_security) == ((), False)
    assert on_postgres.keys() == ALL


def test_a_whole_run_needs_two_connections_and_no_further_right(on_postgres: Reader, tmp_path: Path) -> None:
    on_postgres.database.execute("DROP TABLE users")
    with Sandbox() as sandbox:
        line = Line(on_postgres.database, sandbox, tmp_path)
        line.table(3000)
        on_postgres.admin(BY_TABLE, "ALTER ROLE sync_profiles CONNECTION LIMIT 2")
        line.database = dataclasses.replace(on_postgres.database, url=on_postgres.url)
        line.settings["page_size"] = "100"
        assert line.run().sent == 3000
        line.change("DELETE FROM users WHERE id = 7", "UPDATE users SET plan = 'x' WHERE id = 8")
        summary = line.run()
        assert (summary.outcome, summary.sent, summary.deleted) == ("ok", 1, 1)


def test_columns_that_were_not_granted_stay_out_of_reach(on_postgres: Reader) -> None:
    on_postgres.admin(BY_COLUMN)
    assert on_postgres.table().secrets == ()
    with pytest.raises(AccessError):
        on_postgres.table(where="api_token IS NULL")


def test_without_xmin_the_change_column_serves_and_the_cure_is_named(on_postgres: Reader) -> None:
    on_postgres.admin(BY_COLUMN, "REVOKE SELECT (xmin, ctid) ON public.users FROM sync_profiles")
    facts = on_postgres.table()
    assert facts.detection == "cursor"
    assert "GRANT SELECT (xmin, ctid)" in facts.notes[0][1]
    assert on_postgres.keys() == ALL


def test_rights_on_a_partitioned_table_are_enough_for_its_partitions(on_postgres: Reader) -> None:
    on_postgres.database.execute(
        "ALTER TABLE users RENAME TO former",
        "CREATE TABLE users (LIKE former) PARTITION BY RANGE (id)",
        "ALTER TABLE users ADD PRIMARY KEY (id)",
        "CREATE TABLE users_1 PARTITION OF users FOR VALUES FROM (0) TO (30)",
        "CREATE TABLE users_2 PARTITION OF users FOR VALUES FROM (30) TO (1000)",
        "INSERT INTO users SELECT * FROM former",
    )
    on_postgres.admin(BY_COLUMN)
    assert on_postgres.table().detection == "xmin"
    assert on_postgres.keys() == ALL


def test_a_policy_that_hides_rows_is_warned_of_and_both_cures_show_all_rows(on_postgres: Reader) -> None:
    on_postgres.admin(BY_TABLE)
    on_postgres.database.execute(
        "ALTER TABLE users ENABLE ROW LEVEL SECURITY", "CREATE POLICY half ON users USING (id <= 25)"
    )
    facts = on_postgres.table()
    assert (facts.rows, facts.row_security, facts.detection) == (25, True, "cursor")
    on_postgres.admin(POLICY)
    facts = on_postgres.table()
    assert (facts.rows, facts.row_security, facts.detection) == (50, True, "cursor")
    assert on_postgres.keys() == ALL
    on_postgres.admin("DROP POLICY sync_profiles_reads_all ON public.users", BYPASS)
    facts = on_postgres.table()
    assert (facts.rows, facts.row_security, facts.detection) == (50, False, "xmin")
    assert on_postgres.keys() == ALL


def test_a_view_narrows_what_can_be_read(on_postgres: Reader) -> None:
    grants = "\n".join(line for line in BY_TABLE.splitlines() if "public.users" not in line)
    on_postgres.admin(grants, VIEW)
    facts = on_postgres.table("users_for_mixpanel", primary_key=("id",))
    assert (facts.rows, facts.detection, facts.may_write) == (50, "cursor", ())
    assert on_postgres.keys("users_for_mixpanel", primary_key=("id",)) == ALL


@pytest.mark.parametrize("block", [MYSQL_BY_TABLE, MYSQL_BY_COLUMN], ids=["table", "columns"])
def test_the_granted_user_of_mariadb_reads_and_may_do_nothing_else(on_mariadb: Reader, block: str) -> None:
    on_mariadb.admin(block)
    facts = on_mariadb.table()
    assert (facts.rows, facts.detection, facts.read_only, facts.may_write) == (50, "cursor", True, ())
    assert facts.cursor is not None
    assert facts.cursor.stamped_by == "column"
    assert on_mariadb.keys() == ALL


def test_on_mariadb_a_default_role_serves_as_well(on_mariadb: Reader) -> None:
    on_mariadb.admin("CREATE USER 'sync_profiles'@'%' IDENTIFIED BY 'choose-one'", "CREATE ROLE sync_profiles_role")
    try:
        on_mariadb.admin(
            "GRANT SELECT ON app.users TO sync_profiles_role",
            "GRANT sync_profiles_role TO 'sync_profiles'@'%'",
            "SET DEFAULT ROLE sync_profiles_role FOR 'sync_profiles'@'%'",
        )
        assert on_mariadb.table().rows == 50
        assert on_mariadb.keys() == ALL
    finally:
        on_mariadb.admin("DROP ROLE sync_profiles_role")
