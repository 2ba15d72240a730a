"""One property of a mapping, compiled: how its value is read from a row, and from a whole page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from operator import itemgetter
from types import NoneType
from typing import Any, NamedTuple, TypeAlias

import msgspec
from msgspec import UNSET

from sync_profiles.core.columns import rewriting, whole_column
from sync_profiles.core.forms import canonical, sent, text_of
from sync_profiles.core.problems import ValueProblem
from sync_profiles.core.records import RECORD_BYTES_MAX, encode
from sync_profiles.core.sources import OfRow, Places, plain_value
from sync_profiles.core.templates import parse_template
from sync_profiles.core.types import ABSENT, Kind, Property, Row
from sync_profiles.core.values import EXACT_TYPES, cast, conversion, plain


class Columns:
    """Rows turned by 90 degrees: the values of each column, made when they are first asked for. Not for no rows."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self._made: dict[int, list[Any]] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> list[Any]:
        made = self._made.get(place)
        if made is None:
            made = self._made[place] = list(map(itemgetter(place), self.rows))
        return made


Rewritten: TypeAlias = Mapping[int, tuple[bytes, bytes]]
"""Of some rows, by index, name and value as JSON: in canonical and in sent form."""
_Whole: TypeAlias = Callable[[Columns], "Converted | None"]

_EPOCH_YEAR = "1970"


class Converted(NamedTuple):
    """One property of a page: a value for each row (``Reader.null`` where there is none), problems by row index.

    ``gaps`` False: no value is ``UNSET``.
    """

    values: Sequence[Any]
    problems: Mapping[int, ValueProblem] = {}
    before_1970: bool = False
    gaps: bool = False


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads one property. ``canonical`` and ``sent`` give ``null`` for NULL and raise ``ValueProblem``.

    ``exact``: both forms are the same. ``rewritten`` gives, for the rows where they differ, both. ``whole``
    converts a page's column at once. Each of the two may say None: look row by row.
    """

    name: str
    place: str
    canonical: OfRow
    sent: OfRow
    exact: bool
    dated: bool
    null: Any
    whole: _Whole | None
    rewritten: Callable[[Columns], Rewritten | None] | None = None

    def read(self, columns: Columns) -> Converted:
        """The canonical values of a page."""
        fast = self.whole(columns) if self.whole else None
        return fast or self._row_by_row(columns.rows)

    def _row_by_row(self, rows: Sequence[Row]) -> Converted:
        values: list[Any] = []
        problems: dict[int, ValueProblem] = {}
        before_1970 = False
        for index, row in enumerate(rows):
            try:
                value = self.canonical(row)
            except ValueProblem as problem:
                problems[index] = problem
                value = self.null
            if self.dated and isinstance(value, str) and value < _EPOCH_YEAR:
                before_1970 = True
            values.append(value)
        return Converted(values, problems, before_1970, gaps=True)


def reader(name: str, spec: Property, places: Places, *, null: Any = UNSET) -> Reader:
    """The reader of a property that is sent as one value."""
    fallback = _fallback(spec, canonical, null)
    canonical_of, sent_of, dated = _forms(spec, places)
    first = _or_fallback(canonical_of, spec, fallback)
    return Reader(
        name=name,
        place=_place(name, spec),
        canonical=first,
        sent=_or_fallback(sent_of, spec, fallback) if sent_of else first,
        exact=sent_of is None,
        dated=dated,
        null=null,
        whole=_whole(spec, places, fallback, dated=dated),
        rewritten=_rewritten(name, spec, places),
    )


def text_reader(name: str, spec: Property, places: Places) -> Reader:
    """The reader of a property as text, for distinct IDs."""
    whole = None
    if spec.type in (None, "string"):
        as_text = msgspec.structs.replace(spec, type="string")
        whole = _whole(as_text, places, _fallback(spec, text_of, UNSET), dated=False)
    return _derived(name, spec, places, text_of, whole)


def union_reader(name: str, spec: Property, places: Places) -> Reader:
    """The reader of a property for ``$union``: a list of texts and numbers; a single value is a list of one."""
    return _derived(name, spec, places, union_members, None)


def _derived(name: str, spec: Property, places: Places, form: Callable[[Any], Any], whole: _Whole | None) -> Reader:
    value = _or_fallback(_formed(spec, places, form), spec, _fallback(spec, form, UNSET))
    return Reader(name, _place(name, spec), value, value, exact=True, dated=False, null=UNSET, whole=whole)


def _formed(spec: Property, places: Places, form: Callable[[Any], Any]) -> OfRow:
    evaluate = plain_value(spec, places)

    def value_of(row: Row) -> Any:
        value = evaluate(row)
        return None if value is None else form(value)

    return value_of


def _fallback(spec: Property, form: Callable[[Any], Any], null: Any) -> Any:
    value = None if spec.default is ABSENT else cast(spec.type, plain(Kind.ANY, spec.default))
    return null if value is None else form(value)


def union_members(value: Any) -> list[Any]:
    """The members a plain value adds to a union, NULLs left out; raises ``ValueProblem`` for other members."""
    members = [member for member in (value if isinstance(value, list) else [value]) if member is not None]
    for member in members:
        if isinstance(member, bool) or not isinstance(member, str | int | float | Decimal):
            raise ValueProblem("bad_value", "holds something a union cannot take: its members are texts and numbers")
    return [canonical(member) for member in members]


# --- forms ---------------------------------------------------------------------------------------------------------


def _forms(spec: Property, places: Places) -> tuple[OfRow, OfRow | None, bool]:
    """The canonical form of a row's value, the sent form where it differs, and whether it is a date."""
    if spec.column is not None and not spec.path and not spec.hash:
        index, column = places[spec.column]
        of_value = conversion(column.kind, spec.type)
        canonical_value, sent_value = of_value.canonical, of_value.sent
        if (column.kind, spec.type) in _AS_LONG:
            canonical_value = _bounded(canonical_value)
        return (
            lambda row: canonical_value(row[index]),
            (lambda row: sent_value(row[index])) if sent_value else None,
            of_value.dated,
        )
    dated = spec.type in ("date", "datetime") and spec.hash is None
    if spec.hash or spec.type in EXACT_TYPES or (spec.template is not None and spec.type is None):
        return plain_value(spec, places), None, dated
    constant = spec.column is None and spec.template is None
    return _formed(spec, places, canonical), None if constant else _formed(spec, places, sent), dated


