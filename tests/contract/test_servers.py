"""The servers that the other tests stand on."""

from __future__ import annotations

from servers import LiveDatabase, Server


def test_a_fresh_database_is_empty_and_writable(database: LiveDatabase) -> None:
    database.execute("CREATE TABLE t (a varchar(20) PRIMARY KEY)", "INSERT INTO t VALUES ('100%:x')")
    database.insert("INSERT INTO t VALUES (?)", [("b",), ("c",)])
    assert database.scalar("SELECT count(*) FROM t") == 3


def test_two_databases_of_one_server_do_not_meet(postgres: Server) -> None:
    with postgres.fresh_database() as one, postgres.fresh_database() as other:
        one.execute("CREATE TABLE t (a int)")
        assert other.scalar("SELECT to_regclass('t')") is None
