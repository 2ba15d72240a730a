"""Where the state lives, worked out from names alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from sync_profiles.errors import ConfigError
from sync_profiles.state.files import StateFiles, default_path, path_of


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"STATE_DIRECTORY": "/var/lib/sync-profiles"}, "/var/lib/sync-profiles/state.db"),
        ({"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}, "/var/lib/a/state.db"),
        ({"STATE_DIRECTORY": "/var/lib/a", "XDG_STATE_HOME": "/x"}, "/var/lib/a/state.db"),
        ({"XDG_STATE_HOME": "/x"}, "/x/sync-profiles/state.db"),
        ({"STATE_DIRECTORY": "", "XDG_STATE_HOME": "/x"}, "/x/sync-profiles/state.db"),
    ],
)
def test_the_place_follows_the_environment(environ: dict[str, str], expected: str) -> None:
    assert default_path(environ) == Path(expected)


@pytest.mark.parametrize("xdg", ["", "relative"])
def test_without_a_usable_variable_it_is_the_users_own_folder(monkeypatch: pytest.MonkeyPatch, xdg: str) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    found = default_path({"XDG_STATE_HOME": xdg})
    assert found.is_relative_to("/home/somebody")
    assert found.parts[-2:] == ("sync-profiles", "state.db")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:////var/lib/s/state.db", "/var/lib/s/state.db"),
        ("sqlite:///state.db", "state.db"),
        ("sqlite+pysqlite:////a/state.db", "/a/state.db"),
        ("sqlite:////a%20b/state.db", "/a b/state.db"),
        ("/var/lib/s/state.db", "/var/lib/s/state.db"),
    ],
)
def test_a_url_names_a_file(url: str, expected: str) -> None:
    assert path_of(url) == Path(expected)


@pytest.mark.parametrize(
    "url", ["postgresql://user:secret@host/db", "sqlite://", "sqlite:///:memory:", "sqlite://host/x"]
)
def test_what_is_no_file_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        path_of(url)
    assert refusal.value.problems[0].startswith("[state] url: ")
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("sync", "name"), [("users", "state.db.users.lock"), ("a/b", "state.db.a%2Fb.lock"), ("ü", "state.db.%C3%BC.lock")]
)
def test_each_sync_has_a_lock_beside_the_database(sync: str, name: str) -> None:
    assert StateFiles(Path("/s/state.db")).lock(sync) == Path("/s") / name
