"""What is printed, where and in which form: quiet success, verbosity, JSON, log lines, terminals and colour."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from commands import TOKEN, Outcome, Workplace, on_terminal

from sync_profiles.sandbox.faults import Fault

ESCAPE = "\x1b["
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
RUN: dict[str, Any] = {
    "schema": 1,
    "sync": "users",
    "run": re.compile(r"[0-9A-HJKMNP-TV-Z]{26}"),
    "outcome": {"ok", "rejected", "deferred", "stopped", "skipped", "failed"},
    "detection": {"xmin", "cursor", "full", "backfill"},
    "why": str,
    "scanned": int,
    "unchanged": int,
    "sent": int,
    "deleted": int,
    "rejected": int,
    "pending": int,
    "requests": int,
    "bytes": int,
    "started_at": STAMP,
    "seconds": float,
    "message": (str, type(None)),
}
STATUS: dict[str, Any] = {
    "sync": "users",
    "last_success_at": STAMP,
    "last_run": dict,
    "pending": int,
    "rejected": int,
    "profiles": int,
}
REJECTED: dict[str, Any] = {
    "sync": "users",
    "key": str,
    "distinct_id": str,
    "reason": str,
    "code": str,
    "attempts": int,
    "since": STAMP,
    "next_try_at": STAMP,
}


def assert_shape(found: dict[str, Any], shape: dict[str, Any]) -> None:
    """Exactly these keys, in this order, each a value of its kind."""
    assert list(found) == list(shape)
    for name, kind in shape.items():
        value = found[name]
        if isinstance(kind, re.Pattern):
            assert kind.fullmatch(value), name
        elif isinstance(kind, set):
            assert value in kind, name
        elif isinstance(kind, type | tuple):
            assert isinstance(value, kind), name
            assert not isinstance(value, bool), name
        else:
            assert value == kind, name


def spoil(place: Workplace, key: int = 7) -> None:
    """Make one row one that cannot be sent."""
    place.database.execute(f"UPDATE users SET email = 'a@example.com' || char(0) WHERE id = {key}")


# --- quiet success -------------------------------------------------------------------------------------------------


def test_success_is_silent_where_nobody_watches(everywhere: Workplace) -> None:
    everywhere.fill(30)
    for arguments in (["run"], ["run"], ["run", "--full", "-q"], ["backfill"]):
        assert everywhere.run(*arguments) == Outcome(0, "", "")
    everywhere.assert_equal()


def test_v_tells_how_it_went_and_q_leaves_only_errors(place: Workplace) -> None:
    place.fill(300)
    told = place.run("-v", "run")
    assert told.out == ""
    assert "300 sent" in told.err
    assert "first run" in told.err
    spoil(place)
    assert "row 7 rejected" in place.run("run", code=65).err
    spoil(place, 8)
    assert place.run("run", "-q", code=65) == Outcome(65, "", "")
    place.sandbox.faults.add(Fault("status", times=None, code=401))
    place.database.execute("UPDATE users SET plan = 'new'")
    assert "401" in place.run("run", "-q", code=77).err


def test_vv_never_prints_a_value_of_a_row(place: Workplace) -> None:
    place.fill(30)
    spoil(place)
    place.sandbox.faults.add(Fault("status", code=503))
    outcome = place.run("-vv", "run", code=65)
    assert "attempt 1" in outcome.err
    for value in ("a@example.com", "User 1", "mail2", "free"):
        assert value not in outcome.err


# --- JSON ----------------------------------------------------------------------------------------------------------


def test_run_and_backfill_print_one_object_of_the_contract(everywhere: Workplace) -> None:
    everywhere.fill(30)
    for arguments in (["run"], ["run", "--full"], ["backfill"], ["run", "--dry-run"]):
        outcome = everywhere.run(*arguments, "--json")
        assert outcome.err == ""
        assert_shape(outcome.json, RUN)
        assert outcome.json["outcome"] == "ok"
        assert outcome.json["scanned"] == 30 or "--dry-run" in arguments


def test_counts_say_what_happened(place: Workplace) -> None:
    place.fill(1200)
    place.write('table = "users"\non_delete = "delete"\n')
    first = place.run("run", "--json").json
    assert (first["scanned"], first["sent"], first["requests"], first["unchanged"]) == (1200, 1200, 2, 0)
    assert first["bytes"] == sum(request.bytes for request in place.sandbox.requests)
    spoil(place)
    place.database.execute(
        "UPDATE users SET plan = 'pro' WHERE id <= 5",
        "DELETE FROM users WHERE id = 9",
        "UPDATE users SET updated_at = '2027'",
    )
    second = place.run("run", "--json", code=65).json
    counts = {name: second[name] for name in ("scanned", "unchanged", "sent", "deleted", "rejected", "outcome")}
    assert counts == {"scanned": 1199, "unchanged": 1193, "sent": 5, "deleted": 1, "rejected": 1, "outcome": "rejected"}


def test_preview_prints_the_records_exactly_as_they_are_sent_but_for_the_token(everywhere: Workplace) -> None:
    everywhere.fill(5)
    shown = everywhere.run("preview", "--json").lines
    everywhere.run("run")
    sent = [record for request in everywhere.sandbox.requests for record in json.loads(request.body or "[]")]
    assert [record["$token"] for record in shown] == ["***"] * len(sent)
    assert [record | {"$token": TOKEN} for record in shown] == sent


def test_preview_of_changes_says_why_beside_each_record(place: Workplace) -> None:
    place.fill(5)
    place.write('table = "users"\non_delete = "delete"\n')
    place.run("run")
    place.database.execute(
        "UPDATE users SET plan = 'pro' WHERE id = 1",
        "DELETE FROM users WHERE id = 2",
        "INSERT INTO users (id, name) VALUES (6, 'New')",
    )
    lines = place.run("preview", "--changed", "--json").lines
    assert {(line["key"], line["why"]) for line in lines} == {("1", "changed"), ("2", "deleted"), ("6", "new")}
    assert all(list(line) == ["record", "key", "why"] for line in lines)
    assert [line["record"]["$delete"] for line in lines if line["why"] == "deleted"] == [""]
    assert "row 1  changed" in place.run("preview", "--changed").out


def test_status_and_rejected_print_objects_of_the_contract(place: Workplace) -> None:
    place.fill(30)
    spoil(place)
    place.run("run", code=65)
    status = place.run("status", "--json").json
    assert (list(status), status["schema"]) == (["schema", "syncs"], 1)
    (users,) = status["syncs"]
    assert_shape(users, STATUS)
    assert_shape(users["last_run"], RUN)
    assert (users["profiles"], users["pending"], users["rejected"]) == (29, 1, 1)
    rejected = place.run("rejected", "--json")
    assert_shape(rejected.json, REJECTED)
    assert "a@example.com" not in rejected.out


def test_json_stands_alone_on_stdout_whatever_else_is_said(place: Workplace) -> None:
    place.fill(30)
    spoil(place)
    outcome = place.run("-vv", "run", "--json", code=65)
    assert_shape(outcome.json, RUN)
    assert "row 7 rejected" in outcome.err


def test_a_failure_is_an_object_too(place: Workplace) -> None:
    place.fill(3)
    place.write('table = "nowhere"\n')
    failed = place.run("run", "--json", code=78).json
    assert_shape(failed, RUN)
    assert failed["outcome"] == "failed"
    assert "nowhere" in failed["message"]


# --- log lines -----------------------------------------------------------------------------------------------------


def test_log_lines_are_json_when_asked(place: Workplace) -> None:
    place.fill(30)
    spoil(place)
    outcome = place.run("--log-format", "json", "-v", "run", code=65)
    lines = [json.loads(line) for line in outcome.err.splitlines()]
    assert all(STAMP.fullmatch(line["time"]) and line["level"] and line["msg"] for line in lines)
    (rejected,) = [line for line in lines if line.get("key") == "7"]
    assert (rejected["level"], rejected["sync"], rejected["code"]) == ("warning", "users", "bad_value")
    assert lines[-1]["outcome"] == "rejected"
    assert lines[-1]["sent"] == 29


def test_log_lines_are_pairs_without_a_terminal_and_text_when_asked(place: Workplace) -> None:
    place.fill(3)
    assert re.match(r"time=\S+ level=info msg=", place.run("-v", "run").err)
    assert place.run("-v", "--log-format", "text", "run").err.startswith("users: ")


# --- a terminal ----------------------------------------------------------------------------------------------------


def watched(place: Workplace, *arguments: str, **environ: str) -> tuple[int, str]:
    code, painted = on_terminal(
        arguments, cwd=place.folder, environ=place.environ | {"TERM": "xterm-256color", "COLUMNS": "120"} | environ
    )
    place.check_discreet(painted)
    return code, painted


def test_on_a_terminal_there_is_a_bar_and_a_closing_line(place: Workplace) -> None:
    place.fill(12_000)  # several pages: a rate takes two
    place.sandbox.faults.add(Fault("slow", times=None, seconds=0.3))
    code, painted = watched(place, "run")
    assert code == 0
    assert "12,000 of 12,000 rows" in painted
    assert "rows/s" in painted
    assert "\x1b[?25h" in painted, "the cursor comes back"
    *_, result, how = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", painted).strip().splitlines()
    assert result.startswith("✓ users: ok, 12,000 profiles sent in ")
    assert how.strip().startswith("12,000 rows read (first run), 0 unchanged; ")


def test_a_failure_on_a_terminal_is_told_once_with_its_cure(place: Workplace) -> None:
    place.fill(3)
    place.sandbox.faults.add(Fault("status", times=None, code=401))
    code, painted = watched(place, "run")
    assert code == 77
    assert painted.count("401") == 1
    assert painted.count("hint: ") == 1


@pytest.mark.parametrize(
    ("arguments", "environ", "colored"),
    [
        (["run"], {}, True),
        (["run"], {"NO_COLOR": "1"}, False),
        (["--no-color", "run"], {}, False),
        (["run"], {"TERM": "dumb"}, False),
        (["run", "-q"], {}, False),
    ],
    ids=["terminal", "NO_COLOR", "--no-color", "dumb", "-q"],
)
def test_colour_follows_the_terminal_and_the_wish(
    place: Workplace, arguments: list[str], environ: dict[str, str], colored: bool
) -> None:
    place.fill(3)
    code, painted = watched(place, *arguments, **environ)
    assert code == 0
    assert (re.search(r"\x1b\[[0-9;]*3[0-9][0-9;]*m", painted) is not None) is colored
    assert ("users: ok" in painted) is ("-q" not in arguments)


def test_forced_colour_colours_no_log_line_and_no_json(place: Workplace) -> None:
    place.fill(3)
    outcome = place.run("-v", "run", "--json", FORCE_COLOR="1")
    assert ESCAPE not in outcome.out
    assert outcome.json["sent"] == 3


def test_json_on_a_terminal_is_one_clean_line_beside_the_bar(place: Workplace) -> None:
    place.fill(3)
    code, painted = watched(place, "--log-format", "json", "run", "--json")
    assert code == 0
    assert_shape(json.loads(painted.strip().splitlines()[0]), RUN)


def test_tables_on_a_terminal_are_tables(place: Workplace) -> None:
    place.fill(30)
    spoil(place)
    place.run("run", code=65)
    for command in ("status", "rejected"):
        code, painted = watched(place, command)
        assert code == 0
        assert "users" in painted
    assert "▁" in watched(place, "status")[1] or "█" in watched(place, "status")[1]


def test_a_run_that_finds_nothing_to_send_loads_no_http_library(place: Workplace) -> None:
    """Hourly on a small machine: what is not needed is not loaded."""
    place.fill(3)
    place.write()
    place.run("run")
    loaded = {
        line.rpartition("|")[2].strip() for line in place.run("run", PYTHONPROFILEIMPORTTIME="1").err.splitlines()
    }
    assert "sync_profiles.engine.run" in loaded
    assert loaded.isdisjoint({"requests", "urllib3", "rich", "sync_profiles.source.catalogue", "sync_profiles.sandbox"})
