"""The sandbox answers like the live Mixpanel, over real sockets: recorded replies, clients, faults, reading back."""

from __future__ import annotations

import base64
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode

import mixpanel
import pytest
import requests

from sync_profiles.errors import UsageError
from sync_profiles.sandbox.faults import Fault
from sync_profiles.sandbox.server import PROJECT_ID, SERVICE_ACCOUNT, SERVICE_SECRET, TOKEN, Sandbox

ACCOUNT = (SERVICE_ACCOUNT, SERVICE_SECRET)
FULL = "ip=0&strict=1&verbose=1"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}
NOON = 1_700_000_000.0
EMPTY_POST = b"POST /engage HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n[]"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


def record(distinct_id: str = "7", **extra: Any) -> dict[str, Any]:
    operation = {} if extra.keys() & {"$set", "$unset", "$delete", "$set_once"} else {"$set": {"plan": "pro"}}
    return {"$token": TOKEN, "$distinct_id": distinct_id, "$ip": "0", **operation, **extra}


def connected(sandbox: Sandbox) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(sandbox.url.rsplit(":", 1)[1])), 10)


def group(group_id: str = "acme", **extra: Any) -> dict[str, Any]:
    return {"$token": TOKEN, "$group_key": "company", "$group_id": group_id, "$set": {"seats": 5}, **extra}


def engage(sandbox: Sandbox, *records: Any, query: str = FULL, path: str = "/engage") -> requests.Response:
    return requests.post(f"{sandbox.url}{path}?{query}", json=list(records), timeout=10, allow_redirects=False)


def ask(sandbox: Sandbox, auth: tuple[str, str] | None = ACCOUNT, **form: Any) -> requests.Response:
    form.setdefault("project_id", PROJECT_ID)
    return requests.post(f"{sandbox.url}/api/query/engage", data=form, auth=auth, timeout=10)


def found(response: requests.Response) -> dict[str, dict[str, Any]]:
    return {one["$distinct_id"]: one["$properties"] for one in response.json()["results"]}


class TestRecordedReplies:
    @pytest.mark.parametrize(
        ("query", "reply"),
        [
            ("", b"1"),
            ("verbose=0", b"1"),
            ("verbose=1", b'{"error":null,"status":1}'),
            ("verbose=2", b'{"error":null,"status":1}'),
            ("ip=0&verbose=1", b'{"error":null,"status":1}'),
            ("strict=1", b'{"error":null,"errors":{},"num_good_events":2,"status":1}'),
            (FULL, b'{"error":null,"errors":{},"num_good_events":2,"status":1}'),
        ],
    )
    @pytest.mark.parametrize("path", ["/engage", "/engage/"])
    def test_good_records_are_answered_as_recorded(self, sandbox: Sandbox, path: str, query: str, reply: bytes) -> None:
        response = engage(sandbox, record("7"), record("8"), query=query, path=path)
        assert (response.status_code, response.headers["Content-Type"]) == (200, "application/json")
        assert response.content == reply
        assert sandbox.profiles == {"7": {"plan": "pro"}, "8": {"plan": "pro"}}

    def test_groups_are_answered_the_same_way(self, sandbox: Sandbox) -> None:
        assert engage(sandbox, group(), query="verbose=1", path="/groups").content == b'{"error":null,"status":1}'
        assert sandbox.groups == {"company": {"acme": {"seats": 5}}}
        assert sandbox.profiles == {}

    @pytest.mark.parametrize(
        ("bad", "error"),
        [
            ({"$distinct_id": "7", "$set": {}}, "$token, missing or empty"),
            ({"$token": TOKEN, "$set": {}}, "$distinct_id, missing or empty"),
        ],
        ids=["token", "distinct_id"],
    )
    def test_a_bad_record_is_refused_inside_a_200(self, sandbox: Sandbox, bad: dict[str, Any], error: str) -> None:
        plain, verbose, strict = (engage(sandbox, bad, query=query) for query in ("", "verbose=1", "strict=1"))
        assert [one.status_code for one in (plain, verbose, strict)] == [200, 200, 200]
        assert plain.content == b"0"
        assert verbose.json() == {"error": error, "status": 0}
        assert strict.json() == {"error": error, "errors": {"0": [error]}, "num_good_events": 0, "status": 0}
        assert sandbox.profiles == {}

    @pytest.mark.parametrize(
        "body", [b"", b"[]", b"{", b"5", b'{"$token":"t"}', b"\xff\xfe", b"[" * 5000, b"\x1f\x8b\x08"]
    )
    def test_a_body_without_records_is_refused(self, sandbox: Sandbox, body: bytes) -> None:
        response = requests.post(f"{sandbox.url}/engage?verbose=1", data=body, headers=JSON, timeout=10)
        assert (response.status_code, response.json()["status"]) == (200, 0)
        assert response.json()["error"] in ("non-standard format", "data, missing or empty")

    def test_any_token_is_answered_with_success_but_another_project_gets_it(self, sandbox: Sandbox) -> None:
        response = engage(sandbox, {**record("7"), "$token": "wrong"})
        assert response.json() == {"error": None, "errors": {}, "num_good_events": 1, "status": 1}
        assert sandbox.profiles == {}
        assert found(ask(sandbox, distinct_id="7")) == {}
        assert sandbox.profiles_of("wrong") == {"7": {"plan": "pro"}}


