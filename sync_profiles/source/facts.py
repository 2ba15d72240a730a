"""What ``check`` asks of a model: small questions, each answered by the database in one statement where that can be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa

from sync_profiles.core.distinct_ids import BYTES_MAX, REFUSED
from sync_profiles.core.facts import Count, CursorFacts, IdFacts, TableFacts
from sync_profiles.core.keys import keys_of
from sync_profiles.core.mapping_rules import looks_secret, placed_properties
from sync_profiles.core.templates import parse_template
from sync_profiles.core.types import Key, Kind, MappingSpec
from sync_profiles.source.catalogue import CATALOGUES
from sync_profiles.source.cursor import clamped
from sync_profiles.source.dialect import Element
from sync_profiles.source.distinct import id_match, id_text, ids_are_unique
from sync_profiles.source.model import Model
from sync_profiles.source.statements import AsStored

KEYS_NAMED = 3

_ONE: Element = sa.literal_column("1")
_ZERO: Element = sa.literal_column("0")
_Condition = sa.ColumnElement[bool]
_Answer = TypeVar("_Answer")


class SourceFacts:
    """The facts of one sync's model under its mapping. Raises what every source raises."""

    def __init__(self, model: Model, mapping: MappingSpec) -> None:
        self._model = model
        self._mapping = mapping
        self._database = model.database
        self._dialect = model.database.dialect
        self._catalogue = CATALOGUES[self._dialect.name]
        self._keys = [self._dialect.place(model.element(name), model.columns[name]) for name in model.primary_key]
        self._schema = getattr(model.origin, "schema", None)

    def table(self) -> TableFacts:
        """Rights, key, change column, secrets, size and the database's clock."""
        model, database = self._model, self._database
        sent = _sent_columns(self._mapping)
        missing = sa.or_(*(place.element.is_(None) for place in self._keys))
        rows, null_keys = database.fetch(model.select(sa.func.count(), _count_if(missing)))[0]
        return TableFacts(
            rows=int(rows),
            key=model.primary_key,
            certain_key=model.certain_key,
            null_keys=int(null_keys or 0),
            shared_keys=0 if model.certain_key else self._shared_keys(),
            detection=model.detection,
            notes=model.notes,
            cursor=self._cursor(),
            read_only=database.within(self._catalogue.read_only),
            may_write=self._asked(self._catalogue.may_write, otherwise=()),
            row_security=self._asked(self._catalogue.hides, otherwise=False),
            secrets=tuple(name for name in model.columns if looks_secret(name) and name not in sent),
            sent_secrets=tuple(name for name in model.columns if looks_secret(name) and name in sent),
            now=float(database.fetch(sa.select(self._dialect.epoch()))[0][0]),
        )

    def _asked(self, question: Callable[[sa.Connection, str | None, str], _Answer], *, otherwise: _Answer) -> _Answer:
        """The catalogue's answer about the table; ``otherwise`` for a query, of which it knows nothing."""
        table = self._model.spec.table
        if table is None:
            return otherwise
        return self._database.within(lambda connection: question(connection, self._schema, table))

    def _shared_keys(self) -> int:
        places = [place.element for place in self._keys]
        present = sa.and_(*(place.is_not(None) for place in places))
        groups = self._model.select(sa.func.count().label("n")).where(present).group_by(*places)
        return self._sum_of(groups.having(sa.func.count() > _ONE))

    def _cursor(self) -> CursorFacts | None:
        model, table = self._model, self._model.spec.table
        name = model.spec.cursor
        if name is None or model.detection != "cursor":
            return None
        element, column = model.element(name), model.columns[name]
        # Of the whole table, like a watermark: a row outside of where may lie ahead, too.
        asked = (self._dialect.newest(element, column), self._dialect.epoch(), self._dialect.ahead(element, column))
        value, now, ahead = self._database.fetch(sa.select(*asked).select_from(model.origin), place="cursor")[0]
        reached = clamped(value, float(now), column, self._dialect)
        nulls = self._database.fetch(model.select(_count_if(element.is_(None))))[0][0]

        def look(connection: sa.Connection) -> CursorFacts:
            known = table is not None
            return CursorFacts(
                name=name,
                nulls=int(nulls or 0),
                ahead=bool(ahead) or (reached is not None and reached != str(value)),
                indexed=self._catalogue.indexed(connection, self._schema, table, name) if table is not None else None,
                stamped_by=self._catalogue.stamped_by(connection, self._schema, table or "", name) if known else None,
            )

        return self._database.within(look)

    # --- distinct IDs ------------------------------------------------------------------------------------------

    def ids(self) -> IdFacts:
        """Distinct IDs that cannot be sent, counted; rows that count as deleted are left out."""
        text = id_text(self._mapping.distinct_id, self._model)
        counts = self._unusable(text) if text is not None else {}
        match = None if text is not None else id_match(self._mapping.distinct_id, self._model)
        equal = self._catalogue.exact(text) if text is not None else match.element if match is not None else None
        unique = ids_are_unique(self._mapping.distinct_id, self._model)
        if equal is not None and not unique:
            counts |= self._groups("duplicate", equal, sa.func.count() > _ONE)
        if text is not None and self._has_letters():
            folded = self._catalogue.exact(sa.func.lower(text))
            counts |= self._groups("case_twin", folded, sa.func.count(sa.distinct(self._catalogue.exact(text))) > _ONE)
        return IdFacts(counts, judged=text is not None, compared=equal is not None or unique)

    def _has_letters(self) -> bool:
        given = self._mapping.distinct_id
        column = self._model.primary_key[0] if given is None else given.column
        return column is None or self._model.columns[column].kind not in {Kind.INTEGER, Kind.UUID, Kind.DECIMAL}

    def _unusable(self, text: Element) -> dict[str, Count]:
        """In the order of ``core.distinct_ids``: each row counts once."""
        lowered = sa.func.lower(text)
        refused = sa.type_coerce(self._catalogue.exact(lowered), AsStored()).in_(sorted(REFUSED))
        verdict = sa.case(
            (text.is_(None), "null"),
            (self._catalogue.blank(text), "blank"),
            (self._catalogue.padded(text), "padded"),
            (self._catalogue.size(text) > sa.literal_column(str(BYTES_MAX)), "long"),
            (refused, "refused"),
        )
        judged = self._model.select(verdict.label("verdict")).where(*self._alive()).subquery()
        counted = sa.select(judged.c.verdict, sa.func.count()).group_by(judged.c.verdict)
        found = {str(name): int(rows) for name, rows in self._database.fetch(counted) if name is not None}
        return {name: Count(rows, self._some_keys(verdict == name)) for name, rows in found.items()}

    def _groups(self, code: str, element: Element, shared: _Condition) -> dict[str, Count]:
        inner = self._model.select(sa.func.count().label("n")).where(element.is_not(None), *self._alive())
        rows = self._sum_of(inner.group_by(element).having(shared))
        if not rows:
            return {}
        values = self._model.select(element).where(element.is_not(None), *self._alive())
        keys = self._some_keys(element.in_(values.group_by(element).having(shared)))
        return {code: Count(rows, keys)}

    def _sum_of(self, groups: sa.Select[Any]) -> int:
        counted = groups.subquery()
        return int(self._database.fetch(sa.select(sa.func.sum(counted.c.n)))[0][0] or 0)

    def _alive(self) -> list[_Condition]:
        """Rows that surely do not count as deleted."""
        name = self._mapping.deleted
        if name is None:
            return []
        element, kind = self._model.element(name), self._model.columns[name].kind
        if kind is Kind.BOOLEAN:
            return [sa.or_(element.is_(None), sa.not_(element))]
        return [sa.or_(element.is_(None), element == _ZERO) if kind is Kind.INTEGER else element.is_(None)]

    # --- keys --------------------------------------------------------------------------------------------------

    def newest_keys(self, limit: int) -> Sequence[Key]:
        """The keys at the end of the table, where new rows usually are."""
        ordered = self._model.select(*(place.selected for place in self._keys)).limit(limit)
        present = [place.element.is_not(None) for place in self._keys]
        ordered = ordered.where(*present).order_by(*(place.element.desc() for place in self._keys))
        return _as_keys(self._database.fetch(ordered))

    def _some_keys(self, condition: _Condition) -> tuple[Key, ...]:
        some = self._model.select(*(place.selected for place in self._keys)).where(condition, *self._alive())
        ordered = some.order_by(*(place.element for place in self._keys)).limit(KEYS_NAMED)
        return tuple(_as_keys(self._database.fetch(ordered)))


def _as_keys(rows: Sequence[Any]) -> Sequence[Key]:
    return keys_of(list(zip(*rows, strict=True))) if rows else []


def _sent_columns(mapping: MappingSpec) -> set[str]:
    """Columns whose values can be read in a property; a hash cannot."""
    plain = [given for _, _, given in placed_properties(mapping) if given.hash is None]
    templates = [parse_template(given.template)[1] for given in plain if given.template is not None]
    return {given.column for given in plain if given.column is not None}.union(*templates)


def _count_if(condition: _Condition) -> Element:
    return sa.func.sum(sa.case((condition, _ONE), else_=_ZERO))
