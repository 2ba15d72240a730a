"""Facts about the state's place and about Mixpanel in, findings out, as tables."""

from __future__ import annotations

import pytest

from sync_profiles.core import outlook
from sync_profiles.core.facts import CanaryFacts, ReachFacts, StateFacts


def state(writable=True, filesystem="ext4", free=10**10, profiles=1000):
    facts = StateFacts("/var/state.db", writable, filesystem, free)
    return {one.code: one.level for one in outlook.state_findings(facts, profiles)}


@pytest.mark.parametrize(
    ("changes", "code", "level"),
    [
        ({}, "state", "ok"),
        ({"writable": False}, "state", "error"),
        ({}, "state_place", "ok"),
        ({"filesystem": "nfs4"}, "state_place", "error"),
        ({"filesystem": "cifs"}, "state_place", "error"),
        ({"filesystem": "overlay"}, "state_place", "warn"),
        ({"filesystem": "tmpfs"}, "state_place", "warn"),
        ({"free": 19_999_999}, "state_space", "error"),
        ({"free": 20_399_999}, "state_space", "warn"),
        ({"free": 20_400_000}, "state_space", "ok"),
    ],
)
def test_each_fact_of_the_states_place_has_its_finding(changes, code, level):
    assert state(**changes)[code] == level


def test_where_the_kernel_says_nothing_nothing_is_said():
    assert "state_place" not in state(filesystem=None)


@pytest.mark.parametrize(
    ("facts", "level", "said"),
    [
        (ReachFacts(400, expected=True), "ok", "answers"),
        (ReachFacts(None, "the connection was refused"), "error", "the connection was refused"),
        (ReachFacts(503), "error", "away"),
        (ReachFacts(429), "error", "away"),
        (ReachFacts(200), "error", "not Mixpanel"),
        (ReachFacts(302), "error", "not Mixpanel"),
    ],
)
def test_mixpanel_is_reached_only_when_it_answers_in_its_own_form(facts, level, said):
    found = outlook.reach_finding("region us", facts)
    assert found.level == level
    assert said in found.message
    assert bool(found.hint) == (level == "error")


@pytest.mark.parametrize(("projects", "level"), [((1, 2), "ok"), (None, "ok"), ((), "error"), ((2,), "error")])
def test_a_service_account_must_see_the_project(projects, level):
    assert outlook.account_finding(1, projects).level == level


@pytest.mark.parametrize(
    ("outcome", "code", "level", "said"),
    [
        ("proven", "token", "ok", "proven"),
        ("unseen", "token", "error", "never appeared"),
        ("refused", "token", "error", "does not take"),
        ("unread", "token", "error", "not proven"),
        ("stopped", "token_unproven", "warn", "not proven"),
    ],
)
def test_a_token_is_proven_only_by_a_profile_that_was_read_back(outcome, code, level, said):
    (found,) = outlook.canary_findings(CanaryFacts("c", outcome, 60.0, "why"))
    assert (found.code, found.level) == (code, level)
    assert said in found.message


def test_a_test_profile_that_stayed_is_named():
    found = list(outlook.canary_findings(CanaryFacts("canary-1", "proven", 1.0, removed=False)))
    assert [(one.level, one.code) for one in found] == [("ok", "token"), ("warn", "canary_left")]
    assert "canary-1" in found[1].message


@pytest.mark.parametrize("why", ["asked", "account", "away"])
def test_an_unproven_token_is_a_warning_in_plain_words(why):
    found = outlook.unproven(why)
    assert (found.level, found.code) == ("warn", "token_unproven")
    assert "a wrong token or region gets the same success" in found.message
    assert found.hint
