"""Mixpanel's Users table: what it shows of a profile, how it is searched and sorted. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from sync_profiles.sandbox.paging import Pages, cut

SIZE_MAX = 500
Column: TypeAlias = Literal["distinct_id", "name", "email", "updated_at"]
_DIGITS = re.compile(r"(\d+)")


class User(msgspec.Struct, frozen=True, gc=False):
    """One row of the table; ``updated_at`` is unix seconds, None where every record said ``$ignore_time``."""

    distinct_id: str
    name: str
    email: str
    updated_at: float | None


class Question(msgspec.Struct, frozen=True):
    """What is asked of the table; ``group`` None: users, else the profiles under a group key."""

    search: str = ""
    sort: Column = "distinct_id"
    descending: bool = False
    page: Annotated[int, msgspec.Meta(ge=1)] = 1
    size: Annotated[int, msgspec.Meta(ge=1, le=SIZE_MAX)] = 50
    group: str | None = None


class Listing(msgspec.Struct, frozen=True):
    """One page of the users that match; ``of`` counts all there are."""

    users: Sequence[User]
    page: int
    pages: int
    matching: int
    of: int


def user_of(distinct_id: str, properties: Mapping[str, Any], updated_at: float | None) -> User:
    """What the table shows of a profile; the name is put together where only its parts are there."""
    name = properties.get("$name")
    if name is None:
        parts = (properties.get("$first_name"), properties.get("$last_name"))
        name = " ".join(str(part) for part in parts if part is not None)
    email = properties.get("$email")
    return User(distinct_id, str(name), "" if email is None else str(email), updated_at)


def listed(users: Sequence[User], question: Question) -> Listing:
    """The page that was asked for; every word of the search is found in one of ID, name and e-mail address."""
    found = list(_matching(users, question.search.casefold().split()))
    found.sort(key=lambda user: _natural(user.distinct_id))
    if question.sort != "distinct_id":
        found.sort(key=_KEYS[question.sort], reverse=question.descending)
        # Nothing stands at the end, in whichever order.
        found.sort(key=lambda user: getattr(user, question.sort) in ("", None))
    elif question.descending:
        found.reverse()
    pages, shown = cut(found, Pages(question.page, question.size))
    return Listing(shown, pages.page, pages.count, pages.total, len(users))


def _matching(users: Iterable[User], words: Sequence[str]) -> Iterable[User]:
    if not words:
        return users
    return (
        user
        for user in users
        if all(word in f"{user.distinct_id}\0{user.name}\0{user.email}".casefold() for word in words)
    )


def _natural(text: str) -> tuple[object, ...]:
    """Numbers inside a text count as numbers: 9 stands before 10, and user9 before user10."""
    parts = _DIGITS.split(text.casefold())
    # The parts alternate between text and digits, so that equal positions can be compared.
    return tuple(int(part) if position % 2 else part for position, part in enumerate(parts))


_KEYS = {
    "name": lambda user: _natural(user.name),
    "email": lambda user: user.email.casefold(),
    "updated_at": lambda user: user.updated_at or 0.0,
}
