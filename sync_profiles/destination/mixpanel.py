"""Mixpanel over HTTP: profiles in by /engage and /groups, back by the query API.

Paths and parameters as in Mixpanel's OpenAPI files (ingestion and query); the error texts of the query API as
recorded from the live server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from urllib.parse import urlencode

import msgspec

from sync_profiles.core.masking import masking
from sync_profiles.core.ports import Clock
from sync_profiles.core.reply import ANSWER_BYTES_MAX, reply_verdict
from sync_profiles.core.types import Batch, DistinctId, Json, Refused, Uncertain, Verdict
from sync_profiles.destination.border import BarredError, NoReplyError
from sync_profiles.destination.hosts import Hosts
from sync_profiles.destination.wire import Reply, Wire
from sync_profiles.errors import AccessError, ConfigError, SyncProfilesError, TemporaryError

ENGAGE = "/engage?ip=0&strict=1&verbose=1"
GROUPS = "/groups?ip=0&strict=1&verbose=1"
QUERY = "/api/query/engage"

IDS_PER_QUERY = 200
"""The largest list of ``distinct_ids`` that was seen to work; Mixpanel documents no limit."""

READ_BYTES_MAX = 64_000_000


class Mixpanel:
    """The destination: one request a call, its answer as a verdict. Safe to call from several threads.

    ``token`` stands in the records already; here it is only kept out of what an answer says. ``timeout_s`` bounds a
    whole request.
    """

    def __init__(self, where: Hosts, *, token: str, timeout_s: float, clock: Clock) -> None:
        self._url = where.ingestion + ENGAGE
        self._group_url = where.ingestion + GROUPS
        self._token = token
        self._clock = clock
        self._wire = Wire(timeout_s=timeout_s, answer_bytes_max=ANSWER_BYTES_MAX)

    def send(self, batch: Batch) -> Verdict:
        """Send one batch and say what the answer means; it never raises for an expected failure."""
        body = batch.body
        try:
            reply = self._wire.post(self._group_url if batch.group else self._url, body, "application/json")
        except BarredError as error:
            return Refused(error.why, error.exit_code)
        except NoReplyError as error:
            return Uncertain(error.why)
        return reply_verdict(
            reply.status,
            reply.headers,
            reply.body,
            batch.records,
            mask=masking(self._token, body),
            now_s=self._clock.now(),
        )

    def close(self) -> None:
        """Close all connections."""
        self._wire.close()


class MixpanelReader:
    """Reads user profiles back with a service account; each call of 200 IDs is one of 60 queries an hour."""

    def __init__(self, where: Hosts, *, project_id: int, account: str, secret: str, timeout_s: float) -> None:
        self._url = f"{where.query}{QUERY}?{urlencode({'project_id': project_id})}"
        self._auth = (account, secret)
        self._wire = Wire(timeout_s=timeout_s, answer_bytes_max=READ_BYTES_MAX)

    def fetch(self, ids: Sequence[DistinctId]) -> Mapping[DistinctId, Json]:
        """The properties of those IDs that exist.

        Raises ``AccessError`` when the service account or the plan does not allow it, ``TemporaryError`` when Mixpanel
        is away or its limit of queries is reached, ``ConfigError`` when the request as such is wrong.
        """
        found: dict[DistinctId, Json] = {}
        remaining = iter(ids)
        while chunk := list(islice(remaining, IDS_PER_QUERY)):
            found.update(self._query(chunk))
        return found

    def close(self) -> None:
        """Close all connections."""
        self._wire.close()

    def _query(self, ids: Sequence[DistinctId]) -> Mapping[DistinctId, Json]:
        body = urlencode({"distinct_ids": msgspec.json.encode(ids).decode()}).encode()
        try:
            reply = self._wire.post(self._url, body, "application/x-www-form-urlencoded", auth=self._auth)
        except BarredError as error:
            kind = AccessError if error.exit_code == AccessError.exit_code else ConfigError
            raise kind(f"Mixpanel's query API cannot be reached: {error.why}") from error
        except NoReplyError as error:
            raise TemporaryError(f"Mixpanel's query API does not answer: {error.why}") from error
        if reply.status != 200:
            raise query_error(reply)
        return _profiles(reply.body)


class _Found(msgspec.Struct, frozen=True):
    distinct_id: DistinctId = msgspec.field(name="$distinct_id")
    properties: dict[str, Json] = msgspec.field(name="$properties")


class _Answer(msgspec.Struct, frozen=True):
    results: list[_Found]
    total: int | None = None


def _profiles(body: bytes) -> dict[DistinctId, Json]:
    try:
        answer = msgspec.json.decode(body, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TemporaryError("Mixpanel's query API gives an answer that is not Mixpanel's") from error
    if answer.total is not None and answer.total > len(answer.results):
        # A part taken for the whole would call the others missing.
        raise TemporaryError(f"Mixpanel's query API gives {len(answer.results)} of {answer.total} profiles")
    return {found.distinct_id: found.properties for found in answer.results}


def query_error(reply: Reply) -> SyncProfilesError:
    """What an answer of the query API other than 200 means."""
    status = reply.status
    if status in (401, 403, 407) or (status == 400 and b"authenticate" in reply.body):
        return AccessError(
            f"Mixpanel's query API refuses the service account (HTTP {status})",
            hint="Check mixpanel.service_account, service_secret, project_id and region.",
        )
    if status == 402:
        return AccessError(
            "Mixpanel's query API is not part of this project's plan (HTTP 402)",
            hint="Profiles can be sent, but not read back.",
        )
    if status == 429:
        return TemporaryError(
            "Mixpanel's limit of queries is reached (HTTP 429)",
            hint="60 queries an hour for the whole project, 5 at once: try again later or ask for fewer.",
        )
    if status in (400, 404) or 300 <= status < 400:
        return ConfigError(
            f"Mixpanel's query API does not understand the request (HTTP {status})",
            hint="Check mixpanel.project_id, region and base_url.",
        )
    return TemporaryError(f"Mixpanel's query API answers HTTP {status}")
