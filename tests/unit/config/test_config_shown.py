"""What people and editors are shown follows from the same tables that are read."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from typing import Any

import jsonschema
import msgspec
import pytest

from sync_profiles.config import json_schema, parse, resolved
from sync_profiles.config.model import MixpanelConfig, RunConfig, SourceConfig, StateConfig, SyncConfig
from sync_profiles.config.settings import PROPERTY, SECTIONS, SYNC, SYNC_MAPPING, Setting
from sync_profiles.core.types import MappingSpec, Property

TEXT = """\
[source]
url = "postgresql://app:${PW}@db/app"
[mixpanel]
token = "${MIXPANEL_TOKEN}"
region = "${REGION:-eu}"
[run]
deadline = 0
healthcheck_url = "https://health.example.com/ping"
[sync.users]
query_file = "users.sql"
primary_key = ["tenant", "id"]
distinct_id = "id"
copy = ["plan"]
max_delete = 7
full_every = "never"
updated_at = "keep"
[sync.users.set]
"$email" = "email"
mrr = { column = "${COLUMN}", type = "number", default = 0 }
"""
ENVIRON = {"PW": "pw-of-db", "COLUMN": "mrr"}


def shown(text: str = TEXT) -> dict[str, tuple[str, str]]:
    config = parse(
        text,
        ENVIRON,
        path="config.toml",
        dotenv={"MIXPANEL_TOKEN": "token-of-project"},
        read_query=lambda name: "SELECT 1",
    )
    return {key: (value, origin) for key, value, origin in resolved(config)}


@pytest.mark.parametrize(
    ("key", "value", "origin"),
    [
        ("source.url", "***", "environment PW"),
        ("source.statement_timeout", "15m", "default"),
        ("mixpanel.token", "***", ".env MIXPANEL_TOKEN"),
        ("mixpanel.region", "eu", "config.toml:5"),
        ("mixpanel.service_secret", "-", "default"),
        ("mixpanel.concurrency", "4", "default"),
        ("state.url", "-", "default"),
        ("run.deadline", "0", "config.toml:7"),
        ("run.healthcheck_url", "***", "config.toml:8"),
        ("sync.users.table", "-", "default"),
        ("sync.users.query_file", "users.sql", "config.toml:10"),
        ("sync.users.primary_key", "tenant, id", "config.toml:11"),
        ("sync.users.distinct_id", "id", "config.toml:12"),
        ("sync.users.max_delete", "7", "config.toml:14"),
        ("sync.users.max_reject", "1%", "default"),
        ("sync.users.full_every", "never", "config.toml:15"),
        ("sync.users.lookback", "-", "default"),
        ("sync.users.updated_at", "keep", "config.toml:16"),
        ("sync.users.on_null", "unset", "default"),
        ("sync.users.set.plan", "plan", "config.toml:13"),
        ('sync.users.set."$email"', "email", "config.toml:18"),
        ("sync.users.set.mrr", '{"column":"mrr","type":"number","default":0}', "environment COLUMN, config.toml:19"),
    ],
)
def test_each_value_is_shown_as_it_would_be_written_with_its_origin(key: str, value: str, origin: str) -> None:
    assert shown()[key] == (value, origin)


def test_no_secret_is_shown_and_a_query_file_is_named_rather_than_printed() -> None:
    text = str(shown())

    assert "pw-of-db" not in text
    assert "token-of-project" not in text
    assert "sync.users.query" not in shown()


def names(struct: Any) -> set[str]:
    return {field.name for field in msgspec.structs.fields(struct)}


@pytest.mark.parametrize(
    ("settings", "attributes"),
    [
        (SECTIONS["source"], names(SourceConfig)),
        (SECTIONS["mixpanel"], names(MixpanelConfig)),
        (SECTIONS["state"], names(StateConfig)),
        (SECTIONS["run"], names(RunConfig)),
        (PROPERTY, names(Property)),
        (
            SYNC,
            names(SyncConfig) - {"name", "mapping"}
            | {f"mapping.{name}" for name in names(MappingSpec) - {*SYNC_MAPPING}},
        ),
    ],
)
def test_every_field_of_the_configuration_has_its_key_and_the_other_way_round(
    settings: Iterable[Setting], attributes: set[str]
) -> None:
    assert {setting.attribute for setting in settings} == attributes


def test_the_schema_takes_what_is_read_and_refuses_unknown_keys() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    check = jsonschema.Draft202012Validator(schema)

    check.validate(tomllib.loads(TEXT))
    for wrong in [
        TEXT.replace("[run]", "[rum]"),
        TEXT.replace("region =", "regoin ="),
        TEXT.replace('"${REGION:-eu}"', '"mars"'),
        TEXT.replace('token = "${MIXPANEL_TOKEN}"\n', ""),
        TEXT.replace("type =", "typ ="),
        TEXT.replace("[sync.users", "[sync.'a b'"),
        TEXT.replace("max_delete = 7", "page_size = 0"),
    ]:
        assert list(check.iter_errors(tomllib.loads(wrong))), wrong
