"""What of a configuration travels to a cluster: names of secrets, never a secret."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from sync_profiles import config as configuration
from sync_profiles.config import Config, Portable, portable, unpacked
from sync_profiles.errors import ConfigError

TEXT = """\
# token = "left0over0in0a0comment"
[source]
url = "postgresql://app:${DB_PASSWORD}@db/app"
[mixpanel]
token = "${TOKEN}"
project_id = 1
service_account = "robot"
service_secret = "never0needed0by0workers"
[state]
url = "${STATE_URL:-postgresql://state@db/state}"
[run]
healthcheck_url = "https://hc.example.com/a0secret0path"
[sync.users]
query_file = "users.sql"
primary_key = "id"
copy = ["plan"]
[sync.others]
table = "others"
copy = ["plan"]
"""
ENVIRON = {"DB_PASSWORD": "hunter2hunter2", "TOKEN": "t0k3n"}
QUERY = "SELECT id, '${not a variable}' AS plan FROM users"


def written(folder: Path, text: str = TEXT, environ: dict[str, str] = ENVIRON) -> Config:
    (folder / "config.toml").write_text(text, "utf-8")
    (folder / "users.sql").write_text(QUERY, "utf-8")
    return configuration.load(str(folder / "config.toml"), environ)


def packed(folder: Path, text: str = TEXT, environ: dict[str, str] = ENVIRON) -> Portable:
    config = written(folder, text, environ)
    return portable(config, config.syncs[0], environ)


def test_it_arrives_as_it_was_with_the_variables_of_there(tmp_path: Path) -> None:
    config = written(tmp_path)
    travelled = pickle.loads(pickle.dumps(packed(tmp_path)))
    arrived = unpacked(travelled, {"DB_PASSWORD": "other", "TOKEN": "t2"})
    assert arrived.source.url.reveal() == "postgresql://app:other@db/app"
    assert arrived.mixpanel.token.reveal() == "t2"
    (sync,) = arrived.syncs
    assert sync.query == config.syncs[0].query == QUERY
    assert sync.mapping == config.syncs[0].mapping
    assert arrived.state == config.state


def test_no_secret_travels_and_nothing_that_only_this_machine_needs(tmp_path: Path) -> None:
    flat = pickle.dumps(packed(tmp_path)).decode("latin-1")
    for secret in ("hunter2", "t0k3n", "never0needed", "a0secret0path", "left0over", "others"):
        assert secret not in flat


@pytest.mark.parametrize(
    ("before", "after", "place"),
    [
        ('"${TOKEN}"', '"abcdef"', "config.toml:5: mixpanel.token: is a secret"),
        ('"${TOKEN}"', '"${TOKEN:-abcdef}"', "config.toml:5: mixpanel.token: is a secret"),
        ("${DB_PASSWORD}", "swordfish", "config.toml:3: source.url: is a secret"),
        ("state@db", "state:swordfish@db", "config.toml:10: state.url: is a secret"),
    ],
)
def test_a_secret_in_the_file_itself_is_refused_with_its_place(
    tmp_path: Path, before: str, after: str, place: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        packed(tmp_path, TEXT.replace(before, after))
    (problem,) = refused.value.problems
    assert place in problem
    assert "swordfish" not in problem
    assert "abcdef" not in problem
    assert "${VARIABLE}" in str(refused.value.hint)


def test_a_machine_without_the_variable_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        unpacked(packed(tmp_path), {"TOKEN": "t"})
    assert refused.value.problems == (
        f"{tmp_path / 'config.toml'}:3: source.url: environment variable DB_PASSWORD is not set",
    )


def test_what_stands_in_the_env_file_is_enough_to_pack(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DB_PASSWORD=a\nTOKEN=b\n", "utf-8")
    found = packed(tmp_path, environ={})
    assert unpacked(found, ENVIRON).mixpanel.token.reveal() == "t0k3n"
