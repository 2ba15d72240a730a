"""The system's own Chromium, driven by Playwright, and what a page must not get wrong whoever reads it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect, sync_playwright

PATIENCE_MS = 30_000
"""A busy machine may take long; what is right comes at once on an idle one."""
NARROW = {"width": 360, "height": 740}
WIDE = {"width": 1280, "height": 800}
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

AUDIT = Path(__file__).with_name("audit.js").read_text("utf-8")


@contextlib.contextmanager
def chromium() -> Iterator[Browser | None]:
    """A headless browser; None where the system has none."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        yield None
        return
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def opened(browser: Browser, address: str, **context: Any) -> Iterator[Page]:
    """A page in a context of its own; whatever it complains of, or asks of another host, fails the test."""
    complaints: list[str] = []
    asked: set[str] = set()
    with browser.new_context(**{"viewport": WIDE, **context}) as fresh:
        fresh.set_default_timeout(PATIENCE_MS)
        page = fresh.new_page()
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: asked.add(request.url))
        page.goto(address)
        yield page
        assert complaints == []
        ours = address.rpartition("/")[0].removesuffix("/sandbox")
        assert [url for url in asked if not url.startswith((ours, "data:"))] == []


def audit(page: Page, *, everywhere: bool = False) -> list[str]:
    """What keeps somebody from using the page, as ``audit.js`` finds it; ``everywhere``: light, dark, wide, narrow."""
    looks: list[tuple[Any, Any]] = [(scheme, size) for scheme in ("light", "dark") for size in (WIDE, NARROW)]
    found: list[str] = []
    for scheme, size in looks if everywhere else [(None, None)]:
        if scheme is not None:
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size(size)
        found += page.evaluate(AUDIT)
    return found
