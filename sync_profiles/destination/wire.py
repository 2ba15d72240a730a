"""One HTTP POST with every bound it needs: time, size, trust, no redirects, no surprises from the environment.

Proxies and certificate bundles are taken from the environment on purpose (``HTTPS_PROXY``, ``NO_PROXY``,
``REQUESTS_CA_BUNDLE``, ``SSL_CERT_FILE``); ``.netrc`` never is.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import os
import socket
import ssl
import threading
import zlib
from contextvars import ContextVar
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import msgspec
import requests
import requests.adapters
import requests.utils
import truststore
import urllib3.exceptions
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from sync_profiles import __version__
from sync_profiles.destination.border import CONNECT_S_MAX, BarredError, NoReplyError, translated
from sync_profiles.errors import ConfigError


class Reply(msgspec.Struct, frozen=True):
    """An HTTP answer; header names in lower case, ``body`` without content encoding."""

    status: int
    headers: dict[str, str]
    body: bytes


class Wire:
    """Posts; to be used from any number of threads, each of which has its own connection.

    ``timeout_s`` bounds a whole request, from the connection to the last byte of the answer.
    """

    def __init__(self, *, timeout_s: float, answer_bytes_max: int) -> None:
        self._timeout_s = timeout_s
        self._answer_bytes_max = answer_bytes_max
        self._own = threading.local()
        self._lines: list[_Line] = []
        self._lock = threading.Lock()

    def post(self, url: str, body: bytes, content_type: str, *, auth: tuple[str, str] | None = None) -> Reply:
        """POST the bytes as they are. At most ``answer_bytes_max`` + 1 bytes of the answer are read.

        Raises ``NoReplyError`` and ``BarredError``, never anything of a library.
        """
        return self._exchange("POST", url, body, {"Content-Type": content_type}, auth)

    def get(self, url: str, *, auth: tuple[str, str] | None = None) -> Reply:
        """GET, within the same bounds, with the same errors."""
        return self._exchange("GET", url, None, {}, auth)

    def _exchange(
        self, method: str, url: str, body: bytes | None, headers: dict[str, str], auth: tuple[str, str] | None
    ) -> Reply:
        watch = _Watch(self._timeout_s)
        try:
            line = self._line(url)
            request = requests.Request(method, url, {**_HEADERS, **headers}, data=body, auth=auth).prepare()
            times_s = (min(CONNECT_S_MAX, self._timeout_s), watch.net_s)
            with watch, line.adapter.send(request, stream=True, timeout=times_s, proxies=line.proxies) as response:
                reply = self._reply(response)
                if watch.expired:
                    # A socket that was shut down looks like an answer that came to its end.
                    raise TimeoutError
                return reply
        except (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as error:
            if watch.expired:
                raise NoReplyError(f"no complete answer within {self._timeout_s:g} s") from error
            raise translated(error) from error

    def close(self) -> None:
        """Close the connections of all threads."""
        with self._lock:
            while self._lines:
                self._lines.pop().adapter.close()

    def _line(self, url: str) -> _Line:
        line: _Line | None = getattr(self._own, "line", None)
        if line is None:
            line = self._own.line = _line(url)
            with self._lock:
                self._lines.append(line)
        return line

    def _reply(self, response: requests.Response) -> Reply:
        body = response.raw.read(self._answer_bytes_max + 1, decode_content=False)
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Reply(
            response.status_code, headers, self._plain(body, headers.get("content-encoding", "identity").lower())
        )

    def _plain(self, body: bytes, encoding: str) -> bytes:
        """Undo the gzip that some gateways apply though it was not asked for, without trusting its size."""
        if encoding == "identity":
            return body
        unzip = zlib.decompressobj(wbits=31)
        try:
            plain = unzip.decompress(body, self._answer_bytes_max + 1)
        except zlib.error as error:
            raise NoReplyError("the answer's content encoding is broken or unknown") from error
        if not unzip.eof:
            raise NoReplyError("the answer broke off, or is too large")
        return plain


# --- one thread's connection -----------------------------------------------------------------------------------------

_HEADERS = {
    "User-Agent": f"sync-profiles/{__version__}",
    "Accept": "*/*",
    "Accept-Encoding": "identity",
    "Connection": "keep-alive",
}


class _Line(msgspec.Struct, frozen=True):
    """What a session of requests would hold, without its cookies, redirects and merging of settings.

    That is a third of the cost of a request, and all of it things that must not happen here.
    """

    adapter: _Adapter
    proxies: dict[str, str]


def _line(url: str) -> _Line:
    # Reading a bundle of certificates takes 30 ms.
    adapter = _Adapter(_tls_context() if urlsplit(url).scheme == "https" else None)
    return _Line(adapter, {} if is_loopback(url) else requests.utils.get_environ_proxies(url))


def is_loopback(url: str) -> bool:
    """Does the address point to this machine? Such requests never go through a proxy."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _tls_context() -> ssl.SSLContext:
    """The system's trust store (and ``SSL_CERT_FILE``), or the bundle that ``REQUESTS_CA_BUNDLE`` names instead."""
    bundle = os.environ.get("REQUESTS_CA_BUNDLE")
    if not bundle:
        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if Path(bundle).is_dir():
            context.load_verify_locations(capath=bundle)
        else:
            context.load_verify_locations(cafile=bundle)
    except OSError as error:
        raise BarredError(
            "REQUESTS_CA_BUNDLE does not name a readable bundle of certificates", ConfigError.exit_code
        ) from error
    return context


