"""What can go wrong with a request before there is an answer: a library's exception -> one of ours, once."""

from __future__ import annotations

import http.client
import re
import ssl
from collections.abc import Iterator

import requests
import urllib3.exceptions

from sync_profiles.errors import AccessError, ConfigError

CONNECT_S_MAX = 10.0


class NoReplyError(Exception):
    """No usable answer; nobody knows whether the request was carried out. ``why`` holds no address and no value."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class BarredError(NoReplyError):
    """The request never left, and will not as things are: no trust, or a proxy that refuses."""

    def __init__(self, why: str, exit_code: int) -> None:
        super().__init__(why)
        self.exit_code = exit_code


def translated(error: BaseException) -> NoReplyError:
    """A library's exception as ours: the kind of failure, without the address that libraries put into their texts."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return BarredError(f"the TLS certificate is not trusted ({cause.verify_message})", ConfigError.exit_code)
        tunnel = re.search(r"Tunnel connection failed: (\d{3})", str(cause)) if isinstance(cause, OSError) else None
        if tunnel:
            return _refused_by_proxy(int(tunnel[1]))
        if isinstance(cause, requests.exceptions.InvalidProxyURL):
            return BarredError("the proxy address in the environment is not valid", ConfigError.exit_code)
        if isinstance(cause, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema):
            return BarredError(
                "the address, or that of the proxy in the environment, is not valid", ConfigError.exit_code
            )
    for kind, why in _WHYS:
        if any(isinstance(cause, kind) for cause in causes):
            return NoReplyError(why)
    return NoReplyError(f"the connection failed ({type(causes[-1]).__name__})")


def _refused_by_proxy(status: int) -> NoReplyError:
    if status in (401, 403, 407):
        return BarredError(f"the proxy refuses the connection (HTTP {status})", AccessError.exit_code)
    return NoReplyError(f"the proxy could not connect (HTTP {status})")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception and all that it wraps, by cause, by argument or as a reason, outermost first."""
    waiting, seen = [error], set[int]()
    while waiting:
        current = waiting.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        wrapped = (current.__cause__, current.__context__, getattr(current, "reason", None), *current.args)
        waiting += [inner for inner in wrapped if isinstance(inner, BaseException)]


_WHYS: tuple[tuple[type[BaseException], str], ...] = (
    (urllib3.exceptions.NameResolutionError, "the host name could not be resolved"),
    (ConnectionRefusedError, "the connection was refused"),
    (urllib3.exceptions.ConnectTimeoutError, f"no connection within {CONNECT_S_MAX:g} s"),
    (urllib3.exceptions.ReadTimeoutError, "no answer in time"),
    (TimeoutError, "no answer in time"),
    (ssl.SSLError, "the TLS connection failed"),
    (ConnectionResetError, "the connection was reset"),
    (http.client.RemoteDisconnected, "the connection was closed without an answer"),
    (urllib3.exceptions.IncompleteRead, "the answer broke off"),
    (http.client.IncompleteRead, "the answer broke off"),
    (http.client.HTTPException, "the answer is not HTTP"),
    (urllib3.exceptions.ProxyError, "the proxy does not answer"),
)
