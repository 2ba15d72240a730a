"""Which part is done next, and when finished parts still count."""

from __future__ import annotations

import builders as make
import msgspec
import pytest

from sync_profiles.core.ledger import ATTEMPTS_MOST, Ledger, still_good
from sync_profiles.core.spreading import Cut
from sync_profiles.core.types import Horizon, KeyPart, Watermark


def test_parts_are_handed_out_in_order_and_once() -> None:
    ledger = Ledger(3, done={2})
    assert [ledger.take(), ledger.take(), ledger.take()] == [1, 3, None]
    assert ledger.at_work == {1, 3}
    assert not ledger.is_finished
    ledger.returned(3)
    ledger.returned(1)
    assert ledger.is_finished


def test_nothing_is_left_to_do_when_every_part_is_done() -> None:
    assert Ledger(2, done={1, 2}).is_finished
    assert Ledger(0).is_finished


def test_a_lost_part_comes_before_the_others_and_not_for_ever() -> None:
    ledger = Ledger(3)
    assert ledger.take() == 1
    for _ in range(ATTEMPTS_MOST - 1):
        assert ledger.lost(1)
        assert ledger.take() == 1
    assert not ledger.lost(1)
    assert not ledger.at_work
    assert ledger.take() == 2


def test_attempts_are_counted_for_each_part() -> None:
    ledger = Ledger(2)
    for number in (1, 2):
        assert ledger.take() == number
        ledger.lost(number)
        assert ledger.take() == number
    assert ledger.lost(1)
    assert ledger.lost(2)


HORIZON = make.horizon(xmin=100, xmax=120)
CUT = Cut(7, "m", Watermark("xmin", horizon=HORIZON), (KeyPart(),))
LATER = {"xmin": 110, "xmax": 130, "stuck": 2}


@pytest.mark.parametrize(
    ("forced_since", "mapping", "horizon", "good"),
    [
        (7, "m", LATER, True),
        (8, "m", LATER, False),
        (7, "m2", LATER, False),
        (7, "m", {**LATER, "timeline": "2"}, False),
        (7, "m", {**LATER, "system": "other"}, False),
        (7, "m", {**LATER, "schema": "other"}, False),
        (7, "m", {**LATER, "relation": "other"}, False),
        (7, "m", {"xmin": 90, "xmax": 99}, False),
        (7, "m", None, False),
    ],
)
def test_finished_parts_count_as_long_as_what_changed_since_can_be_told(
    forced_since: int, mapping: str, horizon: dict[str, object] | None, good: bool
) -> None:
    now = Watermark("xmin", horizon=None if horizon is None else msgspec.structs.replace(HORIZON, **horizon))
    assert still_good(CUT, forced_since, mapping, now) is good


@pytest.mark.parametrize(("horizon", "good"), [(None, True), (HORIZON, False)])
def test_without_row_versions_the_next_run_reads_from_where_the_first_part_began(
    horizon: Horizon | None, good: bool
) -> None:
    cut = msgspec.structs.replace(CUT, watermark=Watermark("cursor", "2026-01-01"))
    assert still_good(cut, 7, "m", Watermark("cursor", "2026-01-02", horizon=horizon)) is good


def test_a_cut_outlives_the_process_that_made_it() -> None:
    assert msgspec.json.decode(msgspec.json.encode(CUT), type=Cut) == CUT
