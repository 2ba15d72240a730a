"""Workplaces for tests of the command line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Workplace, working
from dying import Forks, forks
from servers import LiveDatabase, ServerMissingError, Servers, all_labels, labels


@pytest.fixture
def place(tmp_path: Path, sqlite_database: LiveDatabase) -> Iterator[Workplace]:
    """On SQLite, where the kind of database does not matter."""
    with working(tmp_path, sqlite_database) as workplace:
        yield workplace


@pytest.fixture
def state_database(servers: Servers) -> Iterator[LiveDatabase]:
    """A database for a state on a server."""
    with servers.get(labels("postgres")[0]).fresh_database() as database:
        yield database


@pytest.fixture
def server_place(tmp_path: Path, sqlite_database: LiveDatabase, state_database: LiveDatabase) -> Iterator[Workplace]:
    """On SQLite, with the state on a server."""
    with working(tmp_path, sqlite_database, state_database.url) as workplace:
        yield workplace


KINDS = {label.partition("-")[0]: label for label in reversed(all_labels())}


@pytest.fixture(params=KINDS.values())
def everywhere(request: pytest.FixtureRequest, tmp_path: Path, servers: Servers) -> Iterator[Workplace]:
    """On every kind of database in turn; one version of each, since the lower tiers meet them all."""
    try:
        server = servers.get(request.param)
    except ServerMissingError as missing:
        if os.environ.get("CI"):
            pytest.fail(f"no {request.param} server here; get one with: {missing}")
        pytest.skip(f"no {request.param} server here; get one with: {missing}")
    with server.fresh_database() as database, working(tmp_path, database) as workplace:
        yield workplace


@pytest.fixture(scope="module")
def program() -> Iterator[Forks]:
    """The process that forks the program."""
    with forks() as started:
        yield started
