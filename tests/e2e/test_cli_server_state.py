"""The program with its state in PostgreSQL: every command, what goes wrong, and two machines that share it."""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
import sqlalchemy as sa
from commands import TOKEN, Outcome, Workplace, wait_until
from discretion import STATE_SECRETS
from dying import Forks
from servers import LiveDatabase
from test_cli_at_once import contend
from transaction_pooler import pooled

from sync_profiles.sandbox.faults import Fault
from sync_profiles.state.store import open_store

ROWS = 60


@pytest.fixture
def place(server_place: Workplace) -> Workplace:
    server_place.fill(ROWS)
    server_place.write('table = "users"\non_delete = "delete"\nmax_delete = "100%"\n', mixpanel=SMALL_REQUESTS)
    return server_place


SMALL_REQUESTS = "records_per_request = 20\nconcurrency = 2\n"


@pytest.fixture
def pooled_place(place: Workplace) -> Iterator[Workplace]:
    with pooled(place.environ["STATE_URL"]) as address:
        place.environ["STATE_URL"] = address
        yield place


Ran = Callable[..., Outcome]


@pytest.fixture
def ran(place: Workplace, program: Forks) -> Ran:
    """Runs a command in a fork, which costs a hundredth of a process, and checks its exit code (None: any)."""

    def run(*arguments: str, code: int | None = 0, **environ: str) -> Outcome:
        outcome = program.run(*arguments, cwd=place.folder, environ=place.environ | environ)
        place.check_discreet(outcome.out + outcome.err)
        assert code is None or outcome.code == code, outcome
        return outcome

    return run


def test_every_command_works_and_leaves_no_file_behind(place: Workplace, ran: Ran) -> None:
    ran("run")
    place.assert_equal()
    place.database.execute("UPDATE users SET plan = 'pro' WHERE id = 7", "DELETE FROM users WHERE id = 8")
    summary = ran("run", "--json").json
    assert (summary["sent"], summary["deleted"]) == (1, 1)
    place.assert_equal()
    assert ran("status", "--json").json["syncs"][0]["profiles"] == ROWS - 1
    assert len(ran("state", "export").out.splitlines()) == ROWS
    assert ran("backfill", "--json").json["sent"] == ROWS - 1
    assert ran("run", "--dry-run", "--json").json["sent"] == 0
    ran("rejected", "--retry")
    assert "state.url" in ran("config", "show").out
    ran("state", "reset", "users", "--yes")
    assert ran("status", "--json").json["syncs"][0]["profiles"] == 0
    ran("state", "reset", "--yes")
    assert ran("run", "--json").json["sent"] == ROWS - 1
    place.assert_equal()
    assert not place.state.parent.exists()


def test_looking_makes_no_state(place: Workplace, ran: Ran, state_database: LiveDatabase) -> None:
    assert ran("status", "--json").json["syncs"][0]["last_success_at"] is None
    assert ran("run", "--dry-run", "--json").json["sent"] == ROWS
    ran("check", "--no-canary", code=None)
    assert not state_database.scalar("SELECT count(*) FROM pg_namespace WHERE nspname = 'sync_profiles'")


def found(ran: Ran) -> dict[str, tuple[str, str]]:
    findings = ran("check", "--no-canary", "--json", code=None).json["findings"]
    return {one["code"]: (one["level"], one["message"]) for one in findings if one["code"].startswith("state")}


def test_check_tells_how_the_state_is_reached(place: Workplace, ran: Ran) -> None:
    ran("run")
    direct = found(ran)
    assert direct["state"][0] == "ok"
    assert direct["state_place"] == ("ok", "the state's database is reached directly")
    with pooled(place.environ["STATE_URL"]) as address:
        place.environ["STATE_URL"] = address
        level, message = found(ran)["state_place"]
    assert level == "warn"
    assert "pooler" in message


def test_the_state_holds_no_value_no_token_and_no_address(
    place: Workplace, ran: Ran, state_database: LiveDatabase
) -> None:
    place.database.execute("UPDATE users SET name = 'u1@example.com', email = 'u2@example.com' WHERE id < 9")
    place.sandbox.faults.add(Fault("status", code=400, times=3))
    ran("run", code=None)
    query = "SELECT string_agg(t::text, ' ') FROM sync_profiles.{} t"
    tables = ("sync", "holder", "tally", "profile", "shape", "pending", "inflight", "part", "run", "verification")
    kept = " ".join(str(state_database.scalar(query.format(table))) for table in tables)
    assert '"plan"' in kept, "it is looked for in what is there"
    for secret in (*STATE_SECRETS, TOKEN, state_database.url, "example.com", "User ", "free"):
        assert secret not in kept


# --- what goes wrong -----------------------------------------------------------------------------------------------


def test_a_state_that_is_away_ends_with_75_before_anything_is_read(place: Workplace, ran: Ran) -> None:
    url = sa.make_url(place.environ["STATE_URL"]).set(port=1, password="s3cret-of-state")
    place.environ["STATE_URL"] = url.render_as_string(hide_password=False)
    for command in (["run"], ["status"], ["state", "export"]):
        outcome = ran(*command, code=75)
        assert "s3cret" not in outcome.out + outcome.err
        assert "the state in the PostgreSQL database" in outcome.err
    assert not place.sandbox.requests
    assert "away" in [one["code"] for one in ran("check", "--no-canary", "--json", code=78).json["findings"]]


