"""Config -> live objects; the only module that knows everybody."""

from __future__ import annotations

import hashlib
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from sync_profiles.config import Config, SyncConfig
from sync_profiles.core.events import Observer
from sync_profiles.core.facts import StateFacts
from sync_profiles.core.mapping import Mapper, compile_mapping
from sync_profiles.core.ports import Clock, SharedState, Stop
from sync_profiles.core.scanplan import lookback_s
from sync_profiles.core.types import Identity, Kind
from sync_profiles.destination.hosts import hosts
from sync_profiles.destination.layers import OnDemand, Paced, Retrying
from sync_profiles.engine.course import Surroundings
from sync_profiles.engine.dryrun import DryRun
from sync_profiles.engine.parts import Outlet, Parts, Policy, Sync
from sync_profiles.errors import ConfigError
from sync_profiles.source.ahead import ReadAhead
from sync_profiles.source.sql import Database, Model, ModelSpec, open_database, open_source
from sync_profiles.state.files import default_path
from sync_profiles.state.store import Lock, Store, leave_run, lone_lock, open_store, start_over, state_facts

if TYPE_CHECKING:  # what a quiet run does without is imported where it is needed
    from sync_profiles.destination.mixpanel import Mixpanel, MixpanelReader
    from sync_profiles.engine.canary import Canary
    from sync_profiles.engine.check import Checks, MixpanelCheck
    from sync_profiles.source.facts import SourceFacts

_MASKED_TOKEN = "***"  # noqa: S105 - what stands in a token's place
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class _SystemClock:
    """The machine's own time."""

    def now(self) -> float:
        """Unix seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()


def _new_run_id() -> str:
    """A ULID: 48 bits of milliseconds, 80 random bits; 26 characters that sort by time."""
    number = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    return "".join(_CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5))


def clock() -> Clock:
    """The machine's own time."""
    return _SystemClock()


def surroundings(
    stop: Stop, observe: Observer, at_last: Callable[[Callable[[], None]], None] = lambda _words: None
) -> Surroundings:
    """What a run is given in production; ``at_last``: see ``Surroundings``."""
    return Surroundings(_SystemClock(), stop, observe, _new_run_id, at_last)


# --- state ---------------------------------------------------------------------------------------------------------


def _state_path(config: Config, environ: Mapping[str, str]) -> str:
    """Where the state lives: what ``[state] url`` says, else the file of this user or service."""
    return config.state.url.reveal() if config.state.url is not None else str(default_path(environ))


def opened_store(config: Config, *, read_only: bool = False) -> Store:
    """The state store of this config."""
    return open_store(_state_path(config, os.environ), now=time.time, read_only=read_only)


def shared_state(store: Store, sync: str) -> SharedState:
    """The state of one sync for several processes; raises ``ConfigError`` where only one may write it."""
    state = store.sync(sync)
    if isinstance(state, SharedState):
        return state
    raise ConfigError(
        "--workers and --cluster need a state that several processes can write; this one is a SQLite file",
        hint='Put it into PostgreSQL: [state] url = "postgresql://…"; or leave them out: one process does it all.',
    )


def reset_state(config: Config, syncs: Sequence[str] | None) -> Path | None:
    """Forget what is remembered of these syncs, or (None) begin with an empty state, whatever became of the old one.

    Returns where a former state file is kept. The caller holds the locks.
    """
    if syncs is None:
        return start_over(_state_path(config, os.environ), now=time.time)
    with closing(opened_store(config)) as store:
        for name in syncs:
            store.sync(name).reset()
    return None


def run_lock(config: Config, sync: str) -> Lock:
    """What keeps two runs of one sync apart, whatever became of the state."""
    return lone_lock(_state_path(config, os.environ), sync)


# --- a sync --------------------------------------------------------------------------------------------------------


def open_sync(config: Config, sync: SyncConfig, store: Store, stop: Stop, *, where: str | None = None) -> Sync:
    """A sync ready to run: nothing is connected before its parts are asked for."""
    return Sync(
        name=sync.name,
        state=store.sync(sync.name),
        lock=store.lock(sync.name),
        open_parts=lambda: open_parts(config, sync, where=where),
        open_outlet=lambda attempt: _open_outlet(config, stop, attempt),
        leave=partial(leave_run, _state_path(config, os.environ)),
    )


def open_dry(config: Config, sync: SyncConfig, store: Store) -> DryRun:
    """A sync that is only looked at."""
    return DryRun(sync.name, store.reader(sync.name), lambda: open_parts(config, sync, masked=True))


def open_parts(config: Config, sync: SyncConfig, *, where: str | None = None, masked: bool = False) -> Parts:
    """Connect to the source, look at the table, compile the mapping.

    ``masked``: records are made with ``***`` for the token, for everything that is shown and not sent.
    """
    return _parts_and_model(config, sync, where=where, masked=masked)[0]


def _parts_and_model(
    config: Config, sync: SyncConfig, *, where: str | None = None, masked: bool = False
) -> tuple[Parts, Model]:
    database = open_database(config.source.url.reveal(), statement_timeout_s=config.source.statement_timeout_s)
    model = _model(config, sync, database)
    token = _MASKED_TOKEN if masked else config.mixpanel.token.reveal()
    mapper = _mapper(config, sync, model, token)
    source = open_source(model, mapper.columns, distinct_id=sync.mapping.distinct_id, extra_where=where)
    identity = _identity(config, sync, database, model, mapper)
    paged = ReadAhead(source, meanwhile=database.dialect.answers_meanwhile)
    return Parts(paged, mapper, identity, _policy(sync, model)), model


