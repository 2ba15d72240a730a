"""Facts about a sync in, findings out, as tables."""

from __future__ import annotations

from typing import Any

import builders as make
import msgspec
import pytest

from sync_profiles.core import findings
from sync_profiles.core.facts import Count, CursorFacts, Finding, IdFacts, SampleFacts, TableFacts, ValueFacts
from sync_profiles.core.types import Limit
from sync_profiles.errors import AccessError, ConfigError, GuardStop, StateError, SyncProfilesError, TemporaryError

NOW = 1_700_000_000.0
HEALTHY = TableFacts(
    rows=5000,
    key=("id",),
    certain_key=True,
    null_keys=0,
    shared_keys=0,
    detection="xmin",
    notes=(),
    cursor=None,
    read_only=True,
    may_write=(),
    row_security=False,
    secrets=(),
    sent_secrets=(),
    now=NOW,
)
CURSOR = CursorFacts(name="updated_at", nulls=0, ahead=False, indexed=True, stamped_by="trigger")
PERCENT = Limit(share=0.01)
CLEAN = IdFacts({}, judged=True, compared=True)


def levels(found: Any) -> dict[str, str]:
    """The worst level of each code."""
    order = ["ok", "warn", "error"]
    worst: dict[str, str] = {}
    for one in found:
        worst[one.code] = max(worst.get(one.code, "ok"), one.level, key=order.index)
    return worst


def of_table(full_every_s: float | None = 86_400.0, **changes: Any) -> list[Finding]:
    facts = msgspec.structs.replace(HEALTHY, **changes)
    return list(findings.table_findings("users", facts, now=NOW, full_every_s=full_every_s))


def of_cursor(full_every_s: float | None = 86_400.0, rows: int = 5000, **changes: Any) -> list[Finding]:
    cursor = msgspec.structs.replace(CURSOR, **changes)
    return of_table(full_every_s, rows=rows, detection="cursor", cursor=cursor)


def test_a_healthy_table_is_all_well():
    assert set(levels(of_table()).values()) == {"ok"}
    assert set(levels(of_cursor()).values()) == {"ok"}


@pytest.mark.parametrize(
    ("changes", "code", "level"),
    [
        ({"read_only": False}, "read_only", "error"),
        ({"may_write": ("UPDATE",)}, "rights", "warn"),
        ({"row_security": True}, "row_security", "warn"),
        ({"null_keys": 1}, "null_key", "error"),
        ({"shared_keys": 2}, "shared_key", "error"),
        ({"certain_key": False}, "key", "ok"),
        ({"notes": (("no_xmin", "why; cure"),)}, "no_xmin", "warn"),
        ({"secrets": ("password",)}, "secrets", "ok"),
        ({"sent_secrets": ("password",)}, "secrets", "warn"),
        ({"detection": "full"}, "detection", "ok"),
        ({"detection": "full", "rows": 1_000_001}, "detection", "warn"),
        ({"now": NOW + 59}, "clock", "ok"),
        ({"now": NOW + 61}, "clock", "warn"),
        ({"now": NOW - 61}, "clock", "warn"),
    ],
)
def test_each_fact_of_a_table_has_its_finding(changes, code, level):
    found = of_table(**changes)
    assert levels(found)[code] == level
    assert all(one.hint for one in found if one.level != "ok" and one.code != "no_xmin")
    assert all(one.message.startswith("users: ") for one in found)


@pytest.mark.parametrize(
    ("changes", "code", "level"),
    [
        ({"indexed": False}, "cursor_index", "warn"),
        ({"indexed": False, "rows": 1000}, "cursor_index", "ok"),
        ({"nulls": 3}, "null_cursor", "warn"),
        ({"ahead": True}, "future_cursor", "warn"),
        ({"stamped_by": None}, "cursor_set_by", "ok"),
        ({"stamped_by": None, "full_every_s": None}, "cursor_set_by", "warn"),
        ({"stamped_by": "column", "full_every_s": None}, "cursor_set_by", "ok"),
    ],
)
def test_each_fact_of_a_change_column_has_its_finding(changes, code, level):
    assert levels(of_cursor(**changes))[code] == level


def test_of_a_query_nothing_is_said_about_an_index():
    assert "cursor_index" not in levels(of_cursor(indexed=None))


def test_a_key_that_is_none_is_not_called_unique_at_the_same_time():
    assert "key" not in levels(of_table(null_keys=1))


# --- distinct IDs and values ---------------------------------------------------------------------------------------


def of_ids(**counts: Count) -> list[Finding]:
    return list(findings.id_findings("users", IdFacts(counts, judged=True, compared=True), 10_000, PERCENT))


@pytest.mark.parametrize("name", ["null", "blank", "padded", "long", "refused", "duplicate", "case_twin"])
def test_ids_that_are_not_sent_are_a_warning_with_keys(name):
    (found,) = of_ids(**{name: Count(7, ("3", "5"))})
    assert found.level == "warn"
    assert "7 rows have" in found.message
    assert "(key 3, 5)" in found.message
    assert found.hint


