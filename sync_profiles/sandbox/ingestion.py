"""Which records of a request are good. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from sync_profiles.sandbox.exchange import Sent
from sync_profiles.sandbox.records import Update, read_record

RECORDS_MAX = 2000
RECORD_BYTES_MAX = 1_000_000

Poison: TypeAlias = Callable[[Mapping[str, Any]], str | None]
"""A rule of the test's own: given a record, the reason to refuse it, or None."""


class Judged(msgspec.Struct, frozen=True):
    """``updates`` are the good records in their order, ``errors`` the reasons against the others by position."""

    updates: Sequence[Update]
    errors: Mapping[str, Sequence[str]]


def judge(sent: Sent, *, group: bool, poison: Poison | None) -> Judged:
    """Read every record of a request.

    A body that cannot be read, or more than 2000 records, stands as an error of position 0 with no good record.
    """
    if sent.refusal is not None:
        return Judged((), {"0": [sent.refusal]})
    if len(sent.records) > RECORDS_MAX:
        return Judged((), {"0": [f"request exceeds max limit of {RECORDS_MAX} records"]})
    oversized = _oversized(sent)
    lookup = sent.params.get("ip") != "0"
    updates: list[Update] = []
    errors: dict[str, Sequence[str]] = {}
    for position, record in enumerate(sent.records):
        update = read_record(record, group=group, lookup=lookup)
        if position in oversized:
            update = f"record exceeds max limit of {RECORD_BYTES_MAX} bytes"
        elif poison is not None and type(update) is Update:
            update = poison(record) or update
        if type(update) is Update:
            updates.append(update)
        else:
            errors[str(position)] = [str(update)]
    return Judged(updates, errors)


def _oversized(sent: Sent) -> frozenset[int]:
    # Only a body over the limit can hold a record over it, so the second look is rare.
    if len(sent.text) <= RECORD_BYTES_MAX:
        return frozenset()
    raw = msgspec.json.decode(sent.text, type=list[msgspec.Raw] | dict[str, msgspec.Raw])
    if isinstance(raw, dict):
        return frozenset((0,))
    return frozenset(position for position, one in enumerate(raw) if len(bytes(one)) > RECORD_BYTES_MAX)
