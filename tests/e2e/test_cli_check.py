"""``sync-profiles check`` as a command: lines for people, JSON for machines, exit codes."""

from __future__ import annotations

import json
import signal

import pytest
from commands import Workplace

from sync_profiles.sandbox.faults import Fault
from sync_profiles.sandbox.server import PROJECT_ID, SERVICE_ACCOUNT, SERVICE_SECRET

ACCOUNT = f"""\
project_id = {PROJECT_ID}
service_account = "{SERVICE_ACCOUNT}"
service_secret = "{SERVICE_SECRET}"
"""


def lines(text: str) -> list[str]:
    return [line.split()[0] for line in text.splitlines()]


def test_all_well_says_so_line_by_line_and_what_to_do_next(everywhere: Workplace) -> None:
    everywhere.write(mixpanel=ACCOUNT)
    everywhere.config.chmod(0o600)
    everywhere.fill(20)
    outcome = everywhere.run("check")
    assert outcome.err == ""
    *found, last = outcome.out.splitlines()
    assert {line.split()[0] for line in found} <= {"ok", "warn"}
    assert any("the token is proven" in line for line in found)
    assert last.startswith("Next: `sync-profiles preview")
    assert everywhere.sandbox.profiles == {}
    assert not everywhere.state.exists()


def test_the_json_is_one_object_with_findings_of_four_keys(place: Workplace) -> None:
    place.fill(3)
    outcome = place.run("check", "--json")
    assert set(outcome.json) == {"schema", "findings"}
    assert outcome.json["schema"] == 1
    for finding in outcome.json["findings"]:
        assert set(finding) == {"level", "code", "message", "hint"}
        assert all(isinstance(value, str) for value in finding.values())
    codes = {finding["code"]: finding["level"] for finding in outcome.json["findings"]}
    assert codes["token_unproven"] == "warn"


def test_every_mistake_of_the_config_is_a_finding(place: Workplace) -> None:
    place.write('tabel = "users"\n', more="[mixpanle]\n")
    outcome = place.run("check", "--json", code=78)
    messages = [finding["message"] for finding in outcome.json["findings"] if finding["level"] == "error"]
    assert len(messages) >= 2
    assert any("did you mean" in message for message in messages)
    text = place.run("check", code=78).out
    assert "error" in lines(text)
    assert text.splitlines()[-1].startswith("Next: mend the")


def test_a_table_that_is_not_there_is_a_finding_with_its_line(place: Workplace) -> None:
    outcome = place.run("check", "--json", code=78)
    (finding,) = [one for one in outcome.json["findings"] if one["level"] == "error"]
    assert finding["code"] == "config"
    assert finding["message"].startswith("users: config.toml:")


@pytest.mark.proof
def test_a_wrong_token_is_an_error_although_mixpanel_says_success(place: Workplace) -> None:
    """It takes its minute; tests/integration/test_check.py proves the same with a clock of its own."""
    place.write(mixpanel=ACCOUNT)
    place.fill(3)
    with place.start("check", "--json", MIXPANEL_TOKEN="another0token0of0another0project") as process:
        out, err = process.communicate(timeout=100)
    place.check_discreet(out + err)
    assert process.returncode == 78
    assert [one["code"] for one in json.loads(out)["findings"] if one["level"] == "error"] == ["token"]


def test_no_canary_asks_for_no_proof_and_sends_nothing(place: Workplace) -> None:
    place.write(mixpanel=ACCOUNT)
    place.fill(3)
    outcome = place.run("check", "--no-canary")
    assert "not proven: --no-canary" in outcome.out
    assert sum(request.records for request in place.sandbox.requests) == 0


@pytest.mark.parametrize(("what", "code"), [("MIXPANEL_URL", "reach"), ("DATABASE_URL", "away")])
def test_what_is_away_is_an_error_and_the_rest_is_checked(place: Workplace, what: str, code: str) -> None:
    place.fill(3)
    gone = {"MIXPANEL_URL": "http://127.0.0.1:9", "DATABASE_URL": "postgresql://nobody@127.0.0.1:9/app"}[what]
    outcome = place.run("check", "--json", code=78, **{what: gone})
    assert code in {one["code"] for one in outcome.json["findings"] if one["level"] == "error"}
    assert {"state", "reach"} <= {one["code"] for one in outcome.json["findings"]}
    assert "127.0.0.1" not in " ".join(one["message"] for one in outcome.json["findings"])


def test_all_syncs_of_the_config_are_checked(place: Workplace) -> None:
    place.fill(3)
    place.fill(2, "others")
    place.write(more='[sync.others]\ntable = "others"\ncopy = ["plan"]\n')
    found = place.run("check").out
    assert "users: 3 rows" in found
    assert "others: 2 rows" in found


def test_a_signal_ends_the_waiting_for_the_canary_and_it_is_deleted(place: Workplace) -> None:
    place.write(mixpanel=ACCOUNT)
    place.fill(3)
    place.sandbox.faults.add(Fault("slow", path="/api/query/engage", seconds=1.0, times=None))
    elsewhere = "another0token0of0another0project"
    place.environ["MIXPANEL_TOKEN"] = elsewhere
    outcome = place.interrupted(signal.SIGTERM, "check", requests=4)
    assert outcome.code == 143
    assert place.sandbox.profiles_of(elsewhere) == {}
