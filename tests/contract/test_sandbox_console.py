"""What the sandbox's page asks over HTTP, and who may switch anything."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from sync_profiles.sandbox.faults import Fault
from sync_profiles.sandbox.server import Sandbox

ROOT = Path(__file__).parents[2]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(keep_history=True) as running:
        yield running


def get(sandbox: Sandbox, path: str, **query: Any) -> requests.Response:
    return requests.get(f"{sandbox.url}{path}", params=query, timeout=10, allow_redirects=False)


def post(sandbox: Sandbox, path: str, content: Any = None, **headers: str) -> requests.Response:
    return requests.post(f"{sandbox.url}{path}", json=content, headers=headers, timeout=10)


def send(sandbox: Sandbox, *ids: str, token: str | None = None) -> None:
    sent = [{"$token": token or sandbox.token, "$distinct_id": one, "$ip": "0", "$set": {"$name": one}} for one in ids]
    assert post(sandbox, "/engage", sent).status_code == 200


@pytest.mark.parametrize("path", ["/sandbox", "/sandbox/page.css", "/sandbox/page.js"])
def test_the_page_is_served_with_a_policy_that_runs_nothing_of_others(sandbox: Sandbox, path: str) -> None:
    answer = get(sandbox, path)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].endswith("; charset=utf-8")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
    assert (policy["default-src"], policy["script-src"]) == ("'none'", "'self'")
    assert "unsafe" not in answer.headers["Content-Security-Policy"]


def test_the_page_names_no_other_host_and_holds_no_script_of_its_own(sandbox: Sandbox) -> None:
    page, script = get(sandbox, "/sandbox").text, get(sandbox, "/sandbox/page.js").text
    assert page.count("<script") == page.count('<script src="/sandbox/page.js" defer></script>') == 1
    assert "://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "://" not in script
    assert "innerHTML" not in script


def test_the_bare_address_leads_to_the_page(sandbox: Sandbox) -> None:
    answer = get(sandbox, "/")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/sandbox")
    assert sandbox.requests == ()


def test_an_overview_changes_whenever_something_did(sandbox: Sandbox) -> None:
    seen = [get(sandbox, "/sandbox/overview").json()]
    send(sandbox, "1", "2")
    seen.append(get(sandbox, "/sandbox/overview").json())
    sandbox.faults.add(Fault("html"))
    seen.append(get(sandbox, "/sandbox/overview").json())
    send(sandbox, "3", token="another")
    send(sandbox, "3", token="another")
    seen.append(get(sandbox, "/sandbox/overview").json())
    assert len({str(one) for one in seen}) == 4
    assert (seen[1]["users"], seen[1]["requests"], seen[1]["strangers"]) == (2, 1, 0)
    assert seen[2]["faults"][0]["fault"]["kind"] == "html"
    assert (seen[3]["users"], seen[3]["strangers"], seen[3]["faults"]) == (2, 1, [])


def test_users_are_listed_and_one_is_opened(sandbox: Sandbox) -> None:
    send(sandbox, "9", "10", "a b/ü?")
    listing = get(sandbox, "/sandbox/users", size=2, descending="true").json()
    assert [one["distinct_id"] for one in listing["users"]] == ["a b/ü?", "10"]
    assert (listing["pages"], listing["matching"], listing["of"]) == (2, 3, 3)
    one = get(sandbox, "/sandbox/user", distinct_id="a b/ü?").json()
    assert one["profile"]["properties"] == {"$name": "a b/ü?"}
    assert one["history"][0]["changes"] == [{"name": "$name", "after": "a b/ü?"}]
    assert get(sandbox, "/sandbox/user", distinct_id="nobody").json() == {"profile": None, "history": []}


def test_the_log_is_paged_and_can_be_narrowed_to_trouble(sandbox: Sandbox) -> None:
    send(sandbox, "1")
    sandbox.faults.add(Fault("empty"))
    send(sandbox, "2")
    log = get(sandbox, "/sandbox/log", size=1).json()
    assert ([one["number"] for one in log["requests"]], log["pages"], log["matching"]) == ([2], 2, 2)
    assert get(sandbox, "/sandbox/log", trouble="true").json()["matching"] == 1


@pytest.mark.parametrize("query", ["users?page=0", "users?sort=plan", "log?size=9999", "log?trouble=perhaps"])
def test_a_question_that_makes_no_sense_is_refused_with_a_reason(sandbox: Sandbox, query: str) -> None:
    answer = get(sandbox, f"/sandbox/{query}")
    assert (answer.status_code, answer.json()["status"]) == (400, "error")
    assert get(sandbox, "/sandbox/nowhere").status_code == 404


def test_one_fault_is_taken_back_by_its_number_or_all_of_them(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("html", times=None), Fault("bare"), Fault("empty"))
    number = sandbox.faults.standing[0].number
    assert post(sandbox, "/sandbox/faults/clear", {"number": number}).json()["waiting"] == 2
    assert post(sandbox, "/sandbox/faults/clear", {"number": "x"}).status_code == 400
    assert post(sandbox, "/sandbox/faults/clear").json()["waiting"] == 0


def test_a_page_of_another_site_may_switch_nothing(sandbox: Sandbox) -> None:
    send(sandbox, "1")
    for origin in ("https://example.com", "null", sandbox.url.replace("http:", "https:")):
        for path in ("/sandbox/reset", "/sandbox/faults", "/sandbox/faults/clear"):
            assert post(sandbox, path, {"kind": "html"}, Origin=origin).status_code == 403
    assert (list(sandbox.profiles), sandbox.faults.waiting) == (["1"], 0)
    assert post(sandbox, "/sandbox/reset", Origin=sandbox.url).status_code == 200
    assert sandbox.profiles == {}


def test_the_wheel_holds_what_the_pages_are_made_of(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"sync_profiles/sandbox/page.{kind}" for kind in ("html", "css", "js")} | {
        "sync_profiles/observe/page.css"
    } <= names
    assert not [name for name in names if name.startswith("tests/")]
