"""Mappings over one table of every kind of column, and what they make of its rows."""

from __future__ import annotations

from typing import Any

import msgspec

from sync_profiles.core.mapping import Mapper, compile_mapping
from sync_profiles.core.types import (
    Column,
    Kind,
    Known,
    Mapped,
    MappingSpec,
    Outgoing,
    Page,
    Profile,
    Property,
    Unmappable,
)

KINDS = {
    "id": Kind.INTEGER,
    "uid": Kind.UUID,
    "email": Kind.TEXT,
    "first": Kind.TEXT,
    "last": Kind.TEXT,
    "plan": Kind.TEXT,
    "created_at": Kind.INSTANT,
    "born": Kind.DATE,
    "seen": Kind.DATETIME,
    "active": Kind.BOOLEAN,
    "mrr": Kind.DECIMAL,
    "score": Kind.FLOAT,
    "settings": Kind.JSON,
    "extra": Kind.JSONB,
    "roles": Kind.LIST,
    "raw": Kind.BYTES,
    "any": Kind.ANY,
    "deleted_at": Kind.DATETIME,
    "password": Kind.TEXT,
    "api_Token": Kind.TEXT,
}
COLUMNS = tuple(Column(name, kind, kind.value) for name, kind in KINDS.items())


def column(name: str, **more: Any) -> Property:
    return Property(column=name, **more)


def mapper(primary_key: tuple[str, ...] = ("id",), **spec: Any) -> Mapper:
    spec.setdefault("set", {"plan": column("plan")})
    return compile_mapping(MappingSpec(**spec), COLUMNS, primary_key, token="T0KEN")


def page(mapping: Mapper, *rows: dict[str, Any]) -> Page:
    """Rows by column name; the key and ``id`` count from 1 where they are not given."""
    numbered = [{"id": number, **row} for number, row in enumerate(rows, 1)]
    return Page([str(row["id"]) for row in numbered], [tuple(map(row.get, mapping.columns)) for row in numbered])


def mapped(mapping: Mapper, *rows: dict[str, Any]) -> list[Mapped]:
    return list(mapping(page(mapping, *rows)).mapped)


def profile(mapping: Mapper, **row: Any) -> Profile:
    (entry,) = mapped(mapping, row)
    assert isinstance(entry, Profile), entry
    return entry


def rejected(mapping: Mapper, **row: Any) -> Unmappable:
    (entry,) = mapped(mapping, row)
    assert isinstance(entry, Unmappable), entry
    return entry


def properties(mapping: Mapper, **row: Any) -> Any:
    return msgspec.json.decode(profile(mapping, **row).set_json)


def known(shape: tuple[str, ...] = (), distinct_id: str = "1") -> Known:
    return Known(distinct_id, b"." * 16, shape, acknowledged_at=0, run=1, ordinal=0)


def outgoing(mapping: Mapper, row: dict[str, Any], before: Known | None = None, **more: Any) -> Outgoing:
    made = mapping.outgoing(profile(mapping, **row), before, **more)
    assert isinstance(made, Outgoing), made
    return made


def records(made: Outgoing) -> list[dict[str, Any]]:
    decoded: list[dict[str, Any]] = msgspec.json.decode(b"[" + made.body + b"]")
    assert len(decoded) == made.records
    return decoded


def operations(made: Outgoing) -> dict[str, Any]:
    """Operation -> payload, without the envelope."""
    envelope = {"$token", "$distinct_id", "$ip", "$group_key", "$group_id", "$ignore_time", "$ignore_alias"}
    return {name: value for record in records(made) for name, value in record.items() if name not in envelope}
