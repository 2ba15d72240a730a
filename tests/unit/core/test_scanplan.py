"""What is read, and why."""

from __future__ import annotations

import pytest

from sync_profiles.core.scanplan import (
    LOOKBACK_S_DEFAULT,
    LOOKBACK_S_MIN,
    LOOKBACK_S_NAIVE,
    Wishes,
    lookback_s,
    next_watermark,
    plan,
)
from sync_profiles.core.types import Kind, ScanCursor, ScanFull, Watermark

HOUR = 3600.0
NOW = 1_000_000.0


def before(**changes):
    return Watermark(**{"detection": "cursor", "cursor": "2026-01-01", "full_at": NOW - HOUR, **changes})


def wishes(**changes):
    return Wishes(**{"now": NOW, "full_every_s": 24 * HOUR, "lookback_s": 900.0, **changes})


CURSOR_NOW = Watermark("cursor", cursor="2026-01-02")


@pytest.mark.parametrize(
    ("was", "now", "wish", "reason"),
    [
        (None, CURSOR_NOW, wishes(), "first run"),
        (before(), CURSOR_NOW, wishes(asked_full=True), "asked for"),
        (before(), CURSOR_NOW, wishes(source_changed=True), "another source"),
        (before(), CURSOR_NOW, wishes(mapping_changed=True), "mapping changed"),
        (before(), Watermark("full"), wishes(), "no change column"),
        (before(detection="full", cursor=None), CURSOR_NOW, wishes(), "detection changed"),
        (before(full_at=NOW - 24 * HOUR), CURSOR_NOW, wishes(), "full_every"),
        (before(full_at=None), CURSOR_NOW, wishes(), "full_every"),
        (before(full_at=NOW + HOUR), CURSOR_NOW, wishes(), "full_every"),
    ],
)
def test_whatever_is_unclear_is_read_in_full_with_its_reason(was, now, wish, reason):
    assert plan(was, now, wish) == ScanFull(reason)


@pytest.mark.parametrize(
    ("was", "wish"), [(before(), wishes()), (before(full_at=None), wishes(full_every_s=None))], ids=["within", "never"]
)
def test_otherwise_only_what_moved_since_the_last_run_is_read(was, wish):
    assert plan(was, CURSOR_NOW, wish) == ScanCursor("2026-01-01", 900.0, "since the last run")


def test_a_lookback_of_zero_still_covers_a_second_that_was_rounded_up():
    planned = plan(before(), CURSOR_NOW, wishes(lookback_s=0.0))
    assert isinstance(planned, ScanCursor)
    assert planned.lookback_s == LOOKBACK_S_MIN


def test_a_table_that_was_empty_is_read_from_its_start():
    assert plan(before(cursor=None), CURSOR_NOW, wishes()) == ScanCursor(None, 900.0, "since the last run")


def test_only_a_full_pass_renews_the_time_of_the_last_full_pass():
    full = next_watermark(ScanFull("asked for"), before(), CURSOR_NOW, NOW)
    partial = next_watermark(ScanCursor("x", 2.0, ""), before(), CURSOR_NOW, NOW)
    assert (full.full_at, partial.full_at) == (NOW, NOW - HOUR)
    assert full.cursor == partial.cursor == "2026-01-02"


@pytest.mark.parametrize(
    ("configured", "kind", "expected"),
    [
        (None, Kind.INSTANT, LOOKBACK_S_DEFAULT),
        (None, Kind.DATETIME, LOOKBACK_S_NAIVE),
        (None, Kind.INTEGER, LOOKBACK_S_DEFAULT),
        (60.0, Kind.DATETIME, 60.0),
        (0.0, Kind.INSTANT, LOOKBACK_S_MIN),
    ],
)
def test_a_naive_cursor_looks_back_over_the_hour_that_summer_time_repeats(configured, kind, expected):
    assert lookback_s(configured, kind) == expected
