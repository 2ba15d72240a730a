"""What can be asked of Mixpanel without sending a profile and without spending a query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from sync_profiles.core.facts import ReachFacts
from sync_profiles.core.reply import ANSWER_BYTES_MAX
from sync_profiles.destination.border import BarredError, NoReplyError
from sync_profiles.destination.hosts import Hosts
from sync_profiles.destination.mixpanel import ENGAGE, READ_BYTES_MAX, query_error
from sync_profiles.destination.wire import Wire
from sync_profiles.errors import AccessError, ConfigError, TemporaryError

ME = "/api/app/me"
"""Who a service account is, and what it may see; not one of the 60 queries an hour (Mixpanel's Service Accounts)."""


class Probe:
    """Asks one region's hosts; ``timeout_s`` bounds each request."""

    def __init__(self, where: Hosts, *, timeout_s: float) -> None:
        self._where = where
        self._timeout_s = timeout_s

    def reach(self) -> ReachFacts:
        """What the host for profiles says to a request without one: a refusal, in Mixpanel's own form."""
        wire = Wire(timeout_s=self._timeout_s, answer_bytes_max=ANSWER_BYTES_MAX)
        try:
            reply = wire.post(self._where.ingestion + ENGAGE, b"[]", "application/json")
        except NoReplyError as error:
            return ReachFacts(None, error.why)
        finally:
            wire.close()
        return ReachFacts(reply.status, expected=reply.status in {200, 400} and _is_verdict(reply.body))

    def projects(self, account: str, secret: str) -> Sequence[int] | None:
        """The projects that a service account sees; None when the answer does not list them.

        Raises ``AccessError``, ``TemporaryError`` or ``ConfigError`` like ``MixpanelReader.fetch``.
        """
        wire = Wire(timeout_s=self._timeout_s, answer_bytes_max=READ_BYTES_MAX)
        try:
            reply = wire.get(self._where.query + ME, auth=(account, secret))
        except BarredError as error:
            kind = AccessError if error.exit_code == AccessError.exit_code else ConfigError
            raise kind(f"the service account cannot be asked for: {error.why}") from error
        except NoReplyError as error:
            raise TemporaryError(f"the service account cannot be asked for: {error.why}") from error
        finally:
            wire.close()
        if reply.status != 200:
            raise query_error(reply)
        return _projects(reply.body)


def _is_verdict(body: bytes) -> bool:
    answer = _decoded(body)
    return isinstance(answer, dict) and bool({"status", "error"} & answer.keys())


def _projects(body: bytes) -> Sequence[int] | None:
    answer = _decoded(body)
    results = answer.get("results") if isinstance(answer, dict) else None
    if not isinstance(results, dict):
        raise TemporaryError("Mixpanel's answer about the service account is not Mixpanel's")
    listed = results.get("projects")
    if not isinstance(listed, dict):
        return None
    return [int(name) for name in listed if name.isdecimal()]


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
