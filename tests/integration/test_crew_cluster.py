"""A real Dask scheduler with two worker processes does parts; what does not fit is said with its cure."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from distributed import Client, LocalCluster
from processes import alive
from test_crews import collected, part, until, work

from sync_profiles.core.spreading import Errand, Failure, Lost, PartReport
from sync_profiles.core.types import Identity, ScanFull
from sync_profiles.errors import ConfigError, TemporaryError
from sync_profiles.workers import cluster as rooms
from sync_profiles.workers import seat
from sync_profiles.workers.cluster import ClusterCrew, open_cluster
from sync_profiles.workers.seat import Commission

ERRAND = Errand(sync="users", number=1, identity=Identity("s", "s", "p", "p", "m"), plan=ScanFull("test"))
CONFIG = """
[source]
url = "sqlite:///users.db"
[mixpanel]
token = "${MIXPANEL_TOKEN}"
[sync.users]
table = "users"
copy = ["plan"]
"""


def dask(workers: int = 2, *, processes: bool) -> LocalCluster:
    """A cluster of workers with one thread each; nobody's dashboard."""
    return LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=processes,
        dashboard_address=":0",
        silence_logs=logging.CRITICAL,
    )


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """Scheduler and workers are real and share this process, which is enough for all that is only asked."""
    with dask(processes=False) as started:
        yield started


@pytest.fixture(scope="module")
def mortals() -> Iterator[LocalCluster]:
    """Workers that are processes."""
    with dask(processes=True) as started:
        yield started


@pytest.fixture
def commission(tmp_path: Path) -> Commission:
    (tmp_path / "config.toml").write_text(CONFIG)
    return Commission(ERRAND, str(tmp_path / "config.toml"))


def crew_of(cluster: LocalCluster, commission: object, most: int | None = None) -> ClusterCrew:
    client = Client(cluster.scheduler_address, set_as_default=False)
    client.wait_for_workers(2)
    return ClusterCrew(client, commission, most, work)  # type: ignore[arg-type]


def test_parts_are_done_by_the_workers_of_the_cluster(cluster: LocalCluster) -> None:
    with crew_of(cluster, {}) as crew:
        assert (crew.slots, crew.free) == (2, 2)
        crew.hand_out(part(0))
        crew.hand_out(part(1))
        assert crew.free == 0
        found = collected(crew, 2)
        crew.hand_out(part(0))  # the same again is done again
        found.update(collected(crew, 1))
        assert all(isinstance(report, PartReport) for report in found.values())


def test_at_most_so_many_threads_are_used(cluster: LocalCluster) -> None:
    with crew_of(cluster, {}, most=1) as crew:
        assert crew.slots == 1


@pytest.mark.proof
def test_the_part_of_a_killed_worker_is_done_by_another(mortals: LocalCluster, tmp_path: Path) -> None:
    with crew_of(mortals, {0: "die once", "folder": str(tmp_path)}) as crew:
        crew.hand_out(part(0))
        crew.hand_out(part(1))
        found = collected(crew, 2)
        assert (tmp_path / "died-0").exists()
        assert all(isinstance(report, PartReport) for report in found.values())


@pytest.mark.proof
def test_a_part_that_kills_every_worker_is_lost_in_the_end(mortals: LocalCluster) -> None:
    with crew_of(mortals, {0: "die"}) as crew:
        crew.hand_out(part(0))
        (lost,) = collected(crew, 1).values()
        assert isinstance(lost, Lost)
        assert "KilledWorker" in lost.why


def test_every_worker_is_asked_first_and_names_the_variable_that_it_misses(
    cluster: LocalCluster, commission: Commission
) -> None:
    with pytest.raises(ConfigError, match=r"^the worker \S+: .*mixpanel.token: environment variable MIXPANEL_TOKEN"):
        open_cluster(cluster.scheduler_address, commission)


