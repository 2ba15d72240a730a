"""Cutting the rows of a plan into parts, and dividing what several workers share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

PART_ROWS = 100_000
"""A part is done in some seconds: a worker that dies costs no more, and the others are never idle for longer."""
PARTS_A_WORKER_LEAST = 2
PARTS_MOST = 4000
THIN = 4
"""Integer keys are cut by arithmetic unless less than one number in so many is in use."""

T = TypeVar("T")


def parts_wanted(rows: int | None, workers: int) -> int:
    """Into how many parts to cut about so many rows for so many workers; None: nobody knows how many there are.

    >>> parts_wanted(1_000_000, 2), parts_wanted(500, 2), parts_wanted(10**10, 2), parts_wanted(None, 2)
    (10, 4, 4000, 16)
    """
    least = PARTS_A_WORKER_LEAST * workers
    if rows is None:
        return 4 * least
    return max(least, min(PARTS_MOST, -(-rows // PART_ROWS)))


def integer_cuts(least: int, greatest: int, count: int, rows: int | None) -> list[int] | None:
    """The last number of each of ``count`` ranges but the last; None when the numbers are used too thinly for that.

    A range then may hold nearly all rows. ``rows`` is about how many there are.

    >>> integer_cuts(-5, 4, 3, 10), integer_cuts(1, 10**9, 4, 10)
    ([-2, 2], None)
    """
    span = greatest - least + 1
    width = -(-span // count)
    if width > PART_ROWS and (rows is None or span > THIN * rows):
        return None
    return list(range(least + width - 1, greatest, width))


def thinned(cuts: Sequence[T], most: int) -> list[T]:
    """At most ``most`` of the cuts, with equally many left out between them.

    >>> thinned("abcdef", 3), thinned("ab", 3)
    (['b', 'd', 'f'], ['a', 'b'])
    """
    if len(cuts) <= most:
        return list(cuts)
    return [cuts[(place + 1) * len(cuts) // most - 1] for place in range(most)]


def share_of(total: int, workers: int, index: int) -> int:
    """How many of ``total`` requests in flight worker ``index`` (from 0) of ``workers`` may have; at least one.

    >>> [share_of(5, 3, index) for index in range(3)], share_of(1, 2, 1)
    ([2, 2, 1], 1)
    """
    return max(1, total // workers + (index < total % workers))
