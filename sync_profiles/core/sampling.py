"""Rows mapped on trial: every problem of every property, not only the first of a row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import UNSET

from sync_profiles.core.changes import Change
from sync_profiles.core.distinct_ids import id_problems
from sync_profiles.core.facts import Count, SampleFacts, ValueFacts
from sync_profiles.core.mapping import Mapper
from sync_profiles.core.problems import ValueProblem
from sync_profiles.core.properties import Columns, Reader
from sync_profiles.core.records import flaw
from sync_profiles.core.types import Key, Outgoing, Page, Profile, Row, SoftDeleted

TEXT_BYTES_MAX = 255
"""Mixpanel cuts longer texts, those in lists too (its page on data types)."""
KEYS_NAMED = 3

_LONG = f"longer than {TEXT_BYTES_MAX} bytes, where Mixpanel cuts texts"
_Problem = tuple[str, str, str]


class Sampling:
    """Takes pages and counts; a row that was taken before is passed over, one that counts as deleted too."""

    def __init__(self, mapper: Mapper) -> None:
        self._mapper = mapper
        self._seen: set[Key] = set()
        self._found: dict[_Problem, list[Key]] = {}
        self._warnings: dict[tuple[str, str], None] = {}
        self._rows = self._profiles = self._records = self._bytes = 0

    def add(self, page: Page) -> None:
        """Map a page on trial."""
        mapped = self._mapper(page)
        kept = [
            index
            for index, entry in enumerate(mapped.mapped)
            if entry.key not in self._seen and not isinstance(entry, SoftDeleted)
        ]
        self._seen.update(entry.key for entry in mapped.mapped)
        self._warnings.update(dict.fromkeys(mapped.warnings))
        self._rows += len(kept)
        rows = [page.rows[index] for index in kept]
        if not rows:
            return
        for index, problem in self._problems(rows):
            self._found.setdefault(problem, []).append(page.keys[kept[index]])
        profiles = [entry for index in kept if isinstance(entry := mapped.mapped[index], Profile)]
        changes = [Change(profile, None, "new") for profile in profiles]
        sent = [one for one in self._mapper.outgoing_page(changes) if isinstance(one, Outgoing)] if changes else []
        self._profiles += len(sent)
        self._records += sum(one.records for one in sent)
        self._bytes += sum(len(one.body) + 1 for one in sent)

    def facts(self) -> SampleFacts:
        """What was found so far."""
        values = tuple(
            ValueFacts(place, code, text, Count(len(keys), tuple(keys[:KEYS_NAMED])))
            for (place, code, text), keys in self._found.items()
        )
        return SampleFacts(
            rows=self._rows,
            profiles=self._profiles,
            records=self._records,
            bytes=self._bytes,
            values=values,
            warnings=tuple(self._warnings),
        )

    def _problems(self, rows: Sequence[Row]) -> Iterator[tuple[int, _Problem]]:
        columns = Columns(rows)
        identity = self._mapper.identity
        ids = identity.read(columns).values
        for index, problem in id_problems(ids).items():
            yield index, (f"distinct ID ({identity.place})", problem.code, problem.text)
        for reader in self._mapper.readers:
            yield from ((index, _of(reader, problem)) for index, problem in _of_column(reader, columns))


def _of(reader: Reader, problem: ValueProblem) -> _Problem:
    return reader.place, problem.code, problem.text


def _of_column(reader: Reader, columns: Columns) -> Iterator[tuple[int, ValueProblem]]:
    converted = reader.read(columns)
    yield from converted.problems.items()
    for index, value in enumerate(converted.values):
        if value is UNSET or value is None or index in converted.problems:
            continue
        wrong = flaw(value)
        if wrong is not None:
            yield index, wrong
        elif any(len(text) * 4 > TEXT_BYTES_MAX and len(text.encode()) > TEXT_BYTES_MAX for text in _texts(value)):
            yield index, ValueProblem("long", _LONG)


def _texts(value: Any) -> list[str]:
    members = value if isinstance(value, list) else [value]
    return [member for member in members if isinstance(member, str)]
