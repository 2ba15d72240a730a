"""A simulated Mixpanel: profiles, every answer of the house's table of verdicts, and requests that come late.

What it answers is HTTP (status, headers, body); the product's own ``reply_verdict`` says what that means.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sync_profiles.core import reply
from sync_profiles.core.types import Batch, Uncertain, Verdict

LATE_S_MAX = 599.0
"""A request without an answer is applied within ten minutes or never: the product's own assumption."""

POISON = "poison"
"""A value that this Mixpanel refuses."""

Record = dict[str, Any]

APPLIED_OR_NOT = ("timeout", "reset", "status 500", "status 503", "status 408", "empty", "html", "truncated", "bare")
NOT_APPLIED = ("status 401", "status 403", "status 404", "status 302", "throttled", "too large")
PARTLY = ("invalid 200", "status 400", "wrong count")
FAULTS = (*APPLIED_OR_NOT, *APPLIED_OR_NOT, "zombie", "zombie", "zombie", *NOT_APPLIED, *PARTLY, "uncounted")


@dataclass(frozen=True)
class Late:
    """Records that will be applied at ``at``, whatever was said of their request."""

    at: float
    records: Sequence[Record]


@dataclass
class SimulatedMixpanel:
    """``now`` is the world's time, ``step`` its hook before and after a request is applied, ``fault_rate`` its mood."""

    rng: random.Random
    now: Callable[[], float]
    step: Callable[[str], None]
    tell: Callable[[str], None]
    poison_stores_others: bool
    records_max: int | None
    fault_rate: float = 0.0
    profiles: dict[str, dict[str, Any]] = field(default_factory=dict)
    late: list[Late] = field(default_factory=list)
    requests: int = 0
    doubted: Callable[[Batch], None] = lambda _batch: None

    # --- one request -------------------------------------------------------------------------------------------

    def send(self, batch: Batch) -> Verdict:
        """Implements ``core.ports.Destination``: one attempt."""
        self.requests += 1
        self.step("request")
        records = json.loads(batch.body)
        fault = self.rng.choice(FAULTS) if self.rng.random() < self.fault_rate else "none"
        answer = self._answer(fault, records)
        self.step("reply")
        if answer is None:
            verdict: Verdict = Uncertain("no answer in time")
        else:
            status, headers, body = answer
            verdict = reply.reply_verdict(status, headers, body, batch.records, now_s=self.now())
        named = ",".join(profile.key + ("-" if profile.fingerprint is None else "") for profile in batch.profiles)
        self.tell(f"request {batch.number} [{named}] {fault} -> {verdict}")
        if isinstance(verdict, Uncertain):
            self.doubted(batch)
        return verdict

    def _answer(self, fault: str, records: Sequence[Record]) -> tuple[int, Mapping[str, str], bytes] | None:
        if fault == "zombie":
            self.postpone(records)
            return None
        if fault in NOT_APPLIED:
            return _refusal(fault, self.rng)
        if self.records_max is not None and len(records) > self.records_max:
            return 413, {}, b""
        bad = [record for record in records if POISON in record.get("$set", {}).values()]
        good = [record for record in records if record not in bad]
        if fault in PARTLY:
            self.apply(self._some(good))
            return _complaint(fault, len(records), len(good))
        if fault in APPLIED_OR_NOT:
            # "1" is said when at least one record is valid: with a single one it is proof.
            self.apply(good if fault == "bare" and len(records) == 1 else self._some(good))
            return _no_answer("bare none" if fault == "bare" and not good else fault)
        if bad:
            if self.poison_stores_others:
                self.apply(good)
            return _complaint(self.rng.choice(("invalid 200", "status 400")), len(records), len(good))
        self.apply(records)
        count = "" if fault == "uncounted" else f',"num_good_events":{len(records)}'
        return 200, {}, b'{"error":null,"status":1%b}' % count.encode()

    def _some(self, records: Sequence[Record]) -> Sequence[Record]:
        """All, none, a part from the front, or any of them."""
        match self.rng.randrange(4):
            case 0:
                return ()
            case 1:
                return records
            case 2:
                return records[: self.rng.randint(0, len(records))]
        return [record for record in records if self.rng.random() < 0.5]

    # --- requests nobody waits for ---------------------------------------------------------------------------------

    def abandon(self, batch: Batch) -> None:
        """The sender is dead: the request may have arrived, may still come, or never left."""
        records = json.loads(batch.body)
        match self.rng.randrange(3):
            case 0:
                self.apply([record for record in records if POISON not in record.get("$set", {}).values()])
            case 1:
                self.postpone(records)
        self.doubted(batch)

    def postpone(self, records: Sequence[Record]) -> None:
        """Apply these later, or some of them."""
        good = [record for record in records if POISON not in record.get("$set", {}).values()]
        self.late.append(Late(self.now() + self.rng.choice((1.0, 30.0, LATE_S_MAX)), self._some(good)))

    def land(self) -> None:
        """Apply what was to come by now."""
        for one in sorted((one for one in self.late if one.at <= self.now()), key=lambda one: one.at):
            self.late.remove(one)
            self.tell(f"late: {[record.get('$distinct_id') for record in one.records]}")
            self.apply(one.records)

    def next_late(self) -> float | None:
        """When the next late request is applied."""
        return min((one.at for one in self.late), default=None)

    # --- profiles ----------------------------------------------------------------------------------------------

    def apply(self, records: Sequence[Record]) -> None:
        """What Mixpanel does with each record."""
        for record in records:
            self._apply(record)

    def _apply(self, record: Record) -> None:
        distinct_id = record["$distinct_id"]
        if "$delete" in record:
            self.profiles.pop(distinct_id, None)
            return
        if "$unset" in record:
            for name in record["$unset"]:
                self.profiles.get(distinct_id, {}).pop(name, None)
            return
        profile = self.profiles.setdefault(distinct_id, {})
        profile.update(record.get("$set", {}))
        for name, value in record.get("$set_once", {}).items():
            profile.setdefault(name, value)
        for name, values in record.get("$union", {}).items():
            held = profile.setdefault(name, [])
            held += [value for value in values if value not in held]


def _refusal(fault: str, rng: random.Random) -> tuple[int, Mapping[str, str], bytes]:
    if fault == "throttled":
        return 429, ({"retry-after": str(rng.choice([1, 20, 400]))} if rng.random() < 0.5 else {}), b""
    if fault == "too large":
        return 413, {}, b""
    status = int(fault.split()[1])
    return status, {"location": "https://elsewhere.example/"} if status == 302 else {}, b""


def _complaint(fault: str, sent: int, good: int) -> tuple[int, Mapping[str, str], bytes]:
    if fault == "status 400":
        return 400, {}, b'{"error":"some data points in the request failed validation","status":0}'
    if fault == "wrong count":
        return 200, {}, b'{"error":null,"status":1,"num_good_events":%d}' % max(0, min(good, sent - 1))
    return 200, {}, b'{"error":"a record is not valid","status":0,"num_good_events":%d}' % good


def _no_answer(fault: str) -> tuple[int, Mapping[str, str], bytes] | None:
    match fault:
        case "timeout" | "reset":
            return None
        case "empty":
            return 200, {}, b""
        case "html":
            return 200, {}, b"<html>a proxy's page</html>"
        case "truncated":
            return 200, {}, b'{"error":null,"sta'
        case "bare":
            return 200, {}, b"1"
        case "bare none":
            return 200, {}, b"0"
    return int(fault.split()[1]), {}, b""
