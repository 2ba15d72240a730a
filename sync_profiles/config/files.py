"""Finding and reading the configuration's files: ``config.toml``, the ``.env`` and ``query_file``s beside it."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from sync_profiles.config.document import parse
from sync_profiles.config.model import Config
from sync_profiles.errors import ConfigError

_HINT = "write one with `sync-profiles init`, or copy config.example.toml to config.toml"
_OTHERS_READ = stat.S_IRGRP | stat.S_IROTH


def load(path: str | None, environ: Mapping[str, str]) -> Config:
    """Find, read and check the configuration.

    ``path`` is what ``--config`` said; without it ``$SYNC_PROFILES_CONFIG``, ``./config.toml``,
    ``$XDG_CONFIG_HOME/sync-profiles/config.toml`` and ``/etc/sync-profiles/config.toml`` are tried, in this order. A
    file that was named has to exist. ``environ`` wins over the ``.env`` beside the file.

    Raises ``ConfigError`` with every problem found.
    """
    file, content, mode = _first(_candidates(path, environ))
    return parse(
        _decoded(file, content),
        environ,
        path=str(file),
        dotenv=dotenv_variables(file.with_name(".env")),
        read_query=lambda name: file.parent.joinpath(name).read_text(encoding="utf-8-sig"),
        readable_by_others=stat.S_ISREG(mode) and bool(mode & _OTHERS_READ),
    )


def raw_text(path: str) -> str:
    """The text of a configuration file that was found before."""
    file, content, _ = _first([Path(path)])
    return _decoded(file, content)


def _candidates(path: str | None, environ: Mapping[str, str]) -> list[Path]:
    named = environ.get("SYNC_PROFILES_CONFIG") or None if path is None else path
    if named is not None:
        return [Path(named).expanduser()]
    places = [Path("config.toml")]
    home = environ.get("XDG_CONFIG_HOME", "")
    if not Path(home).is_absolute() and environ.get("HOME"):  # what the XDG rules say of an unset or a relative one
        home = f"{environ['HOME']}/.config"
    if Path(home).is_absolute():
        places.append(Path(home, "sync-profiles", "config.toml"))
    return [*places, Path("/etc/sync-profiles/config.toml")]


def _first(candidates: list[Path]) -> tuple[Path, bytes, int]:
    """The first file that exists, its content and mode."""
    for file in candidates:
        try:
            with file.open("rb") as opened:
                return file, opened.read(), os.fstat(opened.fileno()).st_mode
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise ConfigError(f"{file}: cannot be read: {error.strerror}", hint="look at its owner and mode") from error
    if len(candidates) == 1:
        raise ConfigError(f"{candidates[0]}: there is no such file", hint=_HINT)
    looked = ", ".join(map(str, candidates))
    raise ConfigError(f"no configuration found; looked at {looked}", hint=_HINT)


def _decoded(file: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{file}:{line}: not UTF-8 text", hint="save the file as UTF-8") from error


def dotenv_variables(file: Path) -> dict[str, str]:
    """The variables of an ``.env`` file, taken literally; nothing when there is none."""
    try:
        content = file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}", hint="look at its owner and mode") from error
    from dotenv import dotenv_values

    values = dotenv_values(stream=io.StringIO(_decoded(file, content)), interpolate=False)
    return {name: value for name, value in values.items() if value is not None}
