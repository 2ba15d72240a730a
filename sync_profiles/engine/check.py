"""``check``: every question whose wrong answer costs somebody a day later on, in an order that makes sense.

What cannot be asked becomes a finding, and the next question is asked all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Protocol

import msgspec

from sync_profiles.core import findings, outlook
from sync_profiles.core.facts import Finding, IdFacts, ReachFacts, SampleFacts, StateFacts, TableFacts
from sync_profiles.core.ports import Clock, Stop
from sync_profiles.core.sampling import Sampling
from sync_profiles.core.types import Identity, Key, ScanFull
from sync_profiles.engine.canary import Canary, fly
from sync_profiles.engine.parts import Parts
from sync_profiles.errors import SyncProfilesError, TemporaryError

SAMPLE_ROWS = 4000
NEWEST_ROWS = 1000


class TableProbe(Protocol):
    """What is asked of a sync's table, beside its rows."""

    def table(self) -> TableFacts:
        """Rights, key, change column, secrets, size, clock."""
        ...

    def ids(self) -> IdFacts:
        """Distinct IDs that cannot be sent."""
        ...

    def newest_keys(self, limit: int) -> Sequence[Key]:
        """The keys at the end of the table."""
        ...


class MixpanelProbe(Protocol):
    """What is asked of Mixpanel without sending anything."""

    def reach(self) -> ReachFacts:
        """What the host says."""
        ...


class SyncCheck(msgspec.Struct, frozen=True):
    """One sync: ``open`` connects, and raises where the config does not fit the database."""

    name: str
    open: Callable[[], tuple[Parts, TableProbe]]


class MixpanelCheck(msgspec.Struct, frozen=True):
    """Mixpanel: ``projects`` and ``canary`` are None without a service account.

    ``label`` names the region for people; ``records_max`` and ``in_flight`` are how profiles will be sent.
    """

    label: str
    probe: MixpanelProbe
    project_id: int | None
    projects: Callable[[], Sequence[int] | None] | None
    canary: Callable[[], Canary] | None
    records_max: int
    in_flight: int


class Checks(msgspec.Struct, frozen=True):
    """Everything there is to be asked."""

    syncs: Sequence[SyncCheck]
    state: Callable[[], StateFacts]
    mixpanel: MixpanelCheck
    clock: Clock
    stop: Stop


def check(checks: Checks, *, canary: bool) -> Iterator[Finding]:
    """Findings as they come; a stop that was asked ends it between two questions."""
    state, owners, broken = _state(checks)
    yield from broken
    rows = 0
    for sync in checks.syncs:
        if checks.stop.cause is not None:
            return
        try:
            parts, probe = sync.open()
            facts = probe.table()
        except TemporaryError as error:
            yield from findings.failed(error, sync.name)
            break  # the other syncs would wait for the same database
        except SyncProfilesError as error:
            yield from findings.failed(error, sync.name)
            continue
        rows += facts.rows
        yield from findings.owner_findings(sync.name, owners.get(sync.name), parts.identity)
        every_s = parts.policy.full_every_s
        yield from findings.table_findings(sync.name, facts, now=checks.clock.now(), full_every_s=every_s)
        yield from _rows(checks.mixpanel, sync.name, parts, probe, facts.rows)
    if state is not None:
        yield from outlook.state_findings(state, rows)
    if checks.stop.cause is None:
        yield from _mixpanel(checks, canary=canary)


def _state(checks: Checks) -> tuple[StateFacts | None, Mapping[str, Identity | None], list[Finding]]:
    try:
        facts = checks.state()
    except SyncProfilesError as error:
        return None, {}, findings.failed(error)
    return facts, facts.owners, []


def _rows(mixpanel: MixpanelCheck, name: str, parts: Parts, probe: TableProbe, rows: int) -> Iterator[Finding]:
    try:
        ids = probe.ids()
        yield from findings.id_findings(name, ids, rows, parts.policy.max_reject)
        sample = _sample(parts, probe)
    except SyncProfilesError as error:
        yield from findings.failed(error, name)
        return
    yield from findings.sample_findings(name, sample, ids, rows, parts.policy.max_reject)
    yield findings.estimate_finding(name, rows, sample, mixpanel.records_max, mixpanel.in_flight)


def _sample(parts: Parts, probe: TableProbe) -> SampleFacts:
    """Rows from the beginning of the table, and those at its end."""
    sampling, taken = Sampling(parts.mapper), 0
    for page in parts.source.pages(ScanFull("check")):
        sampling.add(page)
        taken += len(page.keys)
        if taken >= SAMPLE_ROWS:
            sampling.add(parts.source.read(list(islice(probe.newest_keys(NEWEST_ROWS), NEWEST_ROWS))))
            break
    return sampling.facts()


def _mixpanel(checks: Checks, *, canary: bool) -> Iterator[Finding]:
    mixpanel = checks.mixpanel
    reach = mixpanel.probe.reach()
    yield outlook.reach_finding(mixpanel.label, reach)
    if mixpanel.projects is None or mixpanel.project_id is None or mixpanel.canary is None:
        yield outlook.unproven("account")
        return
    account: Finding | None = None
    try:
        account = outlook.account_finding(mixpanel.project_id, mixpanel.projects())
        yield account
    except SyncProfilesError as error:
        yield from findings.failed(error)
    if not canary:
        yield outlook.unproven("asked")
    elif not reach.expected or account is None or account.level == "error":
        yield outlook.unproven("away")
    else:
        yield from outlook.canary_findings(fly(mixpanel.canary(), checks.clock, checks.stop))
