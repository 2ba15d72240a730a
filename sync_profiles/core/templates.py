"""Templates: text with ``{column}`` in it; ``{{`` and ``}}`` are literal braces."""

from __future__ import annotations

import re

_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


def parse_template(template: str) -> tuple[str, tuple[str, ...]]:
    """The template as a pattern for ``str.format`` and the columns for its places, in order.

    Raises ``ValueError`` for a brace without its other half or without a column between them.
    """
    columns: list[str] = []

    def place(match: re.Match[str]) -> str:
        if match[0] in ("{{", "}}"):
            return match[0]
        if match[0] in ("{", "}"):
            raise ValueError(
                f"{match[0]!r} at character {match.start() + 1} has no other half; double it to mean itself"
            )
        if not match[1].strip():
            raise ValueError(f"'{{}}' at character {match.start() + 1} names no column")
        columns.append(match[1])
        return "{}"

    return _PART.sub(place, template), tuple(columns)