def test_so_many_that_a_guard_would_stop_the_run_are_an_error_all_taken_together():
    assert levels(of_ids(null=Count(60), padded=Count(40))) == {"null_id": "warn", "padded_id": "warn"}
    assert levels(of_ids(null=Count(60), padded=Count(41))) == {"null_id": "error", "padded_id": "error"}


def test_twins_by_case_are_sent_and_stop_nothing():
    assert levels(of_ids(case_twin=Count(10_000))) == {"case_twin": "warn"}


def test_what_the_database_could_not_judge_is_said():
    blind = IdFacts({}, judged=False, compared=False)
    assert levels(findings.id_findings("users", blind, 10, PERCENT)) == {"ids": "ok", "ids_compared": "warn"}
    assert levels(findings.id_findings("users", CLEAN, 10, PERCENT)) == {"ids": "ok"}


def sample(*values: ValueFacts, rows: int = 100, profiles: int = 100, **more: Any) -> SampleFacts:
    return SampleFacts(
        rows=rows,
        profiles=profiles,
        records=2 * profiles,
        bytes=300 * profiles,
        values=values,
        **{"warnings": ()} | more,
    )


NUL = ValueFacts('column "bio"', "bad_value", "holds a NUL character", Count(1, ("8",)))
LONG = ValueFacts('column "bio"', "long", "longer than 255 bytes", Count(4, ("1",)))
NO_ID = ValueFacts('distinct ID (column "id")', "null_id", "is NULL", Count(1, ("9",)))


def of_sample(facts: SampleFacts, ids: IdFacts = CLEAN, rows: int = 100) -> dict[str, str]:
    return levels(findings.sample_findings("users", facts, ids, rows, PERCENT))


def test_a_clean_sample_is_well_and_a_cut_text_does_not_spoil_it():
    assert of_sample(sample()) == {"values": "ok"}
    assert of_sample(sample(LONG)) == {"long_text": "warn", "values": "ok"}


def test_a_value_that_cannot_be_sent_names_its_column_and_count():
    found = list(findings.sample_findings("users", sample(NUL, profiles=99), CLEAN, 100, PERCENT))
    assert [one.level for one in found] == ["warn"]
    assert found[0].message == 'users: column "bio": 1 of 100 rows: holds a NUL character (key 8)'


def test_ids_of_the_sample_count_only_where_the_database_did_not_count_them():
    assert "null_id" not in of_sample(sample(NO_ID))
    assert of_sample(sample(NO_ID), IdFacts({}, judged=False, compared=True))["null_id"] == "warn"


def test_a_mapping_that_rejects_so_many_rows_that_the_run_would_stop_is_an_error():
    facts = sample(NUL, rows=1000, profiles=980)
    assert of_sample(facts, rows=1000) == {"bad_value": "warn"}
    assert of_sample(facts, rows=10_000)["mass_reject"] == "error"


def test_warnings_of_the_mapper_are_passed_on():
    assert of_sample(sample(warnings=(("before_1970", "old dates"),)))["before_1970"] == "warn"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (0, "about 0 requests, 0.0 MB, and takes about 1 s"),
        (100, "about 1 request, 0.0 MB, and takes about 1 s"),
        (20_000, "about 40 requests, 6.0 MB, and takes about 5 s"),
        (10_000_000, "about 20,000 requests, 3,000.0 MB, and takes about 42 minutes"),
    ],
)
def test_the_first_run_is_estimated_by_what_the_sample_weighs(rows, said):
    assert said in findings.estimate_finding("users", rows, sample(), 1000, 4).message


def test_a_sample_without_a_profile_gives_no_division_by_nothing():
    assert "about 0 requests" in findings.estimate_finding("users", 5, sample(rows=5, profiles=0), 1000, 4).message


# --- what made a check impossible, and whose state it is -----------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), "config"),
        (AccessError("x"), "access"),
        (TemporaryError("x"), "away"),
        (StateError("x"), "state"),
        (GuardStop("x"), "guard"),
        (SyncProfilesError("x"), "failed"),
    ],
)
def test_a_failure_becomes_an_error_finding_of_its_kind(error, code):
    assert findings.failed(error, "users") == [Finding("error", code, "users: x")]


def test_every_problem_of_a_config_is_a_finding_of_its_own():
    found = findings.failed(ConfigError(["a", "b"], hint="c"))
    assert [(one.message, one.hint) for one in found] == [("a", "c"), ("b", "c")]


def test_a_state_that_belongs_to_something_else_is_told_before_a_run_stops():
    now = make.identity(columns={"plan": "text"})
    assert list(findings.owner_findings("users", None, now)) == []
    assert list(findings.owner_findings("users", now, now)) == []
    other = make.identity(project="q", columns={"plan": "integer"})
    assert levels(findings.owner_findings("users", other, now)) == {"owner": "error", "drift": "error"}
