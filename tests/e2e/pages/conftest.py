"""A browser for tests of pages."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from browser import chromium
from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One headless browser for all tests of pages in this process."""
    with chromium() as found:
        if found is None:
            complain = pytest.fail if os.environ.get("CI") else pytest.skip
            complain("no browser here; get one with: apt-get install chromium")
        yield found