class TestForms:
    RECORDS = json.dumps([record("7", **{"$set": {"name": "Zoë + 1 & =? >>>"}})])
    BASE64 = base64.b64encode(RECORDS.encode()).decode()
    assert "+" in BASE64, "the character that forms spoil"

    @pytest.mark.parametrize(
        ("query", "body", "headers"),
        [
            ({}, RECORDS, JSON),
            ({}, RECORDS, {"Content-Type": "application/json; charset=utf-8"}),
            ({}, urlencode({"data": RECORDS, "verbose": 1}), FORM),
            ({}, urlencode({"data": RECORDS[1:-1], "verbose": 1}), FORM),
            ({}, urlencode({"data": BASE64, "verbose": 1}), FORM),
            ({}, "data=" + BASE64 + "&verbose=1", FORM),
            ({"data": BASE64}, "", {}),
            ({"data": RECORDS}, "", {}),
        ],
        ids=["json", "charset", "form", "form of one", "base64", "base64 not escaped", "query base64", "query"],
    )
    def test_every_form_that_clients_use_is_taken(
        self, sandbox: Sandbox, query: dict[str, str], body: str, headers: dict[str, str]
    ) -> None:
        params = {"verbose": "1", **query}
        response = requests.post(
            f"{sandbox.url}/engage", params=params, data=body.encode(), headers=headers, timeout=10
        )
        assert response.json() == {"error": None, "status": 1}
        assert sandbox.profiles == {"7": {"name": "Zoë + 1 & =? >>>"}}

    def test_parameters_in_the_form_count_like_those_in_the_query(self, sandbox: Sandbox) -> None:
        body = {"data": json.dumps(record()), "strict": "1"}
        assert requests.post(f"{sandbox.url}/engage", data=body, timeout=10).json()["num_good_events"] == 1

    def test_a_single_update_by_get_is_taken(self, sandbox: Sandbox) -> None:
        response = requests.get(f"{sandbox.url}/engage", params={"data": self.BASE64}, timeout=10)
        assert response.content == b"1"
        assert list(sandbox.profiles) == ["7"]


class TestMixpanelsOwnClient:
    @pytest.fixture
    def consumer(self, sandbox: Sandbox) -> mixpanel.Consumer:
        return mixpanel.Consumer(
            people_url=f"{sandbox.url}/engage", groups_url=f"{sandbox.url}/groups", request_timeout=10, retry_limit=0
        )

    def test_it_is_accepted_and_its_profiles_are_readable(self, sandbox: Sandbox, consumer: mixpanel.Consumer) -> None:
        client = mixpanel.Mixpanel(TOKEN, consumer=consumer)
        client.people_set("7", {"$name": "Ann", "plan": "pro"})
        client.people_set_once("7", {"plan": "free", "first": "yes"})
        client.people_increment("7", {"coins": 3})
        client.people_append("7", {"seen": "a"})
        client.people_union("7", {"roles": ["admin", "admin"]})
        client.people_unset("7", ["plan"])
        client.people_remove("7", {"seen": "a"})
        client.people_set("8", {"$name": "Bob"})
        client.people_delete("8")
        client.group_set("company", "acme", {"seats": 5})
        expected = {"$name": "Ann", "first": "yes", "coins": 3, "seen": [], "roles": ["admin"]}
        assert sandbox.profiles == {"7": expected}
        assert sandbox.groups == {"company": {"acme": {"seats": 5}}}
        shown = found(ask(sandbox, distinct_id="7"))["7"]
        assert shown.pop("$last_seen")
        assert shown == expected

    def test_its_buffered_consumer_is_accepted(self, sandbox: Sandbox) -> None:
        buffered = mixpanel.BufferedConsumer(people_url=f"{sandbox.url}/engage", request_timeout=10, retry_limit=0)
        client = mixpanel.Mixpanel(TOKEN, consumer=buffered)
        for number in range(120):
            client.people_set(str(number), {"n": number})
        buffered.flush()
        assert [one.records for one in sandbox.requests] == [50, 50, 20]
        assert sandbox.profiles == {str(number): {"n": number} for number in range(120)}

    def test_it_raises_what_the_sandbox_refuses(self, sandbox: Sandbox, consumer: mixpanel.Consumer) -> None:
        with pytest.raises(mixpanel.MixpanelException, match="distinct_id, missing or empty"):
            mixpanel.Mixpanel(TOKEN, consumer=consumer).people_set("", {"a": 1})


