"""Which syncs a command works on, and whether they can answer what it asks."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Sequence

from sync_profiles.config import Config, SyncConfig
from sync_profiles.engine.backfill import Selection
from sync_profiles.errors import UsageError
from sync_profiles.workers.opening import Wanted


def chosen(config: Config, names: Sequence[str]) -> list[SyncConfig]:
    """The syncs a command was asked for, in the order asked; none named means all."""
    by_name = {sync.name: sync for sync in config.syncs}
    for name in names:
        if name not in by_name:
            near = difflib.get_close_matches(name, by_name, 1)
            cure = f"did you mean {near[0]!r}?" if near else f"the config has: {', '.join(by_name)}"
            raise UsageError(f"there is no sync {name!r}", hint=cure)
    return [by_name[name] for name in dict.fromkeys(names)] if names else list(config.syncs)


def the_one(config: Config, name: str | None) -> SyncConfig:
    """The sync a command works on; its name may be left out when there is only one."""
    if name is None and len(config.syncs) > 1:
        raise UsageError("which sync?", hint=f"name one of: {', '.join(sync.name for sync in config.syncs)}")
    return chosen(config, [name] if name is not None else [])[0]


def check_selection(sync: SyncConfig, selection: Selection) -> None:
    """Refuse a selection that this sync cannot answer, before anything is opened."""
    if (selection.since or selection.until) and sync.cursor is None:
        raise UsageError(
            "--since and --until need a change column", hint=f'Set cursor = "…" in [sync.{sync.name}] of the config.'
        )
    if selection.keys and (selection.since or selection.until or selection.where):
        raise UsageError("--key does not go with --since, --until or --where", hint="Run them one after the other.")


def not_divided(wanted: Wanted, why: str) -> None:
    """Say that workers which were asked for are not used."""
    if (wanted.workers or 1) > 1 or wanted.cluster is not None:
        logging.getLogger("sync_profiles").warning("one process does it all: %s", why)
