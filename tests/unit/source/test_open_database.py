"""What a database URL says before anything is connected."""

from __future__ import annotations

import builtins
import sys
from typing import Any

import pytest

from sync_profiles.errors import ConfigError
from sync_profiles.source.database import Database, open_database


def opened(url: str) -> Database:
    return open_database(url, statement_timeout_s=60)


@pytest.mark.parametrize(
    ("url", "label"),
    [
        ("postgres://ada:x@db.example/app", "postgresql app"),
        ("postgresql://ada:x@db.example/app", "postgresql app"),
        ("postgresql+psycopg2://ada:x@db.example/app?sslmode=require", "postgresql app"),
        ("postgresql://ada@db.example", "postgresql ada"),
        ("mysql://ada:x@db.example/app", "mysql app"),
        ("mariadb://ada:x@db.example/app", "mysql app"),
        ("mariadb+pymysql://ada:x@db.example/app", "mysql app"),
        ("sqlite:////var/lib/app/users.db", "sqlite users.db"),
    ],
)
def test_a_url_names_its_database_without_host_and_user(url: str, label: str) -> None:
    assert opened(url).identity()[1] == label


SAME = [
    ("postgres://a:b@DB.example/app", "postgresql://c:d@db.example:5432/app?sslmode=require"),
    ("mysql://a:b@db.example/app", "mariadb://a:c@db.example:3306/app"),
    ("sqlite:////tmp/users.db", "sqlite:////tmp/users.db?timeout=5"),
]
OTHER = [
    ("postgresql://db.example/app", "postgresql://db.example/other"),
    ("postgresql://db.example/app", "postgresql://db2.example/app"),
    ("postgresql://db.example/app", "postgresql://db.example:5433/app"),
    ("postgresql://db.example/app", "mysql://db.example:5432/app"),
    ("sqlite:////tmp/users.db", "sqlite:////tmp/other.db"),
]


@pytest.mark.parametrize(("one", "two"), SAME)
def test_a_database_is_the_same_whoever_logs_in(one: str, two: str) -> None:
    assert opened(one).identity() == opened(two).identity()


@pytest.mark.parametrize(("one", "two"), OTHER)
def test_another_database_is_another(one: str, two: str) -> None:
    assert opened(one).identity()[0] != opened(two).identity()[0]


def test_an_identity_holds_nothing_of_the_address() -> None:
    identity = opened("postgresql://ada:geheim@db.example/app").identity()
    assert not any(part in "".join(identity) for part in ("ada", "geheim", "db.example"))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "geheim",
        "oracle://ada:geheim@db/app",
        "postgresql+asyncpg://ada:geheim@db/app",
        "mysql://ada:geheim@db:port/app",
    ],
)
def test_a_url_that_is_none_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^source\.url: ") as caught:
        opened(url)
    assert "geheim" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert "postgresql://" in (caught.value.hint or "")


def test_without_pymysql_the_command_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == "pymysql":
            raise ModuleNotFoundError(name)
        return real_import(name, *rest)

    for name in [name for name in sys.modules if name.partition(".")[0] == "pymysql"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match="PyMySQL") as caught:
        opened("mysql://db/app")
    assert caught.value.hint == "pip install 'sync-profiles[mysql]'"