class TestProfiles:
    def test_updated_at_moves_unless_the_record_ignores_time(self, sandbox: Sandbox) -> None:
        sandbox.clock = lambda: NOON
        engage(sandbox, record("7", **{"$ignore_time": True}), record("8"))
        created = sandbox.profile("7"), sandbox.profile("8")
        assert [one.updated_at for one in created if one] == [None, NOON]
        sandbox.clock = lambda: NOON + 60
        engage(sandbox, record("7"), record("8", **{"$ignore_time": True}))
        updated = sandbox.profile("7"), sandbox.profile("8")
        assert [(one.updated_at, one.records) for one in updated if one] == [(NOON + 60, 2), (NOON, 2)]
        assert found(ask(sandbox))["7"]["$last_seen"] == "2023-11-14T22:14:20"

    def test_forgetting_ip_is_visible_as_a_city(self, sandbox: Sandbox) -> None:
        bare = {"$token": TOKEN, "$set": {"a": 1}}
        engage(sandbox, {**bare, "$distinct_id": "forgot"}, query="strict=1")
        engage(sandbox, {**bare, "$distinct_id": "request"}, query="strict=1&ip=0")
        engage(sandbox, {**bare, "$distinct_id": "record", "$ip": "0"}, query="strict=1")
        assert {one: "$city" in properties for one, properties in sandbox.profiles.items()} == {
            "forgot": True,
            "request": False,
            "record": False,
        }

    def test_deleting_removes_and_may_be_repeated(self, sandbox: Sandbox) -> None:
        engage(sandbox, record("7"))
        for _ in range(2):
            assert engage(sandbox, record("7", **{"$delete": ""})).json()["num_good_events"] == 1
        assert sandbox.profile("7") is None
        assert sandbox.applied("7") == 3

    def test_unsetting_an_unknown_id_leaves_an_empty_profile(self, sandbox: Sandbox) -> None:
        engage(sandbox, record("7", **{"$unset": ["plan"]}))
        assert sandbox.profiles == {"7": {}}

    def test_the_table_lists_id_name_and_email(self, sandbox: Sandbox) -> None:
        engage(sandbox, record("7", **{"$set": {"$name": "Ann", "$email": "ann@example.com"}}), record("8"))
        assert sandbox.table() == [("7", "Ann", "ann@example.com"), ("8", "", "")]

    def test_snapshots_do_not_change_afterwards(self, sandbox: Sandbox) -> None:
        engage(sandbox, record("7"))
        before = sandbox.profiles
        engage(sandbox, record("7", **{"$set": {"plan": "free"}}))
        assert before == {"7": {"plan": "pro"}}


class TestLimits:
    def test_2000_records_pass_and_2001_are_refused(self, sandbox: Sandbox) -> None:
        records = [record(str(number)) for number in range(2001)]
        assert engage(sandbox, *records[:2000]).json()["num_good_events"] == 2000
        sandbox.reset()
        assert engage(sandbox, *records).json()["status"] == 0
        assert sandbox.profiles == {}

    @pytest.mark.parametrize("partial", [False, True])
    def test_a_record_over_one_megabyte_is_refused(self, sandbox: Sandbox, partial: bool) -> None:
        sandbox.partial = partial
        big = record("big", **{"$set": {f"p{number}": "x" * 1000 for number in range(1000)}})
        reply = engage(sandbox, record("7"), big).json()
        assert reply["errors"] == {"1": ["record exceeds max limit of 1000000 bytes"]}
        assert list(sandbox.profiles) == (["7"] if partial else [])

    def test_a_request_over_two_mebibytes_is_answered_413(self, sandbox: Sandbox) -> None:
        response = requests.post(f"{sandbox.url}/engage", data=b"[" + b" " * 2_097_152, headers=JSON, timeout=10)
        assert response.status_code == 413
        assert response.json()["error"] == "request exceeds max limit of 2097152 bytes"
        assert (sandbox.requests[0].status, sandbox.requests[0].bytes) == (413, 2_097_153)


