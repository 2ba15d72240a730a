"""On which line of a TOML text each key stands; ``tomllib`` does not say.

The text was accepted by ``tomllib`` before: this is a map of a valid document, not a second judge of validity.
Grammar: https://toml.io/en/v1.0.0 (with the line ends of 1.1 inside inline tables).
"""

from __future__ import annotations

import re
import tomllib
from typing import Any, TypeAlias

Place: TypeAlias = tuple[str | int, ...]
"""Where a value stands: keys of tables, and numbers for the elements of arrays."""

_TOKEN = re.compile(
    r"""(?P<blank>[ \t\r]+|\#[^\n]*)
      | (?P<newline>\n)
      | (?P<text>\"\"\"(?:[^"\\]|\\.|"{1,2}(?!"))*"{3,5}   # up to two quotes may stand before the closing three
               | '''(?:[^']|'{1,2}(?!'))*'{3,5}
               | "(?:[^"\\\n]|\\.)*"
               | '[^'\n]*'
               | [^\s\[\]{},="'\#]+)                         # bare keys and values, with the dots between them
      | (?P<mark>[\[\]{},=])""",
    re.VERBOSE | re.DOTALL,
)


def key_lines(text: str) -> dict[Place, int]:
    """The line, counted from 1, of every key, table header and array element of a valid TOML ``text``.

    A table that is only named in passing (``a`` in ``a.b = 1``) has the line of its first mention; a header of its
    own wins over that.
    """
    return _Scanner(text).document()


class _Scanner:
    """Walks the tokens once; ``_at`` is the next one."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[tuple[str, int, int]] = []  # (mark, newline or "" for text; start; end)
        for match in _TOKEN.finditer(text):
            if match.lastgroup != "blank":
                word = "" if match.lastgroup == "text" else match.group()
                self._tokens.append((word, match.start(), match.end()))
        self._at = 0
        self._line = 1
        self._counted_to = 0
        self._lines: dict[Place, int] = {}
        self._last_element: dict[Place, int] = {}  # of each [[array of tables]]

    def document(self) -> dict[Place, int]:
        table: Place = ()
        while self._at < len(self._tokens):
            if self._peek() == "\n":
                self._at += 1
            elif self._peek() == "[":
                table = self._header()
            else:
                self._pair(table)
        return self._lines

    def _peek(self) -> str:
        return self._tokens[self._at][0] if self._at < len(self._tokens) else "\n"

    def _line_here(self) -> int:
        """The line of the next token; tokens are met in order, so newlines are counted once."""
        start = self._tokens[self._at][1] if self._at < len(self._tokens) else len(self._text)
        self._line += self._text.count("\n", self._counted_to, start)
        self._counted_to = start
        return self._line

    def _header(self) -> Place:
        line = self._line_here()
        opening = 2 if self._tokens[self._at + 1][0] == "[" else 1
        self._at += opening
        names = self._key("]")
        self._at += opening
        place: Place = ()
        for depth, name in enumerate(names, start=1):
            place = (*place, name)
            self._lines.setdefault(place, line)
            if opening == 2 and depth == len(names):
                self._last_element[place] = self._last_element.get(place, -1) + 1
            if place in self._last_element:
                place = (*place, self._last_element[place])
        self._lines[place] = line
        return place

    def _pair(self, table: Place) -> None:
        line = self._line_here()
        place = table
        for name in self._key("="):
            place = (*place, name)
            self._lines.setdefault(place, line)
        self._at += 1
        self._value(place)

    def _key(self, closing: str) -> list[str]:
        """The parts of the dotted key that ends before ``closing``; tomllib itself decodes quotes and escapes."""
        start = self._tokens[self._at][1]
        while self._peek() != closing:
            self._at += 1
        names: list[str] = []
        nested: Any = tomllib.loads(f"{self._text[start : self._tokens[self._at - 1][2]]} = 0")
        while isinstance(nested, dict):
            ((name, nested),) = nested.items()
            names.append(name)
        return names

    def _value(self, place: Place) -> None:
        opened = self._peek()
        if opened not in {"[", "{"}:
            while not self._peek():  # a date and its time are two tokens
                self._at += 1
            return
        self._at += 1
        count = 0
        while self._peek() not in {"]", "}"}:
            if self._peek() in {"\n", ","}:
                self._at += 1
            elif opened == "{":
                self._pair(place)
            else:
                self._lines[(*place, count)] = self._line_here()
                self._value((*place, count))
                count += 1
        self._at += 1