def test_a_state_that_refuses_the_password_ends_with_77(
    place: Workplace, ran: Ran, state_database: LiveDatabase
) -> None:
    state_database.execute("CREATE ROLE refused LOGIN PASSWORD 'right'")
    try:
        url = sa.make_url(place.environ["STATE_URL"]).set(username="refused", password="wr0ng-secret")
        place.environ["STATE_URL"] = url.render_as_string(hide_password=False)
        assert "password" in ran("run", code=77).err
    finally:
        state_database.execute("DROP ROLE refused")


def test_a_state_that_goes_away_in_the_middle_ends_the_run_and_the_next_goes_on(
    place: Workplace, ran: Ran, state_database: LiveDatabase
) -> None:
    place.sandbox.faults.add(Fault("slow", seconds=1.5, skip=1))
    with place.start("run") as process:
        wait_until(lambda: place.sandbox.requests or process.poll() is not None)
        state_database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sync-profiles state'"
        )
        assert place.ended(process).code == 75
    ran("run")
    place.assert_equal()


def test_a_state_whose_tables_were_emptied_stops_everything_until_somebody_decides(
    place: Workplace, ran: Ran, state_database: LiveDatabase
) -> None:
    """As after a restore of the schema alone."""
    ran("run")
    state_database.execute("TRUNCATE sync_profiles.version, sync_profiles.profile, sync_profiles.sync")
    assert "lost" in ran("run", code=3).err
    ran("state", "reset", "--yes")
    ran("run")
    place.assert_equal()


# --- two machines --------------------------------------------------------------------------------------------------


def elsewhere(place: Workplace, name: str) -> dict[str, str]:
    """Another machine: a home folder of its own with nothing in it."""
    home = place.folder / name
    home.mkdir()
    return {"HOME": str(home), "STATE_DIRECTORY": str(home / "state")}


def hand_over(place: Workplace, ran: Ran, *, lease_ends: bool, state: LiveDatabase) -> None:
    place.sandbox.faults.add(Fault("slow", seconds=3.0, skip=1))
    here, there = elsewhere(place, "here"), elsewhere(place, "there")
    with place.start("run", "--json", **here) as process:
        wait_until(lambda: place.sandbox.requests or process.poll() is not None)
        skipped = ran("run", "--json", **there).json
        assert skipped["outcome"] == "skipped"
        assert f"process {process.pid} on " in skipped["message"]
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    place.sandbox.faults.clear()
    if lease_ends:
        assert ran("run", "--json", **there).json["outcome"] == "skipped"
        state.execute("UPDATE sync_profiles.holder SET until = now() - interval '1 s'")
    else:
        wait_until(lambda: not state.scalar("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"))
    place.sandbox.clear_log()
    assert ran("run", "--json", **there).json["outcome"] == "ok"
    place.assert_equal()
    assert ran("run", "--json", **here).json["sent"] == 0
    assert [path for path in place.folder.rglob("*") if path.name.startswith("state.db")] == []


def test_two_machines_hand_over_when_one_dies(place: Workplace, ran: Ran, state_database: LiveDatabase) -> None:
    hand_over(place, ran, lease_ends=False, state=state_database)


def test_two_machines_behind_a_pooler_hand_over_when_the_lease_ends(
    pooled_place: Workplace, ran: Ran, state_database: LiveDatabase
) -> None:
    hand_over(pooled_place, ran, lease_ends=True, state=state_database)


def test_a_run_whose_lease_is_taken_over_while_it_sleeps_stops(
    pooled_place: Workplace, ran: Ran, state_database: LiveDatabase
) -> None:
    """It is halted for longer than its lease lasts, another one does its work, and it wakes up."""
    place = pooled_place
    place.sandbox.faults.add(Fault("slow", seconds=0.5, skip=1))
    with place.start("run", "--json") as process:
        wait_until(lambda: place.sandbox.requests or process.poll() is not None)
        process.send_signal(signal.SIGSTOP)
        state_database.execute("UPDATE sync_profiles.holder SET until = now() - interval '1 s'")
        assert ran("run", "--json").json["outcome"] == "ok"
        place.sandbox.clear_log()
        process.send_signal(signal.SIGCONT)
        late = place.ended(process)
    assert late.code == 74
    assert "lock" in json.loads(late.out)["message"]
    place.assert_equal()
    with closing(open_store(place.environ["STATE_URL"], now=lambda: 0.0)) as store:
        assert store.sync("users").known_count() == ROWS


def test_of_ten_runs_at_once_on_a_server_state_one_works(server_place: Workplace, program: Forks) -> None:
    contend(server_place, program, random.Random(3), rounds=1)


@pytest.mark.proof
def test_of_ten_runs_at_once_on_a_server_state_one_works_a_hundred_times(
    server_place: Workplace, program: Forks
) -> None:
    assert contend(server_place, program, random.Random(4), rounds=100) > 5
