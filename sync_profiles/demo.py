"""The demo's user table: made, changed a little, and described as a configuration. Safe to run against any database.

It only ever touches its own table, ``sync_profiles_demo_users``.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

TABLE = "sync_profiles_demo_users"
FIRST = (("Alice", "alice@example.com"), ("Bob", "bob@example.com"), ("Carol", "carol@example.com"))
"""The three users of every description of user profiles."""

PLANS = ("free", "starter", "pro")
COUNTRIES = ("BR", "DE", "FR", "IN", "JP", "KZ", "US")
INSERT_CHUNK = 5000

users = sa.Table(
    TABLE,
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("name", sa.String(100), nullable=False),
    sa.Column("email", sa.String(100)),
    sa.Column("plan", sa.String(20), nullable=False),
    sa.Column("country", sa.String(2)),
    sa.Column("seats", sa.Integer, nullable=False),
    sa.Column("password_digest", sa.String(60)),
    sa.Column("created_at", sa.DateTime, nullable=False),
    sa.Column("updated_at", sa.DateTime, nullable=False),
)


def config_text(base_url: str) -> str:
    """The configuration of the demo, as a user would write it; secrets come from the environment."""
    return f"""\
[source]
url = "${{DEMO_DATABASE_URL}}"

[mixpanel]
token = "${{DEMO_TOKEN}}"
base_url = "{base_url}"

[state]
url = "${{DEMO_STATE_URL}}"

[sync.users]
table = "{TABLE}"
on_delete = "delete"
copy = ["plan", "country", "seats"]

[sync.users.set]
"$name" = "name"
"$email" = "email"

[sync.users.set_once]
"$created" = "created_at"
"""


def open_engine(url: sa.URL) -> sa.Engine:
    """A connection that may write: the product's own sessions are read only. Values stay out of error messages."""
    return sa.create_engine(url, hide_parameters=True)


def make_table(engine: sa.Engine, rows: int) -> None:
    """Make the table anew with ``rows`` users, Alice, Bob and Carol first."""
    users.drop(engine, checkfirst=True)
    users.create(engine)
    with engine.begin() as connection:
        everybody = list(_people(rows))
        for start in range(0, rows, INSERT_CHUNK):
            connection.execute(users.insert(), everybody[start : start + INSERT_CHUNK])


def drop_table(engine: sa.Engine) -> None:
    """Leave nothing behind."""
    users.drop(engine, checkfirst=True)


def _people(rows: int) -> Iterator[dict[str, object]]:
    began = datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None)
    for number in range(1, rows + 1):
        name, email = FIRST[number - 1] if number <= len(FIRST) else (f"User {number}", f"user{number}@example.com")
        at = began + timedelta(minutes=number)
        yield {
            "id": number,
            "name": name,
            "email": email,
            "plan": PLANS[number % len(PLANS)],
            "country": COUNTRIES[number % len(COUNTRIES)],
            "seats": number % 40,
            "password_digest": "not sent: nobody asked for it",
            "created_at": at,
            "updated_at": at,
        }


def change_some(engine: sa.Engine) -> list[str]:
    """Change, clear and delete a few rows the way an application does; says what was done."""
    now = datetime.now(UTC).replace(tzinfo=None)
    with engine.begin() as connection:
        # A sign-in touches updated_at and nothing that Mixpanel is given.
        connection.execute(users.update().where(users.c.id > len(FIRST)).values(updated_at=now))
        connection.execute(users.update().where(users.c.id == 1).values(plan="enterprise", updated_at=now))
        connection.execute(users.update().where(users.c.id == 2).values(email=None, updated_at=now))
        connection.execute(users.delete().where(users.c.id == 3))
        highest = connection.execute(sa.select(sa.func.max(users.c.id))).scalar_one()
        connection.execute(
            users.insert(),
            {**next(_people(1)), "id": highest + 1, "name": "Dora", "email": "dora@example.com", "updated_at": now},
        )
    return [
        "Alice moved to the plan enterprise",
        "Bob's e-mail address was cleared (NULL)",
        "Carol was deleted",
        "Dora is new",
        "every other row got a new updated_at and nothing else",
    ]
