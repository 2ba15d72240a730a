"""A stand-in for Mixpanel that costs next to nothing: `python -m benchmarks.sink PORT [DELAY_MS [STORM_S]]`.

It believes everything. Each request is answered as /engage would answer it, with as many good events as the body has
distinct IDs, and after ``DELAY_MS``. With ``STORM_S``, from half a second after the first request on and for so long,
it answers 429 instead. `GET /stats` tells the totals since it was last asked. One thread a connection, connections are
kept, a body has a Content-Length and no encoding. PORT 0 takes a free one; the port is printed.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time

HEAD_END = b"\r\n\r\n"
RECORD = b'"$distinct_id"'
RECEIVE_BYTES = 1 << 18
STORM_AFTER_S = 0.5


class Totals:
    """What was received since somebody asked; ``refused`` by 429, ``recovered_s`` from a storm's end to a good one."""

    def __init__(self, storm_s: float = 0.0) -> None:
        self._lock = threading.Lock()
        self._storm_s = storm_s
        self._begin()

    def _begin(self) -> None:
        self._counts = {"requests": 0, "records": 0, "bytes": 0, "refused": 0, "recovered_s": 0.0}
        self._storm_at = 0.0

    def add(self, records: int, size: int) -> bool:
        """Count one request; whether it is accepted."""
        now = time.monotonic()
        with self._lock:
            self._storm_at = self._storm_at or now + STORM_AFTER_S
            self._counts["requests"] += 1
            if 0 <= now - self._storm_at < self._storm_s:
                self._counts["refused"] += 1
                return False
            if self._counts["refused"] and not self._counts["recovered_s"]:
                self._counts["recovered_s"] = now - self._storm_at - self._storm_s
            self._counts["records"] += records
            self._counts["bytes"] += size
            return True

    def taken(self) -> dict[str, float]:
        """The totals, which begin again at zero."""
        with self._lock:
            taken = self._counts
            self._begin()
            return taken


class Connection:
    """One client; the buffer is kept from request to request, so that no body is copied."""

    def __init__(self, client: socket.socket, totals: Totals, delay_s: float) -> None:
        self._client = client
        self._totals = totals
        self._delay_s = delay_s
        self._buffer = bytearray(RECEIVE_BYTES)

    def serve(self) -> None:
        """Answer until the client hangs up."""
        with self._client:
            self._client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while (found := self._head()) is not None:
                head, received = found
                self._client.sendall(self._answer(head, received))

    def _head(self) -> tuple[bytes, int] | None:
        """The head of the next request, and how much of the buffer is filled."""
        received = 0
        while (end := self._buffer.find(HEAD_END, 0, received)) < 0:
            received = self._receive(received)
            if not received:
                return None
        return bytes(self._buffer[: end + len(HEAD_END)]), received

    def _receive(self, received: int) -> int:
        with memoryview(self._buffer) as free:
            size = self._client.recv_into(free[received:])
        return received + size if size else 0

    def _answer(self, head: bytes, received: int) -> bytes:
        if head.startswith(b"GET "):
            return reply(self._totals.taken())
        end = len(head) + content_length(head)
        if end > len(self._buffer):
            self._buffer.extend(bytes(end - len(self._buffer)))
        while received < end:
            received = self._receive(received)
            if not received:
                raise ConnectionResetError("the body broke off")
        records = self._buffer.count(RECORD, len(head), end)
        accepted = self._totals.add(records, end - len(head))
        if self._delay_s:
            time.sleep(self._delay_s)
        if not accepted:
            return reply({"error": "rate limit", "status": 0}, "429 Too Many Requests")
        return reply({"error": None, "errors": {}, "num_good_events": records, "status": 1})


def content_length(head: bytes) -> int:
    """The length of the body that follows this head."""
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def reply(content: object, status: str = "200 OK") -> bytes:
    """An HTTP answer with this JSON."""
    body = json.dumps(content).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def main(port: int, delay_ms: float = 0.0, storm_s: float = 0.0) -> None:
    """Listen until killed."""
    totals = Totals(storm_s)
    with socket.create_server(("127.0.0.1", port), backlog=128) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            client, _ = listener.accept()
            connection = Connection(client, totals, delay_ms / 1000)
            threading.Thread(target=connection.serve, daemon=True).start()


if __name__ == "__main__":
    main(int(sys.argv[1]), *map(float, sys.argv[2:4]))
