"""What the documents name is there: commands, messages, findings, files."""

from __future__ import annotations

import contextlib
import re
import shlex
from pathlib import Path

import click
import pytest

from sync_profiles.cli import cli

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
SOURCE = "\n".join(path.read_text("utf-8") for path in (ROOT / "sync_profiles").rglob("*.py"))
TROUBLE = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")


def commands(text: str) -> list[str]:
    """Whole commands, in backticks or as lines of a block without a language."""
    blocks = "\n".join(re.findall(r"```\n(.*?)```", text, re.DOTALL)).splitlines()
    lines = [line.partition("  #")[0].strip() for line in blocks if line.startswith("sync-profiles")]
    return sorted({*lines, *re.findall(r"`(sync-profiles [^`…<{]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))})


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_parses(document: Path) -> None:
    """A command with an option that does not exist is worse than none."""
    for line in commands(document.read_text("utf-8")):
        words = shlex.split(line.partition(" > ")[0])[1:]
        with contextlib.suppress(click.exceptions.Exit), cli.make_context("sync-profiles", words) as ctx:
            parse_down(cli, ctx)  # --help and --version end there


def parse_down(group: click.Group, ctx: click.Context) -> None:
    name, command, arguments = group.resolve_command(ctx, [*ctx._protected_args, *ctx.args])
    assert command is not None
    with command.make_context(name, arguments, parent=ctx) as inner:
        if isinstance(command, click.Group):
            parse_down(command, inner)


def test_there_are_commands_to_parse() -> None:
    assert len(commands(TROUBLE)) > 15


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text("utf-8"))
    missing = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert missing == []


def test_both_pages_for_operators_are_linked_from_the_readme() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert "(docs/databases.md)" in text
    assert "(docs/troubleshooting.md)" in text


def test_the_messages_that_the_page_explains_are_those_of_the_program() -> None:
    quoted = re.findall(r'"([^"\n]+)"', re.sub(r"`[^`]*`", "", TROUBLE))
    assert len(quoted) >= 6
    absent = [part for text in quoted for part in text.split("…") if not re.search(loose(part), SOURCE, re.IGNORECASE)]
    assert absent == ["statement timeout"], "which is the database's own"


def loose(text: str) -> str:
    """A message may be composed of parts, and its numbers are filled in."""
    return r"\s+".join(re.escape(word) for word in text.split())


def test_the_findings_that_the_pages_name_exist() -> None:
    pages = TROUBLE + (ROOT / "docs" / "databases.md").read_text("utf-8")
    codes = set(re.findall(r"\(`([a-z_0-9]+)`(?:, `([a-z_0-9]+)`)?\)", pages))
    named = {code for pair in codes for code in pair if code}
    assert {"row_security", "long_text", "case_twin", "padded_id"} <= named
    assert [code for code in named if f'"{code}"' not in SOURCE] == []
