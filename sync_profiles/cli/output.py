"""Results on stdout: tables for people, JSON lines for machines."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import click
import msgspec

from sync_profiles.cli.context import Settings

_NUMBER = re.compile(r"[\d,]+")
_WIDE = 10_000


def echo_json(value: Any) -> None:
    """One JSON value on one line."""
    click.echo(msgspec.json.encode(value))


def echo_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    settings: Settings,
    colors: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """A table as wide as the terminal; without one, aligned columns that are never cut, for grep and awk.

    Columns of numbers are aligned on the right. ``colors`` gives the colour of cells that hold just that word.
    """
    if sys.stdout.isatty() or settings.color:
        _rich_table(columns, rows, settings, colors)
        return
    lines = [columns, *rows]
    widths = [max(len(line[position]) for line in lines) for position in range(len(columns))]
    rights = _numeric(rows, len(columns))
    for line in lines:
        cells = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, rights, strict=True)
        )
        click.echo("  ".join(cells).rstrip())


def _numeric(rows: Sequence[Sequence[str]], columns: int) -> list[bool]:
    """For each column whether it holds numbers only."""
    return [bool(rows) and all(_NUMBER.fullmatch(row[position]) for row in rows) for position in range(columns)]


def _rich_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], settings: Settings, colors: Mapping[str, str]
) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column, right in zip(columns, _numeric(rows, len(columns)), strict=True):
        table.add_column(column, overflow="fold", justify="right" if right else "left")
    for row in rows:
        # Text, because a value in square brackets is not markup.
        table.add_row(*(Text(cell, style=colors.get(cell, "")) for cell in row))
    # Colour that is forced where no terminal is: whoever reads on has lines as long as they are.
    width = None if sys.stdout.isatty() else _WIDE
    no_color = None if settings.color is None else not settings.color
    Console(no_color=no_color, force_terminal=settings.color or None, width=width).print(table)
