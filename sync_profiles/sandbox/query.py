"""Reading profiles back: the Query API's ``engage`` and the App API's ``me``.

Sources: Mixpanel's OpenAPI file for queries, and answers of the live server recorded in public test fixtures.
"""

from __future__ import annotations

import base64
import binascii
import re
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from sync_profiles.sandbox.exchange import Call, Reply
from sync_profiles.sandbox.profiles import Profile, Profiles, Space
from sync_profiles.sandbox.replies import error_reply, json_reply

PAGE_SIZE_MAX = 1000
QUERIES_PER_HOUR = 60
_QUERIES_AT_ONCE = 5
_SESSION_S = 600.0
_TERM = re.compile(r'properties\["((?:[^"\\]|\\.)*)"\]\s*==\s*("(?:[^"\\]|\\.)*"|-?[0-9.]+|true|false)')


class Account(msgspec.Struct, frozen=True):
    """Who may read which project."""

    project_id: int
    username: str
    secret: str

    def opens(self, headers: Mapping[str, str]) -> bool:
        """Whether the Basic credentials of a request are this account's."""
        scheme, _, encoded = headers.get("authorization", "").partition(" ")
        try:
            plain = base64.b64decode(encoded, validate=True).decode()
        except (binascii.Error, ValueError):
            return False
        return scheme.lower() == "basic" and plain == f"{self.username}:{self.secret}"


class Queries:
    """Answers queries over the profiles of one space; any number of threads.

    ``per_hour`` is Mixpanel's limit for a project, shared by all who ask; None switches it off.
    """

    def __init__(self, account: Account, profiles: Profiles, space: Space) -> None:
        self.per_hour: int | None = QUERIES_PER_HOUR
        self._account = account
        self._profiles = profiles
        self._space = space
        self._lock = threading.Lock()
        self._asked: deque[float] = deque()
        self._running = 0
        self._sessions: dict[str, tuple[float, Sequence[Profile]]] = {}

    def me(self, call: Call) -> Reply:
        """Answer who the account is and what it may see; costs no query."""
        if not self._account.opens(call.headers):
            return error_reply(401, "Invalid credentials")
        projects = {str(self._account.project_id): {"id": self._account.project_id, "name": "Sandbox"}}
        organizations = {"1": {"id": 1, "name": "Sandbox"}}
        return json_reply(200, {"results": {"organizations": organizations, "projects": projects}, "status": "ok"})

    def engage(self, call: Call, now: float) -> Reply:
        """Answer one page of profiles; ``now`` is unix seconds."""
        if not self._account.opens(call.headers):
            return Reply(400, b"Unable to authenticate request", "text/plain")
        params = _params(call)
        project_id = params.get("project_id")
        if not project_id:
            return _refused(400, "Missing required parameter: project_id")
        if project_id != str(self._account.project_id):
            return _refused(403, "User is not a member of this project")
        throttled = self._admit(now)
        if throttled is not None:
            return throttled
        try:
            return self._page(params, now)
        except _BadQueryError as error:
            return _refused(400, str(error))
        finally:
            with self._lock:
                self._running -= 1

    def clear(self) -> None:
        """Forget the queries counted so far, and every session."""
        with self._lock:
            self._asked.clear()
            self._sessions.clear()

    def _admit(self, now: float) -> Reply | None:
        with self._lock:
            while self._asked and self._asked[0] <= now - 3600:
                self._asked.popleft()
            asked, running = len(self._asked) + 1, self._running + 1
            if self.per_hour is not None and (asked > self.per_hour or running > _QUERIES_AT_ONCE):
                return _refused(
                    429,
                    f"Query rate limit exceeded for project_id: {self._account.project_id}. "
                    f"{running}/{_QUERIES_AT_ONCE} queries running concurrently and "
                    f"{asked}/{self.per_hour} queries running in the last hour",
                )
            self._asked.append(now)
            self._running = running
            return None

    def _page(self, params: Mapping[str, str], now: float) -> Reply:
        page = _whole(params, "page", 0)
        size = min(max(_whole(params, "page_size", PAGE_SIZE_MAX), 1), PAGE_SIZE_MAX)
        session, found = self._session(params, page, size, now)
        wanted = _names(params.get("output_properties"))
        results = [_result(profile, wanted) for profile in found[page * size : (page + 1) * size]]
        answer: dict[str, Any] = {
            "computed_at": datetime.fromtimestamp(now, UTC).isoformat(),
            "page": page,
            "page_size": size,
            "results": results,
            "session_id": session,
            "status": "ok",
        }
        if page == 0:
            answer["total"] = len(found)
        return json_reply(200, answer)

    def _session(self, params: Mapping[str, str], page: int, size: int, now: float) -> tuple[str, Sequence[Profile]]:
        """Return the session's name and its profiles, as they were when its first page was asked for."""
        with self._lock:
            self._sessions = {key: kept for key, kept in self._sessions.items() if kept[0] > now - _SESSION_S}
            if page:
                session = params.get("session_id", "")
                if session not in self._sessions:
                    raise _BadQueryError("request for page in uncached query for params")
                return session, self._sessions[session][1]
        # The live server's order is neither that of the request nor stable: here it is turned round.
        found = self._selected(params)[::-1]
        with self._lock:
            session = f"{int(now * 1000)}-{len(self._asked):04x}"
            if len(found) > size:
                self._sessions[session] = (now, found)
        return session, found

    def _selected(self, params: Mapping[str, str]) -> Sequence[Profile]:
        """Return the profiles asked for; one selector at a time, what several mean is not documented."""
        if "data_group_id" in params:
            raise _BadQueryError("this sandbox reads user profiles only")
        ids = _ids(params)
        if ids is not None:
            held = (self._profiles.get(self._space, one) for one in dict.fromkeys(ids))
            return [profile for profile in held if profile is not None]
        is_wanted = _condition(params.get("where", "").strip())
        return [profile for profile in self._profiles.all_of(self._space) if is_wanted(profile)]


