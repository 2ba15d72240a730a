"""What is read, and why."""

from __future__ import annotations

import builders as make
import pytest

from sync_profiles.core.scanplan import (
    LOOKBACK_S_DEFAULT,
    LOOKBACK_S_MIN,
    LOOKBACK_S_NAIVE,
    XID_SPAN,
    Wishes,
    detection_of,
    lookback_s,
    next_watermark,
    plan,
    stuck_runs,
)
from sync_profiles.core.types import Kind, ScanCursor, ScanFull, ScanSinceXid, Watermark

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


# --- by row versions -----------------------------------------------------------------------------------------------

XMIN = make.horizon().xmin


def at(full_at=NOW - HOUR, **changes):
    return Watermark("xmin", full_at=full_at, horizon=make.horizon(**changes))


@pytest.mark.parametrize(
    ("was", "now", "reason"),
    [
        (None, at(), "first run"),
        (before(), at(), "detection changed"),
        (at(), CURSOR_NOW, "detection changed"),
        (Watermark("xmin", full_at=NOW), at(), "detection changed"),
        (at(), at(system="8"), "server changed"),
        (at(), at(timeline="2"), "timeline changed"),
        (at(), at(started="1700000001.5"), "server restarted"),
        (at(), at(relation="5/16999"), "table changed"),
        (at(), at(schema="t"), "schema changed"),
        (at(), at(xmin=XMIN - 2, xmax=XMIN - 1), "transaction counter went back"),
        (at(), at(xmin=XMIN + XID_SPAN, xmax=XMIN + XID_SPAN), "horizon too old"),
        (at(), at(xmin=XMIN, xmax=XMIN + XID_SPAN), "horizon too old"),
        (at(full_at=NOW - 24 * HOUR), at(), "full_every"),
        (at(full_at=None), at(), "full_every"),
    ],
)
def test_a_transaction_number_is_only_trusted_where_it_still_means_the_same(was, now, reason):
    assert plan(was, now, wishes()) == ScanFull(reason)


@pytest.mark.parametrize(
    ("wish", "reason"),
    [
        ({"asked_full": True}, "asked for"),
        ({"source_changed": True}, "another source"),
        ({"mapping_changed": True}, "mapping changed"),
    ],
)
def test_row_versions_do_not_outrank_what_was_asked(wish, reason):
    assert plan(at(), at(), wishes(**wish)) == ScanFull(reason)


@pytest.mark.parametrize(
    "now",
    [at(), at(xmin=XMIN - 5, xmax=XMIN), at(xmin=XMIN + 7, xmax=XMIN + XID_SPAN - 1)],
    ids=["quiet", "a standby a little behind", "as far as it may be"],
)
def test_otherwise_the_rows_of_all_transactions_since_the_last_horizon_are_read(now):
    assert plan(at(), now, wishes()) == ScanSinceXid(XMIN, "since the last run")


def test_the_new_horizon_is_remembered_and_the_old_full_pass_too():
    kept = next_watermark(ScanSinceXid(XMIN, ""), at(), at(xmin=XMIN + 9, xmax=XMIN + 9), NOW)
    assert kept == at(xmin=XMIN + 9, xmax=XMIN + 9)


def test_every_plan_has_its_word():
    plans = [ScanFull(""), ScanCursor(None, 0, ""), ScanSinceXid(1, "")]
    assert [detection_of(one) for one in plans] == ["full", "cursor", "xmin"]


RUNNING = {"xmin": XMIN, "xmax": XMIN + 4}


@pytest.mark.parametrize(
    ("was", "now", "runs"),
    [
        (None, at(**RUNNING), 0),
        (before(), at(**RUNNING), 0),
        (at(**RUNNING), CURSOR_NOW, 0),
        (at(**RUNNING), at(**RUNNING), 1),
        (at(stuck=2), at(**RUNNING), 3),
        (at(stuck=2), at(), 0),  # nothing is running: nobody did anything since
        (at(stuck=2), at(xmin=XMIN + 1, xmax=XMIN + 4), 0),
        (at(stuck=2), at(system="8", **RUNNING), 0),
    ],
)
def test_runs_that_find_the_same_transaction_running_are_counted(was, now, runs):
    assert stuck_runs(was, now) == runs
    remembered = next_watermark(ScanFull(""), was, now, NOW).horizon
    assert (remembered.stuck if remembered else 0) == runs
