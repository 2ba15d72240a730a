"""Compiles a sync's mapping: rows in, profiles out, and profiles into the records that are sent.

A page is mapped column by column, because a loop inside the interpreter's C code costs a tenth of one outside of it;
only rows with something wrong are looked at one by one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from sync_profiles.core.changes import Change
from sync_profiles.core.comparing import Wanted
from sync_profiles.core.distinct_ids import id_problems
from sync_profiles.core.mapping_rules import mapping_problems
from sync_profiles.core.outgoing import SLICE_ROWS, Composer, Operation
from sync_profiles.core.problems import ValueProblem
from sync_profiles.core.properties import Columns, Converted, Reader, reader, text_reader, union_reader
from sync_profiles.core.records import Envelope, encode, flaw, suspects
from sync_profiles.core.soft_delete import deleted_rows
from sync_profiles.core.sources import Places
from sync_profiles.core.templates import parse_template
from sync_profiles.core.types import (
    Column,
    DistinctId,
    Key,
    Kind,
    Known,
    Mapped,
    MappedPage,
    MappingSpec,
    OnDelete,
    Outgoing,
    Page,
    Profile,
    Property,
    Row,
    Shape,
    SoftDeleted,
    Unmappable,
)
from sync_profiles.errors import ConfigError

FINGERPRINT_VERSION = 1
"""Grows when the canonical form of any value changes: then every profile counts as changed, on purpose."""

_ordered = msgspec.json.Encoder(enc_hook=str, order="deterministic").encode
_blank_hash = hashlib.blake2b(digest_size=16, person=b"sync-profiles/%d" % FINGERPRINT_VERSION)


def compile_mapping(spec: MappingSpec, columns: Sequence[Column], primary_key: Sequence[str], *, token: str) -> Mapper:
    """The mapper of a sync over the columns of its model; ``token`` goes into every record.

    Raises ``ConfigError`` with all problems at once, each after its place inside the sync (``set."$email": ...``).
    """
    problems = mapping_problems(spec, columns, primary_key)
    if problems:
        raise ConfigError(problems)
    identity = spec.distinct_id or Property(column=primary_key[0])
    by_name = {column.name: column for column in columns}
    names = tuple(dict.fromkeys(_columns_of(spec, identity)))
    places = {name: (index, by_name[name]) for index, name in enumerate(names)}
    return Mapper(spec, identity, primary_key, places, token)


class Mapper:
    """One sync's mapping, compiled.

    ``columns`` is what the source must read, in this order. ``digest`` identifies the mapping and the kinds of its
    columns (32 hex digits). ``group``: these are group profiles. ``id_is_key``: the distinct ID is the single primary
    key column as it is, so two rows never share one. ``readers`` and ``identity`` read the properties and the ID, for
    whoever looks at values one by one.
    """

    def __init__(
        self, spec: MappingSpec, identity: Property, primary_key: Sequence[str], places: Places, token: str
    ) -> None:
        null = None if spec.on_null == "null" else UNSET
        # By name: a mapping that is only written in another order changes no fingerprint.
        self._set = Operation(reader(name, entry, places, null=null) for name, entry in sorted(spec.set.items()))
        self._once = once = Operation(reader(name, entry, places) for name, entry in sorted(spec.set_once.items()))
        self._skip_nulls = spec.on_null == "skip"
        self._union = Operation(union_reader(name, entry, places) for name, entry in sorted(spec.union.items()))
        self.readers = (*self._set.readers, *once.readers, *self._union.readers)
        self.identity = text_reader("distinct_id", identity, places)
        self._deleted = places.get(spec.deleted) if spec.deleted is not None else None
        envelope = Envelope(token, spec.group_key, ignore_time=spec.ignore_time)
        self._composer = Composer(envelope, spec.on_null, set_=self._set, set_once=once, union=self._union)
        self.columns: tuple[str, ...] = tuple(places)
        self.digest = _digest(spec, identity, [column for _, column in places.values()])
        self.group = spec.group_key is not None
        self.id_is_key = len(primary_key) == 1 and identity in _as_it_is(primary_key[0])
        self._keys_are_ids = self.id_is_key and places[primary_key[0]][1].kind is Kind.INTEGER
        own = identity.column is not None and identity in _as_it_is(identity.column)
        self._uuids = own and places[identity.column or ""][1].kind is Kind.UUID

    def __call__(self, page: Page) -> MappedPage:
        """What became of each row, in the same order: a profile, a rejected row, or a row that counts as deleted.

        Every row ends in exactly one of the three (promise 3).
        """
        mapped: list[Mapped] = []
        warnings: dict[tuple[str, str], None] = {}
        for start in range(0, len(page.rows), SLICE_ROWS):
            end = start + SLICE_ROWS
            mapped += self._slice(Page(page.keys[start:end], page.rows[start:end]), warnings)
        return MappedPage(mapped, tuple(warnings))

    def _slice(self, page: Page, warnings: dict[tuple[str, str], None]) -> list[Mapped]:
        reading = _Reading(page.rows, warnings)
        absent: dict[int, Shape] = {}
        set_json = reading.encoded(self._set, absent)
        prints = _fingerprints(set_json, reading.encoded(self._union) if self._union.readers else None)
        ids = page.keys if self._keys_are_ids else reading.converted(self.identity).values
        reading.reject_ids(self.identity, ids, uuids=self._uuids)
        mapped: list[Mapped] = list(map(Profile, page.keys, ids, prints, set_json, page.rows))
        for index, names in absent.items():
            row = page.rows[index]
            mapped[index] = Profile(page.keys[index], ids[index], prints[index], set_json[index], row, names)
        for index, (code, reason) in reading.problems.items():
            mapped[index] = Unmappable(page.keys[index], reading.well_formed(ids, index), code, reason)
        if self._deleted is not None:
            place, column = self._deleted
            for index in deleted_rows(column.kind, reading.columns[place]):
                mapped[index] = SoftDeleted(page.keys[index])
        return mapped

    def outgoing(
        self, profile: Profile, known: Known | None, *, prior: Shape = (), every_null: bool = False
    ) -> Outgoing | Unmappable:
        """The records that make Mixpanel's profile equal to this one.

        ``known`` is what Mixpanel last acknowledged under this distinct ID, None when nothing: then ``$set_once`` is
        sent too. ``$unset`` names the properties that were there, or that a request without an answer may have
        written (``prior``), and that are NULL now or left the mapping; with ``every_null`` all that are NULL.
        ``Unmappable`` when a record would be too large, or a value for ``$set_once`` cannot be sent.
        """
        change = Change(profile, known, "changed", prior, every_null)
        return self._composer.outgoing([change])[0]

    def outgoing_page(self, changes: Sequence[Change]) -> list[Outgoing | Unmappable]:
        """What ``outgoing`` makes of each change, in order; for many it is much cheaper."""
        return self._composer.outgoing(changes)

    def wanted(self, profile: Profile, known: Known | None) -> Wanted:
        """What Mixpanel should hold for a profile; ``known`` as it was last acknowledged.

        Of ``$set_once`` only that it is there can be asked, once it was sent: somebody else may have settled its value.
        """
        union = {reader.name: reader.sent(profile.row) for reader in self._union.readers}
        members = {name: value for name, value in union.items() if value is not UNSET}
        empty = tuple(name for name in union if name not in members)
        return Wanted(
            values=msgspec.json.decode(profile.set_json),
            members=msgspec.json.decode(encode(members)),
            present=tuple(name for name in self._once.layout.names if known is not None and name in known.shape),
            absent=() if self._skip_nulls else profile.absent + empty,
        )

    def removal(self, key: Key, distinct_id: DistinctId, shape: Shape, *, policy: OnDelete) -> Outgoing:
        """The record that removes a profile ("delete"), or the properties of ``shape`` from it ("unset")."""
        return self._composer.removal(key, distinct_id, shape, policy)


class _Reading:
    """A slice of a page while it is mapped: what was found wrong, by row, and what is worth a warning."""

    def __init__(self, rows: Sequence[Row], warnings: dict[tuple[str, str], None]) -> None:
        self.columns = Columns(rows)
        self.problems: dict[int, tuple[str, str]] = {}
        self.warnings = warnings
        self._bad_ids: set[int] = set()

    def converted(self, source: Reader) -> Converted:
        converted = source.read(self.columns)
        for index, problem in converted.problems.items():
            self._reject(index, source.place, problem)
        if converted.before_1970:
            text = f"{source.place}: holds dates before 1970, which Mixpanel is known to misread"
            self.warnings[("before_1970", text)] = None
        return converted

    def encoded(self, operation: Operation, absent: dict[int, Shape] | None = None) -> list[bytes]:
        """The canonical object of each row; ``absent`` is given the names that are left out, by row."""
        values = []
        for source in operation.readers:
            converted = self.converted(source)
            values.append(converted.values)
            if converted.gaps and absent is not None:
                name = (source.name,)
                for index in [index for index, value in enumerate(converted.values) if value is UNSET]:
                    absent[index] = absent.get(index, ()) + name
        unencoded: list[int] = []
        try:
            encoded = operation.layout.encode_page(values, len(self.columns))
        except UnicodeEncodeError:
            encoded = [self._encoded_row(operation, row) for row in zip(*values, strict=True)]
            unencoded = [index for index, text in enumerate(encoded) if not text]
        for index in [*suspects(encoded), *unencoded]:
            self._inspect(operation, values, index)
        return encoded

    def reject_ids(self, source: Reader, ids: Sequence[Any], *, uuids: bool) -> None:
        for index, problem in id_problems(ids, uuids=uuids).items():
            self._bad_ids.add(index)
            self._reject(index, f"distinct ID ({source.place})", problem)

    def well_formed(self, ids: Sequence[Any], index: int) -> DistinctId | None:
        return None if index in self._bad_ids else ids[index]

    def _encoded_row(self, operation: Operation, values: Sequence[Any]) -> bytes:
        try:
            return operation.layout.encode(values)
        except UnicodeEncodeError:
            return b""

    def _inspect(self, operation: Operation, values: Sequence[Sequence[Any]], index: int) -> None:
        for source, column in zip(operation.readers, values, strict=True):
            problem = None if column[index] is UNSET else flaw(column[index])
            if problem is not None:
                self._reject(index, source.place, problem)

    def _reject(self, index: int, place: str, problem: ValueProblem) -> None:
        self.problems.setdefault(index, (problem.code, f"{place}: {problem.text}"))


def _fingerprints(set_json: list[bytes], union_json: list[bytes] | None) -> list[bytes]:
    texts = set_json if union_json is None else map(bytes.__add__, set_json, union_json)
    prints = []
    for text in texts:
        state = _blank_hash.copy()  # a fifth cheaper than a new one
        state.update(text)
        prints.append(state.digest())
    return prints


def _digest(spec: MappingSpec, identity: Property, columns: Sequence[Column]) -> str:
    kinds = sorted((column.name, column.kind.value) for column in columns)
    return _fingerprints([_ordered((spec, identity, kinds))], None)[0].hex()


def _as_it_is(column: str) -> tuple[Property, ...]:
    return tuple(Property(column=column, secret=secret) for secret in (False, True))


def _columns_of(spec: MappingSpec, identity: Property) -> Iterator[str]:
    for entry in (identity, *spec.set.values(), *spec.set_once.values(), *spec.union.values()):
        if entry.column is not None:
            yield entry.column
        elif entry.template is not None:
            yield from parse_template(entry.template)[1]
    if spec.deleted is not None:
        yield spec.deleted
