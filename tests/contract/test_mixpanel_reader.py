"""Reading profiles back over real sockets."""

from __future__ import annotations

import base64
import json
from urllib.parse import parse_qs

import pytest
from scripted_server import Answer, ScriptedServer, http, reset

from sync_profiles.destination.hosts import hosts
from sync_profiles.destination.mixpanel import IDS_PER_QUERY, PAGE_SIZE, MixpanelReader
from sync_profiles.errors import (
    AccessError,
    ConfigError,
    QuotaError,
    SessionLostError,
    SyncProfilesError,
    TemporaryError,
)

SECRET = "fedcba9876543210"


def reader(url: str) -> MixpanelReader:
    return MixpanelReader(hosts("us", url), project_id=42, account="robot.1", secret=SECRET, timeout_s=10)


def found(*ids: str, **more: object) -> bytes:
    results = [{"$distinct_id": each, "$properties": {"plan": "pro", "n": None}} for each in ids]
    return http(200, json.dumps({"results": results, "status": "ok", "page": 0, **more}).encode())


def test_ids_are_asked_for_with_a_service_account_and_unknown_ones_are_absent() -> None:
    with ScriptedServer(found("2", "é", total=2)) as server:
        profiles = reader(server.url + "/gate").fetch(["1", "2", "é"])
    assert profiles == {"2": {"plan": "pro", "n": None}, "é": {"plan": "pro", "n": None}}
    (request,) = server.requests
    assert request.line == "POST /gate/api/query/engage?project_id=42 HTTP/1.1"
    assert parse_qs(request.body.decode()) == {"distinct_ids": ['["1","2","é"]']}
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert base64.b64decode(request.headers["authorization"].removeprefix("Basic ")) == f"robot.1:{SECRET}".encode()


def test_many_ids_are_asked_for_in_parts_and_none_without_a_request() -> None:
    ids = [str(number) for number in range(IDS_PER_QUERY * 2 + 1)]
    with ScriptedServer(found(*ids[:3]), found(), found(ids[-1])) as server:
        assert list(reader(server.url).fetch(ids)) == [*ids[:3], ids[-1]]
        assert reader(server.url).fetch([]) == {}
    asked = [json.loads(parse_qs(request.body.decode())["distinct_ids"][0]) for request in server.requests]
    assert [len(part) for part in asked] == [IDS_PER_QUERY, IDS_PER_QUERY, 1]
    assert [each for part in asked for each in part] == ids


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (http(401, b'{"error":"Unauthorized"}'), AccessError),
        (http(403, b'{"error":"User is not a member of this project"}'), AccessError),
        (http(400, b"Unable to authenticate request"), AccessError),
        (http(402, b'{"error":"Payment required"}'), AccessError),
        (http(400, b'{"error":"project_id is not a number"}'), ConfigError),
        (http(404), ConfigError),
        (http(302, Location="http://127.0.0.1:1/"), ConfigError),
        (http(429, b'{"error":"Query rate limit exceeded"}'), QuotaError),
        (http(500), TemporaryError),
        (http(504), TemporaryError),
        (http(204), TemporaryError),
        (http(200), TemporaryError),
        (http(200, b"<html>"), TemporaryError),
        (http(200, b'{"status":"ok"}'), TemporaryError),
        (http(200, b'{"results":[{"$distinct_id":7,"$properties":{}}]}'), TemporaryError),
        (http(200, b'{"results":[{"$distinct_id":"\xff","$properties":{}}]}'), TemporaryError),
        (found("1", total=2), TemporaryError),
        (reset, TemporaryError),
    ],
)
def test_every_failure_is_told_apart_and_says_no_secret(answer: Answer, kind: type[SyncProfilesError]) -> None:
    with ScriptedServer(answer) as server, pytest.raises(kind) as caught:
        reader(server.url).fetch(["1"])
    assert type(caught.value) is kind
    told = f"{caught.value.message} {caught.value.hint}"
    assert SECRET not in told
    assert "127.0.0.1" not in told


@pytest.mark.parametrize("status", [401, 402, 404, 429])
def test_what_a_person_can_do_about_it_is_said(status: int) -> None:
    with ScriptedServer(http(status)) as server, pytest.raises(SyncProfilesError) as caught:
        reader(server.url).fetch(["1"])
    assert caught.value.hint


def test_a_proxy_that_refuses_is_no_matter_of_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer(http(407)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with pytest.raises(AccessError, match="proxy refuses"):
            reader("https://mixpanel.example").fetch(["1"])


def test_a_limit_that_names_its_time_is_handed_on() -> None:
    with ScriptedServer(http(429, Retry_After="7")) as server, pytest.raises(QuotaError) as caught:
        reader(server.url).look_up(["1"])
    assert caught.value.retry_after_s == 7


def paged(*ids: str, **more: object) -> bytes:
    return found(*ids, session_id="s-1", **more)


def test_pages_are_turned_within_one_session_and_the_size_is_mixpanels_own() -> None:
    with ScriptedServer(paged("1", "2", total=3, page_size=2), found("3", page_size=2)) as server:
        book = reader(server.url)
        first = book.page(["plan", "é"])
        second = book.page(["plan", "é"], first)
    assert (list(first.profiles), first.size, first.total, first.last) == (["1", "2"], 2, 3, False)
    assert (list(second.profiles), second.number, second.total, second.last) == (["3"], 1, 3, True)
    asked = [parse_qs(request.body.decode()) for request in server.requests]
    assert asked[0] == {"output_properties": ['["plan","é"]'], "page_size": [str(PAGE_SIZE)]}
    assert asked[1] == {"output_properties": ['["plan","é"]'], "page_size": ["2"], "session_id": ["s-1"], "page": ["1"]}


def test_a_full_page_that_completes_the_total_is_the_last() -> None:
    with ScriptedServer(paged("1", "2", total=2, page_size=2)) as server:
        assert reader(server.url).page([]).last


@pytest.mark.parametrize("answer", [http(400, b'{"error":"request for page in uncached query for params"}'), http(404)])
def test_a_session_that_is_over_is_told_from_a_wrong_request(answer: Answer) -> None:
    with ScriptedServer(paged("1", total=2, page_size=1), answer, answer) as server:
        book = reader(server.url)
        with pytest.raises(SessionLostError):
            book.page([], book.page([]))
        with pytest.raises(ConfigError):
            book.page([])


@pytest.mark.parametrize("answer", [found("1", page_size=1), paged("1", total=1), found("1", total=1, page_size=0)])
def test_a_page_that_says_neither_total_nor_size_is_not_believed(answer: bytes) -> None:
    with ScriptedServer(answer) as server, pytest.raises(TemporaryError, match="how many"):
        reader(server.url).page([])