class TestPoison:
    @pytest.fixture(autouse=True)
    def poisoned(self, sandbox: Sandbox) -> None:
        sandbox.poison = lambda one: "$distinct_id, refused" if one["$distinct_id"] == "bad" else None

    def test_one_bad_record_refuses_the_whole_request(self, sandbox: Sandbox) -> None:
        reply = engage(sandbox, record("7"), record("bad"), record("8")).json()
        error = "$distinct_id, refused"
        assert reply == {"error": error, "errors": {"1": [error]}, "num_good_events": 0, "status": 0}
        assert sandbox.profiles == {}

    def test_partial_keeps_the_good_ones_and_says_how_many(self, sandbox: Sandbox) -> None:
        sandbox.partial = True
        reply = engage(sandbox, record("7"), record("bad"), record("8")).json()
        assert (reply["status"], reply["num_good_events"], list(reply["errors"])) == (1, 2, ["1"])
        assert list(sandbox.profiles) == ["7", "8"]

    def test_without_strict_a_partial_success_hides_the_bad_record(self, sandbox: Sandbox) -> None:
        sandbox.partial = True
        assert engage(sandbox, record("7"), record("bad"), query="verbose=1").json() == {"error": None, "status": 1}


class TestFaults:
    @pytest.mark.parametrize("code", [302, 400, 401, 403, 404, 408, 413, 429, 500, 502, 503, 504])
    @pytest.mark.parametrize(("applied", "kept"), [("none", 0), ("half", 1), ("all", 2)])
    def test_a_status_is_answered_once_and_says_what_was_applied(
        self, sandbox: Sandbox, code: int, applied: Any, kept: int
    ) -> None:
        sandbox.faults.add(Fault("status", code=code, applied=applied))
        assert engage(sandbox, record("7"), record("8")).status_code == code
        assert len(sandbox.profiles) == kept
        assert engage(sandbox, record("7"), record("8")).json()["num_good_events"] == 2
        assert [(one.fault, one.status, one.applied) for one in sandbox.requests] == [
            ("status", code, kept),
            (None, 200, 2),
        ]

    def test_a_429_names_when_to_come_back_and_a_302_where(self, sandbox: Sandbox) -> None:
        sandbox.faults.add(Fault("status", code=429, retry_after="3"), Fault("status", code=302, location="/gone"))
        throttled, moved = engage(sandbox, record()), engage(sandbox, record())
        assert throttled.headers["Retry-After"] == "3"
        assert throttled.json()["status"] == "Too Many Requests"
        assert moved.headers["Location"] == "/gone"

    @pytest.mark.parametrize(
        ("kind", "content_type", "body"),
        [
            ("html", "text/html; charset=utf-8", None),
            ("empty", "application/json", b""),
            ("bare", "application/json", b"1"),
            ("wrong_count", "application/json", b'{"error":null,"errors":{},"num_good_events":1,"status":1}'),
        ],
    )
    def test_answers_that_prove_nothing(self, sandbox: Sandbox, kind: Any, content_type: str, body: Any) -> None:
        sandbox.faults.add(Fault(kind))
        response = engage(sandbox, record("7"), record("8"))
        assert (response.status_code, response.headers["Content-Type"]) == (200, content_type)
        assert body is None or response.content == body
        assert sandbox.profiles == {}

    @pytest.mark.parametrize("kind", ["reset", "timeout", "truncated"])
    @pytest.mark.parametrize(("applied", "kept"), [("none", 0), ("all", 2)])
    def test_a_connection_that_breaks_before_or_after_applying(
        self, sandbox: Sandbox, kind: Any, applied: Any, kept: int
    ) -> None:
        sandbox.faults.add(Fault(kind, applied=applied))
        with pytest.raises(requests.RequestException):
            engage(sandbox, record("7"), record("8"))
        assert len(sandbox.profiles) == kept
        assert engage(sandbox, record("7")).status_code == 200

    @pytest.mark.parametrize("kind", ["timeout", "zombie"])
    def test_a_dropped_connection_ends_without_a_byte(self, sandbox: Sandbox, kind: Any) -> None:
        sandbox.faults.add(Fault(kind))
        with connected(sandbox) as client:
            client.sendall(EMPTY_POST)
            assert client.recv(1) == b""

    def test_a_reset_is_a_reset(self, sandbox: Sandbox) -> None:
        sandbox.faults.add(Fault("reset"))
        with connected(sandbox) as client:
            client.sendall(EMPTY_POST)
            with pytest.raises(ConnectionResetError):
                client.recv(1)

    def test_a_client_that_gives_up_first_does_not_disturb_the_next(self, sandbox: Sandbox) -> None:
        sandbox.faults.add(Fault("timeout", seconds=60, applied="all"))
        with pytest.raises(requests.ReadTimeout):
            requests.post(f"{sandbox.url}/engage", json=[record("7")], timeout=0.1)
        assert sandbox.applied("7") == 1
        assert engage(sandbox, record("8")).status_code == 200

    def test_a_zombie_is_applied_after_the_client_went_on(self, sandbox: Sandbox) -> None:
        sandbox.faults.add(Fault("zombie"))
        with pytest.raises(requests.ConnectionError):
            engage(sandbox, record("7", **{"$set": {"plan": "old"}}))
        engage(sandbox, record("7", **{"$set": {"plan": "new"}}))
        assert sandbox.profiles == {"7": {"plan": "new"}}
        assert sandbox.land() == 1
        assert sandbox.profiles == {"7": {"plan": "old"}}
        assert sandbox.land() == 0

    def test_slow_answers_are_honest(self, sandbox: Sandbox) -> None:
        sandbox.faults.add(Fault("slow", times=None, seconds=0.2))
        with pytest.raises(requests.ReadTimeout):
            requests.post(f"{sandbox.url}/engage", json=[record("7")], timeout=0.05)
        assert engage(sandbox, record("8")).json()["status"] == 1

    def test_queries_fail_on_request_too(self, sandbox: Sandbox) -> None:
        sandbox.faults.add(Fault("status", code=503, path="/api/query/engage"))
        assert engage(sandbox, record()).status_code == 200
        assert ask(sandbox).status_code == 503
        assert ask(sandbox).status_code == 200

    def test_faults_can_be_ordered_over_http(self, sandbox: Sandbox) -> None:
        one, many = {"kind": "html"}, [{"kind": "status", "code": 429, "retry_after": "1"}, {"kind": "bare", "skip": 2}]
        for wanted, waiting in ((one, 1), (many, 3)):
            answer = requests.post(f"{sandbox.url}/sandbox/faults", json=wanted, timeout=10)
            assert answer.json() == {"status": "ok", "waiting": waiting}
        replies = [engage(sandbox, record()) for _ in range(4)]
        assert [one.status_code for one in replies] == [200, 429, 200, 200]
        assert replies[2].content == b"1"

    @pytest.mark.parametrize("body", ['{"kind": "earthquake"}', '{"kind": "html", "often": 3}', "[", "5"])
    def test_an_unknown_fault_is_refused_with_a_reason(self, sandbox: Sandbox, body: str) -> None:
        answer = requests.post(f"{sandbox.url}/sandbox/faults", data=body, timeout=10)
        assert (answer.status_code, answer.json()["status"]) == (400, "error")
        assert sandbox.faults.waiting == 0


