"""What the documents promise is proven by tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "guarantees.md").read_text("utf-8")
PROVEN = re.findall(r"^\| .*\| proven by \|\n\| [-| ]+\|\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
"""The lines of each table that says by what its promises are proven."""


def test_every_test_that_a_promise_names_exists() -> None:
    promised = set(re.findall(r"`(test_\w+)`", TEXT))
    texts = [path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    there = {name for text in texts for name in re.findall(r"^def (test_\w+)\(", text, re.MULTILINE)}
    assert promised
    assert promised <= there, promised - there


@pytest.mark.parametrize("line", [line for table in PROVEN for line in table.splitlines()])
def test_every_line_of_a_promise_names_its_test(line: str) -> None:
    assert re.search(r"`test_\w+`", line.split("|")[-2]), line


def test_every_file_that_a_promise_names_exists() -> None:
    for name in re.findall(r"`(tests/[\w/]+\.py)`", TEXT):
        assert (ROOT / name).is_file(), name
