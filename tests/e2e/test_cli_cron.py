"""As cron runs it: hardly any environment, another working directory, secrets in a file beside the config."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from commands import COMMAND, TOKEN, Workplace

SCRIPT = str(Path(sys.executable).with_name("sync-profiles"))


def as_cron(place: Workplace, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Only HOME and PATH, started at the root of the file system."""
    environ = {"HOME": str(place.folder / "home"), "PATH": "/usr/bin:/bin"}
    command = [SCRIPT, "--config", str(place.config), *arguments]
    finished = subprocess.run(command, cwd="/", env=environ, capture_output=True, text=True, timeout=60, check=False)
    place.check_discreet(finished.stdout + finished.stderr)
    return finished


def set_up(place: Workplace, users: str = 'table = "users"\n') -> None:
    place.fill(20)
    place.write(users)
    secrets = {name: place.environ[name] for name in ("DATABASE_URL", "MIXPANEL_TOKEN", "MIXPANEL_URL")}
    (place.folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in secrets.items()))
    (place.folder / "home").mkdir()


def test_cron_needs_nothing_but_the_path_of_the_config(everywhere: Workplace) -> None:
    set_up(everywhere)
    for _ in range(2):
        finished = as_cron(everywhere, "run")
        assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")
    everywhere.assert_equal()
    assert (everywhere.folder / "home/.local/state/sync-profiles/state.db").exists()


def test_a_query_file_is_found_beside_the_config(place: Workplace) -> None:
    set_up(place, 'query_file = "sql/users.sql"\nprimary_key = "id"\n')
    (place.folder / "sql").mkdir()
    (place.folder / "sql/users.sql").write_text("-- all of them\nSELECT id, name, email, plan FROM users\n")
    assert as_cron(place, "run").returncode == 0
    place.assert_equal()


def test_a_query_file_that_is_missing_is_named_with_its_full_path(place: Workplace) -> None:
    set_up(place, 'query_file = "users.sql"\nprimary_key = "id"\n')
    finished = as_cron(place, "run")
    assert finished.returncode == 78
    assert "users.sql" in finished.stderr
    assert "config.toml:" in finished.stderr


def test_the_environment_wins_over_the_file(place: Workplace) -> None:
    set_up(place)
    (place.folder / ".env").write_text(f"MIXPANEL_TOKEN={TOKEN[::-1]}\n")
    place.run("run")
    place.assert_equal()


def test_the_config_is_found_without_being_named(place: Workplace) -> None:
    set_up(place)
    home = place.folder / "home"
    theirs = home / ".config/sync-profiles"
    theirs.mkdir(parents=True)
    place.config.rename(theirs / "config.toml")
    (place.folder / ".env").rename(theirs / ".env")
    for found in ({"HOME": str(home)}, {"SYNC_PROFILES_CONFIG": str(theirs / "config.toml"), "HOME": "/nonexistent"}):
        finished = subprocess.run(
            [*COMMAND, "preview", "--json"],
            cwd="/",
            env={"PATH": os.environ["PATH"], "STATE_DIRECTORY": str(place.folder / "state"), **found},
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.returncode == 0, finished.stderr
        assert len(finished.stdout.splitlines()) == 10
        json.loads(finished.stdout.splitlines()[0])


def test_a_metrics_file_and_a_ping_tell_of_runs_and_not_of_looking(place: Workplace) -> None:
    place.fill(5)
    metrics = place.folder / "sync.prom"
    ping = f"{place.sandbox.url}/ping"
    place.config.write_text(
        f'[run]\nmetrics_file = "{metrics}"\nhealthcheck_url = "{ping}"\n' + place.config.read_text()
    )
    place.run("run", "--dry-run")
    assert not metrics.exists()
    assert not place.sandbox.requests
    place.run("run", code=0)
    assert 'sync_profiles_last_run_success{sync="users"} 1' in metrics.read_text()
    pinged = [request.path for request in place.sandbox.requests if "ping" in request.path]
    assert pinged == ["/ping/start", "/ping"]


def test_output_to_a_full_disk_or_a_closed_pipe_harms_nothing(place: Workplace) -> None:
    place.fill(20)
    with Path("/dev/full").open("w") as full:
        subprocess.run([*COMMAND, "-v", "run"], cwd=place.folder, env=place.environ, stderr=full, check=True)
    place.assert_equal()
    assert place.run("run", "--json").json["sent"] == 0
