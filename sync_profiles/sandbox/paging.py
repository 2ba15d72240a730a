"""A long list, page by page. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

T = TypeVar("T")


class Pages(msgspec.Struct, frozen=True):
    """Which page of how many: ``page`` counts from 1, ``total`` counts what is paged."""

    page: int = 1
    size: int = 50
    total: int = 0

    @property
    def count(self) -> int:
        """How many pages there are, at least one."""
        return max(1, -(-self.total // self.size))


def cut(everything: Sequence[T], wanted: Pages) -> tuple[Pages, Sequence[T]]:
    """The wanted page, or the last one where there are fewer."""
    pages = msgspec.structs.replace(wanted, total=len(everything))
    pages = msgspec.structs.replace(pages, page=min(wanted.page, pages.count))
    start = (pages.page - 1) * pages.size
    return pages, everything[start : start + pages.size]
