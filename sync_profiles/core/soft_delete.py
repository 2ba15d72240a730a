"""Which rows count as deleted, by the column that says so: those where it is true or not NULL."""

from __future__ import annotations

from collections.abc import Sequence
from types import NoneType
from typing import Any

from sync_profiles.core.problems import ValueProblem
from sync_profiles.core.types import Kind
from sync_profiles.core.values import plain

_NO = frozenset(("", "0", "f", "false", "n", "no", "off"))


def deleted_rows(kind: Kind, values: Sequence[Any]) -> list[int]:
    """Indexes of the rows that count as deleted.

    What says "no" is no deletion, in whatever type a table keeps its flag: false, 0, a zero date, empty text.
    """
    types = set(map(type, values))
    if types == {NoneType} or (types <= {bool, int, NoneType} and not any(values)):
        return []
    return [index for index, value in enumerate(values) if value is not None and _says_yes(kind, value)]


def _says_yes(kind: Kind, raw: Any) -> bool:
    try:
        value = plain(kind, raw)
    except ValueProblem:  # an odd date, but one that is there
        return True
    if isinstance(value, str):
        return value.strip().lower() not in _NO
    if isinstance(value, bytes):
        return any(value)
    return bool(value)
