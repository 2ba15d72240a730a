"""Results on stdout: tables for people, JSON lines for machines."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click
import msgspec

from sync_profiles.cli.context import Settings


def echo_json(value: Any) -> None:
    """One JSON value on one line."""
    click.echo(msgspec.json.encode(value))


def echo_table(columns: Sequence[str], rows: Sequence[Sequence[str]], settings: Settings) -> None:
    """A table as wide as the terminal; without one, aligned columns that are never cut, for grep and awk."""
    if sys.stdout.isatty():
        _rich_table(columns, rows, settings)
        return
    lines = [columns, *rows]
    widths = [max(len(line[position]) for line in lines) for position in range(len(columns))]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def _rich_table(columns: Sequence[str], rows: Sequence[Sequence[str]], settings: Settings) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        # Text, because a value in square brackets is not markup.
        table.add_row(*map(Text, row))
    Console(no_color=None if settings.color is None else not settings.color).print(table)
