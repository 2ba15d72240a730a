"""The status page as a browser shows it, without a script, with nothing but the file."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser import audit, opened
from histories import a_history, a_report
from playwright.sync_api import Browser, expect

from sync_profiles.observe.page import status_page

NOW = 1_795_000_000.0


@pytest.fixture(params=[0, 1, 500])
def page_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    history = a_history(request.param, NOW)
    path = tmp_path / "status.html"
    path.write_text(status_page([a_report(history), a_report(history[:1], sync="companies", pending=2)], NOW), "utf-8")
    return path


def test_the_page_can_be_read_by_everybody(browser: Browser, page_file: Path) -> None:
    with opened(browser, page_file.as_uri()) as page:
        assert page.locator("section").count() == 2
        assert audit(page, everywhere=True) == []


def test_bars_have_a_height_and_the_chart_fills_the_page(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "status.html"
    path.write_text(status_page([a_report(a_history(48, NOW))], NOW), "utf-8")
    with opened(browser, path.as_uri(), java_script_enabled=False) as page:
        chart = page.get_by_role("img", name="Profiles sent by each run").bounding_box()
        assert chart is not None
        assert chart["width"] > 700
        bars = [one.bounding_box() for one in page.locator("svg rect.sent").all()]
        assert len(bars) > 40
        assert all(one is not None and one["height"] >= 1 and one["width"] >= 1 for one in bars)


def test_paper_gets_light_colours_and_the_latest_runs_only(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "status.html"
    path.write_text(status_page([a_report(a_history(40, NOW))], NOW), "utf-8")
    with opened(browser, path.as_uri(), color_scheme="dark") as page:
        expect(page.locator("details")).to_be_visible()
        page.emulate_media(media="print")
        expect(page.locator("details")).to_be_hidden()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert audit(page) == []
