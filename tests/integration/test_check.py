"""The checks in their order over a real table and a local Mixpanel; time moves on request, so nobody waits a minute."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from line import Line, fault
from sending import Time
from servers import LiveDatabase

from sync_profiles import wiring
from sync_profiles.engine.check import Checks, check
from sync_profiles.sandbox.server import PROJECT_ID, SERVICE_ACCOUNT, SERVICE_SECRET, Sandbox

ACCOUNT = {
    "project_id": str(PROJECT_ID),
    "service_account": f'"{SERVICE_ACCOUNT}"',
    "service_secret": f'"{SERVICE_SECRET}"',
}


@pytest.fixture
def everywhere(database: LiveDatabase, tmp_path: Path) -> Iterator[Line]:
    with Sandbox(keep_bodies=True) as sandbox:
        line = Line(database, sandbox, tmp_path)
        line.mixpanel = dict(ACCOUNT)
        yield line


@pytest.fixture
def line(sqlite_database: LiveDatabase, tmp_path: Path) -> Iterator[Line]:
    with Sandbox(keep_bodies=True) as sandbox:
        line = Line(sqlite_database, sandbox, tmp_path)
        line.mixpanel = dict(ACCOUNT)
        line.table(5)
        yield line


def checked(line: Line, *, canary: bool = True) -> dict[str, str]:
    """The worst level of each code; the texts are kept on the line."""
    config = line.config()
    stop = Time(at=time.time())
    checks: Checks = msgspec.structs.replace(wiring.open_checks(config, stop), stop=stop, clock=stop)
    found = list(check(checks, canary=canary))
    text = " ".join(f"{one.message} {one.hint}" for one in found)
    assert line.token not in text
    assert line.database.url not in text
    assert "example.com" not in text, "a value was told"
    order = ["ok", "warn", "error"]
    worst: dict[str, str] = {}
    for one in found:
        worst[one.code] = max(worst.get(one.code, "ok"), one.level, key=order.index)
    return worst


def records(line: Line) -> list[dict[str, object]]:
    """Everything that was sent to Mixpanel."""
    return [record for request in line.sandbox.requests for record in json.loads(request.body or "[]")]


def test_a_sync_in_order_has_no_error_and_leaves_nothing_behind(everywhere: Line) -> None:
    everywhere.table(5)
    found = checked(everywhere)
    assert "error" not in found.values()
    assert found["token"] == "ok"
    assert everywhere.sandbox.profiles == {}
    assert not everywhere.state_file.exists(), "looking made a state"
    assert {str(record["$distinct_id"])[:21] for record in records(everywhere)} == {"sync-profiles-canary-"}
    assert everywhere.run().sent == 5
    assert "error" not in checked(everywhere, canary=False).values()
    everywhere.assert_equal()


def test_a_wrong_token_ends_in_an_error_and_the_test_profile_is_deleted_where_it_went(line: Line) -> None:
    line.token = "wrong0token0of0another0project00"
    assert checked(line)["token"] == "error"
    assert line.sandbox.profiles_of(line.token) == {}


def test_without_a_service_account_the_token_is_unproven_and_nothing_is_sent(line: Line) -> None:
    line.mixpanel = {}
    found = checked(line)
    assert found["token_unproven"] == "warn"
    assert "token" not in found
    assert "error" not in found.values()
    assert records(line) == []


def test_the_canary_can_be_left_out(line: Line) -> None:
    assert checked(line, canary=False)["token_unproven"] == "warn"
    assert records(line) == []


def test_a_wrong_secret_and_a_project_that_is_not_seen_are_errors(line: Line) -> None:
    line.mixpanel["service_secret"] = '"wrong0secret"'
    found = checked(line)
    assert (found["access"], found["token_unproven"]) == ("error", "warn")
    line.mixpanel = {**ACCOUNT, "project_id": "99"}
    found = checked(line)
    assert (found["account"], found["token_unproven"]) == ("error", "warn")
    assert records(line) == []


def test_a_mixpanel_that_is_not_there_is_an_error(line: Line) -> None:
    line.sandbox.close()
    found = checked(line)
    assert (found["reach"], found["away"], found["token_unproven"]) == ("error", "error", "warn")


def test_a_log_in_page_in_between_is_an_error(line: Line) -> None:
    line.sandbox.faults.add(fault("html", times=None))
    found = checked(line)
    assert (found["reach"], found["token_unproven"]) == ("error", "warn")


def test_when_the_hourly_queries_are_used_up_the_token_is_not_proven(line: Line) -> None:
    line.sandbox.queries.per_hour = 0
    assert checked(line)["token"] == "error"
    assert line.sandbox.profiles == {}


def test_ids_and_values_that_will_not_pass_are_found(everywhere: Line) -> None:
    everywhere.settings["distinct_id"] = '"email"'
    everywhere.table(5)
    everywhere.change(
        "UPDATE users SET email = 'same' WHERE id <= 2",
        "UPDATE users SET email = ' padded' WHERE id = 3",
        "UPDATE users SET email = NULL WHERE id = 4",
        "UPDATE users SET email = 'null' WHERE id = 5",
    )
    found = checked(everywhere, canary=False)
    expected = {"duplicate_id": "warn", "padded_id": "warn", "null_id": "warn", "refused_id": "warn"}
    assert expected.items() <= found.items()


def test_a_text_that_mixpanel_would_cut_is_found(line: Line) -> None:
    line.change(f"UPDATE users SET plan = '{'x' * 256}' WHERE id = 2")
    assert checked(line, canary=False)["long_text"] == "warn"


def test_a_mapping_that_rejects_every_row_is_an_error(line: Line) -> None:
    line.add(*range(6, 61))
    line.change("UPDATE users SET plan = 'a' || char(0)")
    assert checked(line, canary=False)["mass_reject"] == "error"


def test_the_end_of_a_long_table_is_looked_at_too(line: Line) -> None:
    line.add(*range(6, 9001))
    line.change(f"UPDATE users SET plan = '{'x' * 256}' WHERE id = 9000")
    assert checked(line, canary=False)["long_text"] == "warn"


def test_a_database_that_refuses_or_is_gone_is_an_error_and_mixpanel_is_asked_all_the_same(line: Line) -> None:
    line.change("DROP TABLE users")
    found = checked(line)
    assert (found["config"], found["token"]) == ("error", "ok")


def test_a_state_of_another_project_and_another_type_are_told_before_a_run_stops(line: Line) -> None:
    line.run()
    line.change("ALTER TABLE users RENAME COLUMN seats TO former", "ALTER TABLE users ADD COLUMN seats text")
    assert checked(line, canary=False)["drift"] == "error"
    line.token = "another0token0of0another0project"
    assert checked(line, canary=False)["owner"] == "error"


def test_a_state_that_cannot_be_read_is_an_error(line: Line) -> None:
    line.state_file.parent.mkdir()
    line.state_file.write_bytes(b"this is no database" * 100)
    assert checked(line, canary=False)["state"] == "error"


def test_a_state_that_was_lost_is_an_error(line: Line) -> None:
    line.run()
    line.state_file.unlink()
    assert checked(line, canary=False)["guard"] == "error"
