from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from summaries import a_summary

from sync_profiles.observe.metrics import merged, parse, render

NAMES = st.from_regex(r"[A-Za-z0-9_-]{1,12}", fullmatch=True)
COUNTS = st.integers(0, 2**40)


def text_after(*runs: tuple[object, float]) -> str:
    samples: dict[tuple[str, str, str], float] = {}
    for summary, now in runs:
        samples = merged(samples, summary, now)
    return render(samples)


def test_a_good_run_sets_every_figure() -> None:
    text = text_after((a_summary(rejected=1, pending=2), 1_764_000_000.25))
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert lines == [
        'sync_profiles_last_success_timestamp_seconds{sync="users"} 1764000000.25',
        'sync_profiles_last_run_timestamp_seconds{sync="users"} 1764000000.25',
        'sync_profiles_last_run_success{sync="users"} 1',
        'sync_profiles_last_run_duration_seconds{sync="users"} 1.93',
        'sync_profiles_last_run_rows{sync="users",class="deleted"} 0',
        'sync_profiles_last_run_rows{sync="users",class="rejected"} 1',
        'sync_profiles_last_run_rows{sync="users",class="scanned"} 1200',
        'sync_profiles_last_run_rows{sync="users",class="sent"} 97',
        'sync_profiles_last_run_rows{sync="users",class="unchanged"} 1100',
        'sync_profiles_pending_rows{sync="users"} 2',
    ]


def test_every_metric_says_once_what_it_means_and_that_it_is_a_gauge() -> None:
    lines = text_after((a_summary(), 1.0), (a_summary(sync="teams"), 2.0)).splitlines()
    families = [line.split()[2] for line in lines if line.startswith("# HELP")]
    assert len(families) == len(set(families)) == 6
    assert [line.split()[2:] for line in lines if line.startswith("# TYPE")] == [[name, "gauge"] for name in families]


def test_a_failed_run_keeps_the_time_of_the_last_success() -> None:
    text = text_after((a_summary(), 100.0), (a_summary(outcome="failed"), 200.0))
    assert 'last_success_timestamp_seconds{sync="users"} 100\n' in text
    assert 'last_run_timestamp_seconds{sync="users"} 200\n' in text
    assert 'last_run_success{sync="users"} 0\n' in text


def test_a_first_run_that_failed_has_no_success_to_show() -> None:
    assert "last_success_timestamp_seconds{" not in text_after((a_summary(outcome="failed"), 200.0))


def test_a_run_leaves_the_figures_of_other_syncs_alone() -> None:
    text = text_after((a_summary(sync="teams", scanned=5), 100.0), (a_summary(), 200.0))
    assert 'last_run_rows{sync="teams",class="scanned"} 5\n' in text


@given(st.lists(st.tuples(NAMES, COUNTS, st.floats(0, 2e9)), max_size=4))
def test_what_was_written_is_read_back(runs: list[tuple[str, int, float]]) -> None:
    samples: dict[tuple[str, str, str], float] = {}
    for name, count, now in runs:
        samples = merged(samples, a_summary(sync=name, scanned=count), round(now, 3))
    assert parse(render(samples)) == samples


@pytest.mark.parametrize("text", ["", "rubbish\n", 'sync_profiles_gone{sync="users"} 1\n', "# TYPE x gauge\n"])
def test_what_we_did_not_write_is_dropped(text: str) -> None:
    assert parse(text) == {}
