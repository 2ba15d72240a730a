"""A profile, and what is known of it, as the records that make Mixpanel's copy equal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import compress, repeat
from typing import Any, TypeAlias

import msgspec
from msgspec import UNSET

from sync_profiles.core.changes import Change
from sync_profiles.core.problems import ValueProblem
from sync_profiles.core.properties import Columns, Reader
from sync_profiles.core.record_forms import ByPlace, Form, filled_in, joined, sizes
from sync_profiles.core.records import (
    RECORD_BYTES_MAX,
    SET,
    SET_ONCE,
    UNION,
    Envelope,
    Layout,
    encode,
    flaw,
    suspects,
)
from sync_profiles.core.types import DistinctId, Key, OnDelete, OnNull, Outgoing, Row, Shape, Unmappable

PATTERNS_MAX = 10_000
SLICE_ROWS = 1000
"""The values of so many rows stay in the processor's cache while they are looked at column by column."""

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


_Pattern: TypeAlias = tuple[Shape, Shape, Shape, Shape, Shape | None, Shape, bool]
"""What decides how a profile is sent, its values aside: ``Profile.absent``, the names in ``$set_once`` and ``$union``,
those that are quiet, ``Known.shape`` if it is known, ``Change.prior``, ``Change.every_null``. Rows share a few."""


