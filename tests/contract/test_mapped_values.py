"""From a table of a real database to the properties that are sent: the table of values, end to end."""

from __future__ import annotations

from typing import Any

import msgspec
from servers import LiveDatabase
from sources import FULL, model_of

from sync_profiles.core.mapping import compile_mapping
from sync_profiles.core.types import MappingSpec, Outgoing, Profile, Property, Unmappable
from sync_profiles.source.sql import open_source


def mapped(database: LiveDatabase, **properties: Property) -> list[Any]:
    """What is sent of each row of ``users``, or why it cannot be: all columns but the key, and ``properties``."""
    model = model_of(database)
    entries = {name: Property(column=name) for name in model.columns if name != "id"} | properties
    mapper = compile_mapping(MappingSpec(set=entries), tuple(model.columns.values()), model.primary_key, token="t")
    source = open_source(model, mapper.columns, distinct_id=None)
    found = [entry for page in source.pages(FULL) for entry in mapper(page).mapped]
    return [properties_of(mapper.outgoing(entry, None)) if isinstance(entry, Profile) else entry for entry in found]


def properties_of(sent: Outgoing | Unmappable) -> dict[str, str]:
    """Property -> its JSON text, byte for byte."""
    assert isinstance(sent, Outgoing)
    record = msgspec.json.decode(sent.body, type=dict[str, msgspec.Raw])
    fields = msgspec.json.decode(record["$set"], type=dict[str, msgspec.Raw])
    return {name: bytes(value).decode() for name, value in fields.items()}


def test_postgresql(postgres_database: LiveDatabase) -> None:
    postgres_database.execute(
        """CREATE TABLE users (
           id bigint PRIMARY KEY, name text, big bigint, mrr numeric(10,2), ratio float8, ok boolean,
           at timestamptz, naive timestamp, day date, clock time, span interval, doc json, docb jsonb, tags text[],
           grid int[], uid uuid)""",
        """INSERT INTO users VALUES
           (1, 'Zoë', 9007199254740993, 10.50, 0.5, true, '2024-05-01 12:00:00.1239+02', '2024-05-01 10:00:00',
            '2024-05-01', '10:00:00.5', '1 hour', '{"b": 1.50,  "a": 1}', '{"b": 1.50,  "a": 1}', '{b,a}', '{{1,2}}',
            '8c8a2c5e-7b1f-4a52-9d3c-0123456789ab')""",
        "INSERT INTO users (id, ratio) VALUES (2, 'NaN')",
        "INSERT INTO users (id, at) VALUES (3, 'infinity')",
        "INSERT INTO users (id, docb) VALUES (4, 'null')",
    )
    full, nan, infinite, empty = mapped(postgres_database, theme=Property(column="docb", path="b", type="string"))
    assert full == {
        "name": '"Zoë"',
        "big": '"9007199254740993"',
        "mrr": "10.50",
        "ratio": "0.5",
        "ok": "true",
        "at": '"2024-05-01T10:00:00.123"',
        "naive": '"2024-05-01T10:00:00"',
        "day": '"2024-05-01"',
        "clock": '"10:00:00"',
        "span": "3600",
        "doc": '{"b": 1.50,  "a": 1}',
        "docb": '{"a": 1, "b": 1.50}',
        "tags": '["b", "a"]',
        "grid": "[[1, 2]]",
        "uid": '"8c8a2c5e-7b1f-4a52-9d3c-0123456789ab"',
        "theme": '"1.50"',
    }
    assert (nan.code, infinite.code) == ("not_finite", "not_finite")
    assert empty == {}


def test_mariadb(mariadb_database: LiveDatabase) -> None:
    mariadb_database.execute(
        "SET sql_mode = ''",
        """CREATE TABLE users (id bigint unsigned PRIMARY KEY, name varchar(20), mrr decimal(10,2), ok tinyint(1),
           at datetime(6), day date, clock time, doc json, tags set('b','a'), packed binary(16))""",
        """INSERT INTO users VALUES (18446744073709551615, 'Zoë', 10.50, 1, '2024-05-01 10:00:00.5', '2024-05-01',
           '-30:00:00', '{"b": 1.50,  "a": 1}', 'b,a', x'8c8a2c5e7b1f4a529d3c0123456789ab')""",
        "INSERT INTO users (id, at, day) VALUES (2, '0000-00-00 00:00:00', '2024-00-10')",
    )
    uid, doc = Property(column="packed", type="uuid"), Property(column="doc", type="json")
    zero, full = mapped(mariadb_database, packed=uid, doc=doc)
    assert full == {
        "name": '"Zoë"',
        "mrr": "10.50",
        "ok": "true",
        "at": '"2024-05-01T10:00:00.500"',
        "day": '"2024-05-01"',
        "clock": '"-30:00:00"',
        "doc": '{"b": 1.50,  "a": 1}',
        "tags": '["a","b"]',
        "packed": '"8c8a2c5e-7b1f-4a52-9d3c-0123456789ab"',
    }
    assert zero == {}


def test_sqlite(sqlite_database: LiveDatabase) -> None:
    sqlite_database.execute(
        """CREATE TABLE users (
           id INTEGER PRIMARY KEY, name TEXT, mrr DECIMAL(10,2), ok BOOLEAN, at DATETIME, iso TIMESTAMP,
           epoch DATETIME, day DATE, doc JSON, loose)""",
        """INSERT INTO users VALUES (1, 'Zoë', 10.5, 1,
           '2024-05-01 10:00:00.123456', '2024-05-01T10:00:00Z', 1714557600,
           '2024-05-01', '{"b": 1.50}', 'x')""",
        "INSERT INTO users (id, name) VALUES (2, CAST(x'ff41' AS TEXT)), (3, x'00'), (5, 7)",
        "INSERT INTO users (id, name) VALUES (4, 'a' || char(0) || 'b')",
    )
    full, undecodable, blob, nul, number = mapped(sqlite_database)
    assert full == {
        "name": '"Zoë"',
        "mrr": "10.5",
        "ok": "true",
        "at": '"2024-05-01T10:00:00.123"',
        "iso": '"2024-05-01T10:00:00"',
        "epoch": '"2024-05-01T10:00:00"',
        "day": '"2024-05-01"',
        "doc": '{"b": 1.50}',
        "loose": '"x"',
    }
    assert (undecodable.code, blob.code, nul.code) == ("bad_value", "bytes", "bad_value")
    assert number == {"name": '"7"'}
