"""The sandbox's page in a real browser: what a person does with it, by mouse and by keyboard alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from browser import audit, opened
from commands import Workplace
from playwright.sync_api import Browser, Locator, Page, expect

from sync_profiles.sandbox.faults import Fault
from sync_profiles.sandbox.server import Sandbox

DASH = "\N{EN DASH}"
EVIL = '<script>document.title = "owned"</script><img src=x onerror="alert(1)">'


def send(sandbox: Sandbox, *records: dict[str, Any]) -> None:
    whole = [{"$token": sandbox.token, "$ip": "0", **record} for record in records]
    requests.post(f"{sandbox.url}/engage?ip=0&strict=1", json=whole, timeout=10)


def user(number: int, **properties: Any) -> dict[str, Any]:
    named = {"$name": f"User {number}", "$email": f"user{number}@example.com", **properties}
    return {"$distinct_id": str(number), "$set": named}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(keep_history=True) as running:
        yield running


@pytest.fixture(scope="module")
def crowd() -> Iterator[Sandbox]:
    """Ten thousand users."""
    with Sandbox(keep_history=True) as running:
        for start in range(1, 10_001, 2000):
            send(running, *map(user, range(start, start + 2000)))
        yield running


def rows(page: Page) -> Locator:
    return page.locator("#users-rows tr")


def first_ids(page: Page, count: int = 3) -> list[str]:
    return rows(page).locator("td:first-child").all_inner_texts()[:count]


def test_ten_thousand_users_are_paged_sorted_and_searched(browser: Browser, crowd: Sandbox) -> None:
    with opened(browser, f"{crowd.url}/sandbox") as page:
        expect(rows(page)).to_have_count(50)
        assert first_ids(page) == ["1", "2", "3"]
        expect(page.get_by_text(f"1{DASH}50 of 10,000")).to_be_visible()
        expect(page.get_by_role("button", name="Previous")).to_be_disabled()
        page.get_by_role("button", name="Next").click()
        expect(page.get_by_text(f"51{DASH}100 of 10,000")).to_be_visible()
        page.get_by_label("Rows").select_option("100")
        expect(rows(page)).to_have_count(100)

        page.get_by_role("button", name="Name").click()
        expect(page.get_by_role("columnheader", name="Name")).to_have_attribute("aria-sort", "ascending")
        page.get_by_role("button", name="Name").click()
        expect(page.get_by_role("columnheader", name="Name")).to_have_attribute("aria-sort", "descending")
        assert first_ids(page) == ["10000", "9999", "9998"]

        page.get_by_role("searchbox").fill("USER77 ")
        expect(page.get_by_text(f"1{DASH}100 of 111 (10,000 in all)")).to_be_visible()
        page.get_by_role("searchbox").fill("nobody at all")
        expect(page.get_by_text("Nobody matches this search.")).to_be_visible()


def test_a_profile_opens_with_its_properties_and_what_each_record_changed(browser: Browser, sandbox: Sandbox) -> None:
    send(sandbox, user(7, plan="free", country="DE"), user(8))
    send(sandbox, {"$distinct_id": "7", "$set": {"plan": "pro"}}, {"$distinct_id": "7", "$unset": ["country"]})
    with opened(browser, f"{sandbox.url}/sandbox") as page:
        page.get_by_role("cell", name="user7@example.com", exact=True).click()
        sheet = page.get_by_role("dialog")
        expect(page.get_by_role("heading", name="User 7")).to_be_focused()
        expect(sheet.locator("dl")).to_have_text("$emailuser7@example.com$nameUser 7planpro")
        expect(sheet.locator("ol > li")).to_have_count(3)
        expect(sheet.locator("ol > li").nth(0)).to_contain_text("country: DE")
        expect(sheet.locator("ol > li").nth(1)).to_contain_text("plan: free → pro")
        assert audit(page) == []

        send(sandbox, {"$distinct_id": "7", "$delete": ""})
        expect(page.get_by_text("7 · deleted")).to_be_visible()
        expect(sheet.locator("ol > li").nth(0)).to_contain_text("$delete")
        page.get_by_role("button", name="Close the profile").click()
        expect(sheet).to_be_hidden()
        expect(rows(page)).to_have_count(1)
        page.get_by_role("button", name="8", exact=True).click()
        expect(sheet).to_be_visible()
        sandbox.reset()
        expect(sheet).to_be_hidden()


def test_a_script_in_a_name_is_a_name(browser: Browser, sandbox: Sandbox) -> None:
    send(sandbox, user(1, **{"$name": EVIL, "$email": EVIL, EVIL: EVIL}), {**user(2), "$distinct_id": EVIL})
    with opened(browser, f"{sandbox.url}/sandbox") as page:
        expect(rows(page)).to_have_count(2)
        expect(rows(page).first).to_contain_text(EVIL)
        page.get_by_role("button", name="1", exact=True).click()
        expect(page.get_by_role("dialog").locator("dt", has_text="<script>")).to_be_visible()
        page.keyboard.press("Escape")
        page.get_by_role("button", name=EVIL).click()
        expect(page.get_by_role("dialog")).to_contain_text("User 2")
        assert page.title() == "Users · sync-profiles sandbox"
        assert page.locator("img, tbody script, dialog script").count() == 0


def test_a_fault_is_switched_on_a_run_is_refused_and_the_next_recovers(browser: Browser, place: Workplace) -> None:
    place.fill(5)
    with opened(browser, f"{place.sandbox.url}/sandbox#faults") as page:
        fault = page.get_by_role("switch", name="Wrong credentials")
        expect(fault).not_to_be_checked()
        fault.click()
        expect(fault).to_be_checked()
        expect(page.get_by_role("status").filter(has_text="Switched on: Wrong credentials.")).to_be_visible()

        place.run("run", code=77)
        expect(page.get_by_text("Struck 1 time")).to_be_visible()
        page.get_by_role("link", name="Requests").click()
        refused = page.locator("#requests-rows tr").first
        expect(refused).to_contain_text("401")
        expect(refused).to_contain_text("Invalid credentials")
        page.get_by_role("link", name="Users").click()
        expect(page.get_by_text("No profile has arrived yet.")).to_be_visible()

        page.get_by_role("button", name="Switch off").click()
        expect(page.get_by_text("Switched on")).to_be_hidden()
        place.run("run")
        expect(rows(page)).to_have_count(5)
        page.get_by_role("link", name="Requests").click()
        expect(page.locator("#requests-rows tr")).to_have_count(2)
        page.get_by_label("Only those that went wrong").check()
        expect(page.locator("#requests-rows tr")).to_have_count(1)


def test_a_fault_may_be_for_the_next_request_only(browser: Browser, sandbox: Sandbox) -> None:
    with opened(browser, f"{sandbox.url}/sandbox#faults") as page:
        card = page.get_by_role("listitem").filter(has=page.get_by_role("switch", name="Captive portal"))
        card.get_by_role("button", name="Next request only").click()
        expect(card.get_by_text("Waits for the next request")).to_be_visible()
        assert [one.fault for one in sandbox.faults.standing] == [Fault("html")]
        send(sandbox, user(1))
        send(sandbox, user(2))
        expect(card.get_by_text("Waits for the next request")).to_be_hidden()
        assert list(sandbox.profiles) == ["2"]


def test_everything_can_be_done_by_keyboard_alone(browser: Browser, sandbox: Sandbox) -> None:
    send(sandbox, *map(user, range(1, 31)))
    with opened(browser, f"{sandbox.url}/sandbox") as page:
        expect(rows(page)).to_have_count(30)
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        page.keyboard.press("/")
        page.keyboard.type("user29")
        expect(rows(page)).to_have_count(1)
        focused = page.locator(":focus")
        for _ in range(12):
            page.keyboard.press("Tab")
            if focused.inner_text() == "29":
                break
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog", name="User 29")).to_be_visible()
        expect(page.get_by_role("heading", name="User 29")).to_be_focused()
        page.keyboard.press("Escape")
        expect(page.get_by_role("button", name="29")).to_be_focused()

        page.get_by_role("link", name="Faults").focus()
        page.keyboard.press("Enter")
        expect(page.locator("main")).to_be_focused()
        page.keyboard.press("Tab")
        page.keyboard.press("Space")
        expect(page.get_by_role("switch", name="Server error")).to_be_checked()
        page.keyboard.press("Space")
        expect(page.get_by_role("switch", name="Server error")).not_to_be_checked()
        assert sandbox.faults.waiting == 0


def test_the_focus_stays_with_the_pages_when_there_is_no_further_one(browser: Browser, sandbox: Sandbox) -> None:
    send(sandbox, *map(user, range(1, 61)))
    with opened(browser, f"{sandbox.url}/sandbox") as page:
        page.get_by_role("button", name="Next").press("Enter")
        expect(page.get_by_text(f"51{DASH}60 of 60")).to_be_visible()
        expect(page.get_by_role("button", name="Previous")).to_be_focused()


def test_a_sandbox_that_went_away_is_said_to_be_gone(browser: Browser) -> None:
    with Sandbox() as sandbox, browser.new_page() as page:
        page.goto(f"{sandbox.url}/sandbox")
        expect(page.get_by_text("No profile has arrived yet.")).to_be_visible()
        sandbox.close()
        expect(page.get_by_text("The sandbox does not answer any more.")).to_be_visible()


def test_the_sandbox_is_emptied_only_when_that_is_meant(browser: Browser, sandbox: Sandbox) -> None:
    send(sandbox, user(1))
    with opened(browser, f"{sandbox.url}/sandbox#faults") as page:
        page.get_by_role("button", name="Empty the sandbox").click()
        page.get_by_role("button", name="Keep everything").click()
        assert list(sandbox.profiles) == ["1"]
        page.get_by_role("button", name="Empty the sandbox").click()
        page.get_by_role("button", name="Empty it").click()
        expect(page.get_by_role("link", name="Users 0")).to_be_visible()
        assert sandbox.profiles == {}


def test_what_a_wrong_token_loses_is_said_and_groups_are_shown(browser: Browser, sandbox: Sandbox) -> None:
    send(sandbox, {**user(1), "$token": "another"})
    acme = {"$token": sandbox.token, "$group_key": "company", "$group_id": "acme", "$set": {"$name": "Acme"}}
    requests.post(f"{sandbox.url}/groups", json=[acme], timeout=10)
    with opened(browser, sandbox.url) as page:
        expect(page.get_by_text("1 profile came with another token")).to_be_visible()
        expect(page.get_by_text("No profile has arrived yet.")).to_be_visible()
        page.get_by_label("Show").select_option("company")
        expect(rows(page)).to_have_text(re.compile("^acmeAcme"))


@pytest.mark.parametrize("view", ["users", "requests", "faults"])
def test_every_view_can_be_read_and_used_by_everybody(browser: Browser, sandbox: Sandbox, view: str) -> None:
    sandbox.faults.add(Fault("status", code=503), Fault("html"), Fault("bare", skip=1, times=None))
    for number in range(4):
        send(sandbox, user(number, long="x" * 200), {"$distinct_id": ""} if number == 2 else user(100))
    send(sandbox, {**user(1), "$token": "another"})
    sandbox.faults.clear()
    sandbox.faults.add(Fault("bare", times=None))
    send(sandbox, user(5))
    with opened(browser, f"{sandbox.url}/sandbox#{view}") as page:
        expect(page.locator(f"#view-{view}")).to_be_visible()
        expect(page.get_by_text("Switched on: A bare 1.")).to_be_visible()
        assert audit(page, everywhere=True) == []
        page.locator("#confirm").evaluate("one => one.showModal()")
        assert audit(page) == []
