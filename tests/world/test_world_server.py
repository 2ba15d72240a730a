"""The same worlds with their state in PostgreSQL: peace ends them all the same, and so does a death at any point."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import pytest
from servers import Servers, labels
from test_world import REMEMBERED
from world_run import World

SEEDS_IN_SHORT = 8
SEEDS_OF_THE_PROOF = int(os.environ.get("WORLD_SEEDS", "20000")) // 10
CHUNK = 100
POINTS_MAX = 400


@pytest.fixture(scope="module")
def url(servers: Servers) -> Iterator[str]:
    with servers.get(labels("postgres")[0]).fresh_database() as database:
        yield database.url


def live(seeds: Iterable[int], url: str) -> None:
    for seed in seeds:
        World(seed, server=url).live()


def test_after_every_trouble_mixpanel_holds_the_table(url: str) -> None:
    live(range(SEEDS_IN_SHORT), url)


@pytest.mark.proof
def test_worlds_that_ended_badly_once_end_well(url: str) -> None:
    live(REMEMBERED, url)


@pytest.mark.proof
@pytest.mark.parametrize("first", range(SEEDS_IN_SHORT, SEEDS_OF_THE_PROOF, CHUNK))
def test_of_very_many_worlds_none_ends_otherwise(first: int, url: str) -> None:
    live(range(first, min(first + CHUNK, SEEDS_OF_THE_PROOF)), url)


@pytest.mark.proof
@pytest.mark.parametrize("seed", [3, 8, 21, 34])
def test_a_run_may_die_at_any_point(seed: int, url: str) -> None:
    for point in range(1, POINTS_MAX):
        world = World(seed, server=url, crash_at=point)
        world.live()
        if not any(f"CRASH at step {point}:" in line for line in world.trace):
            assert point > 5, "a run has more than a handful of points"
            return
    pytest.fail(f"the run had more than {POINTS_MAX} points")
