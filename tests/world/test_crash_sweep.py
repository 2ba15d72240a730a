"""A run dies at its 1st, 2nd, 3rd … commit, request or page, until one ends unharmed; the next make it good."""

from __future__ import annotations

from pathlib import Path

import pytest
from world_run import World

POINTS_MAX = 400


@pytest.mark.parametrize("seed", [3, 8, 21, 34])
def test_a_run_may_die_at_any_point(seed: int, tmp_path: Path) -> None:
    for point in range(1, POINTS_MAX):
        world = World(seed, tmp_path / str(point) if point % 5 == 0 else None, crash_at=point)
        world.live()
        if not any(f"CRASH at step {point}:" in line for line in world.trace):
            assert point > 5, "a run has more than a handful of points"
            return
    pytest.fail(f"the run had more than {POINTS_MAX} points")
