"""Workplaces for tests of the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Workplace, working
from servers import LiveDatabase


@pytest.fixture
def place(tmp_path: Path, sqlite_database: LiveDatabase) -> Iterator[Workplace]:
    """On SQLite, where the kind of database does not matter."""
    with working(tmp_path, sqlite_database) as workplace:
        yield workplace


@pytest.fixture
def everywhere(tmp_path: Path, database: LiveDatabase) -> Iterator[Workplace]:
    """On every kind of database in turn."""
    with working(tmp_path, database) as workplace:
        yield workplace
