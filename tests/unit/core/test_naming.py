"""What a column's name says that it holds."""

from __future__ import annotations

import pytest

from sync_profiles.core import naming
from sync_profiles.core.types import Column, Kind


@pytest.mark.parametrize(
    ("name", "said", "folded"),
    [
        ("resetPasswordToken", ("reset", "password", "token"), "resetpasswordtoken"),
        ("API Key", ("api", "key"), "apikey"),
        ("APIKey", ("api", "key"), "apikey"),
        ("E-Mail", ("e", "mail"), "email"),
        ("geändert_am", ("geandert", "am"), "geandertam"),
        ("Straße 2", ("strasse", "2"), "strasse2"),
        ("Имя", (), "имя"),
        ("", (), ""),
    ],
)
def test_names_are_taken_apart_however_they_are_spelt(name: str, said: tuple[str, ...], folded: str) -> None:
    assert naming.words(name) == said
    assert naming.folded(name) == folded


@pytest.mark.parametrize(
    ("columns", "meant"),
    [
        ([("email", Kind.TEXT)], {"$email": "email"}),
        ([("E-Mail", Kind.TEXT), ("Vorname", Kind.TEXT)], {"$email": "E-Mail", "$first_name": "Vorname"}),
        ([("work_email", Kind.TEXT), ("EmailAddress", Kind.TEXT)], {"$email": "EmailAddress"}),
        ([("email", Kind.BOOLEAN)], {}),
        ([("name", Kind.TEXT), ("display_name", Kind.TEXT)], {"$name": "name"}),
        ([("full_name", Kind.TEXT), ("name", Kind.TEXT)], {"$name": "full_name"}),
        ([("name", Kind.TEXT), ("surname", Kind.TEXT)], {"$first_name": "name", "$last_name": "surname"}),
        (
            [("givenName", Kind.TEXT), ("FamilyName", Kind.TEXT)],
            {"$first_name": "givenName", "$last_name": "FamilyName"},
        ),
        ([("Mobile Phone", Kind.TEXT), ("Fax", Kind.TEXT)], {"$phone": "Mobile Phone"}),
        ([("image", Kind.TEXT), ("avatar", Kind.BYTES)], {"$avatar": "image"}),
        ([("profilePictureUrl", Kind.ANY)], {"$avatar": "profilePictureUrl"}),
    ],
)
def test_columns_that_mean_mixpanels_names_get_them(columns: list[tuple[str, Kind]], meant: dict[str, str]) -> None:
    found = naming.reserved([Column(name, kind, "") for name, kind in columns])
    assert {name: column.name for name, column in found.items()} == meant


@pytest.mark.parametrize(
    ("name", "kind", "texts", "found"),
    [
        ("updated_at", Kind.INSTANT, False, True),
        ("updatedAt", Kind.DATETIME, False, True),
        ("LastModified", Kind.DATETIME, False, True),
        ("geändert am", Kind.DATETIME, False, True),
        ("mtime", Kind.INTEGER, False, True),
        ("updated_on", Kind.DATE, False, False),  # a day is too coarse
        ("updated_at", Kind.TEXT, False, False),
        ("updated_at", Kind.TEXT, True, True),
        ("updated", Kind.BOOLEAN, True, False),
        ("created_at", Kind.INSTANT, False, False),
    ],
)
def test_a_change_column_is_a_time_with_such_a_name(name: str, kind: Kind, *, texts: bool, found: bool) -> None:
    column = Column(name, kind, "")
    assert naming.change_column([column], texts=texts) == (column if found else None)


def test_a_time_of_deletion_comes_before_a_flag() -> None:
    flag, time = Column("is_deleted", Kind.BOOLEAN, ""), Column("DeletedAt", Kind.INSTANT, "")
    assert naming.deleted_column([flag, time]) == time
    assert naming.deleted_column([flag]) == flag
    assert naming.deleted_column([Column("deleted_by", Kind.INTEGER, "")]) is None


def test_flags_of_the_living_are_seen() -> None:
    assert naming.active_column([Column("isActive", Kind.BOOLEAN, "")]) is not None
    assert naming.active_column([Column("active", Kind.INTEGER, "")]) is not None
    assert naming.active_column([Column("active", Kind.TEXT, "")]) is None


@pytest.mark.parametrize(
    "name", ["created_at", "date_joined", "registeredAt", "user_registered", "CreatedDate", "angelegt am"]
)
def test_the_time_of_joining_has_many_names(name: str) -> None:
    assert naming.created_column([Column(name, Kind.DATETIME, "")], texts=False) is not None
    assert naming.created_column([Column(name, Kind.TEXT, "")], texts=False) is None
