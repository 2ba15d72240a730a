"""The installed command as people meet it: help, versions, mistakes, pipes, signals."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import pytest

from sync_profiles import __version__
from sync_profiles.cli import cli
from sync_profiles.cli.command import EXIT_CODES, Group

COMMAND = [str(Path(sys.executable).with_name("sync-profiles"))]


def sync_profiles(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR"}}
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, env=env | environ, timeout=60, check=False
    )


def command_paths(group: click.Group, path: Sequence[str] = ()) -> Iterator[tuple[str, ...]]:
    """The names of every group and command, the program itself as ()."""
    ctx = click.Context(group)
    yield tuple(path)
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from command_paths(command, (*path, name))
        else:
            yield (*path, name)


PATHS = list(command_paths(cli))


def command_at(path: Sequence[str]) -> click.Command:
    command: click.Command = cli
    for name in path:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), name)
        assert found is not None
        command = found
    return command


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_every_help_says_what_it_does_and_ends_with_examples_and_exit_codes(path: tuple[str, ...]) -> None:
    outcome = sync_profiles(*path, "-h")
    assert (outcome.returncode, outcome.stderr) == (0, "")
    usage, _, rest = outcome.stdout.partition("\n")
    assert usage.startswith(" ".join(["Usage: sync-profiles", *path, "[OPTIONS]"]))
    assert re.search(r"\A\n  [A-Z][^\0]+?\.\n", rest), "no sentence of help"
    examples, _, codes = rest.partition("Examples:\n")[2].partition("Exit codes:\n")
    assert all(line.lstrip().startswith("sync-profiles ") for line in examples.splitlines() if line.strip())
    assert f"  0  {EXIT_CODES[0]}\n" in codes
    assert f"  2  {EXIT_CODES[2]}\n" in codes
    assert outcome.stdout == sync_profiles(*path, "--help").stdout


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_every_example_of_a_help_parses(path: tuple[str, ...]) -> None:
    """An example with an option that does not exist is worse than none."""
    text = command_at(path).epilog or ""
    lines = text.partition("Examples:\n")[2].partition("\n\n")[0].splitlines()
    assert lines
    for line in lines:
        words = shlex.split(line.partition(" > ")[0].partition(" | ")[0])[1:]
        with cli.make_context("sync-profiles", words) as ctx:
            _parse_down(cli, ctx)


def _parse_down(group: click.Group, ctx: click.Context) -> None:
    name, command, arguments = group.resolve_command(ctx, [*ctx._protected_args, *ctx.args])
    assert command is not None
    with command.make_context(name, arguments, parent=ctx) as inner:
        if isinstance(command, click.Group):
            _parse_down(command, inner)


@pytest.mark.parametrize("name", cli.list_commands(click.Context(cli)))
def test_the_list_of_commands_tells_what_each_command_tells_of_itself(name: str) -> None:
    assert isinstance(cli, Group)
    command = command_at([name])
    told = command.short_help or (command.help or "").partition("\n\n")[0].replace("\n", " ")
    assert cli.lazy[name][1] == told


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from sync_profiles.__main__ import main; main(['--help']);"
        "print(sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"sqlalchemy", "requests", "rich", "psycopg2", "pymysql", "dotenv", "tenacity", "logging", "tomllib"}
    assert not heavy & set(json.loads(outcome.stderr.replace("'", '"')))


def test_the_version_is_that_of_the_package() -> None:
    assert sync_profiles("--version").stdout == f"sync-profiles {__version__}\n"


def test_running_the_module_is_the_same_command() -> None:
    as_module = subprocess.run(
        [sys.executable, "-m", "sync_profiles", "-h"], capture_output=True, text=True, check=True
    )
    assert as_module.stdout == sync_profiles("-h").stdout


def test_a_command_that_does_not_exist_is_a_usage_error_with_a_suggestion() -> None:
    outcome = sync_profiles("sandbos")
    assert (outcome.returncode, outcome.stdout) == (2, "")
    assert "Did you mean sandbox?" in outcome.stderr


@pytest.mark.parametrize("arguments", [["--nope"], ["sandbox", "--port", "x"], ["-q", "-v", "config", "schema"]])
def test_a_mistake_on_the_command_line_is_2_without_a_traceback(arguments: list[str]) -> None:
    outcome = sync_profiles(*arguments)
    assert (outcome.returncode, outcome.stdout) == (2, "")
    assert "Error: " in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_no_arguments_show_the_help_as_a_mistake() -> None:
    outcome = sync_profiles()
    assert (outcome.returncode, outcome.stdout) == (2, "")
    assert "Commands:" in outcome.stderr


def test_a_missing_configuration_is_78_with_the_place_and_the_cure(tmp_path: Path) -> None:
    outcome = sync_profiles("-c", str(tmp_path / "gone.toml"), "--log-format", "text", "config", "show")
    assert (outcome.returncode, outcome.stdout) == (78, "")
    assert "gone.toml" in outcome.stderr
    assert "\nhint: " in outcome.stderr


def test_an_error_is_json_when_the_log_is(tmp_path: Path) -> None:
    outcome = sync_profiles("config", "show", "-c", str(tmp_path / "gone.toml"), "--log-format", "json")
    (line,) = outcome.stderr.splitlines()
    assert (json.loads(line)["level"], json.loads(line)["exit_code"]) == ("error", 78)


def test_a_shown_configuration_names_origins_and_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(
        '[source]\nurl = "${DATABASE_URL}"\n[mixpanel]\ntoken = "${MIXPANEL_TOKEN}"\n'
        '[sync.users]\ntable = "users"\n[sync.users.set]\n"$email" = "email"\n'
    )
    secrets = {"DATABASE_URL": "postgresql://app:hunter2@db/app", "MIXPANEL_TOKEN": "a-token-of-ours"}
    outcome = sync_profiles("-c", str(path), "config", "show", **secrets)
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert re.search(r"^mixpanel\.token +\*\*\* +environment MIXPANEL_TOKEN$", outcome.stdout, re.MULTILINE)
    assert "hunter2" not in outcome.stdout
    assert "a-token-of-ours" not in outcome.stdout
    assert "\x1b" not in outcome.stdout


def test_a_reader_that_leaves_early_ends_the_command_quietly() -> None:
    read, write = os.pipe()
    os.close(read)
    outcome = subprocess.run([*COMMAND, "config", "schema"], stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (outcome.returncode, outcome.stderr) == (141, b"")


def test_completion_is_answered() -> None:
    outcome = sync_profiles(_SYNC_PROFILES_COMPLETE="bash_complete", COMP_WORDS="sync-profiles sand", COMP_CWORD="1")
    assert outcome.stdout == "plain,sandbox\n"


@pytest.mark.parametrize(("number", "codes"), [(signal.SIGINT, {130}), (signal.SIGTERM, {-15, 143})])
def test_the_sandbox_serves_until_it_is_told_to_stop(number: signal.Signals, codes: set[int]) -> None:
    with subprocess.Popen(
        [*COMMAND, "sandbox", "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        match = re.fullmatch(r'base_url = "(http://127\.0\.0\.1:\d+)"\n', process.stdout.readline())
        assert match is not None
        with urllib.request.urlopen(f"{match[1]}/sandbox/profiles", timeout=10) as answer:
            assert answer.status == 200
        process.send_signal(number)
        _, errors = process.communicate(timeout=20)
    assert process.returncode in codes
    assert errors == ""


def test_a_port_that_is_taken_is_a_usage_error_with_a_cure() -> None:
    with subprocess.Popen([*COMMAND, "sandbox", "--port", "0"], stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        port = first.stdout.readline().rpartition(":")[2].rstrip('"\n')
        outcome = sync_profiles("sandbox", "--port", port)
        first.terminate()
    assert outcome.returncode == 2
    assert "--port" in outcome.stderr
