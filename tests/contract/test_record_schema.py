"""Mixpanel's own description of its API judges every kind of record the mapper makes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from mappings import column, known, mapper, outgoing
from openapi import engage_validator, groups_validator, needs_openapi

from sync_profiles.core.types import Outgoing

pytestmark = needs_openapi

ROW = {"plan": "pro", "mrr": "10.50", "first": "Ada", "roles": '["admin", 2]', "settings": '{"b": [1.50]}'}
SPEC: dict[str, Any] = {
    "set": {"plan": column("plan"), "mrr": column("mrr"), "settings": column("settings"), "score": column("score")},
    "set_once": {"first": column("first")},
    "union": {"roles": column("roles"), "tag": column("plan")},
}


def bodies(**spec: Any) -> list[Outgoing]:
    made = mapper(**SPEC, **spec)
    before = known(("plan", "score", "roles", "gone"))
    return [
        outgoing(made, ROW),
        outgoing(made, ROW, before),
        outgoing(made, {}),
        outgoing(made, {}, before),
        outgoing(made, {"roles": "[]", "plan": '\n\x01"\\'}, every_null=True),
        made.removal("1", "1", (), policy="unset"),
        made.removal("1", "1", ("plan",), policy="unset"),
        made.removal("1", "1", ("plan",), policy="delete"),
    ]


@pytest.mark.parametrize("on_null", ["unset", "skip", "null"])
@pytest.mark.parametrize("group_key", [None, "company"])
@pytest.mark.parametrize("ignore_time", [False, True])
def test_every_body_is_what_mixpanel_asks_for(on_null: str, group_key: str | None, ignore_time: bool) -> None:
    validator = engage_validator() if group_key is None else groups_validator()
    assert validator is not None
    for made in bodies(on_null=on_null, group_key=group_key, ignore_time=ignore_time):
        records = msgspec.json.decode(b"[" + made.body + b"]")
        assert len(records) == made.records
        assert [error.message for error in validator.iter_errors(records)] == []
