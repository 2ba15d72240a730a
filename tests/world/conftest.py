"""``--world-seed N`` replays one world (so does the environment variable WORLD_SEED)."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--world-seed", type=int, default=None, help="the one world to live through")