def _model(config: Config, sync: SyncConfig, database: Database) -> Model:
    spec = ModelSpec(
        table=sync.table,
        query=sync.query,
        schema=sync.schema,
        primary_key=sync.primary_key,
        where=sync.where,
        cursor=sync.cursor if sync.detect != "full" else None,
        detect=sync.detect,
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
    column = model.columns.get(sync.cursor) if sync.cursor is not None else None
    kind = column.kind if column is not None else Kind.INSTANT
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
        columns={name: model.columns[name].type_name for name in mapper.columns},
    )


def _digest(*texts: str) -> str:
    return hashlib.blake2b("\0".join(texts).encode(), digest_size=16, person=b"sync-profiles").hexdigest()


# --- the way to Mixpanel -------------------------------------------------------------------------------------------


def _open_outlet(config: Config, stop: Stop, attempt: Callable[[int], None]) -> Outlet:
    """Mixpanel with its layers: every attempt is paced and counted, and one layer repeats it."""
    mixpanel = config.mixpanel
    paced = Paced(OnDemand(partial(_wire, config)), limit=mixpanel.concurrency)
    retrying = Retrying(paced, stop=stop, clock=_SystemClock(), jitter=random.random, count=attempt)
    return Outlet(
        destination=retrying,
        limit=lambda: paced.limit,
        threads=mixpanel.concurrency,
        records_max=mixpanel.records_per_request,
        halvings=lambda: paced.halvings,
        halve=paced.halve,
    )


def _wire(config: Config) -> Mixpanel:
    from sync_profiles.destination.mixpanel import Mixpanel

    mixpanel = config.mixpanel
    where, clock = hosts(mixpanel.region, mixpanel.base_url), _SystemClock()
    return Mixpanel(where, token=mixpanel.token.reveal(), timeout_s=mixpanel.timeout_s, clock=clock)


# --- check ---------------------------------------------------------------------------------------------------------

CHECK_PATIENCE_S = 10.0
"""A check says that Mixpanel is away instead of waiting for it."""


def open_checks(config: Config, stop: Stop) -> Checks:
    """Everything that ``check`` asks; nothing is connected before it is asked for."""
    from sync_profiles.engine.check import Checks, SyncCheck

    return Checks(
        syncs=[SyncCheck(sync.name, partial(_open_probes, config, sync)) for sync in config.syncs],
        state=lambda: _state_facts(config),
        mixpanel=_mixpanel_check(config, stop),
        clock=_SystemClock(),
        stop=stop,
    )


def _open_probes(config: Config, sync: SyncConfig) -> tuple[Parts, SourceFacts]:
    from sync_profiles.source.facts import SourceFacts

    parts, model = _parts_and_model(config, sync, masked=True)
    return parts, SourceFacts(model, sync.mapping)


def _state_facts(config: Config) -> StateFacts:
    with closing(opened_store(config, read_only=True)) as store:
        owners = {sync.name: store.reader(sync.name).identity() for sync in config.syncs}
    return msgspec.structs.replace(state_facts(_state_path(config, os.environ)), owners=owners)


def _mixpanel_check(config: Config, stop: Stop) -> MixpanelCheck:
    from sync_profiles.destination.probe import Probe
    from sync_profiles.engine.check import MixpanelCheck

    mixpanel, project_id = config.mixpanel, config.mixpanel.project_id
    where = hosts(mixpanel.region, mixpanel.base_url)
    probe = Probe(where, timeout_s=mixpanel.timeout_s)
    account, secret = mixpanel.service_account, mixpanel.service_secret
    readable = project_id is not None and account is not None and secret is not None
    return MixpanelCheck(
        label=f"region {mixpanel.region}" if mixpanel.base_url is None else "own base_url",
        probe=probe,
        project_id=project_id,
        projects=(lambda: probe.projects(account.reveal(), secret.reveal())) if account and secret else None,
        canary=(lambda: _canary(config, stop)) if readable else None,
        records_max=mixpanel.records_per_request,
        in_flight=mixpanel.concurrency,
    )


def _canary(config: Config, stop: Stop) -> Canary:
    from sync_profiles.engine.canary import Canary

    sender = Retrying(_wire(config), stop=stop, clock=_SystemClock(), jitter=random.random, patience_s=CHECK_PATIENCE_S)
    return Canary(
        sender, profile_book(config), config.mixpanel.token.reveal(), f"sync-profiles-canary-{os.urandom(8).hex()}"
    )


# --- verify --------------------------------------------------------------------------------------------------------


def profile_book(config: Config) -> MixpanelReader:
    """The way back from Mixpanel; raises ``ConfigError`` that names each key that is missing for it."""
    from sync_profiles.destination.mixpanel import MixpanelReader

    mixpanel = config.mixpanel
    project_id, account, secret = mixpanel.project_id, mixpanel.service_account, mixpanel.service_secret
    if project_id is None or account is None or secret is None:
        given = {"project_id": project_id, "service_account": account, "service_secret": secret}
        raise ConfigError(
            [
                f"{Path(config.path).name}: mixpanel.{key}: is not set, and profiles can only be read back with it"
                for key, value in given.items()
                if value is None
            ],
            hint="Mixpanel shows the project's ID in the project settings; a service account is made there too.",
        )
    where = hosts(mixpanel.region, mixpanel.base_url)
    return MixpanelReader(
        where, project_id=project_id, account=account.reveal(), secret=secret.reveal(), timeout_s=mixpanel.timeout_s
    )
