"""A profile, and what is known of it, as the records that make Mixpanel's copy equal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import compress
from typing import Any

import msgspec
from msgspec import UNSET, Raw

from sync_profiles.core.changes import Change
from sync_profiles.core.problems import ValueProblem
from sync_profiles.core.properties import Reader
from sync_profiles.core.records import RECORD_BYTES_MAX, Envelope, Layout, encode, flaw, suspects
from sync_profiles.core.types import DistinctId, Key, OnDelete, OnNull, Outgoing, Profile, Row, Shape, Unmappable

PATTERNS_MAX = 10_000
PROPERTIES_MAX = 2000  # Mixpanel: "attempts to add more will fail"


class Operation:
    """The properties of one operation: their readers, and the layout of the object they make.

    ``inexact`` are those whose sent form may differ from the canonical one, with their index.
    """

    def __init__(self, readers: Iterable[Reader]) -> None:
        self.readers = tuple(readers)
        self.layout = Layout([reader.name for reader in self.readers])
        self.inexact = [(index, reader) for index, reader in enumerate(self.readers) if not reader.exact]


class _Refused(Exception):  # noqa: N818 - carries one row's problem out of its encoding; never leaves this module
    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class _Part(msgspec.Struct, frozen=True, gc=False):
    """One operation of a profile, encoded, with the names in it; ``quiet`` ones are neither sent nor NULL."""

    encoded: bytes = b"{}"
    names: tuple[str, ...] = ()
    quiet: tuple[str, ...] = ()


_NOTHING = _Part()


class Composer:
    """Composes the records of one profile. They touch disjoint properties, so their order does not matter."""

    def __init__(
        self, envelope: Envelope, on_null: OnNull, *, set_: Operation, set_once: Operation, union: Operation
    ) -> None:
        self._envelope = envelope
        self._skip_nulls = on_null == "skip"
        self._set, self._once, self._union = set_, set_once, union
        self._nullable = (*set_.layout.names, *union.layout.names)
        self._patterns: dict[Shape, Shape] = {}
        self._absences: dict[tuple[Shape, Shape, Shape, bool], tuple[tuple[str, ...], Shape]] = {}
        self._joins: dict[tuple[Shape, Shape], Shape] = {}
        self._sticky = frozenset(set_once.layout.names)
        self.names: Shape = (*set_.layout.names, *set_once.layout.names, *union.layout.names)

    def outgoing(self, changes: Sequence[Change]) -> list[Outgoing | Unmappable]:
        """See ``Mapper.outgoing``; ``$set_once`` is converted for all changes at once."""
        fresh = [change.profile.row for change in changes if change.known is None] if self._once.readers else []
        once_parts = iter(self._once_parts(fresh) if fresh else ())
        composed: list[Outgoing | Unmappable] = []
        for change in changes:
            profile = change.profile
            try:
                once = next(once_parts, _NOTHING) if change.known is None else _NOTHING
                if self._is_plain(change) and once is not None:
                    composed.append(self._plain(change, once))
                else:
                    composed.append(self._composed(change, once or _part(self._once, profile.row)))
            except _Refused as refusal:
                composed.append(Unmappable(profile.key, profile.distinct_id, refusal.code, refusal.reason))
        return composed

    def removal(self, key: Key, distinct_id: DistinctId, shape: Shape, policy: OnDelete) -> Outgoing:
        """See ``Mapper.removal``."""
        if policy == "ignore":
            raise ValueError("the policy 'ignore' removes nothing")
        delete = policy == "delete"
        if delete:
            body = self._envelope.delete(distinct_id)
        else:
            body = self._envelope.record(encode(distinct_id), "$unset", encode(shape or self.names))
        return Outgoing(key, distinct_id, None, shape, body, 1, delete=delete)

    def _is_plain(self, change: Change) -> bool:
        """A profile that was never sent and cannot hold anything: no union to compose, nothing to unset."""
        return change.known is None and not (change.prior or change.every_null or self._union.readers)

    def _plain(self, change: Change, once: _Part) -> Outgoing:
        """What ``_composed`` makes of it, on the shortest way: a first run takes it for every row."""
        profile, record = change.profile, self._envelope.record
        names, encoded_id = self._present(profile.absent), encode(profile.distinct_id)
        records = 1
        if names or not once.names:
            body = record(encoded_id, "$set", self._set_json(profile) if names else b"{}")
            if once.names:
                body, records = body + b"," + record(encoded_id, "$set_once", once.encoded), 2
        else:
            body = record(encoded_id, "$set_once", once.encoded)
        shape = self._joined(names, once.names) if once.names else names
        if len(body) > RECORD_BYTES_MAX or len(shape) > PROPERTIES_MAX:
            return self._composed(change, once)  # it looks at each record
        return Outgoing(profile.key, profile.distinct_id, profile.fingerprint, shape, body, records)

    def _joined(self, names: Shape, more: Shape) -> Shape:
        """The same tuple each time, so that whoever counts shapes need not compare them name by name."""
        both = names, more
        joined = self._joins.get(both)
        if joined is None:
            if len(self._joins) >= PATTERNS_MAX:
                self._joins.clear()
            joined = self._joins[both] = names + more
        return joined

    def _composed(self, change: Change, once: _Part) -> Outgoing:
        profile, prior = change.profile, change.prior
        set_part = self._set_part(profile)
        union = _part(self._union, profile.row, empty=False) if self._union.readers else _NOTHING
        given = set_part.names + once.names + union.names
        shape = self.names if len(given) == len(self.names) else given
        before = change.known.shape + prior if change.known else prior
        unset: tuple[str, ...] = ()
        if (before and before != given) or (change.every_null and len(given) < len(self.names)):
            unset, shape = self._absence(before, given, union.quiet, every_null=change.every_null)
        records = self._records(profile.distinct_id, set_part, once, union, unset)
        if not set_part.names and (not records or (change.known is None and not (once.names or union.names))):
            # Without a $set, a $set_once or a $union nothing is sure to make a new profile exist.
            records.append(self._envelope.record(encode(profile.distinct_id), "$set", b"{}"))
        _check_limits(records, shape)
        body = records[0] if len(records) == 1 else b",".join(records)
        return Outgoing(profile.key, profile.distinct_id, profile.fingerprint, shape, body, len(records))

    def _records(
        self, distinct_id: DistinctId, set_part: _Part, once: _Part, union: _Part, unset: Sequence[str]
    ) -> list[bytes]:
        record, encoded_id = self._envelope.record, encode(distinct_id)
        records = []
        if set_part.names:
            records.append(record(encoded_id, "$set", set_part.encoded))
        if once.names:
            records.append(record(encoded_id, "$set_once", once.encoded))
        if union.names:
            records.append(record(encoded_id, "$union", union.encoded))
        if unset:
            records.append(record(encoded_id, "$unset", encode(unset)))
        return records

    def _set_part(self, profile: Profile) -> _Part:
        return _Part(self._set_json(profile), self._present(profile.absent))

    def _set_json(self, profile: Profile) -> bytes:
        """The ``$set`` object as it is sent; nearly always that is its canonical form."""
        for _, reader in self._set.inexact:
            if not reader.alike(profile.row):
                return self._as_sent(profile)
        return profile.set_json

    def _present(self, absent: Shape) -> Shape:
        """The names that are not absent; rows share a few patterns of NULLs."""
        names = self._patterns.get(absent)
        if names is None:
            if len(self._patterns) >= PATTERNS_MAX:
                self._patterns.clear()
            names = self._patterns[absent] = tuple(name for name in self._set.layout.names if name not in absent)
        return names

    def _as_sent(self, profile: Profile) -> bytes:
        """The ``$set`` object with every value as it is stored, where that is not its canonical form."""
        layout = self._set.layout
        values = layout.split(profile.set_json)
        changed: list[Any] | None = None
        for index, reader in self._set.inexact:
            value = reader.sent(profile.row)
            if not _alike(value, values[index]):
                changed = changed or list(values)
                changed[index] = value
        return layout.encode(changed) if changed else profile.set_json

    def _once_parts(self, rows: Sequence[Row]) -> list[_Part | None]:
        """``$set_once`` of each row; None where it has to be looked at by itself."""
        columns = tuple(zip(*rows, strict=True))
        converted = [reader.read(rows, columns) for reader in self._once.readers]
        if self._once.inexact or any(each.problems for each in converted):
            return [None] * len(rows)
        try:
            encoded = self._once.layout.encode_page([each.values for each in converted], len(rows))
        except UnicodeEncodeError:
            return [None] * len(rows)
        names = self._once.layout.names
        if any(each.gaps for each in converted):
            given = [
                tuple(compress(names, (value is not UNSET for value in values)))
                for values in zip(*(each.values for each in converted), strict=True)
            ]
            parts: list[_Part | None] = list(map(_Part, encoded, given))
        else:
            parts = [_Part(text, names) for text in encoded]
        for index in suspects(encoded):
            parts[index] = None
        return parts

    def _absence(self, before: Shape, given: Shape, quiet: Shape, *, every_null: bool) -> tuple[tuple[str, ...], Shape]:
        """What to unset and the shape that is left; rows share a few answers."""
        question = before, given, quiet, every_null
        answer = self._absences.get(question)
        if answer is None:
            if len(self._absences) >= PATTERNS_MAX:
                self._absences.clear()
            unset, kept = self._absent(before, set(given), quiet, every_null=every_null)
            shape = tuple(filter({*given, *kept}.__contains__, self.names)) if kept else given
            answer = self._absences[question] = tuple(unset), shape
        return answer

    def _absent(
        self, before: Iterable[str], present: set[str], quiet: Sequence[str], *, every_null: bool
    ) -> tuple[list[str], list[str]]:
        """Of the properties that are not given now: those to unset, and those that stay."""
        unset: dict[str, None] = {}
        kept: list[str] = []
        for name in before:
            if name in present:
                continue
            stays = name in self._sticky or name in quiet or (self._skip_nulls and name in self._nullable)
            if stays:
                kept.append(name)
            else:
                unset[name] = None
        if every_null and not self._skip_nulls:
            unset.update((name, None) for name in self._nullable if name not in present and name not in quiet)
        return list(unset), kept


def _alike(one: Any, other: Any) -> bool:
    return one is other or (type(one) is Raw and type(other) is Raw and bytes(one) == bytes(other))


def _part(operation: Operation, row: Row, *, empty: bool = True) -> _Part:
    """An operation of one row, as sent; with ``empty`` False empty lists are left out and stand in ``quiet``."""
    values = [_sent(reader, row) for reader in operation.readers]
    names = operation.layout.names
    quiet: tuple[str, ...] = ()
    if not empty and [] in values:
        quiet = tuple(name for name, value in zip(names, values, strict=True) if value == [])
        values = [UNSET if value == [] else value for value in values]
    if UNSET in values:
        names = tuple(name for name, value in zip(names, values, strict=True) if value is not UNSET)
    try:
        encoded = operation.layout.encode(values)
    except UnicodeEncodeError:
        encoded = b""
    if not encoded or suspects((encoded,)):
        _check_text(operation.readers, values)
    return _Part(encoded, names, quiet)


def _sent(reader: Reader, row: Row) -> Any:
    try:
        return reader.sent(row)
    except ValueProblem as problem:
        raise _Refused(problem.code, f"{reader.place}: {problem.text}") from problem


def _check_text(readers: Sequence[Reader], values: Sequence[Any]) -> None:
    for reader, value in zip(readers, values, strict=True):
        problem = None if value is UNSET else flaw(value)
        if problem is not None:
            raise _Refused(problem.code, f"{reader.place}: {problem.text}")


def _check_limits(records: Sequence[bytes], shape: Shape) -> None:
    largest = max(map(len, records))
    if largest > RECORD_BYTES_MAX:
        raise _Refused("too_large", f"a record of {largest:,} bytes; Mixpanel takes at most {RECORD_BYTES_MAX:,}")
    if len(shape) > PROPERTIES_MAX:
        raise _Refused("too_many", f"{len(shape):,} properties; Mixpanel takes at most {PROPERTIES_MAX:,}")
