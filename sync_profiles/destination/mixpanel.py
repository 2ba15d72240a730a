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
from sync_profiles.core.reply import ANSWER_BYTES_MAX, reply_verdict, retry_after_s
from sync_profiles.core.types import Batch, DistinctId, Json, ProfilePage, Refused, Uncertain, Verdict
from sync_profiles.destination.border import BarredError, NoReplyError
from sync_profiles.destination.hosts import Hosts
from sync_profiles.destination.wire import Reply, Wire
from sync_profiles.errors import (
    AccessError,
    ConfigError,
    QuotaError,
    SessionLostError,
    SyncProfilesError,
    TemporaryError,
)

ENGAGE = "/engage?ip=0&strict=1&verbose=1"
GROUPS = "/groups?ip=0&strict=1&verbose=1"
QUERY = "/api/query/engage"

IDS_PER_QUERY = 200
"""The largest list of ``distinct_ids`` that was seen to work; Mixpanel documents no limit."""

PAGE_SIZE = 10_000
"""Profiles asked for on a page. Not documented; the answer says how many it really puts there (1,000 as a rule)."""

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
            found.update(self.look_up(chunk))
        return found

    @property
    def ids_per_query(self) -> int:
        """How many IDs one query may name."""
        return IDS_PER_QUERY

    def look_up(self, ids: Sequence[DistinctId]) -> Mapping[DistinctId, Json]:
        """The properties of those IDs that exist, at most ``ids_per_query``: one query; raises like ``fetch``."""
        answer = _answer(self._query({"distinct_ids": _json_text(ids)}))
        if answer.total is not None and answer.total > len(answer.results):
            # A part taken for the whole would call the others missing.
            raise TemporaryError(f"Mixpanel's query API gives {len(answer.results)} of {answer.total} profiles")
        return _by_id(answer)

    def page(self, names: Sequence[str], after: ProfilePage | None = None) -> ProfilePage:
        """One page of all profiles, with these properties only: one query; raises like ``fetch``.

        ``SessionLostError`` when Mixpanel does not know ``after`` any more.
        """
        asked = {"output_properties": _json_text(names), "page_size": str(PAGE_SIZE if after is None else after.size)}
        if after is not None:
            asked |= {"session_id": after.session, "page": str(after.number + 1)}
        try:
            answer = _answer(self._query(asked))
        except ConfigError as error:
            if after is None:
                raise
            raise SessionLostError("Mixpanel does not know the pages of this query any more") from error
        return _page(answer, after)

    def close(self) -> None:
        """Close all connections."""
        self._wire.close()

    def _query(self, asked: Mapping[str, str]) -> bytes:
        body = urlencode(asked).encode()
        try:
            reply = self._wire.post(self._url, body, "application/x-www-form-urlencoded", auth=self._auth)
        except BarredError as error:
            kind = AccessError if error.exit_code == AccessError.exit_code else ConfigError
            raise kind(f"Mixpanel's query API cannot be reached: {error.why}") from error
        except NoReplyError as error:
            raise TemporaryError(f"Mixpanel's query API does not answer: {error.why}") from error
        if reply.status != 200:
            raise query_error(reply)
        return reply.body


class _Found(msgspec.Struct, frozen=True):
    distinct_id: DistinctId = msgspec.field(name="$distinct_id")
    properties: dict[str, Json] = msgspec.field(name="$properties")


class _Answer(msgspec.Struct, frozen=True):
    results: list[_Found]
    total: int | None = None
    page_size: int | None = None
    session_id: str | None = None


def _json_text(names: Sequence[str]) -> str:
    return msgspec.json.encode(names).decode()


def _answer(body: bytes) -> _Answer:
    try:
        return msgspec.json.decode(body, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TemporaryError("Mixpanel's query API gives an answer that is not Mixpanel's") from error


def _by_id(answer: _Answer) -> dict[DistinctId, Json]:
    return {found.distinct_id: found.properties for found in answer.results}


def _page(answer: _Answer, before: ProfilePage | None) -> ProfilePage:
    """The total stands on the first page only; the last page is the one that is not full, or that completes it."""
    number = 0 if before is None else before.number + 1
    total = answer.total if before is None else before.total
    size = answer.page_size or (before.size if before is not None else 0)
    session = answer.session_id or (before.session if before is not None else "")
    if total is None or size <= 0:
        raise TemporaryError("Mixpanel's query API does not say how many profiles there are")
    last = len(answer.results) < size or (number + 1) * size >= total
    return ProfilePage(_by_id(answer), number, size, total, session, last)


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
        return QuotaError(
            "Mixpanel's limit of queries is reached (HTTP 429)",
            hint="60 queries an hour for the whole project, 5 at once: try again later or ask for fewer.",
            retry_after_s=retry_after_s(reply.headers.get("retry-after", ""), None),
        )
    if status in (400, 404) or 300 <= status < 400:
        return ConfigError(
            f"Mixpanel's query API does not understand the request (HTTP {status})",
            hint="Check mixpanel.project_id, region and base_url.",
        )
    return TemporaryError(f"Mixpanel's query API answers HTTP {status}")