class TestReadingBack:
    @pytest.fixture(autouse=True)
    def filled(self, sandbox: Sandbox) -> None:
        people = {
            "1": ("Ann", "pro"),
            "2": ("Bob", "free"),
            "3": ("Cem", "pro"),
            "4": ("Dee", None),
            "5": ('"E"', True),
        }
        engage(
            sandbox,
            *(
                record(one, **{"$set": {"$name": name, "plan": plan}, "$ignore_time": True})
                for one, (name, plan) in people.items()
            ),
        )

    def test_the_answer_has_the_recorded_keys(self, sandbox: Sandbox) -> None:
        answer = ask(sandbox, distinct_id="1").json()
        keys = {"computed_at", "page", "page_size", "results", "session_id", "status", "total"}
        assert answer.keys() == keys
        assert (answer["page"], answer["page_size"], answer["total"], answer["status"]) == (0, 1000, 1, "ok")
        assert answer["results"] == [{"$distinct_id": "1", "$properties": {"$name": "Ann", "plan": "pro"}}]

    @pytest.mark.parametrize(
        ("selector", "ids"),
        [
            ({}, "12345"),
            ({"distinct_id": "2"}, "2"),
            ({"distinct_ids": '["1", "3", "1", "absent"]'}, "13"),
            ({"distinct_ids": "[]"}, ""),
            ({"distinct_id": "absent"}, ""),
            ({"where": 'properties["plan"] == "pro"'}, "13"),
            ({"where": 'properties["plan"]==true'}, "5"),
            ({"where": 'properties["plan"] == 1'}, ""),
            ({"where": 'properties["$name"] == "\\"E\\""'}, "5"),
            ({"where": 'properties["absent"] == "x"'}, ""),
        ],
        ids=str,
    )
    def test_profiles_are_selected(self, sandbox: Sandbox, selector: dict[str, str], ids: str) -> None:
        assert set(found(ask(sandbox, **selector))) == set(ids)

    def test_only_the_wanted_properties_are_returned(self, sandbox: Sandbox) -> None:
        answer = ask(sandbox, distinct_ids='["1", "4"]', output_properties='["plan", "absent"]')
        assert found(answer) == {"1": {"plan": "pro"}, "4": {"plan": None}}

    def test_parameters_may_stand_in_the_query_or_in_json(self, sandbox: Sandbox) -> None:
        address = f"{sandbox.url}/api/query/engage"
        params: dict[str, Any] = {"project_id": PROJECT_ID, "distinct_ids": '["2"]'}
        by_get = requests.get(address, params=params, auth=ACCOUNT, timeout=10)
        by_json = requests.post(address, json={**params, "distinct_ids": ["2"]}, auth=ACCOUNT, timeout=10)
        older = requests.post(f"{sandbox.url}/api/2.0/engage", data=params, auth=ACCOUNT, timeout=10)
        assert [set(found(one)) for one in (by_get, by_json, older)] == [{"2"}, {"2"}, {"2"}]

    def test_pages_go_through_a_session_and_total_stands_on_the_first(self, sandbox: Sandbox) -> None:
        first = ask(sandbox, page_size=2).json()
        engage(sandbox, record("6"))  # after the session began: not part of it
        later = [ask(sandbox, page_size=2, page=page, session_id=first["session_id"]).json() for page in (1, 2)]
        assert first["total"] == 5
        assert all("total" not in answer for answer in later)
        ids = [one["$distinct_id"] for answer in (first, *later) for one in answer["results"]]
        assert [len(answer["results"]) for answer in (first, *later)] == [2, 2, 1]
        assert sorted(ids) == ["1", "2", "3", "4", "5"]

    def test_a_session_ends_after_ten_minutes(self, sandbox: Sandbox) -> None:
        sandbox.clock = lambda: NOON
        session = ask(sandbox, page_size=2).json()["session_id"]
        sandbox.clock = lambda: NOON + 601
        answer = ask(sandbox, page_size=2, page=1, session_id=session)
        assert (answer.status_code, answer.json()["error"]) == (400, "request for page in uncached query for params")

    def test_a_page_holds_at_most_1000_whatever_was_asked(self, sandbox: Sandbox) -> None:
        assert ask(sandbox, page_size=50_000).json()["page_size"] == 1000

    @pytest.mark.parametrize("auth", [None, (SERVICE_ACCOUNT, "wrong"), ("wrong", SERVICE_SECRET)])
    def test_wrong_credentials_are_refused(self, sandbox: Sandbox, auth: tuple[str, str] | None) -> None:
        answer = ask(sandbox, auth)
        assert (answer.status_code, answer.text) == (400, "Unable to authenticate request")
        assert requests.get(f"{sandbox.url}/api/app/me", auth=auth, timeout=10).status_code == 401

    def test_another_project_is_refused(self, sandbox: Sandbox) -> None:
        answer = ask(sandbox, project_id=PROJECT_ID + 1)
        assert answer.status_code == 403
        assert answer.json() == {"error": "User is not a member of this project", "request": "/api/query/engage"}

    @pytest.mark.parametrize(
        "form",
        [{"project_id": ""}, {"page": "x"}, {"where": "1 == 1"}, {"distinct_ids": "1,2"}, {"data_group_id": "5"}],
        ids=str,
    )
    def test_a_query_that_cannot_be_answered_is_refused(self, sandbox: Sandbox, form: dict[str, str]) -> None:
        answer = ask(sandbox, **form)
        assert (answer.status_code, bool(answer.json()["error"])) == (400, True)

    def test_the_61st_query_of_an_hour_is_refused_and_the_limit_can_be_switched_off(self, sandbox: Sandbox) -> None:
        sandbox.clock = lambda: NOON
        with requests.Session() as session:
            form = {"project_id": PROJECT_ID, "distinct_id": "1"}
            answers = [
                session.post(f"{sandbox.url}/api/query/engage", data=form, auth=ACCOUNT, timeout=10) for _ in range(61)
            ]
        assert [one.status_code for one in answers] == [200] * 60 + [429]
        assert answers[-1].json()["error"] == (
            f"Query rate limit exceeded for project_id: {PROJECT_ID}. "
            "1/5 queries running concurrently and 61/60 queries running in the last hour"
        )
        sandbox.clock = lambda: NOON + 3599
        assert ask(sandbox).status_code == 429
        sandbox.clock = lambda: NOON + 3600
        assert ask(sandbox).status_code == 200
        sandbox.clock = lambda: NOON
        sandbox.queries.per_hour = None
        assert ask(sandbox).status_code == 200

    def test_me_tells_what_the_account_may_see_and_costs_no_query(self, sandbox: Sandbox) -> None:
        for _ in range(61):
            answer = requests.get(f"{sandbox.url}/api/app/me", auth=ACCOUNT, timeout=10)
        assert answer.json()["status"] == "ok"
        assert str(PROJECT_ID) in answer.json()["results"]["projects"]
        assert ask(sandbox).status_code == 200


