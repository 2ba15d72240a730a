"""The files of a configuration: where it is looked for, the .env beside it, and the example that is shipped."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from sync_profiles.config import Secret, json_schema, load, parse
from sync_profiles.config.settings import PROPERTY, SECTIONS, SYNC, SYNC_MAPPING
from sync_profiles.errors import ConfigError

TEXT = """\
[source]
url = "${DATABASE_URL}"
[mixpanel]
token = "${MIXPANEL_TOKEN}"
[sync.NAME]
table = "users"
copy = ["plan"]
"""
ENVIRON = {"DATABASE_URL": "sqlite:///app.db", "MIXPANEL_TOKEN": "token-of-project"}
EXAMPLE = Path(__file__).parents[2] / "config.example.toml"


def write(file: Path, name: str = "users") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(TEXT.replace("NAME", name), encoding="utf-8")
    return file


def failure(path: str | None, environ: dict[str, str]) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(path, environ)
    return caught.value


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_a_file_is_looked_for_in_the_documented_order(here: Path, tmp_path: Path) -> None:
    environ = {**ENVIRON, "XDG_CONFIG_HOME": str(tmp_path / "xdg"), "HOME": str(tmp_path / "home")}
    environ["SYNC_PROFILES_CONFIG"] = str(write(tmp_path / "variable.toml", "variable"))
    flag = write(tmp_path / "flag.toml", "flag")
    write(here / "config.toml", "here")
    write(tmp_path / "xdg/sync-profiles/config.toml", "xdg")
    write(tmp_path / "home/.config/sync-profiles/config.toml", "home")

    def found(path: str | None) -> tuple[str, str]:
        config = load(path, environ)
        return config.syncs[0].name, config.path

    assert found(str(flag)) == ("flag", str(flag))
    assert found(None) == ("variable", environ.pop("SYNC_PROFILES_CONFIG"))
    assert found(None) == ("here", "config.toml")
    (here / "config.toml").unlink()
    assert found(None)[0] == "xdg"
    del environ["XDG_CONFIG_HOME"]
    assert found(None)[0] == "home"


def test_where_nothing_is_found_every_place_is_named_and_a_cure(here: Path, tmp_path: Path) -> None:
    error = failure(None, {"XDG_CONFIG_HOME": str(tmp_path)})

    assert f"config.toml, {tmp_path}/sync-profiles/config.toml, /etc/sync-profiles/config.toml" in str(error)
    assert error.hint is not None
    assert "sync-profiles init" in error.hint
    assert "config.example.toml" in error.hint


@pytest.mark.parametrize("by", ["flag", "variable"])
def test_a_file_that_was_named_has_to_exist(here: Path, by: str) -> None:
    write(here / "config.toml")
    error = failure("other.toml", {}) if by == "flag" else failure(None, {"SYNC_PROFILES_CONFIG": "other.toml"})

    assert str(error) == "other.toml: there is no such file"


def test_a_file_that_cannot_be_read_is_an_error_with_the_reason(here: Path) -> None:
    assert str(failure(str(here), {})) == f"{here}: cannot be read: Is a directory"

    (here / "config.toml").symlink_to("config.toml")
    assert str(failure(None, {})) == "config.toml: cannot be read: Too many levels of symbolic links"


def test_a_file_that_is_not_utf8_is_named_with_its_line(here: Path) -> None:
    (here / "config.toml").write_bytes(b"# one\n# caf\xe9\n")

    assert str(failure(None, {})) == "config.toml:2: not UTF-8 text"


def test_a_byte_order_mark_and_windows_line_ends_are_read(here: Path) -> None:
    text = TEXT.replace("NAME", "users").replace("copy", "cpy").replace("\n", "\r\n")
    (here / "config.toml").write_bytes(b"\xef\xbb\xbf" + text.encode())

    assert "config.toml:7: sync.users.cpy: unknown key" in str(failure(None, ENVIRON))


def test_a_config_may_come_through_a_pipe(here: Path) -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, TEXT.replace("NAME", "users").encode())
    os.close(write_end)
    try:
        config = load(f"/dev/fd/{read_end}", ENVIRON)
    finally:
        os.close(read_end)

    assert config.syncs[0].name == "users"


def test_dotenv_beside_the_file_is_read_literally_and_the_environment_wins(here: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "etc/config.toml")
    (here / ".env").write_text("MIXPANEL_TOKEN=of-the-working-directory\n")
    (file.parent / ".env").write_text(
        "export DATABASE_URL='postgresql://app:pa$$word${HOME}@db/app'\nMIXPANEL_TOKEN=beside # a note\nBARE\n"
    )

    config = load(str(file), {})
    assert config.source.url == Secret("postgresql://app:pa$$word${HOME}@db/app")
    assert config.mixpanel.token == Secret("beside")
    assert config.origins["mixpanel.token"] == ".env MIXPANEL_TOKEN"

    config = load(str(file), {"MIXPANEL_TOKEN": "real"})
    assert config.mixpanel.token == Secret("real")
    assert config.origins["mixpanel.token"] == "environment MIXPANEL_TOKEN"


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda file: file.write_bytes(b"A=1\nB=\xff\n"), ".env:2: not UTF-8 text"),
        (lambda file: file.mkdir(), ".env: cannot be read: Is a directory"),
    ],
)
def test_a_dotenv_that_cannot_be_read_is_an_error(here: Path, make: Any, problem: str) -> None:
    write(here / "config.toml")
    make(here / ".env")

    assert str(failure(None, ENVIRON)) == problem


def test_a_query_file_is_relative_to_the_config_file(here: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "etc/config.toml")
    file.write_text(file.read_text().replace('table = "users"', 'query_file = "users.sql"\nprimary_key = "id"'))
    (file.parent / "users.sql").write_bytes("\ufeffSELECT 'ü' AS id\n".encode())

    assert load(str(file), ENVIRON).syncs[0].query == "SELECT 'ü' AS id\n"
    (file.parent / "users.sql").unlink()
    assert "sync.users.query_file: cannot be read: No such file or directory" in str(failure(str(file), ENVIRON))


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, True), (0o604, True), (0o644, True)])
def test_a_literal_secret_is_warned_of_where_others_can_read_the_file(here: Path, mode: int, warned: bool) -> None:
    file = write(here / "config.toml")
    file.write_text(file.read_text().replace("${MIXPANEL_TOKEN}", "abc"))
    file.chmod(mode)

    warnings = load(None, ENVIRON).warnings
    assert bool(warnings) is warned
    assert not any("abc" in warning for warning in warnings)


# --- the example that is shipped -----------------------------------------------------------------------------------

COMMENTED = re.compile(r'^#(?=["$\w]+ = |\[)', re.MULTILINE)


def uncommented() -> str:
    return COMMENTED.sub("", EXAMPLE.read_text(encoding="utf-8"))


def test_the_example_loads_with_the_two_variables_it_names() -> None:
    config = load(str(EXAMPLE), ENVIRON)

    assert [each.name for each in config.syncs] == ["users"]
    assert config.warnings == ()
    jsonschema.validate(tomllib.loads(EXAMPLE.read_text()), json_schema())


def test_the_example_with_everything_switched_on_is_valid() -> None:
    environ = {**ENVIRON, "MIXPANEL_SERVICE_ACCOUNT": "robot", "MIXPANEL_SERVICE_SECRET": "s"}
    config = parse(
        uncommented(), environ, path="config.toml", read_query=lambda name: "SELECT 1", readable_by_others=True
    )

    assert [each.name for each in config.syncs] == ["users", "members", "companies"]
    assert config.warnings == ()
    jsonschema.validate(tomllib.loads(uncommented()), json_schema())


def test_the_example_names_every_key_there_is() -> None:
    document = tomllib.loads(uncommented())
    syncs = document["sync"].values()

    for name, settings in SECTIONS.items():
        assert document[name].keys() == {setting.key for setting in settings}
    assert {key for sync in syncs for key in sync} == {*(setting.key for setting in SYNC), *SYNC_MAPPING}
    sources = [source for source in document["sync"]["users"]["set"].values() if isinstance(source, dict)]
    assert {key for source in sources for key in source} == {setting.key for setting in PROPERTY}


def test_the_defaults_that_the_example_shows_are_the_defaults() -> None:
    document = tomllib.loads(uncommented())
    tables = [(document[name], settings) for name, settings in SECTIONS.items()] + [(document["sync"]["users"], SYNC)]
    shown = {
        setting.key: (setting.form.read(table[setting.key]), setting.default)
        for table, settings in tables
        for setting in settings
        if setting.default not in (None, ()) and setting.key in table
    }

    assert {key: value for key, (value, _) in shown.items()} == {key: default for key, (_, default) in shown.items()}
    assert "full_every" in shown


def test_loading_a_configuration_brings_in_neither_a_database_nor_http() -> None:
    """``--help`` and completion stay quick: the heavy libraries come with the commands that need them."""
    code = (
        "import sys; from sync_profiles.config import load;"
        "load(sys.argv[1], dict(pair.split('=', 1) for pair in sys.argv[2:]));"
        "print([m for m in ('sqlalchemy', 'requests', 'rich', 'psycopg2', 'click') if m in sys.modules])"
    )
    arguments = [f"{name}={value}" for name, value in ENVIRON.items()]
    done = subprocess.run([sys.executable, "-c", code, EXAMPLE, *arguments], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
