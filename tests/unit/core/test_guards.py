"""Limits that stop a run before harm is done."""

from __future__ import annotations

import builders as make
import pytest

from sync_profiles.core import guards
from sync_profiles.core.types import Limit

TWO_PERCENT, FIVE = Limit(share=0.02), Limit(count=5)


@pytest.mark.parametrize(
    ("limit", "gone", "known", "stops"),
    [
        (TWO_PERCENT, 100, 200, False),
        (TWO_PERCENT, 101, 200, True),
        (TWO_PERCENT, 101, 5050, False),
        (TWO_PERCENT, 102, 5050, True),
        (Limit(share=1.0), 5000, 5000, False),
        (FIVE, 5, 10, False),
        (FIVE, 6, 1_000_000, True),
    ],
)
def test_mass_deletes_stop_above_the_limit_but_never_below_a_hundred_rows(limit, gone, known, stops):
    assert (guards.mass_delete(limit, gone, known) is not None) == stops


@pytest.mark.parametrize(("rejected", "total", "stops"), [(50, 50, False), (51, 5200, False), (53, 5200, True)])
def test_mass_rejects_stop_above_the_limit_but_never_below_fifty_rows(rejected, total, stops):
    assert (guards.mass_reject(Limit(share=0.01), rejected, total) is not None) == stops


@pytest.mark.parametrize(("scanned", "known", "stops"), [(0, 1, True), (0, 0, False), (1, 1000, False)])
def test_an_empty_table_where_there_were_rows_stops(scanned, known, stops):
    assert (guards.empty_table(scanned, known) is not None) == stops


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (None, make.identity(), "first"),
        (make.identity(), make.identity(), "same"),
        (make.identity(), make.identity(mapping="other"), "mapping"),
        (make.identity(), make.identity(source="other", mapping="other"), "source"),
        (make.identity(), make.identity(project="other", source="other"), "project"),
    ],
)
def test_the_weightiest_difference_of_an_owner_is_named(before, now, expected):
    assert guards.belonging(before, now) == expected


@pytest.mark.parametrize(
    ("changes", "word"),
    [({"source": "x", "source_label": "mysql app users"}, "mysql app users"), ({"project": "x"}, "Mixpanel project")],
)
def test_another_source_or_project_stops_and_says_what_it_was(changes, word):
    stopped = guards.another_owner(make.identity(), make.identity(**changes))
    assert stopped is not None
    assert word in stopped.message
    assert "--accept-new-source" in stopped.hint


def test_a_new_mapping_is_no_reason_to_stop():
    assert guards.another_owner(make.identity(), make.identity(mapping="other")) is None


def test_the_message_names_the_limit_as_the_config_wrote_it():
    assert "2%" in guards.mass_delete(TWO_PERCENT, 200, 200).message
    assert "max_delete = 5 " in guards.mass_delete(FIVE, 200, 200).message


@pytest.mark.parametrize(
    ("before", "now", "named"),
    [
        ({"plan": "integer"}, {"plan": "text"}, '"plan" was integer and is text now'),
        ({"plan": "text", "n": "int"}, {"plan": "text", "n": "bigint"}, '"n" was int and is bigint now'),
        ({"on": "tinyint(1)"}, {"on": "tinyint(4)"}, '"on" was tinyint(1) and is tinyint(4) now'),
        ({"plan": "varchar(20)"}, {"plan": "VARCHAR(255)"}, None),
        ({"at": "timestamp(3) with time zone"}, {"at": "timestamp with time zone"}, None),
        ({"at": "timestamp with time zone"}, {"at": "timestamp without time zone"}, '"at" was timestamp with'),
        ({"plan": "enum('a','b')"}, {"plan": "enum('a','b','c')"}, None),
        ({"gone": "integer"}, {"new": "text"}, None),
        ({}, {"plan": "text"}, None),
    ],
)
def test_a_mapped_column_of_another_type_stops_and_both_types_are_named(before, now, named):
    stopped = guards.drifted(make.identity(columns=before), make.identity(columns=now))
    assert (stopped is None) == (named is None)
    if stopped is not None:
        assert named in stopped.message
        assert "--full" in stopped.hint


def test_accepted_types_ask_for_a_full_pass_and_an_old_state_for_nothing():
    was, now = make.identity(columns={"plan": "integer"}), make.identity(columns={"plan": "bigint"})
    assert guards.belonging(was, now) == "mapping"
    assert guards.belonging(make.identity(), now) == "same"
    assert guards.drifted(None, now) is None
