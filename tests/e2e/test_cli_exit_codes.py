"""Every exit code, caused for real; whatever goes wrong, stderr names the cure and nothing secret."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
from pathlib import Path

import pytest
import sqlalchemy as sa
from commands import TOKEN, Outcome, Workplace

from sync_profiles.sandbox.faults import Fault

DELETES = 'table = "users"\non_delete = "delete"\n'


def said(outcome: Outcome, *words: str) -> None:
    """Nothing on stdout; on stderr these words and a cure."""
    assert outcome.out == ""
    for word in words:
        assert word in outcome.err
    assert "hint=" in outcome.err or "did you mean" in outcome.err or "Error: " in outcome.err, outcome.err


# --- 2: usage ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "user"], "did you mean"),
        (["run", "nobody"], "the config has: users"),
        (["run", "--deadline", "soon"], "--deadline"),
        (["backfill", "--since", "2026-01-01"], "cursor"),
        (["backfill", "--key", "1", "--where", "id = 1"], "--key does not go with"),
        (["rejected", "--retry", "--forget"], "do not go together"),
        (["state", "reset"], "--yes"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_2_for_what_cannot_be_asked(place: Workplace, arguments: list[str], words: str) -> None:
    place.fill(1)
    said(place.run(*arguments, code=2), words)
    assert not place.sandbox.requests


# --- 3: guards -----------------------------------------------------------------------------------------------------


def test_3_for_a_mass_delete_until_it_is_allowed(place: Workplace) -> None:
    place.fill(1000)
    place.write(DELETES)
    place.run("run")
    place.database.execute("DELETE FROM users WHERE id > 500")
    place.sandbox.clear_log()
    said(place.run("run", code=3), "500 of 1000", "max_delete", "--allow-mass-delete")
    assert place.run("run", "--json", code=3).json["outcome"] == "stopped"
    assert not place.sandbox.requests
    place.run("run", "--allow-mass-delete")
    place.assert_equal()


def test_3_for_a_table_that_was_emptied(place: Workplace) -> None:
    place.fill(50)
    place.write(DELETES)
    place.run("run")
    place.database.execute("DELETE FROM users")
    said(place.run("run", code=3), "empty", "--allow-mass-delete")
    assert len(place.sandbox.profiles) == 50
    place.run("run", "--allow-mass-delete")
    assert not place.sandbox.profiles


def test_3_for_a_mass_reject(place: Workplace) -> None:
    place.fill(200)
    place.write('table = "users"\ndistinct_id = "email"\n')
    said(place.run("run", code=3), "max_reject", "sync-profiles rejected")


def test_3_for_another_database_until_it_is_accepted(place: Workplace) -> None:
    flag = "--accept-new-source"
    place.fill(20)
    place.run("run")
    other = place.folder / "other.db"
    source = sa.create_engine(place.database.url).url.database
    assert source is not None
    other.write_bytes(Path(source).read_bytes())
    place.sandbox.clear_log()
    said(place.run("run", code=3, DATABASE_URL=f"sqlite:///{other}"), "source", flag)
    assert not place.sandbox.requests
    place.run("run", flag, DATABASE_URL=f"sqlite:///{other}")
    place.run("run", DATABASE_URL=f"sqlite:///{other}")


def test_3_for_another_mixpanel_project_until_it_is_accepted(place: Workplace) -> None:
    place.fill(20)
    place.run("run")
    other = TOKEN[::-1]
    said(place.run("run", code=3, MIXPANEL_TOKEN=other), "project", "--accept-new-source")
    assert not place.sandbox.profiles_of(other)
    place.run("run", "--accept-new-source", MIXPANEL_TOKEN=other)
    assert place.sandbox.profiles_of(other) == place.expected()


def test_3_for_a_state_that_is_lost_until_it_is_started_over(place: Workplace) -> None:
    place.fill(20)
    place.run("run")
    for path in place.state.parent.glob("state.db*"):
        if path.name in {"state.db", "state.db-wal", "state.db-shm"}:
            path.unlink()
    place.sandbox.clear_log()
    for command in ("run", "status", "preview"):
        said(place.run(command, code=3), "lost", "state reset")
    assert not place.sandbox.requests
    place.run("state", "reset", "--yes")
    assert place.run("run", "--json").json["sent"] == 20


# --- 65: some rows -------------------------------------------------------------------------------------------------


def test_65_names_the_row_and_sends_the_others(place: Workplace) -> None:
    place.fill(20)
    place.database.execute("UPDATE users SET email = 'a@example.com' || char(0) WHERE id = 7")
    outcome = place.run("run", code=65)
    assert outcome.out == ""
    assert "row 7 rejected" in outcome.err
    assert "email" in outcome.err
    assert "a@example.com" not in outcome.err
    assert len(place.sandbox.profiles) == 19
    place.run("run")
    assert place.run("rejected", "--json").json["key"] == "7"


# --- 74: the state -------------------------------------------------------------------------------------------------


def test_74_for_a_damaged_state_until_it_is_started_over(place: Workplace) -> None:
    place.fill(20)
    place.run("run")
    place.state.write_bytes(b"no database at all" * 1000)
    place.sandbox.clear_log()
    for command in ("run", "status", "preview"):
        said(place.run(command, code=74), "damaged", "state reset")
    assert not place.sandbox.requests
    assert "kept as" in place.run("state", "reset", "--yes").err
    place.run("run")
    place.assert_equal()


def test_74_for_a_folder_in_its_place(place: Workplace) -> None:
    place.fill(1)
    place.state.mkdir(parents=True)
    said(place.run("run", code=74), str(place.state))


def test_74_for_a_file_where_its_folder_should_be(place: Workplace) -> None:
    place.fill(1)
    place.state.parent.write_text("in the way")
    said(place.run("run", code=74), str(place.state.parent))


def test_74_for_a_folder_that_may_only_be_read(place: Workplace) -> None:
    place.fill(1)
    place.state.parent.mkdir(mode=0o555)
    said(place.run("run", code=74, within=obeying_modes()), str(place.state.parent))
    assert not place.sandbox.requests
    assert not list(place.state.parent.iterdir())


def obeying_modes() -> tuple[str, ...]:
    """What to put before a command so that a file's mode counts, for root too."""
    if os.geteuid() != 0:
        return ()
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("root may write everywhere, and there is no setpriv to take that away")
    return (setpriv, "--bounding-set=-dac_override,-dac_read_search", "--")


