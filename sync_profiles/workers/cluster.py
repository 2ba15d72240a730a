"""Workers of a Dask cluster (https://distributed.dask.org): it runs parts, and replaces workers that die.

Only as many parts are handed over as there are threads, so that nothing waits in the cluster when a run is stopped.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from sync_profiles import __version__
from sync_profiles.core.spreading import Assignment, Failure, Lost, PartReport
from sync_profiles.errors import AccessError, ConfigError, StateError, SyncProfilesError, TemporaryError
from sync_profiles.workers.seat import Commission, Work, dismiss, inspect, perform, version

if TYPE_CHECKING:
    from distributed import Client, Future

CONNECT_S = 10.0
WORKERS_S = 30.0
LOOK_EVERY_S = 5.0
_AGAIN = "Start the same command again: it goes on with the parts that are left."
RETRIES = 2
"""What goes wrong with a part is in its report; an exception is Dask's own trouble, and worth another try."""

_ERRORS: dict[int, type[SyncProfilesError]] = {74: StateError, 75: TemporaryError, 77: AccessError}


class ClusterCrew:
    """The threads of a cluster's workers, at most ``most`` of them (``core.ports.Crew``)."""

    def __init__(self, client: Client, commission: Commission, most: int | None = None, work: Work = perform) -> None:
        self._client = client
        self._commission = commission
        self._work = work
        threads: int = sum(client.nthreads().values())
        self._slots = threads if most is None else max(1, min(threads, most))
        self._parts: dict[Future[PartReport], int] = {}
        self._looks_at = self._seen_at = time.monotonic()

    @property
    def slots(self) -> int:
        """How many parts can be at work at once; workers that come later take the place of those that go."""
        return self._slots

    @property
    def free(self) -> int:
        """How many more can be handed over now."""
        return self._slots - len(self._parts)

    def hand_out(self, assignment: Assignment) -> None:
        """Hand over one part; ``pure=False``: it is done even if one like it was done before."""
        future = self._client.submit(self._work, self._commission, assignment, pure=False, retries=RETRIES)
        self._parts[future] = assignment.number

    def collect(self, wait_s: float) -> Sequence[tuple[int, PartReport | Lost]]:
        """What came back within ``wait_s``."""
        from distributed import TimeoutError as NothingYet
        from distributed import wait
        from distributed.client import FuturesCancelledError

        try:
            with self._client.as_current():
                ended = wait(list(self._parts), timeout=wait_s, return_when="FIRST_COMPLETED").done
        except NothingYet:
            ended = set()
        except FuturesCancelledError:  # the scheduler was restarted, or is gone
            ended = {future for future in self._parts if future.cancelled()}
        if self._client.status != "running":
            raise TemporaryError("the connection to the Dask scheduler was lost", hint=_AGAIN)
        if not ended:
            self._refuse_to_wait_alone()
        return [(self._parts.pop(future), _outcome(future)) for future in ended]

    def _refuse_to_wait_alone(self) -> None:
        """Parts wait in the cluster as long as some worker is left; without any they would wait for ever."""
        now = time.monotonic()
        if now < self._looks_at:
            return
        self._looks_at = now + LOOK_EVERY_S
        if self._client.nthreads():
            self._seen_at = now
        elif now - self._seen_at > WORKERS_S:
            raise TemporaryError("the Dask cluster has no workers any more", hint=_AGAIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client.status == "running":
            self._client.cancel(list(self._parts), force=True)
            self._client.run(dismiss, on_error="ignore")
        self._client.close(timeout=CONNECT_S)


def open_cluster(address: str, commission: Commission, most: int | None = None) -> ClusterCrew:
    """The workers of the cluster whose scheduler has that address, each of which was asked whether it can do the work.

    Raises ``ConfigError`` or ``TemporaryError`` with the cure.
    """
    client = _connected(address)
    try:
        client.wait_for_workers(1, timeout=WORKERS_S)
    except TimeoutError as error:
        client.close()
        raise TemporaryError(
            f"the Dask cluster at {address} has no workers", hint="start some: dask worker …"
        ) from error
    try:
        _inspect(client, commission)
    except BaseException:
        client.close()
        raise
    return ClusterCrew(client, commission, most)


def _connected(address: str) -> Client:
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        hint = "pip install 'sync-profiles[dask]', here and on every worker"
        raise ConfigError("--cluster needs the package distributed", hint=hint) from error
    try:
        return Client(address, timeout=CONNECT_S, set_as_default=False)
    except ValueError as error:
        raise ConfigError(f"--cluster: {address} is no address of a scheduler", hint="write tcp://HOST:8786") from error
    except OSError as error:  # a time-out is one
        hint = "Look whether it runs, and whether this machine may reach it: dask scheduler prints its address."
        raise TemporaryError(f"the Dask scheduler at {address} cannot be reached", hint=hint) from error


def _inspect(client: Client, commission: Commission) -> None:
    """Ask every worker for its version, then whether it understands what it is to do."""
    for worker, found in client.run(version, on_error="return").items():
        if isinstance(found, BaseException):
            missing = f"{type(found).__name__}: {found}"
            raise ConfigError(
                f"the worker {worker} cannot load sync-profiles ({missing})",
                hint=f"Install sync-profiles {__version__} where the workers run.",
            )
        if found != __version__:
            raise ConfigError(
                f"the worker {worker} has sync-profiles {found}, this is {__version__}",
                hint="Install the same version everywhere.",
            )
    for worker, found in client.run(inspect, commission, on_error="return").items():
        if isinstance(found, Failure):
            hint = found.hint or "Set it in the environment of every worker."
            raise _ERRORS.get(found.exit_code, ConfigError)(f"the worker {worker}: {found.message}", hint=hint)
        if isinstance(found, BaseException):
            raise found


def _outcome(future: Any) -> PartReport | Lost:
    """What became of one part; Dask gives up when as many of its workers died as ``allowed-failures`` says."""
    if future.status == "finished":
        report: PartReport = future.result()
        return report
    if future.status == "error":
        error = future.exception()
        return Lost(f"{type(error).__name__}: its worker died too often, or cannot load what it is given")
    return Lost("the scheduler does not know of it any more")