class Composer:
    """Composes the records of one profile. They touch disjoint properties, so their order does not matter."""

    def __init__(
        self, envelope: Envelope, on_null: OnNull, *, set_: Operation, set_once: Operation, union: Operation
    ) -> None:
        self._envelope = envelope
        self._skip_nulls = on_null == "skip"
        self._set, self._once, self._union = set_, set_once, union
        self._nullable = (*set_.layout.names, *union.layout.names)
        self._forms: dict[_Pattern, Form] = {}
        self._sticky = frozenset(set_once.layout.names)
        self.names: Shape = (*set_.layout.names, *set_once.layout.names, *union.layout.names)

    def outgoing(self, changes: Sequence[Change]) -> list[Outgoing | Unmappable]:
        """See ``Mapper.outgoing``; for all changes at once, because that is much cheaper."""
        composed: list[Outgoing | Unmappable] = []
        for start in range(0, len(changes), SLICE_ROWS):
            composed += self._slice(changes[start : start + SLICE_ROWS])
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

    def _slice(self, changes: Sequence[Change]) -> list[Outgoing | Unmappable]:
        refused: dict[int, _Refused] = {}
        once, union = self._once_parts(changes, refused), self._union_parts(changes, refused)
        forms = [self._forms.get(pattern) or self._new_form(pattern) for pattern in map(_pattern, changes, once, union)]
        columns = (
            [encode(change.profile.distinct_id) for change in changes],
            self._set_jsons(changes),
            [part.encoded for part in once],
            [part.encoded for part in union],
        )
        bodies = filled_in(forms, columns)
        self._check(forms, bodies, columns, refused)
        composed: list[Outgoing | Unmappable] = [
            Outgoing(
                (profile := change.profile).key,
                profile.distinct_id,
                profile.fingerprint,
                form.shape,
                body,
                len(form.records),
                form.held and change.known is not None and change.known.fingerprint == profile.fingerprint,
            )
            for change, form, body in zip(changes, forms, bodies, strict=True)
        ]
        for index, refusal in refused.items():
            profile = changes[index].profile
            composed[index] = Unmappable(profile.key, profile.distinct_id, refusal.code, refusal.reason)
        return composed

    def _check(
        self, forms: Sequence[Form], bodies: Sequence[bytes], columns: ByPlace, refused: dict[int, _Refused]
    ) -> None:
        if max(map(len, bodies), default=0) <= RECORD_BYTES_MAX and len(self.names) <= PROPERTIES_MAX:
            return
        for index, (form, body) in enumerate(zip(forms, bodies, strict=True)):
            if len(body) > RECORD_BYTES_MAX or len(form.shape) > PROPERTIES_MAX:
                try:
                    _check_limits(form, [column[index] for column in columns])
                except _Refused as refusal:
                    refused.setdefault(index, refusal)

    def _new_form(self, pattern: _Pattern) -> Form:
        if len(self._forms) >= PATTERNS_MAX:
            self._forms.clear()
        form = self._forms[pattern] = self._form(pattern)
        return form

    def _form(self, pattern: _Pattern) -> Form:
        absent, once, union, quiet, known, prior, every_null = pattern
        names = tuple(name for name in self._set.layout.names if name not in absent)
        given = names + once + union
        shape = self.names if len(given) == len(self.names) else given
        before = (known or ()) + prior
        unset: list[str] = []
        if (before and before != given) or (every_null and len(given) < len(self.names)):
            unset, kept = self._absent(before, set(given), quiet, every_null=every_null)
            shape = tuple(filter({*given, *kept}.__contains__, self.names)) if kept else given
        pieces = self._envelope.pieces
        operations = (("$set", SET, names), ("$set_once", SET_ONCE, once), ("$union", UNION, union))
        records = [pieces(operation, place) for operation, place, sent in operations if sent]
        if unset:
            records.append(pieces("$unset", encode(unset)))
        if not names and (not records or (known is None and not (once or union))):
            # Without a $set, a $set_once or a $union nothing is sure to make a new profile exist.
            records.append(pieces("$set", b"{}"))
        return Form(tuple(records), joined(records), shape, shape == known)

    def _set_jsons(self, changes: Sequence[Change]) -> list[bytes]:
        """The ``$set`` objects as they are sent; nearly always that is their canonical form."""
        canonical = [change.profile.set_json for change in changes]
        if not self._set.inexact:
            return canonical
        rows = [change.profile.row for change in changes]
        found = self._rewritten(canonical, Columns(rows))
        if found is None:
            return self._as_stored(rows, canonical)
        encoded, apart = found
        stored = self._as_stored([rows[index] for index in apart], [canonical[index] for index in apart])
        for index, as_stored in zip(apart, stored, strict=True):
            encoded[index] = as_stored
        return encoded

    def _rewritten(self, canonical: Sequence[bytes], columns: Columns) -> tuple[list[bytes], list[int]] | None:
        """The objects with what is sent otherwise put in its place, and the indexes of rows where the place is unsure.

        None where a column has to be looked at row by row.
        """
        encoded, apart = list(canonical), set[int]()
        for _, reader in self._set.inexact:
            rewritten = reader.rewritten(columns) if reader.rewritten is not None else None
            if rewritten is None:
                return None
            for index, (before, after) in rewritten.items():
                around = encoded[index].split(before)
                if len(around) == 2:
                    encoded[index] = around[0] + after + around[1]
                else:  # the name stands once more inside of another JSON value
                    apart.add(index)
        return encoded, sorted(apart)

    def _as_stored(self, rows: Sequence[Row], canonical: Sequence[bytes]) -> list[bytes]:
        """The ``$set`` objects with every value as it is stored, where that is not its canonical form."""
        layout = self._set.layout
        columns: list[Sequence[Any]] = list(zip(*map(layout.split, canonical), strict=True))
        for index, reader in self._set.inexact if rows else ():
            columns[index] = list(map(reader.sent, rows))
        return layout.encode_page(columns, len(rows))

    def _once_parts(self, changes: Sequence[Change], refused: dict[int, _Refused]) -> Sequence[_Part]:
        """``$set_once`` of those that were never acknowledged, nothing of the others."""
        fresh = [index for index, change in enumerate(changes) if change.known is None] if self._once.readers else []
        if not fresh:
            return [_NOTHING] * len(changes)
        rows = [changes[index].profile.row for index in fresh]
        parts = [_NOTHING] * len(changes)
        for index, part, row in zip(fresh, self._whole_once(rows), rows, strict=True):
            parts[index] = part if part is not None else _tried(self._once, row, index, refused)
        return parts

    def _union_parts(self, changes: Sequence[Change], refused: dict[int, _Refused]) -> Sequence[_Part]:
        if not self._union.readers:
            return [_NOTHING] * len(changes)
        rows = [change.profile.row for change in changes]
        return [_tried(self._union, row, index, refused, empty=False) for index, row in enumerate(rows)]

    def _whole_once(self, rows: Sequence[Row]) -> list[_Part | None]:
        """``$set_once`` of each row; None where it has to be looked at by itself."""
        columns = Columns(rows)
        converted = [reader.read(columns) for reader in self._once.readers]
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
            parts = list(map(_Part, encoded, repeat(names)))
        for index in suspects(encoded):
            parts[index] = None
        return parts

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


def _pattern(change: Change, once: _Part, union: _Part) -> _Pattern:
    known = change.known.shape if change.known is not None else None
    return change.profile.absent, once.names, union.names, union.quiet, known, change.prior, change.every_null


def _tried(operation: Operation, row: Row, index: int, refused: dict[int, _Refused], *, empty: bool = True) -> _Part:
    try:
        return _part(operation, row, empty=empty)
    except _Refused as refusal:
        refused.setdefault(index, refusal)
        return _NOTHING


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


def _check_limits(form: Form, values: Sequence[bytes]) -> None:
    largest = max(sizes(form, values))
    if largest > RECORD_BYTES_MAX:
        raise _Refused("too_large", f"a record of {largest:,} bytes; Mixpanel takes at most {RECORD_BYTES_MAX:,}")
    if len(form.shape) > PROPERTIES_MAX:
        raise _Refused("too_many", f"{len(form.shape):,} properties; Mixpanel takes at most {PROPERTIES_MAX:,}")
