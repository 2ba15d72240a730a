"""The demo: a story that can be read, and nothing of it stays."""

from __future__ import annotations

import json
import re
import shlex
import signal
import urllib.request
from pathlib import Path

import sqlalchemy as sa
from commands import Workplace, wait_until, working
from servers import LiveDatabase


def test_the_demo_shows_alice_bob_and_carol_and_what_a_sync_sends(place: Workplace, tmp_path: Path) -> None:
    told = place.run("demo")
    assert told.err == ""
    for number, name in enumerate(("Alice", "Bob", "Carol"), 1):
        assert re.search(rf"^{number} +{name} +{name.lower()}@example\.com$", told.out, re.MULTILINE)
    assert re.search(r"Second run.* sent 0 profiles.* 0 requests", told.out)
    assert '{"$distinct_id":"2","$unset":["$email"]}' in told.out
    assert '{"$distinct_id":"3","$delete":""}' in told.out


def test_the_demo_leaves_nothing_behind(place: Workplace, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    before = set(tmp_path.iterdir())
    place.run("demo", "--rows", "50", TMPDIR=str(scratch))
    assert not list(scratch.iterdir())
    assert set(tmp_path.iterdir()) == before
    assert not place.state.parent.exists()
    assert not place.sandbox.requests


def test_the_demo_runs_in_a_database_of_ones_own_and_removes_only_its_table(everywhere: Workplace) -> None:
    everywhere.fill(3)
    told = everywhere.run("demo", "--rows", "50", "--database-url", everywhere.database.url)
    assert re.search(r"First run: read 50 rows, .* sent 50 profiles", told.out)
    assert re.search(r"Third run: read \d+ rows, .* sent 3 profiles, removed 1", told.out)
    assert sa.inspect(everywhere.database.engine).get_table_names() == ["users"]


def test_a_served_demo_shows_its_profiles_until_ctrl_c_and_leaves_nothing_behind(place: Workplace) -> None:
    scratch = place.folder / "scratch"
    scratch.mkdir()
    with place.start("demo", "--rows", "10", "--serve", TMPDIR=str(scratch), PYTHONUNBUFFERED="1") as process:
        assert process.stdout is not None
        told = ""
        for line in process.stdout:
            told += line
            if " run -v" in line:
                break
        address = re.search(r"http://\S+/sandbox$", told, re.MULTILINE)
        assert address is not None
        with urllib.request.urlopen(f"{address[0]}/user?distinct_id=1", timeout=10) as profile:
            seen = json.load(profile)
        assert seen["profile"]["properties"]["$email"] == "alice@example.com"
        assert {"name": "plan", "before": "starter", "after": "enterprise"} in seen["history"][0]["changes"]
        again = place.run(*shlex.split(told.splitlines()[-1])[1:], "--json").json
        assert (again["outcome"], again["sent"], again["unchanged"]) == ("ok", 0, 10)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert not list(scratch.iterdir())


def test_a_demo_that_is_interrupted_leaves_nothing_behind(place: Workplace) -> None:
    scratch = place.folder / "scratch"
    scratch.mkdir()
    with place.start("demo", "--rows", "200000", TMPDIR=str(scratch)) as process:
        wait_until(lambda: list(scratch.glob("*/*")))
        process.send_signal(signal.SIGINT)
        outcome = place.ended(process)
    assert outcome.code == 130
    assert not list(scratch.iterdir())


def test_a_demo_in_a_database_that_is_away_says_so(place: Workplace) -> None:
    outcome = place.run("demo", "--database-url", "postgresql://app:hunter2hunter2@127.0.0.1:1/app", code=75)
    assert "hunter2" not in outcome.err
    assert "hint=" in outcome.err


def test_a_demo_where_no_table_may_be_made_says_so(postgres_database: LiveDatabase, tmp_path: Path) -> None:
    postgres_database.execute("DROP ROLE IF EXISTS reader", "CREATE ROLE reader LOGIN PASSWORD 'reader0reader'")
    postgres_database.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    url = sa.make_url(postgres_database.url).set(username="reader", password="reader0reader")
    with working(tmp_path, postgres_database) as place:
        outcome = place.run("demo", "--database-url", url.render_as_string(hide_password=False), code=77)
    assert "create" in outcome.err
    assert "reader0reader" not in outcome.err


def test_the_sandbox_runs_until_it_is_stopped_and_takes_profiles_of_a_real_run(place: Workplace) -> None:
    place.fill(5)
    with place.start("sandbox", "--port", "0", PYTHONUNBUFFERED="1") as process:
        assert process.stdout is not None
        settings = dict(re.findall(r'(\w+) = "(.*)"', process.stdout.readline() + process.stdout.readline()))
        place.run("run", MIXPANEL_URL=settings["base_url"], MIXPANEL_TOKEN=settings["token"])
        with urllib.request.urlopen(f"{settings['base_url']}/sandbox/profiles", timeout=10) as page:
            assert page.read().count(b'"distinct_id"') == 5
        process.send_signal(signal.SIGTERM)
        process.wait(30)