class _BadQueryError(Exception):
    """The query cannot be answered; the text goes to the client."""


def _refused(status: int, error: str) -> Reply:
    return json_reply(status, {"error": error, "request": "/api/query/engage"})


def _params(call: Call) -> dict[str, str]:
    params = {**call.query, **call.form}
    if call.content_type == "application/json" and call.body:
        try:
            given = msgspec.json.decode(call.body, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError):
            return params
        for name, value in given.items():
            params[name] = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return params


def _whole(params: Mapping[str, str], name: str, default: int) -> int:
    text = params.get(name)
    if not text:
        return default
    if not text.isdecimal():
        raise _BadQueryError(f"{name} must be a whole number")
    return int(text)


def _names(text: str | None) -> list[str] | None:
    if not text:
        return None
    try:
        return msgspec.json.decode(text, type=list[str])
    except msgspec.DecodeError as error:
        raise _BadQueryError("expected a JSON array of strings") from error


def _ids(params: Mapping[str, str]) -> Sequence[str] | None:
    if "distinct_ids" in params:
        return _names(params["distinct_ids"]) or ()
    return [params["distinct_id"]] if "distinct_id" in params else None


def _condition(where: str) -> Callable[[Profile], bool]:
    if not where:
        return lambda _profile: True
    term = _TERM.fullmatch(where)
    if term is None:
        raise _BadQueryError('this sandbox understands where=properties["name"] == "value" only')
    name = msgspec.json.decode(f'"{term[1]}"')
    value = msgspec.json.decode(term[2])
    return lambda profile: _is_equal(_shown(profile).get(name), value)


def _is_equal(held: object, value: object) -> bool:
    return held == value and isinstance(held, bool) == isinstance(value, bool)


def _shown(profile: Profile) -> dict[str, Any]:
    if profile.updated_at is None:
        return profile.properties
    # In the project's time zone without an offset; this project lives in UTC.
    last_seen = datetime.fromtimestamp(profile.updated_at, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return {**profile.properties, "$last_seen": last_seen}


def _result(profile: Profile, wanted: Sequence[str] | None) -> dict[str, Any]:
    shown = _shown(profile)
    if wanted is not None:
        shown = {name: shown[name] for name in wanted if name in shown}
    return {"$distinct_id": profile.distinct_id, "$properties": shown}
