"""From an unknown table to profiles without a hand edit: init, check, run, for every table on its own databases."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from servers import LiveDatabase, ServerMissingError, Servers, all_labels
from user_tables import DJANGO, SECRET, USER_TABLES, UserTable

from sync_profiles.__main__ import main
from sync_profiles.sandbox.server import PROJECT_ID, SERVICE_ACCOUNT, SERVICE_SECRET, Sandbox

TOKEN = "0token0of0the0sandbox0"
LABELS = {label.partition("-")[0]: label for label in reversed(all_labels())}
"""One version of each kind of database; the lower tiers meet them all."""
LABEL_OF_KIND = {"postgresql": LABELS["postgres"], "mariadb": LABELS["mariadb"], "sqlite": LABELS["sqlite"]}
MATRIX = [(user_table, kind) for user_table in USER_TABLES for kind in user_table.words]

Run = Callable[..., str]


@pytest.fixture
def database(request: pytest.FixtureRequest, servers: Servers) -> Iterator[LiveDatabase]:
    label = LABEL_OF_KIND[request.param]
    try:
        server = servers.get(label)
    except ServerMissingError as missing:
        if os.environ.get("CI"):
            pytest.fail(f"no {label} server here; get one with: {missing}")
        pytest.skip(f"no {label} server here; get one with: {missing}")
    with server.fresh_database() as fresh:
        yield fresh


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(token=TOKEN, keep_bodies=True) as running:
        yield running


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The program in an empty folder, with nothing in its environment; gives its stdout."""
    monkeypatch.chdir(tmp_path)
    for name in ("DATABASE_URL", "MIXPANEL_TOKEN", "SYNC_PROFILES_CONFIG", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))

    def call(*arguments: str, code: int = 0) -> str:
        ended = main(arguments)
        captured = capsys.readouterr()
        assert ended == code, captured
        assert SECRET not in captured.out + captured.err
        return captured.out

    return call


def towards(sandbox: Sandbox, config: Path = Path("config.toml")) -> None:
    """The sandbox in Mixpanel's place: the one line that a user does not have."""
    text = config.read_text("utf-8")
    config.write_text(text.replace("[mixpanel]\n", f'[mixpanel]\nbase_url = "{sandbox.url}"\n', 1), "utf-8")


def fill_in_token(dotenv: Path = Path(".env")) -> None:
    dotenv.write_text(dotenv.read_text("utf-8").replace("MIXPANEL_TOKEN=\n", f"MIXPANEL_TOKEN={TOKEN}\n"), "utf-8")


def ids(case: object) -> str:
    return case.program.replace(" ", "-") if isinstance(case, UserTable) else str(case)


@pytest.mark.parametrize(("user_table", "database"), MATRIX, indirect=["database"], ids=ids)
def test_a_known_table_arrives_with_nothing_filled_in_but_the_token(
    user_table: UserTable, database: LiveDatabase, sandbox: Sandbox, run: Run
) -> None:
    user_table.make(database)
    named = ("--table", user_table.table) if user_table.named else ()
    said = run("init", "--url", database.url, *named)
    assert user_table.table_on(database.kind) in said.splitlines()[0]
    assert "Next: fill in MIXPANEL_TOKEN" in said.splitlines()[-1]
    proposed = Path("config.toml").read_text("utf-8")
    for name in user_table.secrets:
        assert not re.search(rf'^(?!#).*"{name}"', proposed, re.MULTILINE), f"{name} is proposed"

    fill_in_token()
    towards(sandbox)
    findings = json.loads(run("check", "--json"))["findings"]
    assert {one["code"] for one in findings if one["level"] != "ok"} <= {"rights", "token_unproven", "null_cursor"}

    assert json.loads(run("run", "--json"))["outcome"] == "ok"
    assert run("rejected", "--json") == ""
    arrived_as_they_should(user_table, sandbox)

    with_an_account_to_read_back()
    verified = json.loads(run("verify", "--all", "--json"))
    assert (verified["checked"], verified["matching"]) == (len(user_table.profiles), len(user_table.profiles))
    assert json.loads(run("run", "--json"))["requests"] == 0


def arrived_as_they_should(user_table: UserTable, sandbox: Sandbox) -> None:
    assert sandbox.profiles.keys() == user_table.profiles.keys()
    for distinct_id, expected in user_table.profiles.items():
        held = sandbox.profiles[distinct_id]
        assert {name: held.get(name) for name in expected} == expected
    assert SECRET not in "".join(str(request.body) for request in sandbox.requests)


def with_an_account_to_read_back(config: Path = Path("config.toml"), dotenv: Path = Path(".env")) -> None:
    """The three lines that stand in the proposal for whoever has a service account."""
    text = config.read_text("utf-8").replace("project_id = 123456", f"project_id = {PROJECT_ID}")
    for line in ("project_id = ", "service_account = ", "service_secret = "):
        text = text.replace(f"\n#{line}", f"\n{line}", 1)
    config.write_text(text, "utf-8")
    with dotenv.open("a", encoding="utf-8") as file:
        file.write(f"MIXPANEL_SERVICE_ACCOUNT={SERVICE_ACCOUNT}\nMIXPANEL_SERVICE_SECRET={SERVICE_SECRET}\n")


@pytest.mark.parametrize("database", DJANGO.words, indirect=True)
def test_the_query_that_is_proposed_for_groups_works_when_it_is_taken_up(
    database: LiveDatabase, sandbox: Sandbox, run: Run
) -> None:
    DJANGO.make(database)
    run("init", "--url", database.url)
    config = Path("config.toml")
    text = config.read_text("utf-8").replace('table = "auth_user"', '#table = "auth_user"')
    head, _, tail = text.partition("#query = ")
    query, _, rest = tail.partition('#primary_key = "id"')
    uncommented = "query = " + query.replace("\n#", "\n") + 'primary_key = "id"' + rest.replace("#groups", "groups")
    config.write_text(head + uncommented, "utf-8")
    fill_in_token()
    towards(sandbox)
    run("run")
    assert sandbox.profiles["2"]["groups"] == ["Editors", 'Ops "night"']
    assert sandbox.profiles["3"]["groups"] == ["Editors"]
    assert not sandbox.profiles["1"].get("groups")
    assert sandbox.profiles["1"]["is_superuser"]  # SQLite tells no types of a query: 1
