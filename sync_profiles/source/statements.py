"""SQL that users write: one statement, put inside ours."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from sync_profiles.errors import ConfigError

_COMMON = r"""
    | (?P<text> "(?:[^"]|"")*" | `[^`]*` | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$ )
    | (?P<end> ; )
    | (?P<word> [\w$]+ | . )
"""
_TOKENS = re.compile(r"(?P<skip> --[^\n]* | /\*.*?\*/ | \s+ ) | '(?:[^']|'')*'" + _COMMON, re.VERBOSE | re.DOTALL)
_TOKENS_MYSQL = re.compile(
    r"(?P<skip> --[^\n]* | \#[^\n]* | /\*.*?\*/ | \s+ ) | '(?:[^'\\]|''|\\.)*'" + _COMMON, re.VERBOSE | re.DOTALL
)


def one_statement(sql: str, place: str, *, mysql: bool = False) -> str:
    """``sql`` without the semicolon at its end and without the comments around it.

    ``mysql``: backslashes escape inside strings and ``#`` begins a comment. Raises ``ConfigError`` when another
    statement follows, or when there is nothing at all.
    """
    end: int | None = None
    last = 0
    for token in (_TOKENS_MYSQL if mysql else _TOKENS).finditer(sql):
        if token["skip"] is not None:
            continue
        if token["end"] is not None:
            end = token.start() if end is None else end
        elif end is not None:
            raise ConfigError(f"{place}: holds more than one statement", hint="write one, without a semicolon inside")
        else:
            last = token.end()
    if last == 0:
        raise ConfigError(f"{place}: is empty")
    return sql[:last]


class AsStored(sa.types.UserDefinedType[Any]):
    """The type of a column that nobody converts: values and parameters pass as they are."""

    cache_ok = True


def predicate(statement: str) -> sa.ColumnElement[Any]:
    """A condition that users wrote, in parentheses."""
    return sa.literal_column(f"({statement})")


def derived(statement: str, columns: Iterable[sa.ColumnClause[Any]] = ()) -> sa.Subquery:
    """A query that users wrote, to select from; ``:`` and ``%`` in it mean nothing to us."""
    return sa.text(statement.replace(":", "\\:")).columns(*columns).subquery("model")


def result_shape(connection: sa.Connection, statement: sa.Executable) -> list[Any]:
    """What the driver says of a statement's columns: sequences that begin with name and type code."""
    with connection.execute(statement) as result:
        return list(result.cursor.description or ()) if result.cursor is not None else []


def query_shape(connection: sa.Connection, statement: str) -> list[Any]:
    """The same of a query that users wrote, without reading a row."""
    return result_shape(connection, sa.select(sa.text("*")).select_from(derived(statement)).limit(0))


def nearest(name: str, names: Iterable[str]) -> str:
    """``; did you mean "users"?``, or what there is instead, or nothing when there is nothing."""
    by_fold = {known.casefold(): known for known in names}
    close = difflib.get_close_matches(name.casefold(), by_fold, 1, cutoff=0.6)
    if close:
        return f'; did you mean "{by_fold[close[0]]}"?'
    some = ", ".join(list(by_fold.values())[:20])
    return f" (there is: {some}{', …' if len(by_fold) > 20 else ''})" if some else ""
