from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from summaries import finished

from sync_profiles.core.events import RunFinished, Waiting
from sync_profiles.observe.metrics import merged, parse, render

NAMES = st.from_regex(r"[A-Za-z0-9_-]{1,12}", fullmatch=True)
COUNTS = st.integers(0, 2**40)
Samples = dict[tuple[str, str, str], float]


def text_after(*runs: tuple[RunFinished, float]) -> str:
    samples: Samples = {}
    for end, now in runs:
        samples = merged(samples, end, now)
    return render(samples)


def read(text: str) -> Samples:
    """The samples as Prometheus' own client library understands them."""
    return {
        (
            sample.name.removeprefix("sync_profiles_"),
            sample.labels["sync"],
            sample.labels.get("class", ""),
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_good_run_sets_every_figure() -> None:
    waiting = Waiting(pending=2, rejected=1, since=1_763_000_000.5)
    end = finished(outcome="rejected", rejected=1, exit_code=65, waiting=waiting, horizon_lag=3)
    text = text_after((end, 1_764_000_000.25))
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert lines == [
        'sync_profiles_last_success_timestamp_seconds{sync="users"} 1764000000.25',
        'sync_profiles_last_run_timestamp_seconds{sync="users"} 1764000000.25',
        'sync_profiles_last_run_success{sync="users"} 1',
        'sync_profiles_last_run_exit_code{sync="users"} 65',
        'sync_profiles_last_run_duration_seconds{sync="users"} 1.93',
        'sync_profiles_last_run_rows{sync="users",class="deleted"} 0',
        'sync_profiles_last_run_rows{sync="users",class="rejected"} 1',
        'sync_profiles_last_run_rows{sync="users",class="scanned"} 1200',
        'sync_profiles_last_run_rows{sync="users",class="sent"} 97',
        'sync_profiles_last_run_rows{sync="users",class="unchanged"} 1100',
        'sync_profiles_pending_rows{sync="users"} 2',
        'sync_profiles_rejected_rows{sync="users"} 1',
        'sync_profiles_oldest_pending_timestamp_seconds{sync="users"} 1763000000.5',
        'sync_profiles_horizon_lag_transactions{sync="users"} 3',
    ]


def test_every_metric_says_once_what_it_means_and_that_it_is_a_gauge() -> None:
    text = text_after((finished(), 1.0), (finished(sync="teams"), 2.0))
    families = list(text_string_to_metric_families(text))
    assert len({family.name for family in families}) == len(families) == 10
    assert {family.type for family in families} == {"gauge"}
    assert all(family.documentation.endswith(".") for family in families)


def test_a_failed_run_keeps_the_time_of_the_last_success() -> None:
    samples = read(text_after((finished(), 100.0), (finished(outcome="failed", exit_code=77), 200.0)))
    assert samples["last_success_timestamp_seconds", "users", ""] == 100
    assert samples["last_run_timestamp_seconds", "users", ""] == 200
    assert samples["last_run_success", "users", ""] == 0
    assert samples["last_run_exit_code", "users", ""] == 77


def test_a_run_that_could_not_ask_the_state_keeps_what_is_known_to_wait() -> None:
    before = finished(waiting=Waiting(2, 1, 50.0), horizon_lag=9)
    samples = read(text_after((before, 100.0), (finished(outcome="failed", exit_code=74), 200.0)))
    assert samples["pending_rows", "users", ""] == 2
    assert samples["oldest_pending_timestamp_seconds", "users", ""] == 50
    assert ("horizon_lag_transactions", "users", "") not in samples


def test_what_no_longer_waits_is_gone_from_the_file() -> None:
    waiting = finished(waiting=Waiting(2, 1, 50.0))
    samples = read(text_after((waiting, 100.0), (finished(waiting=Waiting(0, 0, None)), 200.0)))
    assert samples["pending_rows", "users", ""] == 0
    assert ("oldest_pending_timestamp_seconds", "users", "") not in samples


def test_a_first_run_that_failed_has_no_success_to_show() -> None:
    assert "last_success_timestamp_seconds{" not in text_after((finished(outcome="failed"), 200.0))


def test_a_run_leaves_the_figures_of_other_syncs_alone() -> None:
    text = text_after((finished(sync="teams", scanned=5), 100.0), (finished(), 200.0))
    assert 'last_run_rows{sync="teams",class="scanned"} 5\n' in text


@given(st.lists(st.tuples(NAMES, COUNTS, st.floats(0, 2e9)), max_size=4))
def test_what_was_written_is_read_back_by_us_and_by_prometheus(runs: list[tuple[str, int, float]]) -> None:
    samples: Samples = {}
    for name, count, now in runs:
        samples = merged(samples, finished(sync=name, scanned=count), round(now, 3))
    assert parse(render(samples)) == samples == read(render(samples))


@pytest.mark.parametrize("text", ["", "rubbish\n", 'sync_profiles_gone{sync="users"} 1\n', "# TYPE x gauge\n"])
def test_what_we_did_not_write_is_dropped(text: str) -> None:
    assert parse(text) == {}
