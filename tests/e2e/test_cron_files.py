"""The files in cron/ are used as they are, so they are checked as they are."""

from __future__ import annotations

import configparser
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sync_profiles.cli import cli

CRON = Path(__file__).parents[2] / "cron"


def crontab() -> tuple[dict[str, str], list[str]]:
    """Variables, and the one entry's words: five of time, the user, the command."""
    lines = [line for line in (CRON / "sync-profiles.cron").read_text().splitlines() if line and line[0] != "#"]
    *assignments, entry = lines
    return dict(line.split("=", 1) for line in assignments), entry.split(maxsplit=6)


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    parser.optionxform = str  # systemd's keys are case-sensitive
    parser.read(CRON / name)
    return parser


def cronjob() -> dict:
    return next(document for document in yaml.safe_load_all((CRON / "cronjob.yaml").read_text()))


def container() -> dict:
    (only,) = cronjob()["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    return only


def commands() -> dict[str, list[str]]:
    return {
        "cron": shlex.split(crontab()[1][6]),
        "systemd": shlex.split(unit("sync-profiles.service")["Service"]["ExecStart"]),
        "kubernetes": container()["command"],
    }


@pytest.mark.parametrize("scheduler", ["cron", "systemd", "kubernetes"])
def test_each_scheduler_runs_a_command_that_exists(scheduler: str) -> None:
    program, *arguments = commands()[scheduler]
    assert Path(program).name == "sync-profiles"
    with cli.make_context("sync-profiles", arguments) as ctx:
        name, command, rest = cli.resolve_command(ctx, [*ctx._protected_args, *ctx.args])
        assert name == "run"
        assert command is not None
        command.make_context(name, rest, parent=ctx).close()


def test_the_crontab_sets_what_cron_does_not_and_avoids_the_full_hour() -> None:
    variables, (minute, *when, user, command) = crontab()
    assert set(variables) == {"SHELL", "PATH", "MAILTO"}
    assert (when, user) == (["*", "*", "*", "*"], "sync-profiles")
    assert 0 < int(minute) < 60
    assert "%" not in command.replace("\\%", "")


def test_the_crontab_line_finds_the_command_under_the_environment_of_cron(tmp_path: Path) -> None:
    """cron starts a command with almost nothing in the environment; only the folder of the program is another here."""
    variables, (*_, command) = crontab()
    first, *others = variables["PATH"].split(":")
    assert first.endswith("/.venv/bin")
    path = ":".join([str(Path(sys.executable).parent), *others])
    outcome = subprocess.run(
        [variables["SHELL"], "-c", command.replace("/etc/sync-profiles", str(tmp_path))],
        env={"PATH": path, "SHELL": variables["SHELL"], "HOME": str(tmp_path), "LOGNAME": "sync-profiles"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (outcome.returncode, outcome.stdout) == (78, ""), "the config is missing, and nothing else"
    assert f"{tmp_path}/config.toml" in outcome.stderr


def test_systemd_knows_every_word_of_the_units(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze here; get it with: apt install systemd")
    for path in CRON.glob("sync-profiles.[st]*"):
        text = path.read_text().replace("/opt/sync-profiles/.venv/bin/sync-profiles", "/bin/true")
        (tmp_path / path.name).write_text(text)
    units = sorted(str(path) for path in tmp_path.iterdir())
    assert len(units) == 2
    outcome = subprocess.run([analyze, "verify", *units], capture_output=True, text=True, check=False)
    complaints = [line for line in outcome.stderr.splitlines() if "sync-profiles" in line]
    assert complaints == []


def test_the_service_is_one_run_with_a_state_of_its_own_and_75_is_no_alarm() -> None:
    service = unit("sync-profiles.service")["Service"]
    assert service["Type"] == "oneshot"
    assert service["StateDirectory"] == "sync-profiles"
    assert service["SuccessExitStatus"] == "75"
    assert int(service["TimeoutStopSec"]) > 30, "a stop may take 30 s"


def test_the_timer_avoids_the_full_hour_and_catches_up() -> None:
    timer = unit("sync-profiles.timer")["Timer"]
    assert timer["OnCalendar"] == "*:07"
    assert timer["Persistent"] == "true"


def test_kubernetes_never_runs_two_at_once_nor_gives_up() -> None:
    spec = cronjob()["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    assert spec["startingDeadlineSeconds"] > 0
    assert spec["jobTemplate"]["spec"]["backoffLimit"] == 0
    assert spec["jobTemplate"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > 30


def test_kubernetes_keeps_the_state_on_a_volume_that_outlives_the_pod() -> None:
    pod = cronjob()["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in container()["volumeMounts"]}
    environ = {variable["name"]: variable["value"] for variable in container()["env"]}
    assert set(mounts) == set(volumes)
    assert mounts["state"] == environ["STATE_DIRECTORY"]
    assert "persistentVolumeClaim" in volumes["state"]


@pytest.mark.parametrize("path", sorted(CRON.iterdir()), ids=lambda path: path.name)
def test_no_file_holds_a_secret(path: Path) -> None:
    text = path.read_text()
    assert "://" not in text
    assert "token =" not in text
