"""Config -> live objects; the only module that knows everybody."""

from __future__ import annotations

import difflib
import hashlib
import os
import random
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sync_profiles.config import Config, SyncConfig
from sync_profiles.core.events import Observer
from sync_profiles.core.mapping import Mapper, compile_mapping
from sync_profiles.core.ports import Stop
from sync_profiles.core.scanplan import lookback_s
from sync_profiles.core.types import Identity, Kind
from sync_profiles.destination.layers import Paced, Retrying
from sync_profiles.destination.mixpanel import Mixpanel, hosts
from sync_profiles.engine.course import Surroundings
from sync_profiles.engine.dryrun import DryRun
from sync_profiles.engine.parts import Outlet, Parts, Policy, Selection
from sync_profiles.engine.run import Sync
from sync_profiles.errors import ConfigError, UsageError
from sync_profiles.source.sql import Database, Model, ModelSpec, open_database, open_source
from sync_profiles.state.lock import RunLock
from sync_profiles.state.store import Store, default_path, open_store

MASKED_TOKEN = "***"  # noqa: S105 - what stands in a token's place
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class SystemClock:
    """The machine's own time."""

    def now(self) -> float:
        """Unix seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()


def new_run_id() -> str:
    """A ULID: 48 bits of milliseconds, 80 random bits; 26 characters that sort by time."""
    number = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    return "".join(CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5))


def surroundings(stop: Stop, observe: Observer) -> Surroundings:
    """What a run is given in production."""
    return Surroundings(clock=SystemClock(), stop=stop, observe=observe, new_run_id=new_run_id)


# --- which syncs ---------------------------------------------------------------------------------------------------


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


# --- state ---------------------------------------------------------------------------------------------------------


def state_path(config: Config, environ: Mapping[str, str]) -> str:
    """Where the state lives: what ``[state] url`` says, else the file of this user or service."""
    return config.state.url.reveal() if config.state.url is not None else str(default_path(environ))


def opened_store(config: Config, *, read_only: bool = False) -> Store:
    """The state store of this config."""
    return open_store(state_path(config, os.environ), now=time.time, read_only=read_only)


# --- a sync --------------------------------------------------------------------------------------------------------


def open_sync(config: Config, sync: SyncConfig, store: Store, stop: Stop, *, where: str | None = None) -> Sync:
    """A sync ready to run: nothing is connected before its parts are asked for."""
    return Sync(
        name=sync.name,
        state=store.sync(sync.name),
        lock=RunLock(store.lock_path(sync.name)),
        open_parts=lambda: open_parts(config, sync, where=where),
        open_outlet=lambda attempt: open_outlet(config, stop, attempt),
    )


def open_dry(config: Config, sync: SyncConfig, store: Store) -> DryRun:
    """A sync that is only looked at."""
    return DryRun(sync.name, store.sync(sync.name), lambda: open_parts(config, sync, masked=True))


def check_selection(sync: SyncConfig, selection: Selection) -> None:
    """Refuse a selection that this sync cannot answer, before anything is opened."""
    if (selection.since or selection.until) and sync.cursor is None:
        raise UsageError(
            "--since and --until need a change column", hint=f'Set cursor = "…" in [sync.{sync.name}] of the config.'
        )
    if selection.keys and (selection.since or selection.until or selection.where):
        raise UsageError("--key does not go with --since, --until or --where", hint="Run them one after the other.")


def open_parts(config: Config, sync: SyncConfig, *, where: str | None = None, masked: bool = False) -> Parts:
    """Connect to the source, look at the table, compile the mapping.

    ``masked``: records are made with ``***`` for the token, for everything that is shown and not sent.
    """
    database = open_database(config.source.url.reveal(), statement_timeout_s=config.source.statement_timeout_s)
    model = _model(config, sync, database)
    token = MASKED_TOKEN if masked else config.mixpanel.token.reveal()
    mapper = _mapper(config, sync, model, token)
    source = open_source(model, mapper.columns, distinct_id=sync.mapping.distinct_id, extra_where=where)
    return Parts(source, mapper, _identity(config, sync, database, model, mapper), _policy(sync, model))


def _model(config: Config, sync: SyncConfig, database: Database) -> Model:
    spec = ModelSpec(
        table=sync.table,
        query=sync.query,
        schema=sync.schema,
        primary_key=sync.primary_key,
        where=sync.where,
        cursor=sync.cursor if sync.detect != "full" else None,
        **({"page_size": sync.page_size} if sync.page_size is not None else {}),
    )
    try:
        return database.model(spec)
    except ConfigError as error:
        raise _placed(config, sync, error) from error


def _mapper(config: Config, sync: SyncConfig, model: Model, token: str) -> Mapper:
    try:
        return compile_mapping(sync.mapping, tuple(model.columns.values()), model.primary_key, token=token)
    except ConfigError as error:
        raise _placed(config, sync, error) from error


def _placed(config: Config, sync: SyncConfig, error: ConfigError) -> ConfigError:
    """Give problems that only the database could show the place in the file they come from."""
    prefix = f"sync.{sync.name}"
    problems = []
    for problem in error.problems:
        key, colon, text = problem.partition(": ")
        dotted = f"{prefix}.{key}" if colon else prefix
        place = _line_of(config, dotted)
        problems.append(f"{place}{dotted}: {text or problem}")
    return ConfigError(problems, hint=error.hint)


def _line_of(config: Config, dotted: str) -> str:
    while dotted:
        origin = config.origins.get(dotted, "")
        if origin and origin != "default":
            return f"{origin.split(',')[0]}: "
        dotted = dotted.rpartition(".")[0]
    return f"{Path(config.path).name}: "


def _policy(sync: SyncConfig, model: Model) -> Policy:
    kind = model.columns[sync.cursor].kind if sync.cursor in model.columns else Kind.INSTANT
    return Policy(
        on_delete=sync.on_delete,
        max_delete=sync.max_delete,
        max_reject=sync.max_reject,
        full_every_s=sync.full_every_s,
        lookback_s=lookback_s(sync.lookback_s, kind),
    )


def _identity(config: Config, sync: SyncConfig, database: Database, model: Model, mapper: Mapper) -> Identity:
    """Hashes only: neither an address nor a token is written into the state."""
    source, label = database.identity()
    host = hosts(config.mixpanel.region, config.mixpanel.base_url).ingestion
    return Identity(
        source=_digest(source, model.name),
        source_label=f"{label} {sync.table or 'query'}",
        project=_digest(host, config.mixpanel.token.reveal(), sync.mapping.group_key or ""),
        project_label=f"region {config.mixpanel.region}" if config.mixpanel.base_url is None else "own base_url",
        mapping=_digest(mapper.digest, model.selection, sync.mapping.deleted or ""),
    )


def _digest(*texts: str) -> str:
    return hashlib.blake2b("\0".join(texts).encode(), digest_size=16, person=b"sync-profiles").hexdigest()


# --- the way to Mixpanel -------------------------------------------------------------------------------------------


def open_outlet(config: Config, stop: Stop, attempt: Callable[[int], None]) -> Outlet:
    """Mixpanel with its layers: every attempt is paced and counted, and one layer repeats it."""
    mixpanel = config.mixpanel
    clock = SystemClock()
    wire = Mixpanel(
        hosts(mixpanel.region, mixpanel.base_url),
        token=mixpanel.token.reveal(),
        timeout_s=mixpanel.timeout_s,
        clock=clock,
    )
    paced = Paced(wire, limit=mixpanel.concurrency)
    retrying = Retrying(paced, stop=stop, clock=clock, jitter=random.random, count=attempt)
    return Outlet(retrying, lambda: paced.limit, mixpanel.concurrency, mixpanel.records_per_request)
