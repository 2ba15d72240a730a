"""Sets of property names and the numbers they are kept under, remembered for as long as they are certain."""

from __future__ import annotations

from sync_profiles.core.types import Shape

CACHED_MAX = 10_000
"""A table with many nullable columns may have very many shapes; memory stays bounded."""


class Shapes:
    """Numbers by shape and shapes by number."""

    def __init__(self) -> None:
        self.numbers: dict[Shape, int] = {}
        self.shapes: dict[int, Shape] = {}

    def learn(self, shape: Shape, number: int) -> None:
        """Remember a pair."""
        if len(self.numbers) >= CACHED_MAX:
            self.clear()
        self.numbers[shape] = number
        self.shapes[number] = shape

    def clear(self) -> None:
        """Forget all: some of them may have been rolled back."""
        self.numbers.clear()
        self.shapes.clear()
