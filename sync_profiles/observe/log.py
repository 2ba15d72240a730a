"""Log lines on stderr: plain text for people, ``key=value`` for files, JSON for machines.

A line is masked when it is written, after formatting, so that a traceback or a driver's message passes the same net as
our own words.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, TextIO, TypeAlias

import msgspec

from sync_profiles.core.events import Event, Progress, RowRejected, RunFinished, RunStarted, Warned
from sync_profiles.observe.redact import redact
from sync_profiles.observe.report import closing_line

LogFormat: TypeAlias = Literal["auto", "text", "json"]

NAMED_ROWS_MAX = 20
"""Rejected rows that a run names one by one; the others are counted in one line."""

PROGRESS_EVERY_S = 60.0
"""How often a run without a progress bar says how far it is (with ``-v``)."""

_OURS = "sync_profiles"
_LEVELS = {
    "ok": logging.INFO,
    "skipped": logging.INFO,
    "rejected": logging.WARNING,
    "deferred": logging.WARNING,
    "stopped": logging.ERROR,
    "failed": logging.ERROR,
}


def configure(log_format: LogFormat, verbosity: int, *, quiet: bool = False, stream: TextIO | None = None) -> None:
    """Send log lines to ``stream`` (None: stderr as it is when a line is written); a second call replaces the first.

    Warnings and errors by default, ``verbosity`` 1 adds what happens, 2 adds details, ``quiet`` leaves errors only.
    Other libraries are heard from WARNING up whatever the verbosity: below it SQLAlchemy logs values of rows.
    """
    out = logging.StreamHandler(stream) if stream is not None else _Stderr()
    out.setFormatter(_formatter(log_format, is_terminal=(stream or sys.stderr).isatty()))
    root = logging.getLogger()
    for former in [one for one in root.handlers if isinstance(one.formatter, _FORMATTERS)]:
        root.removeHandler(former)
    root.addHandler(out)
    root.setLevel(logging.WARNING)
    logging.getLogger(_OURS).setLevel(level(verbosity, quiet=quiet))
    logging.captureWarnings(capture=True)


def ready() -> logging.Logger:
    """The program's logger; set up plainly when ``configure`` was not called yet."""
    if not any(isinstance(one.formatter, _FORMATTERS) for one in logging.getLogger().handlers):
        configure("auto", 0)
    return logging.getLogger(_OURS)


def level(verbosity: int, *, quiet: bool) -> int:
    """The lowest level that is written."""
    if quiet:
        return logging.ERROR
    return (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbosity, 2)]


