"""Which profiles are looked at, and which are left."""

from __future__ import annotations

from collections.abc import Sequence

import builders as make
import pytest
from fakes import MemoryState

from sync_profiles.core.gone import gone_row
from sync_profiles.core.types import Acknowledged, Settlement
from sync_profiles.engine import targets
from sync_profiles.engine.targets import Target, Targets


def state_of(count: int, *gone: str) -> MemoryState:
    state = MemoryState()
    keys = [f"{key:03d}" for key in range(count)]
    state.begin_run("r", 0.0)
    state.settle(Settlement(acknowledged=[Acknowledged(key, f"id{key}", b"f" * 16, ("plan",)) for key in keys]), 0.0)
    state.settle(Settlement(pending=[gone_row(key, f"was{key}", (), "deleted", 0.0) for key in gone]), 0.0)
    return state


def keys_of(chunks: Sequence[Sequence[Target]]) -> list[list[str]]:
    return [[target.key for target in chunk] for chunk in chunks]


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 20])
def test_everything_is_each_known_key_once_and_each_removal(count: int) -> None:
    found = [target for chunk in targets.everything(state_of(count, "x", "y")).chunks(5) for target in chunk]
    assert [target.key for target in found] == [*(f"{key:03d}" for key in range(count)), "x", "y"]
    assert [target.distinct_id for target in found][-2:] == ["wasx", "wasy"]


def test_chunks_are_as_large_as_one_query_takes() -> None:
    assert [len(chunk) for chunk in targets.everything(state_of(12)).chunks(5)] == [5, 5, 2]


def test_what_is_done_is_not_left_and_a_later_look_goes_on_from_there() -> None:
    state = state_of(10, "x")
    first = targets.everything(state)
    for target in next(first.chunks(4)):
        first.done(target)
    later = Targets(state, bytearray(first.seen), first.limit, targets.removals(state))
    assert keys_of(list(later.chunks(100))) == [[f"{key:03d}" for key in range(4, 10)] + ["x"]]


def test_keys_that_became_known_meanwhile_are_not_part_of_it() -> None:
    state = state_of(3)
    begun = targets.everything(state)
    state.settle(Settlement(acknowledged=[Acknowledged("new", "new", b"f" * 16, ())]), 0.0)
    assert keys_of(list(begun.chunks(10))) == [["000", "001", "002"]]
    assert begun.among(["new"]) == []
    (new,) = (Target("new", state.known(["new"])["new"]),)
    begun.done(new)
    assert keys_of(list(begun.chunks(10))) == [["000", "001", "002"]]


def test_on_a_page_of_profiles_those_that_are_left_are_found_by_their_ids() -> None:
    begun = targets.everything(state_of(5, "x", "y"))
    on_page = begun.among(["id001", "id003", "wasy", "stranger"])
    assert [target.key for target in on_page] == ["001", "003", "y"]
    begun.done(on_page[0])
    begun.done(on_page[2])
    assert [target.key for target in begun.among(["id001", "id003", "wasy"])] == ["003"]


def test_keys_are_looked_at_known_or_not_once_each_with_their_removals() -> None:
    state = state_of(3, "001", "x")
    found = [target for chunk in targets.of_keys(state, ["001", "new", "001"]).chunks(10) for target in chunk]
    assert [(target.key, target.distinct_id) for target in found] == [
        ("001", "id001"),
        ("new", None),
        ("001", "was001"),
    ]


@pytest.mark.parametrize("count", [0, 1, 5, 20, 99])
def test_a_sample_has_so_many_of_each_and_is_the_same_for_the_same_seed(count: int) -> None:
    state = state_of(20, *(f"x{number}" for number in range(20)))
    drawn = [
        [target.key for chunk in targets.sample(state, count, seed).chunks(7) for target in chunk] for seed in (1, 1, 2)
    ]
    assert len(drawn[0]) == 2 * min(count, 20)
    assert len(set(drawn[0])) == len(drawn[0])
    assert drawn[0] == drawn[1]
    if 0 < count < 20:
        assert drawn[0] != drawn[2]


def test_every_key_has_its_chance() -> None:
    state = state_of(6)
    drawn = {next(targets.sample(state, 1, seed).chunks(1))[0].key for seed in range(100)}
    assert len(drawn) == 6


def test_a_target_without_an_id_has_none() -> None:
    assert Target("1", None).distinct_id is None
    assert Target("1", make.known("1")).distinct_id == "1"
