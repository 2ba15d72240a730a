from __future__ import annotations

import io
import json
import logging
import re
import sys
from collections.abc import Iterator

import pytest
from summaries import finished, progress, rejected_row, started

from sync_profiles.core.events import Warned
from sync_profiles.observe.log import NAMED_ROWS_MAX, PROGRESS_EVERY_S, LogObserver, configure, level, ready


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("sync_profiles")
    before = (list(root.handlers), root.level, ours.level)
    yield
    root.handlers, root.level, _ = before
    ours.setLevel(before[2])
    logging.captureWarnings(capture=False)


def observed(*events: object, log_format: str = "text", verbosity: int = 1, **kwargs: object) -> list[str]:
    stream = io.StringIO()
    configure(log_format, verbosity, stream=stream)
    observer = LogObserver(**kwargs)
    for event in events:
        observer(event)
    return stream.getvalue().splitlines()


@pytest.mark.parametrize(
    ("verbosity", "quiet", "lowest"),
    [
        (0, False, logging.WARNING),
        (1, False, logging.INFO),
        (2, False, logging.DEBUG),
        (9, False, logging.DEBUG),
        (0, True, logging.ERROR),
    ],
)
def test_each_v_says_more_and_q_leaves_errors(verbosity: int, quiet: bool, lowest: int) -> None:
    assert level(verbosity, quiet=quiet) == lowest


def test_a_run_without_trouble_says_nothing_by_default() -> None:
    assert observed(started(), progress(1200), finished(), verbosity=0) == []


def test_a_run_that_another_one_kept_out_says_nothing_by_default() -> None:
    assert observed(finished(outcome="skipped", message="another run is active"), verbosity=0) == []


@pytest.mark.parametrize(
    ("outcome", "prefix"),
    [("rejected", "warning"), ("deferred", "warning"), ("stopped", "error"), ("failed", "error")],
)
def test_a_run_that_needs_attention_says_so_by_default(outcome: str, prefix: str) -> None:
    (line,) = observed(started(), finished(outcome=outcome, message="look"), verbosity=0)
    assert line.startswith(f"{prefix}: users: {outcome}, ")
    assert line.endswith(": look")


def test_the_first_rejected_rows_are_named_and_the_rest_is_counted() -> None:
    rows = [rejected_row(f"k{number}") for number in range(NAMED_ROWS_MAX + 5)]
    lines = observed(started(), *rows, finished(outcome="rejected", rejected=len(rows)), verbosity=0)
    assert lines[0] == "warning: users: row k0 rejected: column mrr is not a number"
    assert [line for line in lines if "k20" in line] == []
    assert lines[NAMED_ROWS_MAX] == "warning: users: 5 more rows rejected; see `sync-profiles rejected users`"
    assert len(lines) == NAMED_ROWS_MAX + 2


def test_each_run_names_rows_anew() -> None:
    rows = [rejected_row(f"k{number}") for number in range(NAMED_ROWS_MAX)]
    lines = observed(started(), *rows, finished(), started("teams"), rejected_row("again"), finished(), verbosity=0)
    assert lines[-1] == "warning: users: row again rejected: column mrr is not a number"


def test_a_warning_is_told_with_its_code() -> None:
    (line,) = observed(started(), Warned("users", "before_1970", "dates before 1970"), verbosity=0, log_format="json")
    assert json.loads(line) | {"time": ""} == {
        "time": "",
        "level": "warning",
        "msg": "users: dates before 1970",
        "run": "01JD",
        "stage": "start",
        "sync": "users",
        "code": "before_1970",
    }


def test_a_long_run_says_from_time_to_time_how_far_it_is() -> None:
    times = iter([0.0, PROGRESS_EVERY_S - 1, PROGRESS_EVERY_S, PROGRESS_EVERY_S + 1])
    events = (started(), progress(1), progress(5000, sent=3000), progress(6000))
    lines = observed(*events, monotonic=lambda: next(times))
    assert lines[1:] == ["users: reading, 5,000 scanned, 3,000 sent"]


