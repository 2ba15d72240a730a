"""Which table holds the users."""

from __future__ import annotations

import pytest

from sync_profiles.core import likely
from sync_profiles.core.survey import Table
from sync_profiles.core.types import Column, Kind


def table(name: str, *columns: str, key: str | None = "id", **changes: object) -> Table:
    named = tuple(Column(one, Kind.TEXT, "text") for one in ("id", *columns))
    return Table(name=name, columns=named, primary_key=() if key is None else (key,), **changes)


USERS = table("users", "email", "password", "name")
RAILS = [
    USERS,
    table("schema_migrations"),
    table("orders", "user_id", "total"),
    table("sessions", "user_id", "payload"),
]


@pytest.mark.parametrize(
    ("tables", "found"),
    [
        (RAILS, "users"),
        ([*RAILS, table("admins", "email", "password")], "users"),
        ([*RAILS, table("user_profiles", "user_id", "bio")], "users"),
        ([*RAILS, table("users_archive", "email", "password")], "users"),
        (
            [table("auth_user", "email", "password", "first_name", "last_name"), table("auth_group", "name")],
            "auth_user",
        ),
        ([table("Customer", "FirstName", "LastName", "Email", "Phone"), table("Employee", "Email")], "Customer"),
        ([table("User", "name", "email"), table("Account", "userId", "access_token"), table("Session")], "User"),
        ([table("wp_users", "user_login", "user_pass", "user_email"), table("wp_posts", "post_title")], "wp_users"),
        ([table("tbl_kunde", "Nachname", "Vorname", "E-Mail"), table("tbl_auftrag", "Betrag")], "tbl_kunde"),
        ([table("customer_entity", "email", "firstname", "lastname", "rp_token"), table("logs")], "customer_entity"),
        (
            [table("tbl_users", "email", "name", "password"), table("admin_user", "email", "password", "logdate")],
            "tbl_users",
        ),
        (
            [table("AspNetUsers", "Email", "PasswordHash"), table("AspNetUserRoles"), table("AspNetRoles")],
            "AspNetUsers",
        ),
        ([table("people", "full_name", "email"), table("companies", "name")], "people"),
        ([table("registrations", "email", "first_name", "last_name"), table("logs", "line")], "registrations"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_obvious_table_is_taken(tables: list[Table], found: str) -> None:
    chosen = likely.obvious(tables)
    assert chosen is not None
    assert chosen.name == found


@pytest.mark.parametrize(
    "tables",
    [
        [],
        [table("logs", "line"), table("orders", "total")],
        [table("customers", "email", "name"), table("members", "email", "name")],
        [table("users", "email", "name"), table("accounts", "email", "name", "password")],
    ],
)
def test_where_two_could_be_it_or_none_is_nobody_is_taken(tables: list[Table]) -> None:
    assert likely.obvious(tables) is None


def test_the_likeliest_come_first() -> None:
    tables = [table("logs", "line"), table("members", "email"), table("customers", "email", "name", "password")]
    assert [one.name for one in likely.likely(tables)] == ["customers", "members"]


def test_a_table_without_a_key_is_less_likely() -> None:
    assert likely.score(table("users", "email", key=None)) < likely.score(table("users", "email"))


@pytest.mark.parametrize(
    ("one", "found"),
    [
        (table("wp_usermeta", "user_id", "meta_key", "meta_value"), ("user_id", "meta_key", "meta_value")),
        (table("user_attributes", "UserId", "Attribute", "Value"), ("UserId", "Attribute", "Value")),
        (
            table("contact_fields", "contact_uuid", "field_name", "field_value"),
            ("contact_uuid", "field_name", "field_value"),
        ),
        (table("users", "user_id", "name", "value", unique=(("user_id",),)), None),
        (table("settings", "key", "value"), None),
        (table("wide", "user_id", "key", "value", *"abcdef"), None),
        (USERS, None),
    ],
    ids=lambda value: value.name if isinstance(value, Table) else "",
)
def test_a_table_with_one_attribute_a_row_is_seen(one: Table, found: tuple[str, str, str] | None) -> None:
    assert likely.attributes(one) == found
