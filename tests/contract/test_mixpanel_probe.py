"""What is asked of Mixpanel without a profile and without a query, over real sockets."""

from __future__ import annotations

import base64
import json

import pytest
from scripted_server import Answer, ScriptedServer, http, reset

from sync_profiles.core.facts import ReachFacts
from sync_profiles.destination.hosts import hosts
from sync_profiles.destination.probe import Probe
from sync_profiles.errors import AccessError, ConfigError, SyncProfilesError, TemporaryError
from sync_profiles.sandbox.server import PROJECT_ID, SERVICE_ACCOUNT, SERVICE_SECRET, Sandbox

SECRET = "fedcba9876543210"


def probe(url: str) -> Probe:
    return Probe(hosts("us", url), timeout_s=10)


def test_the_sandbox_is_reached_and_nothing_is_stored_and_no_query_spent() -> None:
    with Sandbox() as sandbox:
        sandbox.queries.per_hour = 0
        assert probe(sandbox.url).reach().expected
        assert probe(sandbox.url).projects(SERVICE_ACCOUNT, SERVICE_SECRET) == [PROJECT_ID]
        assert sandbox.profiles == {}
        assert [request.records for request in sandbox.requests] == [0, 0]


def test_a_wrong_secret_is_told_by_the_sandbox() -> None:
    with Sandbox() as sandbox, pytest.raises(AccessError):
        probe(sandbox.url).projects(SERVICE_ACCOUNT, "wrong")


@pytest.mark.parametrize(
    ("answer", "status", "expected"),
    [
        (http(200, b'{"status":0,"error":"data, missing or empty"}'), 200, True),
        (http(400, b'{"error":"data, missing or empty","status":0}'), 400, True),
        (http(200, b"<html>please log in</html>"), 200, False),
        (http(200, b"1"), 200, False),
        (http(302, Location="http://127.0.0.1:1/"), 302, False),
        (http(404, b'{"error":"Not Found"}'), 404, False),
        (http(503), 503, False),
    ],
)
def test_only_an_answer_in_mixpanels_form_counts_as_mixpanel(answer: Answer, status: int, expected: bool) -> None:
    with ScriptedServer(answer) as server:
        assert probe(server.url).reach() == ReachFacts(status, expected=expected)
    (request,) = server.requests
    assert request.body == b"[]"


def test_nobody_there_is_told_without_the_address() -> None:
    with ScriptedServer(reset) as server:
        found = probe(server.url).reach()
    assert (found.status, found.expected) == (None, False)
    assert found.why
    assert "127.0.0.1" not in found.why


def test_the_account_is_asked_for_by_get_with_its_own_credentials() -> None:
    body = json.dumps({"status": "ok", "results": {"projects": {"7": {}, "12": {}, "odd": {}}}}).encode()
    with ScriptedServer(http(200, body)) as server:
        assert probe(server.url).projects("robot.1", SECRET) == [7, 12]
    (request,) = server.requests
    assert request.line == "GET /api/app/me HTTP/1.1"
    assert base64.b64decode(request.headers["authorization"].removeprefix("Basic ")) == f"robot.1:{SECRET}".encode()


def test_an_answer_that_lists_no_projects_says_nothing_about_them() -> None:
    with ScriptedServer(http(200, b'{"status":"ok","results":{"organizations":{}}}')) as server:
        assert probe(server.url).projects("robot.1", SECRET) is None


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (http(401, b'{"error":"Invalid credentials"}'), AccessError),
        (http(403), AccessError),
        (http(404), ConfigError),
        (http(302, Location="http://127.0.0.1:1/"), ConfigError),
        (http(429), TemporaryError),
        (http(500), TemporaryError),
        (http(200, b"<html>"), TemporaryError),
        (http(200, b'{"status":"ok"}'), TemporaryError),
        (http(200, b"\xff"), TemporaryError),
        (reset, TemporaryError),
    ],
)
def test_every_failure_of_the_account_is_told_apart(answer: Answer, kind: type[SyncProfilesError]) -> None:
    with ScriptedServer(answer) as server, pytest.raises(kind) as caught:
        probe(server.url).projects("robot.1", SECRET)
    told = f"{caught.value.message} {caught.value.hint}"
    assert SECRET not in told
    assert "127.0.0.1" not in told


def test_a_proxy_that_refuses_is_a_matter_of_rights(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer(http(407)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with pytest.raises(AccessError, match="proxy refuses"):
            probe("https://mixpanel.example").projects("robot.1", SECRET)
