"""Shorthand for tests that read real tables."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from servers import LiveDatabase

from sync_profiles.core.types import Page, Property, Row, ScanCursor, ScanFull, ScanPlan
from sync_profiles.source.sql import Database, Model, ModelSpec, SqlSource, open_database, open_source

FULL = ScanFull("test")


def no_wait(_seconds: float) -> None:
    """Instead of sleeping between two tries."""


@contextlib.contextmanager
def opened(database: LiveDatabase, *, timeout_s: float = 60) -> Iterator[Database]:
    """The database as the source opens it."""
    reader = open_database(database.url, statement_timeout_s=timeout_s, sleep=no_wait)
    try:
        yield reader
    finally:
        reader.close()


def model_of(database: LiveDatabase, **spec: Any) -> Model:
    """The model of one table or query; its connection is given back right away and taken again when needed."""
    with opened(database) as reader:
        detect = "cursor" if "cursor" in spec else "full"
        return reader.model(ModelSpec(**{"table": None if "query" in spec else "users", "detect": detect, **spec}))


def source_of(
    database: LiveDatabase,
    columns: Sequence[str] = (),
    *,
    distinct_id: Property | None = None,
    extra_where: str | None = None,
    **spec: Any,
) -> SqlSource:
    """A source over ``users`` or what ``spec`` says."""
    model = model_of(database, **spec)
    return open_source(model, columns, distinct_id=distinct_id, extra_where=extra_where)


def since(lower: str | None, lookback_s: float = 0, **more: Any) -> ScanCursor:
    """A cursor scan."""
    return ScanCursor(lower, lookback_s, "test", **more)


def keys_of_pages(pages: Iterator[Page]) -> list[str]:
    """All keys, in reading order."""
    return [key for page in pages for key in page.keys]


def keys(source: SqlSource, plan: ScanPlan = FULL) -> list[str]:
    """All keys of a scan."""
    return keys_of_pages(source.pages(plan))


def rows(source: SqlSource, plan: ScanPlan = FULL) -> list[Row]:
    """All rows of a scan."""
    return [row for page in source.pages(plan) for row in page.rows]


def only_row(source: SqlSource) -> Row:
    """The one row of a table."""
    (row,) = rows(source)
    return row


def numbers(database: LiveDatabase, count: int) -> str:
    """A FROM clause that gives 1 to ``count`` as ``n``."""
    if database.kind == "postgresql":
        return f"generate_series(1, {count}) AS s(n)"
    if database.kind == "sqlite":
        return f"(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {count}) SELECT n FROM s)"
    digit = " UNION ALL ".join(f"SELECT {d} AS d" for d in range(10))
    names = [f"d{place}" for place in range(len(str(count)))]
    total = " + ".join(f"{name}.d * {10**place}" for place, name in enumerate(names))
    crossed = ", ".join(f"({digit}) AS {name}" for name in names)
    return f"(SELECT {total} AS n FROM {crossed} HAVING n BETWEEN 1 AND {count}) AS s"
