"""What can be wrong with one value."""

from __future__ import annotations


class ValueProblem(Exception):  # noqa: N818 - a finding about a row, expected in every run; not a failure
    """A value that cannot be sent. ``code`` is stable; ``text`` follows the column's name and never holds the value."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
