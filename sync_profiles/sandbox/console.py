"""What a person, or a test, asks of the sandbox itself: the page, its tables, its switches. Not part of Mixpanel."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Annotated, TypeAlias

import msgspec

from sync_profiles.sandbox.exchange import Call, Reply
from sync_profiles.sandbox.faults import Fault, Faults
from sync_profiles.sandbox.log import Log
from sync_profiles.sandbox.paging import Pages
from sync_profiles.sandbox.profiles import Profiles, Space
from sync_profiles.sandbox.replies import error_reply, json_reply
from sync_profiles.sandbox.users import SIZE_MAX, Question, listed

_Route: TypeAlias = Callable[[Call], Reply]

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE_HEADERS = (
    ("Content-Security-Policy", _POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
)
_TYPES = {"html": "text/html; charset=utf-8", "css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}


class _LogQuestion(msgspec.Struct, frozen=True):
    """Which page of the log; ``trouble``: only requests that did not get what they wanted."""

    page: Annotated[int, msgspec.Meta(ge=1)] = 1
    size: Annotated[int, msgspec.Meta(ge=1, le=SIZE_MAX)] = 50
    trouble: bool = False


class _OneFault(msgspec.Struct, frozen=True):
    """The number of one fault; None: all of them."""

    number: int | None = None


class Console:
    """Answers calls of /sandbox and everything below it; none of them is in the log, no fault strikes them."""

    def __init__(self, token: str, store: Profiles, log: Log, faults: Faults, reset: Callable[[], None]) -> None:
        self._token = token
        self._store = store
        self._log = log
        self._faults = faults
        self._reset = reset
        self._routes: dict[tuple[str, str], _Route] = {
            ("GET", "/"): lambda _: Reply(302, b"", "text/plain", (("Location", "/sandbox"),)),
            ("GET", "/sandbox"): lambda _: _file("page.html"),
            ("GET", "/sandbox/page.css"): lambda _: _file("page.css"),
            ("GET", "/sandbox/page.js"): lambda _: _file("page.js"),
            ("GET", "/sandbox/overview"): self._overview,
            ("GET", "/sandbox/users"): self._users,
            ("GET", "/sandbox/user"): self._user,
            ("GET", "/sandbox/log"): self._newest,
            ("GET", "/sandbox/profiles"): self._profiles,
            ("GET", "/sandbox/requests"): lambda _: json_reply(200, {"requests": self._log.lines}),
            ("POST", "/sandbox/faults"): self._add_faults,
            ("POST", "/sandbox/faults/clear"): self._clear_faults,
            ("POST", "/sandbox/reset"): self._start_over,
        }

    def serves(self, path: str) -> bool:
        """Whether a path is the sandbox's own."""
        return path in {"/", "/sandbox"} or path.startswith("/sandbox/")

    def answer(self, call: Call) -> Reply:
        """Answer a call of the sandbox's own."""
        route = self._routes.get((call.method, call.path))
        if route is None:
            return error_reply(404, "Not Found")
        if call.method == "POST" and not _is_from_here(call):
            return error_reply(403, "Pages of other sites may not switch anything here")
        try:
            return route(call)
        except msgspec.DecodeError as error:  # a ValidationError is one too
            return error_reply(400, str(error))

    # --- looking -----------------------------------------------------------------------------------------------

    def _overview(self, _call: Call) -> Reply:
        keys = self._store.group_keys(self._token)
        return json_reply(
            200,
            {
                "token": self._token,
                "users": self._store.count(self._space(None)),
                "groups": {key: self._store.count(self._space(key)) for key in keys},
                "strangers": self._store.strangers(self._token),
                "requests": self._log.count,
                "changes": self._store.changes,
                "faults": self._faults.standing,
            },
        )

    def _users(self, call: Call) -> Reply:
        question = msgspec.convert(call.query, Question, strict=False)
        return json_reply(200, listed(self._store.users(self._space(question.group)), question))

    def _user(self, call: Call) -> Reply:
        owner, space = call.query.get("distinct_id", ""), self._space(call.query.get("group"))
        history = self._store.history(space, owner)
        return json_reply(200, {"profile": self._store.get(space, owner), "history": history})

    def _newest(self, call: Call) -> Reply:
        question = msgspec.convert(call.query, _LogQuestion, strict=False)
        pages, lines = self._log.newest(Pages(question.page, question.size), only_trouble=question.trouble)
        return json_reply(200, {"requests": lines, "page": pages.page, "pages": pages.count, "matching": pages.total})

    def _profiles(self, call: Call) -> Reply:
        profiles = self._store.all_of((call.query.get("token", self._token), None))
        return json_reply(200, {"profiles": profiles, "groups": self._store.groups(self._token)})

    def _space(self, group: str | None) -> Space:
        return self._token, group

    # --- switching ---------------------------------------------------------------------------------------------

    def _add_faults(self, call: Call) -> Reply:
        faults = msgspec.json.decode(call.body, type=Fault | list[Fault])
        self._faults.add(*(faults if isinstance(faults, list) else [faults]))
        return json_reply(200, {"status": "ok", "waiting": self._faults.waiting})

    def _clear_faults(self, call: Call) -> Reply:
        self._faults.clear(msgspec.json.decode(call.body or b"{}", type=_OneFault).number)
        return json_reply(200, {"status": "ok", "waiting": self._faults.waiting})

    def _start_over(self, _call: Call) -> Reply:
        self._reset()
        return json_reply(200, {"status": "ok"})


def _is_from_here(call: Call) -> bool:
    """A browser names the site a POST comes from; a tool names none."""
    origin = call.headers.get("origin")
    return origin is None or origin == f"http://{call.headers.get('host')}"


@cache
def _file(name: str) -> Reply:
    text = files(__package__).joinpath(name).read_bytes()
    return Reply(200, text, _TYPES[name.rpartition(".")[2]], _PAGE_HEADERS)