_AS_LONG = frozenset(
    (kind, wanted)
    for wanted, kinds in (
        ("string", (Kind.TEXT,)),
        ("json", (Kind.TEXT, Kind.JSON, Kind.JSONB, Kind.LIST)),
        (None, (Kind.TEXT, Kind.JSON, Kind.JSONB, Kind.LIST)),
    )
    for kind in kinds
)
"""What is sent of these is no shorter than what is stored."""


def _bounded(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """What no record can hold is refused before it is copied even once."""

    def converted(raw: Any) -> Any:
        if type(raw) is str and len(raw) > RECORD_BYTES_MAX:
            size = f"holds {len(raw):,} characters; Mixpanel takes records of at most {RECORD_BYTES_MAX:,} bytes"
            raise ValueProblem("too_large", size)
        return convert(raw)

    return converted


def _rewritten(name: str, spec: Property, places: Places) -> Callable[[Columns], Rewritten | None] | None:
    """For columns whose stored form is known without a closer look at each row."""
    if spec.column is None or spec.path or spec.hash:
        return None
    place, column = places[spec.column]
    label = encode(name) + b":"
    forms_of = rewriting(column.kind, spec.type)
    if forms_of is None:
        return None

    def rewritten(columns: Columns) -> Rewritten | None:
        forms = forms_of(columns[place])
        if forms is None:
            return None
        return {index: (label + canonical, label + stored) for index, (canonical, stored) in forms.items()}

    return rewritten


def _or_fallback(form: OfRow, spec: Property, fallback: Any) -> OfRow:
    """NULL becomes the fallback; with a default what is not finite becomes it too."""
    guarded = spec.default is not ABSENT

    def value_of(row: Row) -> Any:
        try:
            value = form(row)
        except ValueProblem as problem:
            if not guarded or problem.code != "not_finite":
                raise
            value = None
        return fallback if value is None else value

    return value_of


def _place(name: str, spec: Property) -> str:
    return f'property "{name}"' if spec.column is None else f'column "{spec.column}"'


# --- whole columns -------------------------------------------------------------------------------------------------


def _whole(spec: Property, places: Places, fallback: Any, *, dated: bool) -> _Whole | None:
    if spec.hash or spec.path:
        return None
    if spec.column is not None:
        return _whole_column(spec, places, fallback, dated=dated)
    if spec.template is not None:
        return _whole_template(spec.template, places, fallback) if spec.type in (None, "string") else None
    constant = canonical(plain_value(spec, places)(()))
    value = fallback if constant is None else constant
    return lambda columns: Converted([value] * len(columns), gaps=value is UNSET)


def _whole_column(spec: Property, places: Places, fallback: Any, *, dated: bool) -> _Whole | None:
    index, column = places[spec.column or ""]
    convert = whole_column(column.kind, spec.type)
    if convert is None:
        return None

    def converted(columns: Columns) -> Converted | None:
        values = columns[index]
        types = set(map(type, values))
        present = values
        if NoneType in types:
            types.remove(NoneType)
            present = [value for value in values if value is not None]
            if not present:
                return Converted([fallback] * len(values), gaps=fallback is UNSET)
        found = convert(present, types)
        if found is None:
            return None
        before_1970 = dated and min(found) < _EPOCH_YEAR
        if present is not values:
            rest = iter(found)
            found = [fallback if value is None else next(rest) for value in values]
        return Converted(found, {}, before_1970, present is not values and fallback is UNSET)

    return converted


def _whole_template(template: str, places: Places, fallback: Any) -> _Whole | None:
    pattern, names = parse_template(template)
    parts = [_whole_column(Property(column=name, type="string"), places, None, dated=False) for name in names]
    if None in parts:
        return None

    def converted(columns: Columns) -> Converted | None:
        texts: list[Sequence[Any]] = []
        for part in parts:
            found = part(columns) if part else None
            if found is None:
                return None
            texts.append(found.values)
        if any(None in values for values in texts):
            filled = [fallback if None in row else pattern.format(*row) for row in zip(*texts, strict=True)]
            return Converted(filled, gaps=fallback is UNSET)
        return Converted(list(map(pattern.format, *texts)))

    return converted
