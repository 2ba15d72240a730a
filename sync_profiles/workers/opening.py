"""From what the command line asks to a divided sync, or to the reason why it cannot be."""

from __future__ import annotations

import os

import msgspec

from sync_profiles import config as configuration
from sync_profiles import wiring
from sync_profiles.config import Config, SyncConfig
from sync_profiles.core.ports import Crew
from sync_profiles.core.spreading import Errand
from sync_profiles.engine.parts import Division, Sync
from sync_profiles.state.store import Store
from sync_profiles.workers.seat import Commission


class Wanted(msgspec.Struct, frozen=True):
    """How a pass is to be divided: among ``workers`` processes, or on the cluster whose scheduler is at ``cluster``."""

    workers: int | None = None
    cluster: str | None = None


def divided(
    sync: Sync, wanted: Wanted, store: Store, configs: tuple[Config, SyncConfig], where: str | None = None
) -> Sync:
    """The same sync, whose full passes and backfills are divided; ``store`` is the open state, ``where`` a backfill's.

    Raises ``ConfigError`` where the state cannot be written by several processes, or a secret would travel.
    """
    config, one = configs
    if wanted.cluster is None and (wanted.workers or 1) < 2:
        return sync
    state = wiring.shared_state(store, sync.name)
    travelling = config.path if wanted.cluster is None else configuration.portable(config, one, os.environ)

    def open_crew(errand: Errand) -> Crew:
        commission = Commission(errand, travelling, where)
        if wanted.cluster is None:
            from sync_profiles.workers.local import LocalCrew

            return LocalCrew(commission, wanted.workers or 1)
        from sync_profiles.workers.cluster import open_cluster

        return open_cluster(wanted.cluster, commission, wanted.workers)

    division = Division(state, open_crew, config.mixpanel.concurrency)
    return msgspec.structs.replace(sync, state=state, division=division)
