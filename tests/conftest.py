"""Fixtures that every tier shares: real databases, a fresh one for each test.

``database``
    a ``LiveDatabase`` on every kind of server in turn: SQLite, each PostgreSQL found, MariaDB (and MySQL when
    ``SYNC_PROFILES_TEST_MYSQL_URL`` is set). It has ``kind``, ``url``, ``engine``, ``execute(*sql)``,
    ``insert(sql, rows)``, ``scalar(sql)``; see ``servers.py``.
``postgres_database``, ``mariadb_database``, ``sqlite_database``
    the same on one kind only (``postgres_database`` still once per PostgreSQL found).
``postgres``, ``mariadb``, ``sqlite``
    the running ``Server`` of that kind; ``with postgres.fresh_database() as database`` for more than one.

Each server is started when a test first asks for it, once per test process (and per pytest-xdist worker). A server
that this machine does not have skips the test with the command that installs it; with ``CI`` set it fails instead, so
that nothing is ever skipped quietly there.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Iterator

import discretion
import pytest
from heard import Heard
from servers import LiveDatabase, Server, ServerMissingError, Servers, all_labels, labels


@pytest.fixture(autouse=True)
def _no_line_of_a_log_names_a_secret_or_a_person() -> Iterator[None]:
    """Whatever any test makes the program log, in each of the three forms it can be written in."""
    heard = Heard()
    logger = logging.getLogger("sync_profiles")
    logger.addHandler(heard)
    yield
    logger.removeHandler(heard)
    assert heard.leaks == []


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    pool = Servers()
    yield pool
    pool.close()


def _server(pool: Servers, label: str) -> Server:
    try:
        return pool.get(label)
    except ServerMissingError as missing:
        reason = f"no {label} server here; get one with: {missing}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session", params=labels("postgres"))
def postgres(request: pytest.FixtureRequest, servers: Servers) -> Server:
    return _server(servers, request.param)


@pytest.fixture(scope="session")
def mariadb(servers: Servers) -> Server:
    return _server(servers, "mariadb")


@pytest.fixture(scope="session")
def sqlite(servers: Servers) -> Server:
    return _server(servers, "sqlite")


@pytest.fixture(params=all_labels())
def database(request: pytest.FixtureRequest, servers: Servers) -> Iterator[LiveDatabase]:
    with _server(servers, request.param).fresh_database() as fresh:
        yield fresh


@pytest.fixture
def postgres_database(postgres: Server) -> Iterator[LiveDatabase]:
    with postgres.fresh_database() as fresh:
        yield fresh


@pytest.fixture
def mariadb_database(mariadb: Server) -> Iterator[LiveDatabase]:
    with mariadb.fresh_database() as fresh:
        yield fresh


@pytest.fixture
def sqlite_database(sqlite: Server) -> Iterator[LiveDatabase]:
    with sqlite.fresh_database() as fresh:
        yield fresh


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Whatever a test is about: it fails when it leaves a secret in a log, in its output or in a state."""
    report = yield
    if call.when == "call":
        arguments = getattr(item, "funcargs", {})
        leaks = list(discretion.told(report.sections))
        if "tmp_path" in arguments:
            values = not discretion.takes_values_for_ids(arguments)
            leaks += discretion.kept(arguments["tmp_path"], values=values)
        if leaks and report.outcome == "passed":
            report.outcome, report.longrepr = "failed", f"a secret was left behind: {', '.join(leaks)}"
    return report
