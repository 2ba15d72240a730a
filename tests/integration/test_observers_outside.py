"""Observers against the real thing: files, sockets, a pseudo-terminal."""

from __future__ import annotations

import fcntl
import logging
import os
import pty
import stat
import struct
import sys
import termios
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from summaries import finished, progress, started

from sync_profiles.observe.log import configure, ready
from sync_profiles.observe.metrics import MetricsFile, parse
from sync_profiles.observe.ping import PingRefusedError, pinging, post
from sync_profiles.observe.terminal import on_terminal

# --- metrics file ---------------------------------------------------------------------------------------------------


def test_the_metrics_file_is_readable_by_the_collector_and_nothing_else_has_its_suffix(tmp_path: Path) -> None:
    path = tmp_path / "sync_profiles.prom"
    MetricsFile(str(path))(finished())
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [found.name for found in tmp_path.glob("*.prom")] == [path.name]


def test_syncs_that_end_at_once_in_many_writers_all_stand_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "sync_profiles.prom"
    names = [f"sync{number}" for number in range(12)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda name: MetricsFile(str(path))(finished(sync=name)), names))
    assert {sync for _, sync, _ in parse(path.read_text())} == set(names)


def test_a_skipped_run_leaves_the_file_alone(tmp_path: Path) -> None:
    MetricsFile(str(tmp_path / "sync_profiles.prom"))(finished(outcome="skipped"))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a_file").touch()
    path = tmp_path / "a_file" / "sync_profiles.prom"
    with caplog.at_level(logging.WARNING, "sync_profiles"):
        MetricsFile(str(path))(finished())
    assert len(caplog.messages) == 1
    assert str(path) in caplog.messages[0]


def test_a_draft_that_fails_leaves_the_old_file_whole(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "sync_profiles.prom"
    path.mkdir()  # a file cannot replace a folder
    MetricsFile(str(path))(finished())
    assert [found.name for found in tmp_path.iterdir() if not found.name.endswith(".lock")] == [path.name]
    assert len(caplog.messages) == 1


# --- pings ----------------------------------------------------------------------------------------------------------


class _Answers(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.append((self.path, body, dict(self.headers)))
        self.send_response(self.server.status)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def service(status: int = 200) -> Iterator[tuple[str, list[tuple[str, bytes, dict[str, str]]]]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    server.status, server.heard = status, []
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/ping/0d3f", server.heard
    finally:
        server.shutdown()
        server.server_close()


def test_a_ping_arrives_as_a_post_with_the_summary() -> None:
    with service() as (url, heard), pinging(url) as observe:
        observe(started())
        observe(finished(outcome="stopped", message="too many deletes"))
    assert [path for path, _, _ in heard] == ["/ping/0d3f/start", "/ping/0d3f/fail"]
    assert b"too many deletes" in heard[1][1]


@pytest.mark.parametrize("status", [302, 404, 500])
def test_only_2xx_counts_and_redirects_are_not_followed(status: int) -> None:
    with service(status) as (url, heard), pytest.raises(PingRefusedError):
        post(url, b"")
    assert len(heard) == 1


def test_a_password_of_netrc_is_not_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login app password hunter2\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with service() as (url, heard):
        post(url, b"")
    assert "Authorization" not in heard[0][2]


def test_a_service_that_is_away_is_a_warning_without_the_address(caplog: pytest.LogCaptureFixture) -> None:
    with service() as (url, _):
        pass
    with caplog.at_level(logging.WARNING, "sync_profiles"), pinging(url) as observe:
        observe(finished())
    assert caplog.messages == ["health-check ping failed: ConnectionError"]


# --- terminal -------------------------------------------------------------------------------------------------------


class Screen:
    """What a person has seen; to be asked when the block has ended."""

    text = ""


@contextmanager
def stderr_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Screen]:
    """Put a pseudo-terminal in the place of stderr."""
    seen = Screen()
    reader, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 140, 0, 0))
    with os.fdopen(terminal, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.delenv("NO_COLOR", raising=False)
        yield seen
    seen.text = b"".join(_everything(reader)).decode()
    os.close(reader)


def _everything(reader: int) -> Iterator[bytes]:
    with suppress(OSError):  # how Linux says that the other side is closed and all was read
        while chunk := os.read(reader, 65_536):
            yield chunk


def test_on_a_terminal_log_lines_and_the_closing_line_stand_on_lines_of_their_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with stderr_on_a_terminal(monkeypatch) as screen:
        configure("auto", 0)
        with on_terminal(color=False) as observe:
            assert observe is not None
            observe(started())
            observe(progress(600))
            ready().warning("two rows look odd")
            print("a result")
            observe(finished())
    assert "warning: two rows look odd\r\n" in screen.text
    assert "97 profiles sent in 1.9 s\r\n" in screen.text
    assert "a result" not in screen.text, "results belong to stdout, also while the bar is shown"
    assert capsys.readouterr().out == "a result\n"
