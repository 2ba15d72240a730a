"""The judge made of Mixpanel's OpenAPI file lets good bodies pass and stops bad ones."""

from __future__ import annotations

import msgspec
import pytest
import requests
from openapi import assert_valid_bodies, engage_validator, groups_validator, needs_openapi

from sync_profiles.sandbox.server import Sandbox

pytestmark = needs_openapi

USER = {"$token": "t", "$distinct_id": "7"}
GROUP = {"$token": "t", "$group_key": "company", "$group_id": "7"}


def is_valid_engage(body: object) -> bool:
    validator = engage_validator()
    assert validator is not None
    return bool(validator.is_valid(body))


def is_valid_groups(body: object) -> bool:
    validator = groups_validator()
    assert validator is not None
    return bool(validator.is_valid(body))


@pytest.mark.parametrize(
    "operation",
    [
        {"$set": {"plan": "pro", "gone": None}},
        {"$set_once": {"$created": "2024-05-01T10:00:00"}},
        {"$unset": ["plan"]},
        {"$add": {"coins": -1.5}},
        {"$append": {"seen": {"a": 1}}},
        {"$union": {"roles": ["admin", 1]}},
        {"$remove": {"roles": "admin"}},
        {"$delete": ""},
        {"$delete": None},
    ],
    ids=str,
)
def test_each_operation_passes_with_the_extras_of_the_guides(operation: dict[str, object]) -> None:
    assert is_valid_engage([{**USER, "$ip": "0", "$ignore_time": True, **operation}])


@pytest.mark.parametrize(
    "body",
    [
        [],
        {**USER, "$set": {}},
        [{**USER}],
        [{**USER, "$set": {}, "$unset": ["a"]}],
        [{**USER, "$set": []}],
        [{**USER, "$unset": []}],
        [{**USER, "$unset": [1]}],
        [{**USER, "$add": {"a": "1"}}],
        [{**USER, "$union": {"a": []}}],
        [{**USER, "$union": {"a": [True]}}],
        [{"$token": "t", "$distinct_id": 7, "$set": {}}],
        [{"$distinct_id": "7", "$set": {}}],
        [{"$token": "t", "$set": {}}],
        [{**USER, "$set": {}}] * 2001,
    ],
    ids=lambda body: str(body)[:60],
)
def test_a_body_mixpanel_does_not_describe_is_stopped(body: object) -> None:
    assert not is_valid_engage(body)


def test_operations_of_users_and_groups_mix_in_one_body() -> None:
    assert is_valid_engage([{**USER, "$set": {"a": 1}}, {**USER, "$unset": ["b"]}, {**USER, "$delete": ""}])
    assert is_valid_groups([{**GROUP, "$set": {"a": 1}}, {**GROUP, "$union": {"b": ["x"]}}, {**GROUP, "$delete": ""}])


@pytest.mark.parametrize("operation", [{"$add": {"a": 1}}, {"$append": {"a": 1}}, {}, {"$union": {"a": []}}], ids=str)
def test_groups_know_fewer_operations(operation: dict[str, object]) -> None:
    assert not is_valid_groups([{**GROUP, **operation}])


def test_every_body_a_sandbox_kept_is_judged() -> None:
    with Sandbox(keep_bodies=True) as sandbox:
        requests.post(f"{sandbox.url}/engage", json=[{**USER, "$set": {"a": 1}}], timeout=10)
        requests.post(f"{sandbox.url}/groups", json=[{**GROUP, "$set": {"a": 1}}], timeout=10)
        assert_valid_bodies(sandbox)
        requests.post(f"{sandbox.url}/engage", json=[{"$token": "t", "$distinct_id": 7, "$set": {}}], timeout=10)
        with pytest.raises(AssertionError, match=r"request 3 to /engage: .*distinct_id.*7 is not of type"):
            assert_valid_bodies(sandbox)


def test_judging_without_kept_bodies_is_an_error_not_a_pass() -> None:
    with Sandbox() as sandbox:
        requests.post(f"{sandbox.url}/engage", data=msgspec.json.encode([{**USER, "$set": {}}]), timeout=10)
        with pytest.raises(AssertionError, match="keep_bodies"):
            assert_valid_bodies(sandbox)
