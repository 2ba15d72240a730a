"""The users table: 14 columns of the types that application databases have, any number of rows, always the same ones.

Every value is a function of the row's number, through md5. PostgreSQL makes the rows itself; for the others they are
made here, by the same arithmetic.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from servers import LiveDatabase

FIRST_NAMES = [
    "Ada",
    "Grace",
    "Linus",
    "Edsger",
    "Barbara",
    "Donald",
    "Alan",
    "Margaret",
    "Niklaus",
    "Zoë",
    "José",
    "Søren",
]
LAST_NAMES = ["Lovelace", "Hopper", "Torvalds", "Dijkstra", "Liskov", "Knuth", "Turing", "Hamilton", "Wirth", "Nuñez"]
PLANS = ["free", "free", "free", "starter", "pro", "enterprise"]
COUNTRIES = ["US", "DE", "GB", "FR", "IN", "BR", "JP", "KZ", "CA", "AU"]
TAGS = ("beta,newsletter", "vip,beta", "trial,web", "ios,vip")
CREATED = datetime(2019, 1, 1)  # noqa: DTZ001 - a column of UTC without zone
UPDATED = datetime(2023, 1, 1)  # noqa: DTZ001 - the same
LOGGED_IN = datetime(2025, 6, 1)  # noqa: DTZ001 - the same
CREATED_SPREAD_S, UPDATED_SPREAD_S, LOGGED_IN_SPREAD_S = 189_000_000, 31_000_000, 15_000_000
"""The middle one is below a year: a row that is touched by a year is newer than every other."""
ROWS_PER_INSERT = 2000

TYPES = {
    "postgresql": ("uuid", "timestamptz", "boolean", "text[]", "jsonb"),
    "mariadb": ("char(36)", "datetime(6)", "boolean", "json", "json"),
    "sqlite": ("text", "datetime", "boolean", "json", "json"),
}
YEAR_LATER = {
    "postgresql": "updated_at + interval '{sign}365 days'",
    "mariadb": "updated_at + INTERVAL {sign}365 DAY",
    "sqlite": "datetime(updated_at, '{sign}365 days')",
}


def create_users(database: LiveDatabase, rows: int) -> None:
    """Make the table ``users`` with this many rows."""
    uid, moment, boolean, tags, settings = TYPES[database.kind]
    text = "text" if database.kind != "mariadb" else "varchar(255)"
    database.execute(
        f"""CREATE TABLE users (
          id bigint NOT NULL PRIMARY KEY, uid {uid} NOT NULL, email {text} NOT NULL, first_name {text} NOT NULL,
          last_name {text} NOT NULL, plan {text} NOT NULL, created_at {moment} NOT NULL, updated_at {moment} NOT NULL,
          is_active {boolean} NOT NULL, mrr numeric(10,2) NOT NULL, country {text} NOT NULL, tags {tags} NOT NULL,
          settings {settings} NOT NULL, last_login {moment})"""
    )
    if database.kind == "postgresql":
        database.execute(_postgres_rows(rows))
    else:
        insert = f"INSERT INTO users VALUES ({', '.join('?' * 14)})"
        for page in _pages(map(user, range(1, rows + 1))):
            database.insert(insert, page)
    database.execute("CREATE INDEX users_updated_at ON users (updated_at, id)")
    database.execute(
        {"postgresql": "VACUUM ANALYZE users", "mariadb": "ANALYZE TABLE users"}.get(database.kind, "ANALYZE")
    )


def touch(database: LiveDatabase, every: int, *, undo: bool = False) -> None:
    """Change each so many-th row as an application would, change column included, or make them what they were."""
    later = YEAR_LATER[database.kind].format(sign="-" if undo else "+")
    grown = f"mrr {'-' if undo else '+'} 1000"
    database.execute(f"UPDATE users SET mrr = {grown}, updated_at = {later} WHERE id % {every} = 0")


def user(number: int) -> tuple[Any, ...]:
    """The row with this id, as MariaDB and SQLite take it."""
    digest = hashlib.md5(str(number).encode()).hexdigest()
    a, b, c = (int(digest[at : at + 7], 16) for at in (0, 8, 16))
    first_name = FIRST_NAMES[a % 12]
    settings = {"theme": "light" if c % 2 else "dark", "lang": "en", "seats": c % 50}
    return (
        number,
        "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:])),
        f"{first_name}.{digest[:10]}@example.com".lower(),
        first_name,
        LAST_NAMES[b % 10],
        PLANS[a % 6],
        str(CREATED + timedelta(seconds=a % CREATED_SPREAD_S)),
        str(UPDATED + timedelta(seconds=b % UPDATED_SPREAD_S)),
        b % 10 < 8,
        str(Decimal(a % 50_000) / 100),
        COUNTRIES[c % 10],
        json.dumps(TAGS[c % 4].split(",")),
        json.dumps(settings),
        str(LOGGED_IN + timedelta(seconds=c % LOGGED_IN_SPREAD_S)) if c % 7 else None,
    )


def _pages(rows: Iterator[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    while page := list(itertools.islice(rows, ROWS_PER_INSERT)):
        yield page


def _one_of(words: list[str] | tuple[str, ...], number: str) -> str:
    texts = ", ".join(f"'{word}'" for word in words)
    return f"(ARRAY[{texts}])[1 + {number} % {len(words)}]"


def _postgres_rows(rows: int) -> str:
    first_name = _one_of(FIRST_NAMES, "a")
    return f"""
      INSERT INTO users
      SELECT number, digest::uuid, lower({first_name} || '.' || substr(digest, 1, 10) || '@example.com'), {first_name},
        {_one_of(LAST_NAMES, "b")}, {_one_of(PLANS, "a")},
        timestamptz '{CREATED}+00' + a % {CREATED_SPREAD_S} * interval '1 second',
        timestamptz '{UPDATED}+00' + b % {UPDATED_SPREAD_S} * interval '1 second',
        b % 10 < 8, (a % 50000)::numeric / 100, {_one_of(COUNTRIES, "c")},
        string_to_array({_one_of(TAGS, "c")}, ','),
        jsonb_build_object('theme', CASE c % 2 WHEN 0 THEN 'dark' ELSE 'light' END, 'lang', 'en', 'seats', c % 50),
        CASE WHEN c % 7 > 0 THEN timestamptz '{LOGGED_IN}+00' + c % {LOGGED_IN_SPREAD_S} * interval '1 second' END
      FROM (
        SELECT number, digest, ('x' || substr(digest, 1, 7))::bit(28)::int AS a,
          ('x' || substr(digest, 9, 7))::bit(28)::int AS b, ('x' || substr(digest, 17, 7))::bit(28)::int AS c
        FROM (SELECT number, md5(number::text) AS digest FROM generate_series(1, {rows}) AS number) AS numbered
      ) AS parts"""