class _Adapter(requests.adapters.HTTPAdapter):
    """No retries of its own, one connection, our trust, and connections that can be ended from outside."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        pools = super().proxy_manager_for(proxy, ssl_context=self._context, **kwargs)
        pools.pool_classes_by_scheme = _POOLS
        return pools

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Leave trust to the context, which always verifies; the library would add its own bundle to it."""


# --- the bound on the whole time -------------------------------------------------------------------------------------


class _Watch:
    """Ends a request that takes too long, wherever it hangs, by shutting its socket down.

    Time-outs of sockets begin anew with each byte: a peer that drips one a second would hold a run for days.
    """

    def __init__(self, seconds: float) -> None:
        self.net_s = seconds + 1.0
        """A time-out for each step below the watch, should the watch not find the socket."""
        self.expired = False
        self._connection: HTTPConnection | None = None
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._token = _WATCH.set(self)
        self._timer.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        with self._lock:
            # From here on the connection may serve the next request.
            self._connection = self._socket = None
        _WATCH.reset(self._token)

    def follow(self, connection: HTTPConnection) -> None:
        """Remember where the request is; the socket too, for the connection lets go of it before the answer is read."""
        with self._lock:
            self._connection = connection
            self._socket = connection.sock or self._socket
        if self.expired:
            raise TimeoutError

    def _expire(self) -> None:
        with self._lock:
            self.expired = True
            current = (self._connection.sock if self._connection else None) or self._socket
            if current is not None:
                with contextlib.suppress(OSError):
                    # The plain shutdown: that of a TLS socket would let its owner read on without TLS.
                    socket.socket.shutdown(current, socket.SHUT_RDWR)


_WATCH: ContextVar[_Watch] = ContextVar("watch")


class _Connection(HTTPConnection):
    def connect(self) -> None:
        watch = _WATCH.get()
        watch.follow(self)
        super().connect()
        # urllib3 would send the body under the time-out that is meant for connecting.
        self.sock.settimeout(watch.net_s)

    def request(self, *args: Any, **kwargs: Any) -> None:
        _WATCH.get().follow(self)
        super().request(*args, **kwargs)

    def getresponse(self) -> Any:
        _WATCH.get().follow(self)
        return super().getresponse()


class _TlsConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


_POOLS = {"http": _Pool, "https": _TlsPool}
