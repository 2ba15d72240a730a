"""The Users table: what it shows of a profile, how it is searched, sorted and paged."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from sync_profiles.sandbox.paging import Pages, cut
from sync_profiles.sandbox.users import Question, User, listed, user_of

PEOPLE = [
    User("10", "Bob", "bob@example.com", 30.0),
    User("9", "alice", "", 20.0),
    User("user2", "Carol 10", "carol@example.com", None),
    User("user10", "Carol 9", "Alice.C@example.com", 40.0),
]


def ids(**question: Any) -> list[str]:
    return [user.distinct_id for user in listed(PEOPLE, Question(**question)).users]


@pytest.mark.parametrize(
    ("properties", "name", "email"),
    [
        ({"$name": "Alice", "$first_name": "A", "$email": "a@x.org"}, "Alice", "a@x.org"),
        ({"$first_name": "Alice", "$last_name": "Liddell"}, "Alice Liddell", ""),
        ({"$last_name": "Liddell", "$email": None}, "Liddell", ""),
        ({"$name": 5, "$email": ["a@x.org"]}, "5", "['a@x.org']"),
        ({}, "", ""),
    ],
)
def test_a_profile_shows_its_name_or_the_parts_of_it(properties: Any, name: str, email: str) -> None:
    assert user_of("7", properties, 1.5) == User("7", name, email, 1.5)


@pytest.mark.parametrize(
    ("sort", "up", "down"),
    [
        ("distinct_id", ["9", "10", "user2", "user10"], ["user10", "user2", "10", "9"]),
        ("name", ["9", "10", "user10", "user2"], ["user2", "user10", "10", "9"]),
        ("email", ["user10", "10", "user2", "9"], ["user2", "10", "user10", "9"]),
        ("updated_at", ["9", "10", "user10", "user2"], ["user10", "10", "9", "user2"]),
    ],
)
def test_numbers_sort_as_numbers_and_what_is_missing_stands_last_either_way(sort: Any, up: Any, down: Any) -> None:
    assert ids(sort=sort) == up
    assert ids(sort=sort, descending=True) == down


def test_equals_keep_the_order_of_their_ids() -> None:
    alike = [User(one, "Same", "", 5.0) for one in ("3", "20", "1")]
    for sort in ("name", "email", "updated_at"):
        assert [user.distinct_id for user in listed(alike, Question(sort=sort)).users] == ["1", "3", "20"]


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("", ["9", "10", "user2", "user10"]),
        ("ALICE", ["9", "user10"]),
        ("carol 10", ["user2", "user10"]),
        ("carol example", ["user2", "user10"]),
        ("  bob  ", ["10"]),
        ("bob carol", []),
        ("%", []),
    ],
)
def test_each_word_is_looked_for_in_id_name_and_address(search: str, found: list[str]) -> None:
    assert ids(search=search) == found


def test_a_word_is_not_found_across_two_columns() -> None:
    assert ids(search="bobbob") == []


def test_a_listing_counts_what_matches_and_what_there_is() -> None:
    listing = listed(PEOPLE, Question(search="carol", size=1, page=2))
    assert ([one.distinct_id for one in listing.users], listing.page, listing.pages) == (["user10"], 2, 2)
    assert (listing.matching, listing.of) == (2, 4)


@pytest.mark.parametrize(
    ("total", "wanted", "page", "shown"),
    [(5, 1, 1, [0, 1]), (5, 3, 3, [4]), (5, 9, 3, [4]), (4, 2, 2, [2, 3]), (0, 1, 1, []), (0, 7, 1, [])],
)
def test_a_page_beyond_the_last_is_the_last(total: int, wanted: int, page: int, shown: list[int]) -> None:
    pages, found = cut(range(total), Pages(wanted, 2))
    assert (pages.page, pages.total, list(found)) == (page, total, shown)


@pytest.mark.parametrize(
    "query", [{"page": "0"}, {"size": "501"}, {"sort": "plan"}, {"page": "x"}, {"descending": "?"}]
)
def test_a_question_that_makes_no_sense_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(query, Question, strict=False)
