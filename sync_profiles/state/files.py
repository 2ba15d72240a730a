"""The files of the state: where they are, who may read them, and whether one was lost."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from sync_profiles.errors import ConfigError, GuardStop, StateError

APPLICATION = "sync-profiles"
FREE_BYTES_MIN = 20_000_000
"""A run does not start with less: the journal of its acknowledgements and SQLite's own log need room."""

MARKER_TEXT = """\
A state database of sync-profiles was created beside this file. When the database is missing while this file is here,
sync-profiles stops and says so, since it would otherwise send every profile again. `sync-profiles state reset` starts
over on purpose.
"""


def default_path(environ: Mapping[str, str]) -> Path:
    """Where the state lives when the configuration does not say: systemd's ``StateDirectory=``, else XDG's folder.

    ``$STATE_DIRECTORY`` may be a list separated by colons (systemd.exec): the first entry counts. A relative
    ``$XDG_STATE_HOME`` is ignored, as the XDG specification asks.
    """
    first = environ.get("STATE_DIRECTORY", "").split(":")[0]
    if first:
        return Path(first) / "state.db"
    xdg = environ.get("XDG_STATE_HOME", "")
    if xdg and Path(xdg).is_absolute():
        return Path(xdg) / APPLICATION / "state.db"
    import platformdirs

    return Path(platformdirs.user_state_path(APPLICATION, appauthor=False)) / "state.db"


def is_server(url_or_path: str | Path) -> bool:
    """Whether the state is kept by a PostgreSQL server, and not in a file."""
    return str(url_or_path).split("://")[0].split("+")[0] in {"postgresql", "postgres"}


def path_of(url_or_path: str | Path) -> Path:
    """The file behind a path or a SQLite URL (``sqlite:////absolute``, ``sqlite:///relative``)."""
    text = str(url_or_path)
    if "://" not in text:
        return Path(text)
    parts = urlsplit(text)
    if parts.scheme.split("+")[0] != "sqlite":
        raise ConfigError("[state] url: SQLite and PostgreSQL are supported: sqlite:////var/lib/sync-profiles/state.db")
    name = unquote(parts.path[1:])
    if parts.netloc or name in {"", ":memory:"}:
        raise ConfigError("[state] url: a file is needed: sqlite:////var/lib/sync-profiles/state.db")
    return Path(name)


class StateFiles:
    """The database file and what stands beside it: SQLite's log, the marker against silent loss, the locks."""

    def __init__(self, database: Path) -> None:
        self.database = database
        self.marker = self._beside(".marker")

    def lock(self, sync: str) -> Path:
        """The lock of one sync; a name that is no file name is quoted like a URL."""
        return self._beside(f".{quote(sync, safe='')}.lock")

    @property
    def has_database(self) -> bool:
        """Whether there is anything in the database file."""
        with _as_state_error(self.database):
            return self.database.exists() and self.database.stat().st_size > 0

    @property
    def is_cut_short(self) -> bool:
        """Whether the file ends within a page, which SQLite would take for one of zeros.

        With a log beside it the file may just be growing. The page size is at 16 (sqlite.org/fileformat.html, 1.3).
        """
        with _as_state_error(self.database):
            log = self._beside("-wal")
            if not self.has_database or (log.exists() and log.stat().st_size):
                return False
            with self.database.open("rb") as file:
                page_size = int.from_bytes(file.read(18)[16:], "big")
            known = page_size in {1, *(1 << power for power in range(9, 16))}
            return known and self.database.stat().st_size % (65536 if page_size == 1 else page_size) != 0

    def refuse_loss(self) -> None:
        """Raise ``GuardStop`` when a state was here once and is gone, instead of starting from nothing."""
        with _as_state_error(self.marker):
            lost = self.marker.exists()
        if lost:
            raise GuardStop(
                f"the state {self.database} is lost: it is empty or missing, but it was created before",
                hint="restore it from a backup, or run `sync-profiles state reset`; "
                "the next run then sends every profile again",
            )

    def prepare(self) -> None:
        """Make the folder (0700) and an empty database file (0600) where there is none, and check the free space."""
        with _as_state_error(self.database):
            self.database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self.database, os.O_RDWR | os.O_CREAT, 0o600))
        self.protect()
        self._check_space()

    def _check_space(self) -> None:
        with _as_state_error(self.database):
            free = shutil.disk_usage(self.database.parent).free
        if free < FREE_BYTES_MIN:
            raise StateError(
                f"only {free // 1_000_000} MB are free beside the state {self.database}",
                hint=f"free some space; {FREE_BYTES_MIN // 1_000_000} MB are needed to begin",
            )

    def protect(self) -> None:
        """Let only the owner read and write the state, whoever created its files."""
        for path in (self.database, self._beside("-wal"), self._beside("-shm")):
            with _as_state_error(path):
                if path.exists() and path.stat().st_mode & 0o077:
                    path.chmod(0o600)

    def mark(self) -> None:
        """Leave the marker; called once the database can be used."""
        with _as_state_error(self.marker):
            if not self.marker.exists():
                self.marker.write_text(MARKER_TEXT, encoding="utf-8")

    def set_aside(self, now: float) -> Path | None:
        """Take the state away: rename its database, drop the marker; returns the new name, None when there was none.

        The marker goes last, so that a crash in between is noticed.
        """
        kept = self._beside(f".{int(now)}.kept") if self.has_database else None
        with _as_state_error(self.database):
            for suffix in ("-wal", "-shm", ""):
                path = self._beside(suffix)
                if kept is not None and path.exists():
                    path.replace(kept.with_name(kept.name + suffix))
                path.unlink(missing_ok=True)
            self.marker.unlink(missing_ok=True)
        return kept

    def _beside(self, suffix: str) -> Path:
        return self.database.with_name(self.database.name + suffix)


@contextmanager
def _as_state_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StateError(
            f"cannot use the state {path}: {error.strerror or type(error).__name__}",
            hint="the folder and the files in it must belong to the user who runs sync-profiles",
        ) from error