class TestLog:
    def test_every_request_is_remembered_without_those_of_the_sandbox_itself(self) -> None:
        with Sandbox(keep_bodies=True) as sandbox:
            sandbox.clock = lambda: NOON
            engage(sandbox, record("7"), record("8"))
            requests.get(f"{sandbox.url}/sandbox/profiles", timeout=10)
            requests.get(f"{sandbox.url}/nowhere", timeout=10)
            first, second = sandbox.requests
        assert (first.number, first.method, first.path, first.at) == (1, "POST", "/engage", NOON)
        assert first.params == {"ip": "0", "strict": "1", "verbose": "1"}
        assert (first.records, first.applied, first.status, first.fault) == (2, 2, 200, None)
        assert first.reply == '{"error":null,"errors":{},"num_good_events":2,"status":1}'
        assert first.body is not None
        assert json.loads(first.body) == [record("7"), record("8")]
        assert first.bytes == len(first.body)
        assert (second.number, second.path, second.status) == (2, "/nowhere", 404)

    def test_bodies_are_not_kept_unless_asked(self, sandbox: Sandbox) -> None:
        engage(sandbox, record())
        assert sandbox.requests[0].body is None

    def test_clearing_the_log_keeps_the_profiles_and_counts_anew(self, sandbox: Sandbox) -> None:
        engage(sandbox, record("7"), record("7"))
        assert sandbox.applied("7") == 2
        sandbox.clear_log()
        assert (sandbox.requests, sandbox.applied("7"), list(sandbox.profiles)) == ((), 0, ["7"])
        engage(sandbox, record("7"))
        assert (sandbox.requests[0].number, sandbox.applied("7")) == (1, 1)

    def test_the_same_can_be_seen_and_reset_over_http(self, sandbox: Sandbox) -> None:
        engage(sandbox, record("7", **{"$ignore_time": True}))
        engage(sandbox, {**record("8"), "$token": "wrong"})
        engage(sandbox, group(), path="/groups")
        seen = requests.get(f"{sandbox.url}/sandbox/profiles", timeout=10).json()
        other = requests.get(f"{sandbox.url}/sandbox/profiles?token=wrong", timeout=10).json()
        log = requests.get(f"{sandbox.url}/sandbox/requests", timeout=10).json()["requests"]
        profile = {"distinct_id": "7", "properties": {"plan": "pro"}, "updated_at": None, "records": 1}
        assert seen == {"profiles": [profile], "groups": {"company": {"acme": {"seats": 5}}}}
        assert [one["distinct_id"] for one in other["profiles"]] == ["8"]
        assert [one["path"] for one in log] == ["/engage", "/engage", "/groups"]
        sandbox.faults.add(Fault("html", times=None))
        assert requests.post(f"{sandbox.url}/sandbox/reset", timeout=10).status_code == 200
        assert (sandbox.profiles, sandbox.groups, sandbox.requests) == ({}, {}, ())
        assert engage(sandbox, record()).json()["status"] == 1

    def test_an_id_in_two_requests_at_once_is_noticed(self, sandbox: Sandbox) -> None:
        engage(sandbox, record("7"))
        engage(sandbox, record("7"))
        assert sandbox.overlaps == frozenset()
        sandbox.faults.add(Fault("slow", times=2, seconds=0.5))
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda ids: engage(sandbox, *map(record, ids)), (["7", "8"], ["8", "9"])))
        assert sandbox.overlaps == {"8"}


