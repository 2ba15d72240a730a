"""SQL that users write becomes a part of ours."""

from __future__ import annotations

import contextlib

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import mysql, postgresql, sqlite

from sync_profiles.errors import ConfigError
from sync_profiles.source.statements import derived, nearest, one_statement, predicate


@pytest.mark.parametrize(
    ("sql", "kept"),
    [
        ("SELECT 1", "SELECT 1"),
        ("SELECT 1;", "SELECT 1"),
        ("SELECT 1 ; ;\n; ", "SELECT 1"),
        ("SELECT 1; -- the end; really", "SELECT 1"),
        ("SELECT 1 -- no semicolon", "SELECT 1"),
        ("/* a; */ SELECT 1 /* b; */ ; /* c */", "/* a; */ SELECT 1"),
        ("SELECT ';' AS \";\" ;", "SELECT ';' AS \";\""),
        ("SELECT 'it''s; fine';", "SELECT 'it''s; fine'"),
        ("SELECT '--';", "SELECT '--'"),
        ("SELECT $a$ ; $$ ; $a$ ;", "SELECT $a$ ; $$ ; $a$"),
        ("SELECT '\\';", "SELECT '\\'"),
        ("SELECT `a;b`;", "SELECT `a;b`"),
        ("a # b;", "a # b"),
    ],
)
def test_the_end_of_a_statement_is_found(sql: str, kept: str) -> None:
    assert one_statement(sql, "query") == kept


@pytest.mark.parametrize(
    ("sql", "kept"), [("SELECT 'it\\'s; fine';", "SELECT 'it\\'s; fine'"), ("SELECT 1 # one; two", "SELECT 1")]
)
def test_mysql_has_its_own_strings_and_comments(sql: str, kept: str) -> None:
    assert one_statement(sql, "query", mysql=True) == kept


@pytest.mark.parametrize("sql", ["SELECT 1; DROP TABLE users", "SELECT 1;; x", "; SELECT 1"])
def test_a_second_statement_is_refused(sql: str) -> None:
    with pytest.raises(ConfigError, match="query: holds more than one statement"):
        one_statement(sql, "query")


@pytest.mark.parametrize("sql", ["", "  \n", "-- nothing", "/* nothing */", ";"])
def test_nothing_is_refused(sql: str) -> None:
    with pytest.raises(ConfigError, match="where: is empty"):
        one_statement(sql, "where")


@given(st.text(alphabet="a1 :%\\'\"$;-/*\n", max_size=30))
def test_what_is_kept_is_always_the_beginning_of_what_was_written(sql: str) -> None:
    for mysql_syntax in (False, True):
        with contextlib.suppress(ConfigError):
            assert sql.startswith(one_statement(sql, "query", mysql=mysql_syntax))


@pytest.mark.parametrize("dialect", [postgresql.psycopg2.dialect(), mysql.pymysql.dialect(), sqlite.dialect()])
@pytest.mark.parametrize("sql", ["a = ':x' AND b::int = 1", "'\\:1' || ':a:b' LIKE '%s'", "x->>'$.a' = '::'"])
def test_colons_and_percent_signs_reach_the_database_as_written(dialect: sa.Dialect, sql: str) -> None:
    statement = sa.select(sa.text("1")).select_from(derived(f"SELECT {sql}")).where(predicate(sql))
    compiled = statement.compile(dialect=dialect)
    assert not compiled.params
    doubled = sql.replace("%", "%%") if dialect.paramstyle in {"format", "pyformat"} else sql
    assert str(compiled).count(doubled) == 2


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("user", '; did you mean "Users"?'),
        ("USERS", '; did you mean "Users"?'),
        ("zzz", " (there is: Users, orders)"),
    ],
)
def test_an_unknown_name_is_answered_with_a_known_one(name: str, said: str) -> None:
    assert nearest(name, ["Users", "orders"]) == said


def test_many_names_are_not_all_listed_and_none_is_nothing_to_say() -> None:
    assert nearest("zzz", [f"t{number}" for number in range(100)]).endswith("t19, …)")
    assert nearest("zzz", []) == ""
