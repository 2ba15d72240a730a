"""The token's proof: a profile of our own, written through the real destination, read back, and deleted again.

Mixpanel answers success to any token and in any region, so nothing less proves where profiles go.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sync_profiles.core.facts import CanaryFacts
from sync_profiles.core.ports import Clock, Destination, ProfileReader, Stop
from sync_profiles.core.records import Envelope, encode
from sync_profiles.core.types import Accepted, Batch, DistinctId, Outgoing, Verdict
from sync_profiles.errors import SyncProfilesError

PROPERTY = "sync_profiles_canary"
WAITS_S: Sequence[float] = (1.0, 2.0, 3.0, 6.0, 12.0, 16.0, 20.0)
"""Between writing and each reading; together a minute, and seven of Mixpanel's 60 queries an hour at most.

What was written was seen after 1.4 to 2 seconds, or at the next look half a minute later (recorded answers).
"""


class Canary(msgspec.Struct, frozen=True):
    """What a canary needs: a way in, a way back, and a distinct ID that nobody else has."""

    destination: Destination
    reader: ProfileReader
    token: str
    distinct_id: DistinctId


def fly(canary: Canary, clock: Clock, stop: Stop) -> CanaryFacts:
    """Write, read back for a minute, delete, whatever happened in between."""
    envelope, encoded_id = Envelope(canary.token), encode(canary.distinct_id)
    began = clock.monotonic()
    payload = encode({PROPERTY: canary.distinct_id})
    verdict = canary.destination.send(_batch(1, canary, envelope.record(encoded_id, "$set", payload)))
    try:
        facts = _seen(canary, clock, stop, began) if isinstance(verdict, Accepted) else _refused(canary, verdict)
    finally:
        deleted = canary.destination.send(_batch(2, canary, envelope.delete(canary.distinct_id), delete=True))
    return msgspec.structs.replace(facts, removed=isinstance(deleted, Accepted))


def _seen(canary: Canary, clock: Clock, stop: Stop, began: float) -> CanaryFacts:
    for wait_s in WAITS_S:
        if stop.wait(wait_s):
            return CanaryFacts(canary.distinct_id, "stopped")
        try:
            found = canary.reader.fetch([canary.distinct_id]).get(canary.distinct_id)
        except SyncProfilesError as error:
            return CanaryFacts(canary.distinct_id, "unread", why=error.message)
        if found is not None and found.get(PROPERTY) == canary.distinct_id:
            return CanaryFacts(canary.distinct_id, "proven", clock.monotonic() - began)
    return CanaryFacts(canary.distinct_id, "unseen", clock.monotonic() - began)


def _refused(canary: Canary, verdict: Verdict) -> CanaryFacts:
    why = getattr(verdict, "why", None) or getattr(verdict, "reason", None) or "the rate limit did not give way"
    return CanaryFacts(canary.distinct_id, "refused", why=str(why))


def _batch(number: int, canary: Canary, record: bytes, *, delete: bool = False) -> Batch:
    profile = Outgoing(canary.distinct_id, canary.distinct_id, None, (), record, 1, delete=delete)
    return Batch(number, (profile,))