class TestConnections:
    def test_one_connection_carries_many_requests(self, sandbox: Sandbox) -> None:
        with requests.Session() as session:
            for number in range(5):
                answer = session.post(f"{sandbox.url}/engage", json=[record(str(number))], timeout=10)
                assert answer.headers["Content-Length"] == str(len(answer.content))
        assert {one.connection for one in sandbox.requests} == {1}

    def test_many_clients_at_once_lose_nothing(self, sandbox: Sandbox) -> None:
        def send(client: int) -> None:
            with requests.Session() as session:
                for number in range(5):
                    body = [record(f"{client}-{number}"), record("shared")]
                    assert session.post(f"{sandbox.url}/engage", json=body, timeout=30).content == b"1"

        with ThreadPoolExecutor(32) as pool:
            list(pool.map(send, range(32)))
        assert len(sandbox.profiles) == 161
        assert sandbox.applied("shared") == 160
        assert [one.number for one in sandbox.requests] == list(range(1, 161))

    def test_broken_clients_are_survived_in_silence(self, sandbox: Sandbox, capfd: pytest.CaptureFixture[str]) -> None:
        for said in (
            b"",
            b"POST /eng",
            b"\x16\x03\x01\x02\x00",
            b"POST /engage HTTP/1.1\r\nContent-Length: 100\r\n\r\n[",
            b"POST /engage HTTP/1.1\r\nContent-Length: minus\r\n\r\n[]",
            b"POST /engage HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n",
            b"BREW /engage HTTP/1.1\r\n\r\n",
        ):
            with connected(sandbox) as client:
                client.sendall(said)
                client.shutdown(socket.SHUT_WR)
                while client.recv(4096):
                    pass
        assert engage(sandbox, record()).status_code == 200
        assert [one.path for one in sandbox.requests] == ["/engage"]
        assert capfd.readouterr() == ("", "")

    def test_a_client_that_resets_before_its_answer_is_survived_in_silence(
        self, sandbox: Sandbox, capfd: pytest.CaptureFixture[str]
    ) -> None:
        sandbox.faults.add(Fault("slow", seconds=0.2))
        with connected(sandbox) as client:
            client.sendall(EMPTY_POST)
            while sandbox.faults.waiting:  # the request has not arrived yet
                time.sleep(0.005)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        for thread in threading.enumerate():
            if "process_request_thread" in thread.name:
                thread.join(10)
        assert [one.status for one in sandbox.requests] == [200]
        assert capfd.readouterr() == ("", "")

    def test_a_client_that_waits_for_100_continue_gets_it(self, sandbox: Sandbox) -> None:
        with connected(sandbox) as client:
            client.sendall(b"POST /engage HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
            assert client.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.sendall(b"[]")
            assert client.recv(4096).startswith(b"HTTP/1.1 200 OK\r\n")

    def test_after_closing_nobody_is_served_not_even_on_an_open_connection(self) -> None:
        sandbox = Sandbox()
        with requests.Session() as session:
            with sandbox:
                assert session.post(f"{sandbox.url}/engage", json=[record("7")], timeout=10).content == b"1"
            with pytest.raises(requests.ConnectionError):
                session.post(f"{sandbox.url}/engage", json=[record("8")], timeout=10)
        assert list(sandbox.profiles) == ["7"]

    def test_it_listens_on_this_machine_only_and_frees_its_port(self) -> None:
        with Sandbox() as first:
            assert first.url.startswith("http://127.0.0.1:")
            port = int(first.url.rsplit(":", 1)[1])
            with pytest.raises(UsageError, match=f"port {port}") as refused:
                Sandbox(port=port)
            assert refused.value.hint is not None
        with Sandbox(port=port) as second:
            assert engage(second, record()).status_code == 200

    def test_serving_in_the_foreground_ends_when_another_thread_closes(self) -> None:
        sandbox = Sandbox()
        with ThreadPoolExecutor(1) as pool:
            serving = pool.submit(sandbox.serve_forever)
            assert engage(sandbox, record()).status_code == 200
            sandbox.close()
            assert serving.result(timeout=10) is None

    def test_a_sandbox_that_never_served_can_be_closed(self) -> None:
        Sandbox().close()
