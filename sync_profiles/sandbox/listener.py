"""HTTP on a socket: reads calls, hands them to a function, writes its replies. Knows nothing of Mixpanel."""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlsplit

from sync_profiles.sandbox.exchange import Call, Reply

Answer: TypeAlias = Callable[[Call], Reply]

_BODY_BYTES_MAX = 64 * 1024 * 1024
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Listener(ThreadingHTTPServer):
    """A threading HTTP server, one thread a connection; raises ``OSError`` when the address cannot be had."""

    # The default of 5 resets connections when many clients arrive at once.
    request_queue_size = 128
    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str, port: int, answer: Answer) -> None:
        self.answer = answer
        self.closing = threading.Event()
        self.connections = 0
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), _Connection)

    def server_bind(self) -> None:
        """Bind without looking up the host's name, which can take seconds."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def opened(self, connection: socket.socket) -> int:
        """Remember a connection and number it."""
        with self._lock:
            self._open.add(connection)
            self.connections += 1
            return self.connections

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection and close it."""
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet about clients that went away; anything else is a bug and is shown."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def server_close(self) -> None:
        """Close everything, connections that are kept alive included, and wake whoever holds an answer back."""
        self.closing.set()
        super().server_close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class _Connection(BaseHTTPRequestHandler):
    server: Listener
    # Keep-alive; every answer carries Content-Length.
    protocol_version = "HTTP/1.1"
    # Otherwise each answer waits 40 ms for the client's acknowledgement of its first packet.
    disable_nagle_algorithm = True
    # Headers and body leave together.
    wbufsize = -1
    server_version = "Sandbox"
    sys_version = ""

    def setup(self) -> None:
        super().setup()
        self.number = self.server.opened(self.connection)

    def do_GET(self) -> None:
        self._exchange()

    def do_POST(self) -> None:
        self._exchange()

    def handle_expect_100(self) -> bool:
        """Send "100 Continue" at once: the client waits for it, and writes are buffered."""
        proceed = super().handle_expect_100()
        self.wfile.flush()
        return proceed

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's signature
        """Print nothing: the sandbox keeps its own log."""

    def _exchange(self) -> None:
        body = self._body()
        if body is None:
            return
        target = urlsplit(self.path)
        call = Call(
            method=self.command,
            path=target.path.rstrip("/") or "/",
            query=dict(parse_qsl(target.query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=body,
            connection=self.number,
        )
        reply = self.server.answer(call)
        if reply.hold_s:
            self.server.closing.wait(reply.hold_s)
        if reply.ending == "reset":
            self._reset()
        elif reply.ending == "drop":
            self.close_connection = True
        else:
            self._write(reply)

    def _body(self) -> bytes | None:
        """Read the whole body; None when it cannot be read and an answer was given."""
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            self.close_connection = True
            self.send_error(411)
            return None
        length = self.headers.get("Content-Length", "0")
        if not (length.isascii() and length.isdecimal()):
            self.close_connection = True
            self.send_error(400)
            return None
        if int(length) > _BODY_BYTES_MAX:
            self.close_connection = True
            self.send_error(413)
            return None
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            # The client went away in the middle: half a request was never asked.
            self.close_connection = True
            return None
        return body

    def _write(self, reply: Reply) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        for name, value in reply.headers:
            self.send_header(name, value)
        self.end_headers()
        whole = reply.ending == "answer"
        self.wfile.write(reply.body if whole else reply.body[: len(reply.body) // 2])
        self.wfile.flush()
        self.close_connection = self.close_connection or not whole

    def _reset(self) -> None:
        self.close_connection = True
        # Lingering for zero seconds makes the kernel send RST; the base class would say goodbye first, so the
        # descriptor is taken from it.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        socket.close(self.connection.detach())
