"""Makes the man page from the commands themselves: ``make man``; a test holds the page against them.

The form is that of man(7): https://man7.org/linux/man-pages/man7/man.7.html
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import click

from sync_profiles import __version__
from sync_profiles.cli import cli
from sync_profiles.cli.command import EXIT_CODES

PAGE = Path(__file__).with_name("sync-profiles.1")
NAME = "sync-profiles"
SUMMARY = "keep Mixpanel's user profiles equal to a user table"
ENVIRONMENT = {
    "SYNC_PROFILES_CONFIG": "The configuration file, when --config does not name one.",
    "STATE_DIRECTORY": "Where the state is kept; systemd sets it from StateDirectory=.",
    "XDG_CONFIG_HOME, XDG_STATE_HOME": "Where the configuration is searched and the state is kept otherwise.",
    "NO_COLOR, FORCE_COLOR": "Never colour; colour even where no terminal is.",
    "COLUMNS": "Width of tables and of the progress display.",
}
FILES = {
    "./config.toml, $XDG_CONFIG_HOME/sync-profiles/config.toml, /etc/sync-profiles/config.toml": (
        "The configuration, in this order. An .env file beside it is read first; variables of the environment win."
    ),
    "~/.local/state/sync-profiles/state.db": "What Mixpanel acknowledged, unless [state] url or a variable says else.",
}


def page() -> str:
    """The whole man page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield f'.TH SYNC-PROFILES 1 "" "sync-profiles {__version__}" "User Commands"'
    yield from (".SH NAME", f"{_roff(NAME)} \\- {_roff(SUMMARY)}")
    yield from (".SH SYNOPSIS", f".B {_roff(NAME)}", "[\\fIOPTIONS\\fR] \\fICOMMAND\\fR [\\fIARGS\\fR]")
    yield from (".SH DESCRIPTION", *_paragraphs(cli.help or ""))
    yield from (".SH OPTIONS", "These stand before or after the command.", *_options(cli))
    yield ".SH COMMANDS"
    for path, command in _commands(cli):
        yield from _command(path, command)
    yield ".SH EXIT STATUS"
    for code, meaning in EXIT_CODES.items():
        yield from (".TP", f".B {code}", _roff(meaning))
    for title, entries in (("ENVIRONMENT", ENVIRONMENT), ("FILES", FILES)):
        yield f".SH {title}"
        for name, meaning in entries.items():
            yield from (".TP", f".B {_roff(name)}", _roff(meaning))
    yield from (".SH SEE ALSO", ".BR cron (8),", ".BR systemd.timer (5)")


def _commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    ctx = click.Context(group)
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from _commands(command, (*path, name))
        else:
            yield (*path, name), command


def _command(path: tuple[str, ...], command: click.Command) -> Iterator[str]:
    usage = " ".join(part for part in command.collect_usage_pieces(click.Context(command)))
    yield from (f".SS {_roff(' '.join(path))}", f".B {_roff(' '.join((NAME, *path)))}", _roff(usage), ".PP")
    yield from _paragraphs(command.help or "")
    yield from _options(command)
    examples = (command.epilog or "").partition("Examples:\n")[2].partition("\n\n")[0]
    if examples:
        yield from (".PP", ".nf", *(f"    {_roff(line.strip())}" for line in examples.splitlines()), ".fi")


def _options(command: click.Command) -> Iterator[str]:
    ctx = click.Context(command)
    for param in command.params:
        record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
        if record is not None:
            yield from (".TP", f".B {_roff(record[0])}", _roff(re.sub(r"\s+", " ", record[1])))


def _paragraphs(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(inspect.cleandoc(text).split("\n\n")):
        yield from ([".PP"] if number else [])
        yield _roff(" ".join(paragraph.split()))


def _roff(text: str) -> str:
    """Text that roff takes literally: hyphens that can be copied, no escape, no request at the start of a line."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("…", "...").replace("`", "\\(ga")
    escaped = escaped.replace("'", "\\(aq")
    return f"\\&{escaped}" if escaped.startswith(".") else escaped


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
