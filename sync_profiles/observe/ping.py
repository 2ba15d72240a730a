"""Health-check pings: a service elsewhere raises the alarm when they stop coming.

The addresses are those that most such services share: ``URL/start``, ``URL`` for success, ``URL/fail``. The URL is a
secret: whoever has it can silence the alarm. A ping that fails is a warning and never changes a run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias
from urllib.parse import urlsplit, urlunsplit

import msgspec

from sync_profiles.core.events import Event, Observer, RunFinished, RunStarted
from sync_profiles.errors import SyncProfilesError, most_serious
from sync_profiles.observe.redact import redact
from sync_profiles.observe.report import closing_line, ended_well, masked

Post: TypeAlias = Callable[[str, bytes], None]
"""Sends a body to an address; raises OSError when that fails."""

TIMEOUT_S = 5.0

_log = logging.getLogger("sync_profiles")


def post(url: str, body: bytes) -> None:
    """POST over HTTP: TLS verified, redirects and ``.netrc`` not followed, proxies of the environment used.

    Raises ``OSError``: requests' own errors are such, an answer other than 2xx is made one; it may name the URL.
    """
    import requests

    with requests.Session() as session:
        session.trust_env = False
        proxies = requests.utils.get_environ_proxies(url)
        answer = session.post(url, data=body, timeout=TIMEOUT_S, allow_redirects=False, proxies=proxies)
    if not 200 <= answer.status_code < 300:
        raise PingRefusedError(answer.status_code)


class PingRefusedError(OSError):
    """The service answered with another status than 2xx."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")


@contextmanager
def pinging(url: str, send: Post = post) -> Iterator[Observer]:
    """An observer whose service hears of the first start and, when the block ends, of the outcome of all runs in it.

    Success only when every run ended well and no exception passed. When another process holds every lock nothing is
    pinged at all: the alarm watches the runs that work, and a stuck one must not be covered by those that skip it.
    """
    pings = _Pings(url, send)
    try:
        yield pings
    except BaseException as error:
        pings.fail(error)
        raise
    pings.close()


class _Pings:
    def __init__(self, url: str, send: Post) -> None:
        self._url = url
        self._send = send
        self._started = False
        self._finished: list[RunFinished] = []

    def __call__(self, event: Event) -> None:
        match event:
            case RunStarted():
                if not self._started:
                    self._started = True
                    self._ping("start", b"")
            case RunFinished():
                self._finished.append(event)

    def close(self) -> None:
        ran = [end.summary for end in self._finished if end.summary.outcome != "skipped"]
        if ran:
            code = most_serious(end.exit_code for end in self._finished)
            self._ping("" if all(map(ended_well, ran)) else "fail", self._body(code))

    def fail(self, error: BaseException) -> None:
        """What our own errors say is fit to be read; of others only the kind is told."""
        text = str(error) if isinstance(error, SyncProfilesError) else type(error).__name__
        code = error.exit_code if isinstance(error, SyncProfilesError) else 1
        self._ping("fail", self._body(code, redact(text)))

    def _body(self, exit_code: int, *texts: str) -> bytes:
        """The exit code, what happened in words, then each run as ``--json`` prints it: a line each."""
        summaries = [masked(end.summary) for end in self._finished]
        lines = [f"exit code {exit_code}", *texts, *map(closing_line, summaries)]
        return "\n".join([*lines, *(msgspec.json.encode(summary).decode() for summary in summaries)]).encode()

    def _ping(self, word: str, body: bytes) -> None:
        try:
            self._send(address(self._url, word), body)
        except OSError as error:
            why = str(error) if isinstance(error, PingRefusedError) else type(error).__name__
            _log.warning("health-check ping failed: %s", why)


def address(url: str, word: str) -> str:
    """Where to ping: ``word`` is appended to the path, before a query string if there is one."""
    if not word:
        return url
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{word}"))