class LogObserver:
    """Logs the start, the warnings, the rejected rows and the end of each run; names rows by key, never by value.

    ``closing`` False leaves the last line to somebody else (the progress bar on a terminal has one of its own).
    """

    def __init__(self, *, closing: bool = True, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._log = logging.getLogger(_OURS)
        self._closing = closing
        self._monotonic = monotonic
        self._run: str | None = None
        self._stage: str | None = None
        self._rejected = 0
        self._progress_at = 0.0

    def __call__(self, event: Event) -> None:
        """Log one event."""
        match event:
            case RunStarted():
                self._started(event)
            case Progress():
                self._progress(event)
            case RowRejected():
                self._row(event)
            case Warned(sync, code, message):
                self._write(logging.WARNING, f"{sync}: {message}", sync=sync, code=code)
            case RunFinished():
                self._finished(event)

    def _started(self, event: RunStarted) -> None:
        self._run, self._stage, self._rejected, self._progress_at = event.run, "start", 0, self._monotonic()
        text = f"{event.sync}: started, detection {event.detection}: {event.why}"
        self._write(logging.INFO, text, sync=event.sync, detection=event.detection)

    def _progress(self, event: Progress) -> None:
        self._stage = event.stage
        now = self._monotonic()
        if now - self._progress_at < PROGRESS_EVERY_S:
            return
        self._progress_at = now
        counts = {name: getattr(event, name) for name in ("scanned", "unchanged", "sent", "rejected", "in_flight")}
        text = f"{event.sync}: {event.stage}, {event.scanned:,} scanned, {event.sent:,} sent"
        self._write(logging.INFO, text, sync=event.sync, **counts)

    def _row(self, event: RowRejected) -> None:
        self._rejected += 1
        if self._rejected <= NAMED_ROWS_MAX:
            text = f"{event.sync}: row {event.key} rejected: {event.reason}"
            self._write(logging.WARNING, text, sync=event.sync, key=event.key, code=event.code)

    def _finished(self, event: RunFinished) -> None:
        summary = event.summary
        self._run, self._stage = summary.run, "end"
        unnamed = self._rejected - NAMED_ROWS_MAX
        if unnamed > 0:
            text = f"{summary.sync}: {unnamed:,} more rows rejected; see `sync-profiles rejected {summary.sync}`"
            self._write(logging.WARNING, text, sync=summary.sync, rows=unnamed)
        if self._closing:
            # The line has the counts for people; the fields have them for machines.
            fields = {name: value for name, value in msgspec.structs.asdict(summary).items() if name not in _NOT_FIELDS}
            fields["exit_code"] = event.exit_code
            self._write(_LEVELS[summary.outcome], closing_line(summary), **fields, hint=event.hint)
        self._run, self._stage, self._rejected = None, None, 0

    def _write(self, severity: int, text: str, **fields: object) -> None:
        self._log.log(severity, "%s", text, extra={"fields": {"run": self._run, "stage": self._stage, **fields}})


_NOT_FIELDS = {"message", "run", "schema"}


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to the stderr of the moment: a progress bar puts itself in its place while it is shown."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]  # the base class stores it once, which is what must not be
        return sys.stderr


def _formatter(log_format: LogFormat, *, is_terminal: bool) -> logging.Formatter:
    if log_format == "json":
        return _JsonLines()
    return _Text() if log_format == "text" or is_terminal else _Pairs()


class _Text(logging.Formatter):
    """``warning: users: row 7 rejected: ...``; what is merely told has no prefix."""

    def format(self, record: logging.LogRecord) -> str:
        prefix = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        return "\n".join([prefix + redact(record.getMessage()), *(redact(part) for part in self._appendix(record))])

    def _appendix(self, record: logging.LogRecord) -> Iterator[str]:
        if hint := _fields(record).get("hint"):
            yield f"hint: {hint}"
        if record.exc_info:
            yield self.formatException(record.exc_info)


class _Pairs(logging.Formatter):
    """``time=2026-11-24T10:07:00Z level=warning msg="users: ..." run=01J... sync=users``: one line each, for grep."""

    def format(self, record: logging.LogRecord) -> str:
        return " ".join(f"{name}={_quoted(value)}" for name, value in _columns(record, self.formatException))


class _JsonLines(logging.Formatter):
    """One JSON object a line: ``time``, ``level``, ``msg``, then the fields."""

    def format(self, record: logging.LogRecord) -> str:
        return msgspec.json.encode(dict(_columns(record, self.formatException))).decode()


_FORMATTERS = (_Text, _Pairs, _JsonLines)
"""How ``configure`` recognises what an earlier call installed."""


def _columns(
    record: logging.LogRecord, format_exception: Callable[[Any], str]
) -> Iterable[tuple[str, str | int | float | bool]]:
    """Name and masked value of everything a record holds; what is None is left out."""
    yield "time", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
    yield "level", record.levelname.lower()
    yield "msg", redact(record.getMessage())
    for name, value in _fields(record).items():
        if isinstance(value, bool | int | float):
            yield name, value
        elif value is not None:
            yield name, redact(str(value))
    if record.exc_info:
        yield "traceback", redact(format_exception(record.exc_info))


def _fields(record: logging.LogRecord) -> dict[str, object]:
    fields: dict[str, object] = getattr(record, "fields", {})
    return fields


def _quoted(value: object) -> str:
    """A value of a pair: bare when it is one plain word, else as a JSON string, which keeps it on one line."""
    text = str(value)
    if text and all(char.isalnum() or char in "-_.:/+*" for char in text):
        return text
    return msgspec.json.encode(text).decode()
