"""Mixpanel's own description of its API, made into a judge of the bodies this program sends.

The OpenAPI file lists one path per operation ("/engage#profile-set"); a fragment never leaves an HTTP client, so
there is one endpoint, and a body is an array of records of any operation. ``engage_validator`` and
``groups_validator`` put that together. The file is Mixpanel's and not kept here: point SYNC_PROFILES_OPENAPI at
``ingestion.openapi.yaml`` (repository mixpanel/docs, folder openapi), or the tests that need it are skipped.

    from openapi import assert_valid_bodies
    with Sandbox(keep_bodies=True) as sandbox:
        ...
        assert_valid_bodies(sandbox)
"""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from jsonschema import Draft202012Validator

from sync_profiles.sandbox.server import Sandbox

_DEFAULT = Path(__file__).parent.parent.parent / "shared" / "mixpanel" / "ingestion.openapi.yaml"
_IDS = {"/engage": ("$token", "$distinct_id"), "/groups": ("$token", "$group_key", "$group_id")}
_RECORDS_MAX = 2000  # of the reference pages; the file does not say it

Schema = dict[str, Any]


def openapi_file() -> Path | None:
    """Where Mixpanel's OpenAPI file is on this machine; None when it is not."""
    path = Path(os.environ.get("SYNC_PROFILES_OPENAPI") or _DEFAULT)
    return path if path.is_file() else None


def engage_validator() -> Draft202012Validator | None:
    """A validator of whole /engage bodies; None without the OpenAPI file."""
    return _validator("/engage")


def groups_validator() -> Draft202012Validator | None:
    """A validator of whole /groups bodies; None without the OpenAPI file."""
    return _validator("/groups")


def assert_valid_bodies(sandbox: Sandbox) -> None:
    """Every body the sandbox was sent (it must keep bodies) is what Mixpanel's OpenAPI file asks for.

    Without the file nothing is judged: ``needs_openapi`` skips a test that lives by it.
    """
    for request in sandbox.requests:
        validator = _validator(request.path) if request.path in _IDS else None
        if validator is None:
            continue
        assert request.body is not None, "make the sandbox with keep_bodies=True"
        problems = [
            f"{error.json_path}: {error.message[:200]}"
            for error in validator.iter_errors(msgspec.json.decode(request.body))
        ]
        assert not problems, f"request {request.number} to {request.path}: " + "; ".join(problems[:5])


needs_openapi = pytest.mark.skipif(
    openapi_file() is None, reason="no ingestion.openapi.yaml of Mixpanel here; name it in SYNC_PROFILES_OPENAPI"
)


@functools.cache
def _validator(endpoint: str) -> Draft202012Validator | None:
    path = openapi_file()
    if path is None:
        return None
    schema = body_schema(yaml.safe_load(path.read_text("utf-8")), endpoint)
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def body_schema(spec: Mapping[str, Any], endpoint: str) -> Schema:
    """The JSON Schema of a body of ``endpoint``: an array of records, each with exactly one operation."""
    operations = _operations(spec, endpoint)
    record: Schema = {
        "oneOf": [{"required": [operation]} for operation in operations],
        "allOf": [{"if": {"required": [operation]}, "then": schema} for operation, schema in operations.items()],
    }
    return {"type": "array", "minItems": 1, "maxItems": _RECORDS_MAX, "items": record}


def _operations(spec: Mapping[str, Any], endpoint: str) -> dict[str, Schema]:
    """Operation -> schema of its record, as far as the file has one."""
    found = {}
    for path, methods in spec["paths"].items():
        if not path.startswith(endpoint + "#"):
            continue
        body = methods["post"]["requestBody"]["content"]["application/json"]["schema"]
        if body.get("type") != "array":
            continue  # the batch page calls its array a string
        (operation,) = set(body["items"]["properties"]) - {*_IDS[endpoint], "$ignore_alias"}
        # Of two group pages "required" names another operation than the one they describe.
        required = [*_IDS[endpoint], operation]
        found[operation] = {**_plain(copy.deepcopy(body["items"])), "required": required}
    return found


def _plain(schema: Any) -> Any:
    """OpenAPI's ``nullable`` in the words of JSON Schema."""
    if isinstance(schema, list):
        return [_plain(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {name: _plain(one) for name, one in schema.items() if name != "nullable"}
    if schema.get("nullable") is True:
        plain["type"] = [schema["type"], "null"]
    return plain
