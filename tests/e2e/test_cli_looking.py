"""Commands that only look leave everything as it is; commands that change what is remembered change just that."""

from __future__ import annotations

import csv
import io
import json
import os
import stat

from commands import TOKEN, Workplace, on_terminal

LOOKING = [
    ["preview"],
    ["preview", "--changed"],
    ["run", "--dry-run"],
    ["run", "--dry-run", "--full", "--json"],
    ["status"],
    ["status", "--json"],
    ["rejected"],
    ["state", "export"],
    ["config", "show"],
]


def test_looking_works_before_anything_is_remembered_and_begins_nothing(place: Workplace) -> None:
    place.fill(5)
    for arguments in LOOKING:
        place.run(*arguments)
        assert not place.state.parent.exists(), arguments
    assert not place.sandbox.requests


def test_looking_sends_nothing_and_changes_no_byte(place: Workplace) -> None:
    place.fill(20)
    place.write('table = "users"\non_delete = "delete"\n')
    place.run("run")
    place.database.execute("UPDATE users SET plan = 'pro' WHERE id < 5", "DELETE FROM users WHERE id = 9")
    before = {path.name: path.read_bytes() for path in place.state.parent.iterdir()}
    place.sandbox.clear_log()
    for arguments in LOOKING:
        place.run(*arguments)
        assert {path.name: path.read_bytes() for path in place.state.parent.iterdir()} == before, arguments
    assert not place.sandbox.requests


def test_looking_works_while_a_run_is_active_and_where_nothing_may_be_written(place: Workplace) -> None:
    place.fill(5)
    place.run("run")
    place.state.parent.chmod(0o500)
    place.state.chmod(0o400)
    for arguments in LOOKING:
        place.run(*arguments)
    place.state.parent.chmod(0o700)


# --- preview -------------------------------------------------------------------------------------------------------


def test_preview_shows_ten_rows_or_as_many_as_are_wanted_or_the_named_ones(place: Workplace) -> None:
    place.fill(30)
    assert place.run("preview").out.count("$distinct_id") == 10
    assert place.run("preview", "--limit", "3").out.count("$distinct_id") == 3
    named = place.run("preview", "--key", "7", "--key", "21", "--json").lines
    assert [record["$distinct_id"] for record in named] == ["7", "21"]


def test_preview_names_rows_that_would_be_rejected(place: Workplace) -> None:
    place.fill(3)
    place.database.execute("UPDATE users SET email = 'a@example.com' || char(0) WHERE id = 2")
    outcome = place.run("preview", code=65)
    assert "row 2 would be rejected" in outcome.err
    assert outcome.out.count("$distinct_id") == 2


def test_preview_of_changes_is_empty_after_a_run(everywhere: Workplace) -> None:
    everywhere.fill(5)
    everywhere.run("run")
    assert everywhere.run("preview", "--changed").out == ""


# --- dry run -------------------------------------------------------------------------------------------------------


def test_a_dry_run_counts_what_the_run_then_does(everywhere: Workplace) -> None:
    everywhere.fill(40)
    everywhere.write('table = "users"\non_delete = "delete"\n')
    everywhere.run("run")
    everywhere.database.execute(
        "UPDATE users SET plan = 'pro' WHERE id < 5",
        "DELETE FROM users WHERE id = 9",
        "INSERT INTO users (id, name) VALUES (0, 'Nobody')",
    )
    dry = everywhere.run("run", "--dry-run", "--full", "--json", code=65).json
    real = everywhere.run("run", "--full", "--json", code=65).json
    counted = ("outcome", "detection", "scanned", "unchanged", "sent", "deleted", "rejected")
    assert {name: dry[name] for name in counted} == {name: real[name] for name in counted}
    assert (dry["requests"], real["sent"], real["deleted"]) == (0, 4, 1)


def test_a_dry_run_says_what_would_be_sent_without_being_asked_twice(place: Workplace) -> None:
    place.fill(40)
    outcome = place.run("run", "--dry-run")
    assert "40 profiles would be sent" in outcome.out
    assert outcome.err == ""


def test_a_dry_run_stops_where_the_run_would(place: Workplace) -> None:
    place.fill(500)
    place.write('table = "users"\non_delete = "delete"\n')
    place.run("run")
    place.database.execute("DELETE FROM users WHERE id > 100")
    outcome = place.run("run", "--dry-run", code=3)
    assert "max_delete" in outcome.err
    assert "--allow-mass-delete" in outcome.err


# --- status and rejected -------------------------------------------------------------------------------------------