def test_a_fit_cluster_is_opened(cluster: LocalCluster, commission: Commission) -> None:
    fit = Client(cluster.scheduler_address, set_as_default=False)
    fit.run(_token, "t0k3n")
    try:
        with open_cluster(cluster.scheduler_address, commission) as crew:
            assert crew.slots == 2
    finally:
        fit.run(_token, None)
        fit.close()


def test_another_version_is_refused(
    cluster: LocalCluster, commission: Commission, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rooms, "__version__", "99.0")
    with pytest.raises(ConfigError, match=r"has sync-profiles .*, this is 99.0"):
        open_cluster(cluster.scheduler_address, commission)


def test_a_commission_of_another_version_is_understood_by_nobody(commission: Commission) -> None:
    found = seat.inspect(Commission(ERRAND, commission.config, version="0.0"))
    assert isinstance(found, Failure)
    assert (found.exit_code, "the run was begun with 0.0" in found.message) == (78, True)


@pytest.mark.proof
def test_a_worker_without_the_program_is_named(mortals: LocalCluster, commission: Commission) -> None:
    """Its modules cannot be loaded there any more: the next import fails like on a machine that never had them."""
    spoiled = Client(mortals.scheduler_address, set_as_default=False)
    spoiled.run(_forget_the_program)
    try:
        with pytest.raises(ConfigError, match=r"^the worker tcp://.* cannot load sync-profiles"):
            open_cluster(mortals.scheduler_address, commission)
    finally:
        spoiled.restart()
        spoiled.close()


def _token(value: str | None) -> None:
    os.environ.pop("MIXPANEL_TOKEN", None)
    if value is not None:
        os.environ["MIXPANEL_TOKEN"] = value


def _forget_the_program() -> None:
    import sys

    for name in [name for name in sys.modules if name.partition(".")[0] == "sync_profiles"]:
        sys.modules[name] = None  # type: ignore[assignment]
    sys.modules["sync_profiles"] = None  # type: ignore[assignment]


def test_nobody_at_the_address_is_temporary_and_no_address_is_not(
    commission: Commission, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rooms, "CONNECT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(TemporaryError, match="cannot be reached"):
        open_cluster(address, commission)
    with pytest.raises(ConfigError, match="is no address"):
        open_cluster("carrier-pigeon://loft", commission)


def test_without_the_extra_it_is_named(commission: Commission, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigError) as refused:
        open_cluster("tcp://127.0.0.1:1", commission)
    assert refused.value.hint == "pip install 'sync-profiles[dask]', here and on every worker"


def test_a_cluster_that_lost_all_its_workers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORKERS_S", "LOOK_EVERY_S"):
        monkeypatch.setattr(rooms, name, 0.1)
    with (
        dask(1, processes=False) as emptied,
        Client(emptied.scheduler_address, set_as_default=False) as client,
        ClusterCrew(client, {}, None, work) as crew,  # type: ignore[arg-type]
    ):
        emptied.scale(0)
        until(lambda: not client.nthreads())
        crew.hand_out(part(0))
        with pytest.raises(TemporaryError, match="no workers any more"):
            collected(crew, 1)


def test_a_cluster_without_workers_is_temporary(commission: Commission, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "WORKERS_S", 0.2)
    with (
        dask(0, processes=False) as empty,
        pytest.raises(TemporaryError, match="has no workers"),
    ):
        open_cluster(empty.scheduler_address, commission)


@pytest.mark.proof
def test_a_scheduler_that_goes_away_ends_the_run_for_now(tmp_path: Path) -> None:
    with (
        dask(1, processes=True) as brief,
        Client(brief.scheduler_address, set_as_default=False) as client,
    ):
        crew = ClusterCrew(client, {0: "hang", "folder": str(tmp_path)}, None, work)  # type: ignore[arg-type]
        crew.hand_out(part(0))
        until((tmp_path / "hangs").exists)
        brief.close()
        with pytest.raises(TemporaryError, match="scheduler was lost"):
            collected(crew, 1)
    until(lambda: not alive(int((tmp_path / "hangs").read_text())))