def test_the_closing_line_can_be_left_to_the_progress_bar() -> None:
    assert observed(started(), finished(outcome="rejected"), verbosity=0, closing=False) == []


def test_every_json_line_of_a_run_has_its_id_and_stage_and_the_counts_that_there_are() -> None:
    events = (started(), progress(5000, sent=3000, in_flight=2), rejected_row("7"), finished(outcome="rejected"))
    times = iter([0.0, PROGRESS_EVERY_S])
    lines = [json.loads(line) for line in observed(*events, log_format="json", monotonic=lambda: next(times))]
    assert [line["run"] for line in lines] == ["01JD"] * 4
    assert [line["stage"] for line in lines] == ["start", "reading", "reading", "end"]
    counts = {name: lines[1][name] for name in ("scanned", "unchanged", "sent", "rejected", "in_flight")}
    assert counts == {"scanned": 5000, "unchanged": 0, "sent": 3000, "rejected": 0, "in_flight": 2}


def test_the_last_line_has_the_exit_code() -> None:
    line = json.loads(observed(finished(outcome="failed", exit_code=77), log_format="json")[-1])
    assert (line["stage"], line["exit_code"]) == ("end", 77)


def test_json_has_the_counts_as_numbers() -> None:
    line = json.loads(observed(finished(rejected=3, message="3 rows"), log_format="json")[-1])
    assert (line["level"], line["sync"], line["outcome"]) == ("info", "users", "ok")
    assert (line["scanned"], line["rejected"], line["seconds"]) == (1200, 3, 1.93)


def test_without_a_terminal_auto_writes_pairs_that_stay_on_one_line() -> None:
    stream = io.StringIO()
    configure("auto", 0, stream=stream)
    fields = {"hint": "line\nbreak", "sync": "users", "none": None}
    logging.getLogger("sync_profiles").warning("two\nlines", extra={"fields": fields})
    time, rest = stream.getvalue().split(" ", 1)
    assert re.fullmatch(r"time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", time)
    assert rest == 'level=warning msg="two\\nlines" hint="line\\nbreak" sync=users\n'


def test_on_a_terminal_auto_writes_for_people() -> None:
    stream = Terminal()
    configure("auto", 0, stream=stream)
    logging.getLogger("sync_profiles").error("no luck", extra={"fields": {"hint": "try again"}})
    assert stream.getvalue() == "error: no luck\nhint: try again\n"


@pytest.mark.parametrize("log_format", ["text", "auto", "json"])
def test_a_traceback_is_masked_like_everything_else(log_format: str) -> None:
    stream = io.StringIO()
    configure(log_format, 0, stream=stream)
    driver_says = " ".join(["no", "ada@example.org", "at", "postgresql://app:hunter2@db/app"])
    try:
        raise ValueError(driver_says)
    except ValueError:
        logging.getLogger("sync_profiles").exception("failed")
    written = stream.getvalue().partition("ValueError: ")[2]
    assert "no *** at postgresql://***@db/app" in written


def test_configuring_twice_writes_each_line_once() -> None:
    first, second = io.StringIO(), io.StringIO()
    configure("text", 0, stream=first)
    configure("text", 0, stream=second)
    ready().warning("once")
    assert (first.getvalue(), second.getvalue()) == ("", "warning: once\n")


def test_a_line_goes_to_the_stderr_of_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A progress bar replaces stderr while it is shown; lines written then must pass through it."""
    configure("text", 0)
    later = io.StringIO()
    monkeypatch.setattr(sys, "stderr", later)
    ready().warning("above the bar")
    assert later.getvalue() == "warning: above the bar\n"


def test_other_libraries_are_heard_from_warnings_up_whatever_the_verbosity() -> None:
    stream = io.StringIO()
    configure("text", 2, stream=stream)
    logging.getLogger("sqlalchemy.engine").info("INSERT ... ('ada')")
    logging.getLogger("urllib3").warning("pool is full")
    assert stream.getvalue() == "warning: pool is full\n"
