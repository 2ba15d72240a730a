from __future__ import annotations

import logging
from collections.abc import Iterator

import click
import pytest

from sync_profiles import __main__ as program
from sync_profiles import errors
from sync_profiles.cli.command import EXIT_CODES, Command, Group

ERRORS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    before = (list(root.handlers), root.level, logging.getLogger("sync_profiles").level)
    yield
    root.handlers, root.level, _ = before
    logging.getLogger("sync_profiles").setLevel(before[2])
    logging.captureWarnings(capture=False)


@pytest.fixture
def fails(monkeypatch: pytest.MonkeyPatch) -> object:
    """Make ``sync-profiles act`` raise or return what the test says; yields the exit code."""

    def run(outcome: BaseException | int | None, *flags: str) -> int:
        @click.command(cls=Command)
        def act() -> int | None:
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        group = Group("sync-profiles", lazy={"unused": ("nowhere:nothing", "Never imported.")})
        group.add_command(act)
        monkeypatch.setattr(program, "cli", group)
        return program.main([*flags, "act"])

    return run


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_ends_with_its_own_code_which_stands_in_the_help(fails, kind, capsys) -> None:
    assert fails(kind("no luck", hint="try again")) == kind.exit_code
    assert kind.exit_code in EXIT_CODES
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "no luck" in captured.err
    assert "try again" in captured.err
    assert "Traceback" not in captured.err


def test_every_problem_of_a_configuration_has_its_own_line(fails, capsys) -> None:
    fails(errors.ConfigError(["config.toml:1: a", "config.toml:2: b"]), "--log-format", "text")
    assert capsys.readouterr().err == "error: config.toml:1: a\nerror: config.toml:2: b\n"


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (65, 65), (75, 75)])
def test_a_command_hands_back_its_code(fails, returned: int | None, code: int) -> None:
    assert fails(returned) == code


@pytest.mark.parametrize("interruption", [KeyboardInterrupt(), click.Abort()])
def test_an_interruption_ends_with_130_and_without_a_word(fails, capsys, interruption: BaseException) -> None:
    assert fails(interruption) == 130
    assert capsys.readouterr().err == ""


def test_a_usage_error_of_a_command_is_2(fails, capsys) -> None:
    assert fails(click.UsageError("flags do not fit")) == 2
    assert "Error: flags do not fit" in capsys.readouterr().err


def test_a_bug_is_named_by_kind_and_place_and_its_text_stays_hidden(fails, capsys, monkeypatch) -> None:
    monkeypatch.delenv("SYNC_PROFILES_DEBUG", raising=False)
    assert fails(ValueError("row of ada"), "--log-format", "text") == 1
    text = capsys.readouterr().err
    assert "this is a bug: ValueError at test_exit_codes.py:" in text
    assert "-v" in text
    assert "ada" not in text
    assert "Traceback" not in text


@pytest.mark.parametrize("way", ["-v", "SYNC_PROFILES_DEBUG"])
def test_a_bug_shows_its_traceback_on_request(fails, capsys, monkeypatch, way: str) -> None:
    if way == "-v":
        fails(ValueError("x"), "-v")
    else:
        monkeypatch.setenv(way, "1")
        fails(ValueError("x"))
    assert "Traceback" in capsys.readouterr().err
