"""The README is run: its config, its commands, its sample outputs and its tables are what the program does."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import pytest
from commands import Workplace
from sources import numbers

from sync_profiles.cli import cli
from sync_profiles.cli.command import EXIT_CODES
from sync_profiles.core.types import RunSummary

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
NOT_RUN = {"sync-profiles demo", "sync-profiles init", "sync-profiles verify --key 42"}
"""Run by tests of their own: one takes longer, one wants an empty folder, one reads back what was sent before."""


def block(containing: str, language: str = "") -> str:
    """The one fenced block of a language that holds a text."""
    (found,) = [text for name, text in BLOCKS if name == language and containing in text]
    return found


def commands() -> list[str]:
    """Every command that the README shows, in a block or in a sentence, in the order of the page."""
    fenced = re.compile(r"^(?:\$ |[\d*/]+(?: [\d*/]+){4} )?(sync-profiles [^#\n]*)", re.MULTILINE)
    inline = re.compile(r"`(sync-profiles [^`]+)`")
    shown = [
        match[1].strip()
        for match in re.finditer(f"{fenced.pattern}|{inline.pattern}", README, re.MULTILINE)
        if match[1]
    ]
    shown += [match[1].strip() for match in inline.finditer(README)]
    return [command for command in dict.fromkeys(shown) if command not in NOT_RUN]


def table(heading: str) -> list[list[str]]:
    """Cells of the first table below a heading."""
    section = README.partition(f"\n## {heading}\n")[2]
    lines = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE)
    assert lines is not None
    rows = [re.split(r"(?<!\\) ?\| ?", line.strip().strip("|").strip()) for line in lines[0].splitlines()]
    return rows[2:]


@pytest.fixture
def readme_place(place: Workplace) -> Workplace:
    """The README's own config, with a table that fits it; only the address of Mixpanel is another."""
    place.database.execute(
        "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT, first_name TEXT, last_name TEXT, plan TEXT,"
        " country TEXT, settings TEXT, created_at DATETIME, updated_at DATETIME)",
        "INSERT INTO users SELECT value, 'user' || value || '@example.com', 'User', value, 'pro', 'DE',"
        " '{\"ui\": {\"theme\": \"dark\"}}', '2026-01-01 00:00:00', '2026-01-01 00:00:00'"
        f" FROM (SELECT n AS value FROM {numbers(place.database, 50)})",
    )
    config = block("[sync.users]", "toml")
    place.config.write_text(config.replace("[mixpanel]\n", '[mixpanel]\nbase_url = "${MIXPANEL_URL}"\n'))
    return place


def test_the_readme_shows_enough_commands() -> None:
    assert len(commands()) > 8


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_readme_runs_as_it_stands(readme_place: Workplace, command: str) -> None:
    _, *arguments = shlex.split(
        command.partition(" > ")[0].replace("/etc/sync-profiles/config.toml", str(readme_place.config))
    )
    outcome = readme_place.run(*arguments)
    assert "error" not in outcome.err


def test_the_config_of_the_readme_gives_the_profiles_it_describes(readme_place: Workplace) -> None:
    readme_place.run("run")
    assert readme_place.sandbox.profiles["7"] == {
        "$email": "user7@example.com",
        "$name": "User 7",
        "plan": "pro",
        "country": "DE",
        "theme": "dark",
        "$created": "2026-01-01T00:00:00",
    }


def test_the_demo_prints_what_the_readme_shows(place: Workplace) -> None:
    def story(text: str) -> str:
        return re.sub(r"\d+\.\d\d s|127\.0\.0\.1:\d+", "…", text)

    shown = block("$ sync-profiles demo").partition("\n")[2]
    assert story(place.run("demo").out).splitlines()[: shown.count("\n")] == story(shown).splitlines()


def test_mistakes_are_reported_in_the_words_of_the_readme(place: Workplace) -> None:
    place.config.write_text(
        '[source]\nurl = "sqlite:///users.db"\n[mixpanel]\ntoken = "${MIXPANEL_TOKEN}"\n\n[run]\n\n[sync.users]\n'
        'tabel = "users"\n[sync.users.set]\nplan = "plan"\n'
    )
    place.environ.pop("MIXPANEL_TOKEN")
    outcome = place.run("--log-format", "text", "run", code=78)
    for line in block("config.toml:4:").splitlines():
        assert line in outcome.err


def test_the_object_of_the_readme_has_the_keys_of_a_run() -> None:
    shown = json.loads(block('"schema":1', "json"))
    assert tuple(shown) == RunSummary.__struct_encode_fields__
    msgspec.convert(shown, RunSummary)


def test_the_exit_codes_of_the_readme_are_those_of_the_program() -> None:
    assert {int(code): meaning for code, meaning in table("Exit codes")} == dict(EXIT_CODES)


# --- nothing is left out and nothing is made up --------------------------------------------------------------------


def leaves(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every command with its full name."""
    ctx = click.Context(group)
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


def documented() -> list[tuple[set[str], str]]:
    """The rows of the table: the commands of each, and what is said of them."""
    return [(set(re.findall(r"`([a-z ]+?)(?: \[SYNC…?\])?`", names)), does) for names, does in table("Commands")]


def test_every_command_is_in_the_table_and_nothing_else() -> None:
    assert set.union(*(names for names, _ in documented())) == {name for name, _ in leaves(cli)}


@pytest.mark.parametrize(
    ("names", "does"), documented(), ids=lambda value: "" if isinstance(value, str) else min(value)
)
def test_every_option_of_a_command_is_in_its_row_and_nothing_else(names: set[str], does: str) -> None:
    params = [param for name, command in leaves(cli) if name in names for param in command.params]
    options = {option for p in params if not getattr(p, "hidden", False) for option in p.opts if option[:2] == "--"}
    assert set(re.findall(r"--[a-z-]+", does)) == options


def test_every_global_option_is_named() -> None:
    line = re.search(r"^Global: .*", README, re.MULTILINE)
    assert line is not None
    named = set(re.findall(r"--[a-z-]+", line[0]))
    aliases = {"--verbose", "--quiet"}  # named by their short forms
    assert named | aliases == {option for p in cli.params for option in p.opts if option[:2] == "--"} | {"--help"}
