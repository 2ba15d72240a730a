"""A profile, and what is known of it, as the records that make Mixpanel's copy equal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import compress, repeat
from typing import Any, TypeAlias

import msgspec
from msgspec import UNSET

from sync_profiles.core.changes import Change
from sync_profiles.core.problems import ValueProblem
from sync_profiles.core.properties import Reader
from sync_profiles.core.records import RECORD_BYTES_MAX, Envelope, Layout, encode, flaw, suspects
from sync_profiles.core.types import DistinctId, Key, OnDelete, OnNull, Outgoing, Row, Shape, Unmappable

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


class _Form(msgspec.Struct, frozen=True, gc=False):
    """How the profiles of one pattern are sent: a template for each record, and ``template`` for them all.

    Each takes the distinct ID, then a payload if it is a ``$set`` (with ``sets``), ``$set_once`` or ``$union``; the
    last ``bare`` ones take the ID alone.
    """

    records: tuple[bytes, ...]
    template: bytes
    shape: Shape
    sets: bool
    bare: int


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
        self._forms: dict[_Pattern, _Form] = {}
        self._sticky = frozenset(set_once.layout.names)
        self.names: Shape = (*set_.layout.names, *set_once.layout.names, *union.layout.names)

    def outgoing(self, changes: Sequence[Change]) -> list[Outgoing | Unmappable]:
        """See ``Mapper.outgoing``; values are converted for all changes at once where that can be done."""
        fresh = [change.profile.row for change in changes if change.known is None] if self._once.readers else []
        once_parts = iter(self._once_parts(fresh) if fresh else ())
        composed: list[Outgoing | Unmappable] = []
        for change, set_json in zip(changes, self._set_jsons(changes), strict=True):
            profile = change.profile
            once = next(once_parts, _NOTHING) if change.known is None else _NOTHING
            try:
                composed.append(self._composed(change, set_json, once or _part(self._once, profile.row)))
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

    def _composed(self, change: Change, set_json: bytes, once: _Part) -> Outgoing:
        profile, known = change.profile, change.known
        union = _part(self._union, profile.row, empty=False) if self._union.readers else _NOTHING
        shape = known.shape if known is not None else None
        pattern = profile.absent, once.names, union.names, union.quiet, shape, change.prior, change.every_null
        form = self._forms.get(pattern) or self._new_form(pattern)
        encoded_id = encode(profile.distinct_id)
        parts: tuple[bytes, ...] = (encoded_id, set_json) if form.sets else ()
        if once.names:
            parts += (encoded_id, once.encoded)
        if union.names:
            parts += (encoded_id, union.encoded)
        if form.bare:
            parts += (encoded_id,) * form.bare
        body = form.template % parts
        if len(body) > RECORD_BYTES_MAX or len(form.shape) > PROPERTIES_MAX:
            _check_limits(form, parts)
        return Outgoing(profile.key, profile.distinct_id, profile.fingerprint, form.shape, body, len(form.records))

    def _new_form(self, pattern: _Pattern) -> _Form:
        if len(self._forms) >= PATTERNS_MAX:
            self._forms.clear()
        form = self._forms[pattern] = self._form(pattern)
        return form

    def _form(self, pattern: _Pattern) -> _Form:
        absent, once, union, quiet, known, prior, every_null = pattern
        names = tuple(name for name in self._set.layout.names if name not in absent)
        given = names + once + union
        shape = self.names if len(given) == len(self.names) else given
        before = (known or ()) + prior
        unset: list[str] = []
        if (before and before != given) or (every_null and len(given) < len(self.names)):
            unset, kept = self._absent(before, set(given), quiet, every_null=every_null)
            shape = tuple(filter({*given, *kept}.__contains__, self.names)) if kept else given
        template = self._envelope.template
        operations = (("$set", names), ("$set_once", once), ("$union", union))
        records = [template(operation) for operation, sent in operations if sent]
        filled = len(records)
        if unset:
            records.append(template("$unset", encode(unset)))
        if not names and (not records or (known is None and not (once or union))):
            # Without a $set, a $set_once or a $union nothing is sure to make a new profile exist.
            records.append(template("$set", b"{}"))
        return _Form(tuple(records), b",".join(records), shape, bool(names), len(records) - filled)

    def _set_jsons(self, changes: Sequence[Change]) -> list[bytes]:
        """The ``$set`` objects as they are sent; nearly always that is their canonical form."""
        encoded = [change.profile.set_json for change in changes]
        if self._set.inexact:
            rows = [change.profile.row for change in changes]
            unlike = sorted({index for _, reader in self._set.inexact for index in reader.unlike(rows)})
            stored = self._as_stored([rows[index] for index in unlike], [encoded[index] for index in unlike])
            for index, as_stored in zip(unlike, stored, strict=True):
                encoded[index] = as_stored
        return encoded

    def _as_stored(self, rows: Sequence[Row], canonical: Sequence[bytes]) -> list[bytes]:
        """The ``$set`` objects with every value as it is stored, where that is not its canonical form."""
        layout = self._set.layout
        columns: list[Sequence[Any]] = list(zip(*map(layout.split, canonical), strict=True))
        for index, reader in self._set.inexact if rows else ():
            columns[index] = list(map(reader.sent, rows))
        return layout.encode_page(columns, len(rows))

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


def _check_limits(form: _Form, parts: tuple[bytes, ...]) -> None:
    rest, sizes = list(parts), []
    for record in form.records:
        taken = record.count(b"%b")
        sizes.append(len(record % tuple(rest[:taken])))
        del rest[:taken]
    largest = max(sizes)
    if largest > RECORD_BYTES_MAX:
        raise _Refused("too_large", f"a record of {largest:,} bytes; Mixpanel takes at most {RECORD_BYTES_MAX:,}")
    if len(form.shape) > PROPERTIES_MAX:
        raise _Refused("too_many", f"{len(form.shape):,} properties; Mixpanel takes at most {PROPERTIES_MAX:,}")
