"""Several syncs in one config, and several processes at once."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from commands import COMMAND, PATIENCE_S, Workplace, wait_until

from sync_profiles.sandbox.faults import Fault

COMPANIES = """\
[sync.companies]
table = "companies"
group_key = "company"
[sync.companies.set]
"$name" = "name"
"""


def by_sync(lines: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {line["sync"]: line for line in lines}


def is_working(place: Workplace) -> bool:
    """A run has signed its lock."""
    return any(lock.read_text() for lock in place.state.parent.glob("*.lock"))


def two_syncs(place: Workplace) -> None:
    place.fill(10)
    place.fill(4, "companies")
    place.write(more=COMPANIES)


def test_run_without_a_name_runs_every_sync_and_with_names_just_those(everywhere: Workplace) -> None:
    two_syncs(everywhere)
    assert list(by_sync(everywhere.run("run", "users", "--json").lines)) == ["users"]
    everywhere.assert_equal()
    assert not everywhere.sandbox.groups
    lines = by_sync(everywhere.run("run", "--json").lines)
    assert (lines["users"]["sent"], lines["companies"]["sent"]) == (0, 4)
    assert everywhere.sandbox.groups == {"company": {str(n): {"$name": f"User {n}"} for n in range(1, 5)}}
    assert list(by_sync(everywhere.run("run", "companies", "users", "--json").lines)) == ["companies", "users"]


def test_one_that_fails_keeps_none_of_the_others_from_running(place: Workplace) -> None:
    two_syncs(place)
    place.write('table = "nowhere"\n', more=COMPANIES)
    outcome = place.run("run", "--json", code=78)
    lines = by_sync(outcome.lines)
    assert (lines["users"]["outcome"], lines["companies"]["outcome"]) == ("failed", "ok")
    assert len(place.sandbox.groups["company"]) == 4


def test_the_exit_code_is_the_most_serious_one(place: Workplace) -> None:
    two_syncs(place)
    place.database.execute("UPDATE companies SET name = 'bad' || char(0) WHERE id = 1")
    outcome = place.run("run", "--json", code=65)
    assert [line["outcome"] for line in outcome.lines] == ["ok", "rejected"]
    place.database.execute("UPDATE companies SET name = 'bad' || char(0) WHERE id = 2", "UPDATE users SET plan = 'x'")
    place.sandbox.faults.add(Fault("status", times=None, code=401, path="/engage"))
    outcome = place.run("run", "--json", code=77)
    assert [line["outcome"] for line in outcome.lines] == ["failed", "rejected"]


def test_a_signal_keeps_the_others_from_running(place: Workplace) -> None:
    two_syncs(place)
    place.sandbox.faults.add(Fault("slow", times=None, seconds=1))
    with place.start("run", "--json") as process:
        wait_until(lambda: is_working(place))
        process.send_signal(signal.SIGTERM)
        outcome = place.ended(process)
    assert outcome.code == 143
    assert [line["sync"] for line in outcome.lines] == ["users"]


def test_a_command_for_one_sync_asks_which_when_there_are_several(place: Workplace) -> None:
    two_syncs(place)
    for command in ("preview", "backfill"):
        assert "users, companies" in place.run(command, code=2).err
    assert place.run("preview", "companies", "--json").lines[0]["$group_key"] == "company"
    assert "did you mean 'companies'" in place.run("run", "company", code=2).err


def test_status_and_rejected_list_every_sync(place: Workplace) -> None:
    two_syncs(place)
    place.run("run")
    assert [entry["sync"] for entry in place.run("status", "--json").json["syncs"]] == ["users", "companies"]
    assert "companies" in place.run("status").out


def test_a_backfill_names_keys_a_predicate_or_a_time(everywhere: Workplace) -> None:
    everywhere.fill(10)
    everywhere.write('table = "users"\ncursor = "updated_at"\n')
    everywhere.run("run")
    everywhere.database.execute("UPDATE users SET updated_at = '2026-03-01 00:00:00' WHERE id IN (3, 4)")
    for arguments, ids in (
        (["--key", "7", "--key", "2"], {"7", "2"}),
        (["--where", "id > 8"], {"9", "10"}),
        (["--since", "2026-02-01"], {"3", "4"}),
        (["--until", "2026-02-01"], {"1", "2", "5", "6", "7", "8", "9", "10"}),
    ):
        everywhere.sandbox.clear_log()
        assert everywhere.run("backfill", *arguments, "--json").json["sent"] == len(ids)
        assert {key for key in everywhere.expected() if everywhere.sandbox.applied(key)} == ids
    assert everywhere.run("backfill", "--changed-only", "--json").json["sent"] == 0


# --- at once -------------------------------------------------------------------------------------------------------


def test_a_second_run_is_skipped_with_0_and_says_so_when_asked(place: Workplace) -> None:
    place.fill(10)
    sending = threading.Event()
    place.sandbox.poison = lambda _record: sending.set()
    place.sandbox.faults.add(Fault("slow", seconds=1))
    with place.start("run") as first:
        assert sending.wait(PATIENCE_S)
        first.send_signal(signal.SIGSTOP)  # while it waits for an answer, and writes nothing
        second = place.run("run", "--json")
        assert (second.json["outcome"], second.err) == ("skipped", "")
        assert str(first.pid) in second.json["message"]
        assert "another run is active" in place.run("run", "-v").err
        assert place.run("run").err == ""
        assert place.run("backfill", "--json").json["outcome"] == "skipped"
        assert "a run is active" in place.run("state", "reset", "--yes", code=75).err
        assert place.run("preview").out
        assert place.run("status", "--json").json["syncs"][0]["profiles"] == 0
        first.send_signal(signal.SIGCONT)
        assert place.ended(first).code == 0
    place.assert_equal()


def test_of_ten_runs_at_once_one_works_and_every_profile_is_sent_once(place: Workplace) -> None:
    place.fill(1000)
    place.sandbox.faults.add(Fault("slow", times=None, seconds=2))
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(place.start("run", "--json")) for _ in range(10)]
        outcomes = [place.ended(process) for process in processes]
    assert [outcome.code for outcome in outcomes] == [0] * 10, outcomes
    ended = [(outcome.json["outcome"], outcome.json["sent"]) for outcome in outcomes]
    assert ended.count(("ok", 1000)) == 1
    assert set(ended) <= {("ok", 1000), ("ok", 0), ("skipped", 0)}
    assert ended.count(("skipped", 0)) > 0
    assert place.sent_twice() == 0
    place.assert_equal()


def test_a_killed_run_leaves_no_lock_behind(place: Workplace) -> None:
    place.fill(10)
    with place.start("run") as first:
        wait_until(lambda: is_working(place))
        first.kill()
        first.wait()
    assert place.run("run", "--json").json["outcome"] == "ok"
    place.assert_equal()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize("arguments", [("run", "--json"), ("config", "show")])
def test_a_full_disk_behind_stdout_is_told_and_keeps_no_sync_from_running(
    place: Workplace, arguments: tuple[str, ...]
) -> None:
    place.fill(10)
    place.fill(10, "others")
    place.write(more='[sync.others]\ntable = "others"\ndistinct_id = { template = "o{id}" }\nset = { plan = "plan" }\n')
    with Path("/dev/full").open("w") as full:
        command = [*COMMAND, *arguments]
        ended = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=place.folder, env=place.environ, check=False
        )
    place.check_discreet(ended.stderr)
    assert ended.returncode == 74, ended
    assert "the output cannot be written: No space left on device" in ended.stderr
    assert len(place.sandbox.profiles) == (20 if arguments == ("run", "--json") else 0)