# --- 75: later -----------------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_75_while_the_database_is_down(place: Workplace, scheme: str) -> None:
    url = f"{scheme}://app:hunter2hunter2@127.0.0.1:{free_port()}/app"
    outcome = place.run("run", code=75, DATABASE_URL=url)
    said(outcome, "nothing is lost")
    assert "hunter2" not in outcome.err


def test_75_while_mixpanel_is_down_and_later_everything_arrives(place: Workplace) -> None:
    place.fill(2000)
    outcome = place.run("run", "--json", "--deadline", "1s", code=75, MIXPANEL_URL=f"http://127.0.0.1:{free_port()}")
    assert outcome.json["outcome"] == "deferred"
    place.run("run", "--accept-new-source")
    place.assert_equal()


def test_75_while_mixpanel_answers_503(place: Workplace) -> None:
    place.fill(2000)
    place.sandbox.faults.add(Fault("status", times=None, code=503))
    outcome = place.run("run", "--deadline", "1s", code=75)
    assert outcome.out == ""
    assert "deferred" in outcome.err
    place.sandbox.faults.clear()
    place.run("run")
    place.assert_equal()


# --- 77: refused ---------------------------------------------------------------------------------------------------

PASSWORD = "correct0horse0battery"


def intruder(place: Workplace, **changes: str) -> str:
    """The database's address, but for user and password."""
    return sa.make_url(place.database.url).set(**changes).render_as_string(hide_password=False)


@pytest.fixture
def guarded(everywhere: Workplace) -> Workplace:
    """A table that only its owner may read, and a user who is known by a password."""
    kind = everywhere.database.kind
    if kind == "sqlite":
        pytest.skip("SQLite knows no users")
    everywhere.fill(3)
    user = "stranger" if kind == "postgresql" else "stranger@'%'"
    everywhere.database.execute(
        *(
            [f"DROP ROLE IF EXISTS {user}", f"CREATE ROLE {user} LOGIN PASSWORD '{PASSWORD}'"]
            if kind == "postgresql"
            else [f"DROP USER IF EXISTS {user}", f"CREATE USER {user} IDENTIFIED BY '{PASSWORD}'"]
        )
    )
    return everywhere


