"""A pooler in transaction mode: each transaction of a client runs on whatever server connection is free.

As small as what the state asks of it: clients that are let in without a password, simple queries, no cancelling.
The message formats are those of postgresql.org/docs/current/protocol-message-formats.html.
"""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import struct
import threading
from collections.abc import Iterator

import sqlalchemy as sa

SSL_REQUEST = 80877103


class Pooler:
    """Listens on ``port``. Free server connections are used in turn, so that two transactions seldom share one."""

    def __init__(self, server: sa.URL) -> None:
        self._server = server
        self._free: queue.Queue[socket.socket] = queue.Queue()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = [self._listener]
        for _ in range(3):
            self._free.put(self._connected())
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """The address of the same database by way of this pooler."""
        return self._server.set(port=self._listener.getsockname()[1]).render_as_string(hide_password=False)

    def close(self) -> None:
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _connected(self) -> socket.socket:
        server = socket.create_connection(("127.0.0.1", self._server.port or 5432))
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sockets.append(server)
        names = f"user\0{self._server.username}\0database\0{self._server.database}\0client_encoding\0utf8\0\0".encode()
        server.sendall(struct.pack("!ii", 8 + len(names), 196608) + names)
        for kind, _ in messages(server):
            if kind == b"Z":
                return server
        raise AssertionError("the server let nobody in")

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._sockets.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, struct.error):
            while (
                struct.unpack("!i", taken(client, struct.unpack("!i", taken(client, 4))[0] - 4)[:4])[0] == SSL_REQUEST
            ):
                client.sendall(b"N")
            key = os.urandom(8)  # not a server's: whoever asks to cancel asks the pooler
            answers = [b"R" + struct.pack("!ii", 8, 0), b"K" + struct.pack("!i", 12) + key]
            for name, value in (("client_encoding", "UTF8"), ("standard_conforming_strings", "on")):
                text = f"{name}\0{value}\0".encode()
                answers.append(b"S" + struct.pack("!i", 4 + len(text)) + text)
            client.sendall(b"".join(answers) + b"Z" + struct.pack("!i", 5) + b"I")
            server: socket.socket | None = None
            for kind, body in messages(client):
                if kind == b"X":
                    return
                if server is None:
                    server = self._free.get()
                server.sendall(kind + struct.pack("!i", 4 + len(body)) + body)
                if self._answered(server, client):
                    self._free.put(server)
                    server = None

    def _answered(self, server: socket.socket, client: socket.socket) -> bool:
        """Whether no transaction is open after the answer."""
        for kind, body in messages(server):
            client.sendall(kind + struct.pack("!i", 4 + len(body)) + body)
            if kind == b"Z":
                return body == b"I"
        raise OSError("the server is gone")


def taken(connection: socket.socket, size: int) -> bytes:
    """So many bytes."""
    found = b""
    while len(found) < size:
        more = connection.recv(size - len(found))
        if not more:
            raise OSError("closed")
        found += more
    return found


def first_word(client: socket.socket) -> int:
    """What a client begins with: the version of the protocol, or a wish for TLS."""
    (size,) = struct.unpack("!i", taken(client, 4))
    (word,) = struct.unpack("!i", taken(client, size - 4)[:4])
    return int(word)


def messages(connection: socket.socket) -> Iterator[tuple[bytes, bytes]]:
    """Kind and body of each message."""
    while True:
        kind = taken(connection, 1)
        yield kind, taken(connection, struct.unpack("!i", taken(connection, 4))[0] - 4)


@contextlib.contextmanager
def pooled(url: str) -> Iterator[str]:
    """The address of a database by way of a pooler, for the length of the block."""
    pooler = Pooler(sa.make_url(url))
    try:
        yield pooler.url
    finally:
        pooler.close()