def test_status_before_the_first_run_says_never(place: Workplace) -> None:
    assert "never" in place.run("status").out
    (users,) = place.run("status", "--json").json["syncs"]
    assert users == {
        "sync": "users",
        "last_success_at": None,
        "last_run": None,
        "pending": 0,
        "rejected": 0,
        "profiles": 0,
    }


def test_status_shows_as_many_runs_as_are_wanted_newest_first(place: Workplace) -> None:
    place.fill(5)
    for _ in range(3):
        place.run("run")
    assert place.run("status").out.count(" ok ") == 3
    assert place.run("status", "--limit", "1").out.count(" ok ") == 1


def a_rejected_row(place: Workplace) -> None:
    place.fill(20)
    place.database.execute("UPDATE users SET email = 'a@example.com' || char(0) WHERE id = 7")
    place.run("run", code=65)
    place.run("run", code=0)


def test_a_rejected_row_is_tried_again_at_once_when_asked(place: Workplace) -> None:
    a_rejected_row(place)
    assert "1 row" in place.run("rejected", "--retry").err
    assert place.run("run", "--json", code=65).json["rejected"] == 1
    assert place.run("rejected", "--json").json["attempts"] == 2


def test_a_rejected_row_is_forgotten_when_asked_until_it_changes(place: Workplace) -> None:
    a_rejected_row(place)
    place.run("rejected", "--forget")
    assert place.run("rejected", "--json").out == ""
    place.database.execute("UPDATE users SET email = 'new' WHERE id = 7")
    place.run("run")
    place.assert_equal()


def test_a_mended_row_arrives_with_the_next_run(place: Workplace) -> None:
    a_rejected_row(place)
    place.database.execute("UPDATE users SET email = 'mended' WHERE id = 7")
    assert place.run("run", "--json").json["pending"] == 0
    place.assert_equal()


# --- state ---------------------------------------------------------------------------------------------------------


def test_an_export_lists_every_known_profile_and_no_value(everywhere: Workplace) -> None:
    everywhere.fill(20)
    everywhere.run("run")
    outcome = everywhere.run("state", "export")
    rows = list(csv.DictReader(io.StringIO(outcome.out)))
    assert list(rows[0]) == ["key", "distinct_id", "fingerprint", "acknowledged_at"]
    assert {row["key"] for row in rows} == {str(key) for key in range(1, 21)}
    assert "mail1" not in outcome.out


def test_after_a_reset_every_row_is_sent_again(place: Workplace) -> None:
    place.fill(20)
    place.run("run")
    place.run("state", "reset", "users", "--yes")
    assert place.run("run", "--json").json["sent"] == 20


def test_a_reset_asks_on_a_terminal_and_no_is_no(place: Workplace) -> None:
    place.fill(20)
    place.run("run")
    code, painted = on_terminal(["state", "reset"], cwd=place.folder, environ=place.environ, answer=b"n\n")
    assert code != 0
    assert "users" in painted
    assert place.run("run", "--json").json["sent"] == 0
    code, _ = on_terminal(["state", "reset"], cwd=place.folder, environ=place.environ, answer=b"y\n")
    assert code == 0
    assert place.run("run", "--json").json["sent"] == 20


def test_the_state_is_private_and_holds_no_secret_and_no_value(everywhere: Workplace) -> None:
    everywhere.fill(20)
    everywhere.run("run")
    assert stat.S_IMODE(everywhere.state.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(everywhere.state.stat().st_mode) == 0o600
    held = b"".join(path.read_bytes() for path in everywhere.state.parent.iterdir())
    address = everywhere.environ["DATABASE_URL"].partition("://")[2].partition("?")[0]
    for secret in (TOKEN, address, "mail1", "User 1"):
        assert secret.encode() not in held


# --- config --------------------------------------------------------------------------------------------------------


def test_the_shown_configuration_masks_what_is_secret_and_says_where_the_rest_comes_from(everywhere: Workplace) -> None:
    shown = everywhere.run("config", "show").out
    assert "environment MIXPANEL_TOKEN" in shown
    assert everywhere.sandbox.url in shown
    assert "mixpanel.concurrency" in shown


def test_the_schema_accepts_the_configuration_that_ran(place: Workplace) -> None:
    import tomllib

    import jsonschema

    schema = json.loads(place.run("config", "schema").out)
    jsonschema.validate(tomllib.loads(place.config.read_text()), schema)


def test_a_literal_secret_that_others_can_read_is_warned_about(place: Workplace) -> None:
    place.config.write_text(place.config.read_text().replace("${MIXPANEL_TOKEN}", TOKEN))
    os.chmod(place.config, 0o644)
    assert "config.toml" in place.run("-v", "config", "show").err
    os.chmod(place.config, 0o600)
    assert place.run("-v", "config", "show").err == ""
