from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping

import click
import pytest
from click.testing import CliRunner

from sync_profiles.cli.command import EXIT_CODES, Command, Group, epilog
from sync_profiles.cli.context import Settings, decide_color


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    before = (list(root.handlers), root.level, logging.getLogger("sync_profiles").level)
    yield
    root.handlers, root.level, _ = before
    logging.getLogger("sync_profiles").setLevel(before[2])
    logging.captureWarnings(capture=False)


def seen(*arguments: str, env: Mapping[str, str | None] | None = None) -> Settings:
    """The settings that a command two groups down finds."""
    found = []

    @click.group(cls=Group, lazy={"unused": ("nowhere:nothing", "Never imported.")})
    def top() -> None:
        pass

    @top.group(cls=Group)
    def nested() -> None:
        pass

    @nested.command(cls=Command)
    @click.pass_obj
    def show(settings: Settings) -> None:
        found.append(settings)

    clean = {"NO_COLOR": None, "FORCE_COLOR": None}
    outcome = CliRunner().invoke(top, arguments, env={**clean, **(env or {})}, catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    return found[0]


def test_without_options_a_command_finds_the_defaults() -> None:
    assert seen("nested", "show") == Settings()


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("-c", "x.toml"), Settings(config_path="x.toml")),
        (("-v",), Settings(verbosity=1)),
        (("-vv",), Settings(verbosity=2)),
        (("-q",), Settings(quiet=True)),
        (("--log-format", "json"), Settings(log_format="json")),
        (("--no-color",), Settings(color=False)),
    ],
)
def test_a_global_option_means_the_same_before_between_and_after_the_names(
    flags: tuple[str, ...], expected: Settings
) -> None:
    assert seen(*flags, "nested", "show") == expected
    assert seen("nested", *flags, "show") == expected
    assert seen("nested", "show", *flags) == expected


def test_options_on_both_sides_add_up_and_the_nearer_one_wins() -> None:
    settings = seen("-v", "-c", "far.toml", "nested", "show", "-v", "-c", "near.toml")
    assert settings == Settings(verbosity=2, config_path="near.toml")


@pytest.mark.parametrize(
    ("environ", "no_color", "color"),
    [
        ({}, False, None),
        ({"NO_COLOR": "1"}, False, False),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False, False),
        ({"NO_COLOR": "", "FORCE_COLOR": ""}, False, None),
        ({"FORCE_COLOR": "1"}, True, False),
    ],
)
def test_colour_is_decided_by_flag_then_environment(
    environ: dict[str, str], no_color: bool, color: bool | None
) -> None:
    assert decide_color(environ, no_color=no_color) is color


def test_the_environment_decides_colour_for_a_command() -> None:
    assert seen("nested", "show", env={"FORCE_COLOR": "1"}).color is True
    assert seen("nested", "show", "--no-color", env={"FORCE_COLOR": "1"}).color is False


def test_the_end_of_a_help_text_holds_examples_and_only_the_codes_that_can_happen() -> None:
    text = epilog("sync-profiles x", codes=(0, 2))
    assert "  sync-profiles x\n" in text
    assert [line.split()[0] for line in text.splitlines()[6:]] == ["0", "2"]
    assert all(f"{code:>3}  {meaning}" in epilog("x") for code, meaning in EXIT_CODES.items())
