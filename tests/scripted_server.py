"""A server of raw sockets that does exactly what a test says, byte for byte; and certificates for it."""

from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Answer: TypeAlias = bytes | Callable[[socket.socket], None]
"""What is done on the socket once a request was read: bytes to send, or a function; a closed socket ends the matter."""


@dataclass(frozen=True)
class Request:
    """What arrived; ``connection`` counts the connections from 0."""

    line: str
    headers: dict[str, str]
    body: bytes
    connection: int


def http(status: int, body: bytes = b"", **headers: str) -> bytes:
    """A complete answer; ``content_encoding="gzip"`` makes a header."""
    lines = [f"HTTP/1.1 {status} Because", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def reset(connection: socket.socket) -> None:
    """Close with RST instead of FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def then(*steps: Answer) -> Callable[[socket.socket], None]:
    """One step after another; stops when the client is gone."""

    def act(connection: socket.socket) -> None:
        for step in steps:
            if callable(step):
                step(connection)
            else:
                connection.sendall(step)

    return act


def close(connection: socket.socket) -> None:
    """Close in the ordinary way."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


def forever(chunk: bytes, pause_s: float) -> Callable[[socket.socket], None]:
    """Send the same bytes again and again until the client goes away."""

    def act(connection: socket.socket) -> None:
        pause = threading.Event()
        while True:
            connection.sendall(chunk)
            pause.wait(pause_s)

    return act


def silence(connection: socket.socket) -> None:
    """Say nothing until the client goes away."""
    while connection.recv(65_536):
        pass


class ScriptedServer:
    """Answers the first request with the first answer and so on; requests beyond the last one are reset.

    ``greet`` is done with every new connection instead of reading requests. The server ends with its ``with`` block.
    """

    def __init__(
        self, *answers: Answer, greet: Callable[[socket.socket], None] | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self._answers = list(answers)
        self._greet = greet
        self._tls = tls
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self.requests: list[Request] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> ScriptedServer:
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        close(self._listener)
        with self._lock:
            for connection in self._open:
                close(connection)
        self._acceptor.join(timeout=10)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with self._lock:
                    self._open.append(connection)
                    number = self.connections
                    self.connections += 1
                threading.Thread(target=self._serve, args=(connection, number), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError, ValueError):
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
                with self._lock:
                    self._open.append(connection)
            if self._greet is not None:
                self._greet(connection)
                return
            for request in requests_on(connection, number):
                with self._lock:
                    self.requests.append(request)
                    answer = self._answers.pop(0) if self._answers else reset
                then(answer)(connection)


def requests_on(connection: socket.socket, number: int) -> Iterator[Request]:
    """The requests of a connection until it ends; no file is made of it, which would keep a closed socket open."""
    buffer = bytearray()
    while True:
        while b"\r\n\r\n" not in buffer:
            buffer += _received(connection)
        head, _, rest = bytes(buffer).partition(b"\r\n\r\n")
        buffer = bytearray(rest)
        line, *fields = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in fields)}
        size = int(headers.get("content-length", "0"))
        while len(buffer) < size:
            buffer += _received(connection)
        body = bytes(buffer[:size])
        del buffer[:size]
        yield Request(line, headers, body, number)


def _received(connection: socket.socket) -> bytes:
    received = connection.recv(65_536)
    if not received:
        raise ConnectionAbortedError
    return received


@dataclass(frozen=True)
class Certified:
    """A TLS server's side, and the file with the certificate that a client must trust."""

    server: ssl.SSLContext
    ca_file: Path


def certified(folder: Path, name: x509.GeneralName) -> Certified:
    """A fresh self-signed certificate for ``name``, valid for a day."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "scripted server")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([name]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    ca_file = folder / "ca.pem"
    ca_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file = folder / "key.pem"
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(ca_file, key_file)
    return Certified(server, ca_file)
