"""A table cut into ranges of blocks, each read in one short transaction.

A condition on ``ctid`` is a TID range scan from PostgreSQL 14 on, and on a partitioned table one of each partition: the
ranges are of block numbers, which every partition counts from 0.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

ROWS_A_RANGE = 4000
"""For a range of which every row is wanted: a transaction each is no cost then, and the rows need little memory."""
BLOCKS_LEAST, BLOCKS_MOST = 256, 1024
"""For a range of which few rows are wanted: 2 to 8 MiB, a few milliseconds."""
_ROWS_A_RANGE_MOST = 40_000
_ROWS_A_BLOCK_GUESS = 50.0
_CTID: sa.ColumnElement[Any] = sa.literal_column("ctid")


class _Tid(sa.types.UserDefinedType[str]):
    """The type of ``ctid``."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Its name."""
        return "tid"


@dataclasses.dataclass(frozen=True)
class Size:
    """``blocks`` of the largest partition (or the table), number of ``leaves``, ``rows`` and ``pages`` as estimated.

    ``rows`` and ``pages`` are what the last ANALYZE or VACUUM found in all leaves; 0 when there was none.
    """

    blocks: int
    leaves: int
    rows: float
    pages: int


def blocks_a_range(size: Size, *, all_rows: bool) -> int:
    """How many blocks of each leaf to read at once, when all rows or only the changed ones are wanted."""
    rows_a_block = size.rows / size.pages if size.rows > 0 and size.pages > 0 else _ROWS_A_BLOCK_GUESS
    wanted = (ROWS_A_RANGE if all_rows else _ROWS_A_RANGE_MOST) / rows_a_block
    if not all_rows:
        wanted = min(max(wanted, BLOCKS_LEAST), BLOCKS_MOST)
    return max(1, round(wanted / max(1, size.leaves)))


def ranges(blocks: int, step: int) -> Iterator[tuple[int, int | None]]:
    """The first block of each range and the one behind it; the last has no end: the table may grow meanwhile.

    >>> list(ranges(5, 2))
    [(0, 2), (2, 4), (4, None)]
    """
    last = max(0, (blocks - 1) // step * step)
    yield from ((first, first + step) for first in range(0, last, step))
    yield last, None


def ranges_of(part: tuple[int, int | None], blocks: int, step: int) -> Iterator[tuple[int, int | None]]:
    """The same of a part of the table; one that has an end keeps it.

    >>> list(ranges_of((3, 8), 100, 2)), list(ranges_of((3, None), 6, 2))
    ([(3, 5), (5, 7), (7, 8)], [(3, 5), (5, None)])
    """
    first, behind = part
    for begins, ends in ranges((blocks if behind is None else behind) - first, step):
        yield first + begins, behind if ends is None else first + ends


def within_blocks(first: int, behind: int | None) -> sa.ColumnElement[bool]:
    """The rows of a range of blocks."""
    begins = _at(first) <= _CTID
    return begins if behind is None else sa.and_(begins, _at(behind) > _CTID)


def _at(block: int) -> sa.ColumnElement[Any]:
    return sa.cast(sa.literal(f"({block},0)", sa.Text), _Tid())