def test_77_for_a_wrong_password(guarded: Workplace) -> None:
    outcome = guarded.run(
        "run", code=77, DATABASE_URL=intruder(guarded, username="stranger", password="hunter2hunter2")
    )
    said(outcome, "password")
    assert "hunter2" not in outcome.err


def test_77_for_a_user_who_may_not_read(guarded: Workplace) -> None:
    outcome = guarded.run("run", code=77, DATABASE_URL=intruder(guarded, username="stranger", password=PASSWORD))
    said(outcome, "SELECT")
    assert PASSWORD not in outcome.err


@pytest.mark.parametrize("status", [401, 403])
def test_77_when_mixpanel_refuses(place: Workplace, status: int) -> None:
    place.fill(3)
    place.sandbox.faults.add(Fault("status", times=None, code=status))
    said(place.run("run", code=77), str(status))
    place.sandbox.faults.clear()
    place.run("run")
    place.assert_equal()


# --- 78: configuration ---------------------------------------------------------------------------------------------


def test_78_tells_every_mistake_at_once_with_its_line(place: Workplace) -> None:
    place.config.write_text(
        '[source]\nurl = "${NOT_THERE}"\n[mixpanel]\ntoken = "${MIXPANEL_TOKEN}"\nregion = "mars"\n'
        '[sync.users]\ntabel = "users"\n[sync.users.set]\n"$email" = "email"\n'
    )
    outcome = place.run("run", "--log-format", "text", code=78)
    assert outcome.out == ""
    places = re.findall(r"config\.toml:(\d+): ([\w.]+): ", outcome.err)
    assert {("2", "source.url"), ("5", "mixpanel.region"), ("7", "sync.users.tabel")} <= set(places)
    assert "NOT_THERE" in outcome.err
    assert "did you mean 'table'" in outcome.err


@pytest.mark.parametrize(
    ("users", "words"),
    [
        ('table = "user"\n', ["table", "users"]),
        ('table = "users"\nprimary_key = "idd"\n', ["primary_key", "id"]),
        ('table = "users"\ncursor = "update_at"\n', ["cursor", "updated_at"]),
        ('table = "users"\nwhere = "no_such_column > 1"\n', ["no_such_column"]),
        ('query = "SELECT id FROM nowhere"\nprimary_key = "id"\n', ["query", "nowhere"]),
    ],
    ids=["table", "primary_key", "cursor", "where", "query"],
)
def test_78_for_what_the_database_does_not_have(everywhere: Workplace, users: str, words: list[str]) -> None:
    everywhere.fill(1)
    everywhere.write(users)
    outcome = everywhere.run("run", code=78)
    said(outcome, "config.toml:", "sync.users", *words)


def test_78_for_columns_that_do_not_exist_all_of_them_with_suggestions(everywhere: Workplace) -> None:
    everywhere.fill(1)
    everywhere.write(more='[sync.users.union]\nfirst = "emial"\nsecond = "planet"\n')
    outcome = everywhere.run("run", "--log-format", "text", code=78)
    assert re.search(r'config\.toml:\d+: sync\.users\.union\.first: .*emial.*"email"', outcome.err), outcome.err
    assert re.search(r'config\.toml:\d+: sync\.users\.union\.second: .*planet.*"plan"', outcome.err), outcome.err


def test_78_for_a_secret_column_that_nobody_asked_for_by_name(place: Workplace) -> None:
    place.database.execute(
        "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, email TEXT, plan TEXT, api_token TEXT)"
    )
    place.write(more='[sync.users.union]\nkeys = "api_token"\n')
    outcome = place.run("run", code=78)
    assert "secret = true" in outcome.err


@pytest.mark.parametrize("status", [301, 404])
def test_78_when_mixpanel_is_not_there(place: Workplace, status: int) -> None:
    place.fill(3)
    place.sandbox.faults.add(Fault("status", times=None, code=status))
    said(place.run("run", code=78), str(status))
    assert len(place.sandbox.requests) == 1, "a redirect is not followed"


# --- the same in JSON ----------------------------------------------------------------------------------------------


def test_errors_are_json_lines_when_the_log_is(place: Workplace) -> None:
    place.fill(3)
    place.sandbox.faults.add(Fault("status", times=None, code=401))
    outcome = place.run("--log-format", "json", "run", "--json", code=77)
    lines = [json.loads(line) for line in outcome.err.splitlines()]
    assert {"error"} <= {line["level"] for line in lines}
    assert outcome.json["outcome"] == "failed"
