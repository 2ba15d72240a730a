"""What an error of a driver means, and what may be said of it."""

from __future__ import annotations

import sqlite3

import psycopg2
import pymysql
import pytest

from sync_profiles.errors import AccessError, ConfigError, TemporaryError
from sync_profiles.source.dialect import Dialect
from sync_profiles.source.failures import Trouble, failure, retriable, sayable
from sync_profiles.source.mysql import MySQL
from sync_profiles.source.postgres import PostgreSQL
from sync_profiles.source.sqlite import SQLite


class Coded(psycopg2.OperationalError):
    """psycopg2 sets ``pgcode`` itself and lets nobody else do it."""

    pgcode = ""


def postgres_error(code: str) -> Exception:
    return type("Coded", (Coded,), {"pgcode": code})("said")


def sqlite_error(code: int) -> Exception:
    error = sqlite3.OperationalError("said")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("code", "trouble"),
    [
        ("57014", Trouble.SLOW),
        ("57P01", Trouble.AWAY),
        ("57P03", Trouble.AWAY),
        ("08006", Trouble.AWAY),
        ("40001", Trouble.AWAY),
        ("40P01", Trouble.AWAY),
        ("53300", Trouble.AWAY),
        ("25P03", Trouble.AWAY),
        ("25006", Trouble.WRONG),
        ("28P01", Trouble.REFUSED),
        ("42501", Trouble.REFUSED),
        ("42703", Trouble.WRONG),
        ("42P01", Trouble.WRONG),
        ("3D000", Trouble.WRONG),
        ("22P02", Trouble.VALUE),
        ("0A000", Trouble.WRONG),
    ],
)
def test_postgresql_is_understood_by_its_codes(code: str, trouble: Trouble) -> None:
    assert PostgreSQL().trouble(postgres_error(code)) is trouble


@pytest.mark.parametrize(
    ("text", "trouble"),
    [
        ('FATAL:  password authentication failed for user "ada"', Trouble.REFUSED),
        ("fe_sendauth: no password supplied", Trouble.REFUSED),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1"', Trouble.REFUSED),
        ('FATAL:  role "ada" does not exist', Trouble.REFUSED),
        ('FATAL:  database "app" does not exist', Trouble.WRONG),
        ("Connection refused", Trouble.AWAY),
        ("server closed the connection unexpectedly", Trouble.AWAY),
        ("FATAL:  the database system is starting up", Trouble.AWAY),
        ('could not translate host name "db" to address', Trouble.AWAY),
    ],
)
def test_a_refused_connection_has_only_words(text: str, trouble: Trouble) -> None:
    assert PostgreSQL().trouble(psycopg2.OperationalError(text)) is trouble


def test_a_broken_connection_may_come_as_any_error_without_a_code() -> None:
    assert PostgreSQL().trouble(psycopg2.DatabaseError("SSL SYSCALL error: EOF detected")) is Trouble.AWAY
    assert PostgreSQL().trouble(psycopg2.ProgrammingError('invalid connection option "x"')) is Trouble.WRONG


@pytest.mark.parametrize(
    ("number", "trouble"),
    [
        (2003, Trouble.AWAY),
        (2006, Trouble.AWAY),
        (2013, Trouble.AWAY),
        (1040, Trouble.AWAY),
        (1205, Trouble.AWAY),
        (1213, Trouble.AWAY),
        (0, Trouble.AWAY),
        (1969, Trouble.SLOW),
        (3024, Trouble.SLOW),
        (1045, Trouble.REFUSED),
        (1142, Trouble.REFUSED),
        (1049, Trouble.WRONG),
        (1054, Trouble.WRONG),
        (1064, Trouble.WRONG),
        (1792, Trouble.WRONG),
        (1292, Trouble.VALUE),
    ],
)
def test_mysql_is_understood_by_its_numbers(number: int, trouble: Trouble) -> None:
    assert MySQL().trouble(pymysql.OperationalError(number, "said")) is trouble


@pytest.mark.parametrize(
    ("code", "trouble"),
    [
        (sqlite3.SQLITE_BUSY, Trouble.AWAY),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, Trouble.AWAY),
        (sqlite3.SQLITE_IOERR_READ, Trouble.AWAY),
        (sqlite3.SQLITE_INTERRUPT, Trouble.SLOW),
        (sqlite3.SQLITE_PERM, Trouble.REFUSED),
        (sqlite3.SQLITE_CANTOPEN, Trouble.WRONG),
        (sqlite3.SQLITE_NOTADB, Trouble.WRONG),
        (sqlite3.SQLITE_READONLY, Trouble.WRONG),
        (sqlite3.SQLITE_READONLY_RECOVERY, Trouble.AWAY),
        (sqlite3.SQLITE_READONLY_CANTLOCK, Trouble.AWAY),
        (sqlite3.SQLITE_READONLY_ROLLBACK, Trouble.AWAY),
    ],
)
def test_sqlite_is_understood_by_its_codes(code: int, trouble: Trouble) -> None:
    assert SQLite().trouble(sqlite_error(code)) is trouble


@pytest.mark.parametrize("dialect", [PostgreSQL(), MySQL(), SQLite()])
def test_what_nobody_knows_is_not_tried_again(dialect: Dialect) -> None:
    assert not retriable(dialect.trouble(Exception("who knows")))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            'connection to server at "db.example" (10.0.0.9), port 5432 failed: FATAL:  the database is starting up',
            "the database is starting up",
        ),
        (
            'connection to server at "db.example", port 5432 failed: Connection refused\n\tIs the server running?',
            "Connection refused",
        ),
        ('connection to server on socket "/run/x" failed: No such file or directory', "No such file or directory"),
        ('column "emial" does not exist\nLINE 1: SELECT emial\n', 'column "emial" does not exist'),
        ("", "no reason"),
    ],
)
def test_only_the_first_line_is_said_and_no_address(text: str, said: str) -> None:
    assert sayable(text) == said


def test_what_may_be_a_value_of_a_row_is_not_said() -> None:
    said = sayable("invalid input syntax for type integer: \"ada@example.com\" or 'x'", values=True)
    assert said == "invalid input syntax for type integer: … or …"


def test_a_message_has_an_end() -> None:
    assert len(sayable("x" * 10_000)) == 300


@pytest.mark.parametrize(
    ("trouble", "error"),
    [
        (Trouble.AWAY, TemporaryError),
        (Trouble.SLOW, TemporaryError),
        (Trouble.REFUSED, AccessError),
        (Trouble.WRONG, ConfigError),
        (Trouble.VALUE, ConfigError),
    ],
)
def test_every_trouble_has_its_error_and_a_cure(trouble: Trouble, error: type[Exception]) -> None:
    raised = failure(trouble, "said", "postgresql app")
    assert type(raised) is error
    assert str(raised) == "postgresql app: said"
    assert raised.hint


def test_a_setting_that_is_to_blame_is_named_instead_of_the_database() -> None:
    assert str(failure(Trouble.WRONG, "said", "postgresql app", place="where")) == "where: said"
