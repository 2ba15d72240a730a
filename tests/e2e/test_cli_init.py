"""``sync-profiles init`` as people meet it: from an empty folder, with every mistake that is made on the first day."""

from __future__ import annotations

import socket
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import TOKEN, Outcome, Workplace, on_terminal, working
from servers import LiveDatabase, Servers, labels

USERS = "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT, password TEXT, plan TEXT)"


@pytest.fixture
def empty(place: Workplace) -> Workplace:
    """A folder with nothing in it, and nothing in the environment but the state's place."""
    return emptied(place)


def emptied(place: Workplace) -> Workplace:
    place.config.unlink()
    for name in ("DATABASE_URL", "MIXPANEL_TOKEN"):
        del place.environ[name]
    return Newcomer(place.folder, place.database, place.sandbox, place.environ)


class Newcomer(Workplace):
    """A workplace whose secrets are not in its environment yet."""

    def check_discreet(self, text: str) -> None:
        assert TOKEN not in text
        assert "Traceback" not in text, text

    @property
    def dotenv(self) -> Path:
        return self.folder / ".env"

    def init(self, *arguments: str, code: int | None = 0, url: str | None = None, **environ: str) -> Outcome:
        return self.run(
            "--log-format", "text", "init", "--url", url or self.database.url, *arguments, code=code, **environ
        )

    def refused(self, *arguments: str, code: int = 2, url: str | None = None) -> str:
        """An init that fails writes nothing; what it says."""
        before = sorted(self.folder.iterdir())
        outcome = self.init(*arguments, code=code, url=url)
        assert sorted(self.folder.iterdir()) == before
        return outcome.err

    def sync(self, name: str = "users") -> dict[str, object]:
        """What is proposed for a table."""
        found = tomllib.loads(self.config.read_text("utf-8"))["sync"][name]
        assert isinstance(found, dict)
        return found


# --- from an empty folder ------------------------------------------------------------------------------------------


def test_four_commands_lead_from_an_empty_folder_to_profiles_and_each_says_what_is_next(empty: Newcomer) -> None:
    empty.database.execute(USERS, "INSERT INTO users VALUES (1, 'a@example.com', 'hunter2', 'pro')")
    first = empty.init()
    assert first.out.splitlines()[-1] == (
        "Next: fill in MIXPANEL_TOKEN=… in .env, read config.toml, then `sync-profiles check`."
    )
    assert stat.S_IMODE(empty.dotenv.stat().st_mode) == 0o600
    assert empty.run("check", code=78).out.count("error") == 2  # the finding and the line that counts it

    empty.dotenv.write_text(empty.dotenv.read_text().replace("MIXPANEL_TOKEN=", f"MIXPANEL_TOKEN={TOKEN}"))
    text = empty.config.read_text("utf-8")
    empty.config.write_text(text.replace("[mixpanel]", f'[mixpanel]\nbase_url = "{empty.sandbox.url}"'), "utf-8")
    assert "Next: `sync-profiles preview" in empty.run("check").out
    empty.run("run")
    assert empty.sandbox.profiles == {"1": {"$email": "a@example.com", "plan": "pro"}}


def test_the_url_of_the_environment_is_taken_and_not_written_down(empty: Newcomer) -> None:
    empty.database.execute(USERS)
    outcome = empty.run("init", DATABASE_URL=empty.database.url, MIXPANEL_TOKEN=TOKEN)
    assert outcome.out.splitlines()[-1] == "Next: read config.toml, then `sync-profiles check`."
    assert empty.database.url not in empty.dotenv.read_text()
    assert "#DATABASE_URL=" in empty.dotenv.read_text()


def test_a_url_that_runs_will_not_use_is_told(empty: Newcomer) -> None:
    empty.database.execute(USERS)
    outcome = empty.init(DATABASE_URL="postgresql://elsewhere/app")
    assert "DATABASE_URL of the environment is another address" in outcome.err
    assert f"DATABASE_URL='{empty.database.url}'" in empty.dotenv.read_text()


def test_without_a_url_and_a_terminal_it_says_what_it_needs(empty: Newcomer) -> None:
    outcome = empty.run("--log-format", "text", "init", code=2)
    assert "no database is named: DATABASE_URL is not set" in outcome.err
    assert "--url postgresql://user@host/name" in outcome.err


def test_another_output_has_its_env_beside_it_and_the_next_command_finds_it(empty: Newcomer) -> None:
    empty.database.execute(USERS)
    (empty.folder / "etc").mkdir()
    outcome = empty.init("--output", "etc/users.toml")
    assert "`sync-profiles -c etc/users.toml check`" in outcome.out
    assert (empty.folder / "etc" / ".env").exists()
    assert not empty.config.exists()
    assert "there is no folder nowhere" in empty.refused("--output", "nowhere/users.toml")


# --- files that are there ------------------------------------------------------------------------------------------


def test_a_configuration_is_replaced_only_when_that_is_asked_for(empty: Newcomer) -> None:
    empty.database.execute(USERS)
    empty.config.write_text("mine")
    assert "config.toml exists already" in empty.refused()
    assert empty.config.read_text() == "mine"
    empty.init("--force")
    assert empty.sync()["table"] == "users"


@pytest.mark.parametrize("force", [(), ("--force",)])
def test_an_env_is_never_touched_and_its_missing_lines_are_named(empty: Newcomer, force: tuple[str, ...]) -> None:
    empty.database.execute(USERS)
    empty.dotenv.write_text("OTHER=1\n")
    outcome = empty.init(*force)
    assert empty.dotenv.read_text() == "OTHER=1\n"
    last = outcome.out.splitlines()[-1]
    assert ".env was there and is as it was; write DATABASE_URL=… and MIXPANEL_TOKEN=… into it" in last


def test_the_url_of_an_env_that_is_there_is_taken(empty: Newcomer) -> None:
    empty.database.execute(USERS)
    empty.dotenv.write_text(f"DATABASE_URL={empty.database.url}\n")
    outcome = empty.run("init")
    assert "write MIXPANEL_TOKEN=… into it" in outcome.out


# --- mistakes in the address ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgre://u:hunter2@h/d", '--url: "postgre://" is not supported\nhint: write postgresql://'),
        ("oracle://u:hunter2@h/d", '--url: "oracle://" is not supported'),
        ("users.db", "--url: is not a database URL"),
        ("postgresql://u:hunter2@h:port/d", "--url: is not a database URL"),
        ("sqlite:///nobody.db", "--url: there is no SQLite file"),
        ("sqlite://", "--url: there is no SQLite file"),
    ],
)
def test_a_mistake_in_the_url_is_named_without_its_password(empty: Newcomer, url: str, words: str) -> None:
    said = empty.refused(code=78, url=url)
    assert f"error: {words}" in said
    assert "hunter2" not in said


def test_a_relative_sqlite_path_is_written_in_full_because_cron_starts_elsewhere(empty: Newcomer) -> None:
    empty.database.execute(USERS)
    (empty.folder / "app.db").write_bytes(Path(empty.database.url.removeprefix("sqlite:///")).read_bytes())
    empty.init(url="sqlite:///app.db")
    assert f"DATABASE_URL='sqlite:///{empty.folder}/app.db'" in empty.dotenv.read_text()
    outcome = empty.run("init", "--force", DATABASE_URL="sqlite:///app.db")
    assert "another address" not in outcome.err


def test_a_file_that_is_no_database_is_a_plain_error(empty: Newcomer) -> None:
    (empty.folder / "app.db").write_text("not a database, just a text that is long enough to have a header" * 9)
    assert "file is not a database" in empty.refused(code=78, url="sqlite:///app.db")


def test_a_database_that_is_away_is_temporary(empty: Newcomer) -> None:
    with socket.socket() as bound:  # bound but not listening: refused, and nobody else gets the port
        bound.bind(("127.0.0.1", 0))
        said = empty.refused(code=75, url=f"postgresql://u:hunter2@127.0.0.1:{bound.getsockname()[1]}/d")
    assert "is the server running, and are host and port right in --url?" in said


# --- PostgreSQL ----------------------------------------------------------------------------------------------------


@pytest.fixture
def on_postgres(tmp_path: Path, servers: Servers) -> Iterator[Newcomer]:
    """One version: what differs between them is no matter of a command."""
    with servers.get(labels("postgres")[0]).fresh_database() as database, working(tmp_path, database) as place:
        yield emptied(place)


def as_role(database: LiveDatabase, name: str, password: str) -> str:
    return database.url.replace("postgres@", f"{name}:{password}@")


def test_rights_are_named_for_what_they_are(on_postgres: Newcomer) -> None:
    database = on_postgres.database
    database.execute(
        "DROP ROLE IF EXISTS init_reader",
        "CREATE ROLE init_reader LOGIN PASSWORD 'hunter2'",
        USERS,
        "CREATE TABLE customers (id integer PRIMARY KEY, name text, token text)",
    )
    said = on_postgres.refused(code=77, url=as_role(database, "init_reader", "wr0ng"))
    assert "password authentication failed" in said
    assert "are user and password right in --url" in said
    assert "wr0ng" not in said
    assert "there is no table that this user may read" in on_postgres.refused(
        url=as_role(database, "init_reader", "hunter2")
    )
    said = on_postgres.refused("--table", "users", code=77, url=as_role(database, "init_reader", "hunter2"))
    assert "GRANT SELECT ON users" in said
    database.execute("GRANT SELECT (id, name) ON customers TO init_reader")
    assert "customers" in on_postgres.init(url=as_role(database, "init_reader", "hunter2")).out
    assert on_postgres.sync("customers")["set"] == {"$name": "name"}
    database.execute("DROP OWNED BY init_reader", "DROP ROLE init_reader")


def test_no_such_database_is_the_names_fault(on_postgres: Newcomer) -> None:
    said = on_postgres.refused(code=78, url=on_postgres.database.url + "_nobody")
    assert "does not exist" in said
    assert "is the name of the database right in --url?" in said


def test_a_table_of_another_schema_is_found_named_and_proposed(on_postgres: Newcomer) -> None:
    on_postgres.database.execute(
        'CREATE SCHEMA "App"',
        'CREATE TABLE "App".users (id bigint PRIMARY KEY, email text)',
        "INSERT INTO \"App\".users VALUES (1, 'a@example.com')",
        "CREATE TABLE logs (line text)",
    )
    assert "there is one elsewhere: --table App.users" in on_postgres.refused("--table", "users")
    assert 'no "user" in the schema "App"; did you mean "users"?' in on_postgres.refused("--table", "App.user")
    assert "App.users, 1 row" in on_postgres.init().out
    assert on_postgres.sync()["schema"] == "App"
    on_postgres.init("--table", "App.users", "--force")
    outcome = on_postgres.run("preview", "--json", MIXPANEL_TOKEN=TOKEN)
    assert "a@example.com" in outcome.out


def test_a_view_with_reserved_words_is_read_by_what_looks_like_its_key(on_postgres: Newcomer) -> None:
    on_postgres.database.execute(
        'CREATE TABLE "user" (id integer PRIMARY KEY, "order" integer, "Group" text, "from" text)',
        "INSERT INTO \"user\" VALUES (7, 1, 'a', 'b')",
        'CREATE VIEW "select" AS SELECT * FROM "user"',
    )
    on_postgres.init("--table", "select")
    assert on_postgres.sync("select")["primary_key"] == "id"
    assert on_postgres.sync("select")["copy"] == ["order", "Group", "from"]
    assert '"Group":"a"' in on_postgres.run("preview", "--json", MIXPANEL_TOKEN=TOKEN).out


# --- the table -----------------------------------------------------------------------------------------------------


def test_an_unknown_table_has_its_near_names_told(empty: Newcomer) -> None:
    empty.database.execute(USERS)
    assert 'there is no table "usrs"; did you mean "users"?' in empty.refused("--table", "usrs")
    assert "(there is: users)" in empty.refused("--table", "orders")


def test_two_likely_tables_are_listed_and_none_is_taken(empty: Newcomer) -> None:
    empty.database.execute(
        "CREATE TABLE customers (id INTEGER PRIMARY KEY, email TEXT)",
        "CREATE TABLE members (id INTEGER PRIMARY KEY, email TEXT)",
        "CREATE TABLE logs (id INTEGER PRIMARY KEY, line TEXT)",
    )
    said = empty.refused()
    assert "several tables may hold the users: customers, members" in said
    assert "choose one with --table NAME" in said


def test_a_database_without_any_likely_table_says_which_there_are(empty: Newcomer) -> None:
    assert "there is no table that this user may read" in empty.refused()
    empty.database.execute("CREATE TABLE logs (id INTEGER PRIMARY KEY, line TEXT)")
    assert "no table looks like one of users; there are: logs" in empty.refused()


def test_a_table_that_tells_no_row_from_another_is_refused(empty: Newcomer) -> None:
    empty.database.execute("CREATE TABLE users (email TEXT, plan TEXT)")
    assert '"users" has no primary key' in empty.refused(code=78)


def test_a_very_wide_table_with_odd_names_is_proposed_whole(empty: Newcomer) -> None:
    names = [f"Spalte {number} „ä“" for number in range(500)]
    names += ['with ""quotes""', "C:\\path", "it's", "$city", "length", "${X}"]
    columns = ", ".join(f'"{name}" TEXT' for name in names)
    empty.database.execute(f'CREATE TABLE "Users" ("Id" INTEGER PRIMARY KEY, {columns})')
    empty.init()
    proposed = empty.sync("Users")
    assert len(proposed["copy"]) == 503
    assert proposed["set"] == {"user_city": "$city", "user_length": "length", "user_{X}": "$${X}"}
    assert max(map(len, empty.config.read_text("utf-8").splitlines())) <= 120
    empty.run("preview", MIXPANEL_TOKEN=TOKEN)


# --- on a terminal -------------------------------------------------------------------------------------------------


def test_on_a_terminal_it_asks_for_what_no_flag_says(empty: Newcomer) -> None:
    empty.database.execute(
        "CREATE TABLE customers (id INTEGER PRIMARY KEY, email TEXT)",
        "CREATE TABLE members (id INTEGER PRIMARY KEY, email TEXT)",
    )
    replies = [
        ("Database (", empty.database.url),
        ("Number or name [1]:", "membrs"),
        ('did you mean "members"?', "2"),
        ("Mixpanel region", "eu"),
        ("Mixpanel project token", TOKEN),
    ]
    code, painted = on_terminal(("init",), cwd=empty.folder, environ=empty.environ, replies=replies)
    assert code == 0, painted
    assert "Which table holds the users?" in painted
    assert TOKEN not in painted
    assert "Next: read config.toml, then `sync-profiles check`." in painted
    assert f"MIXPANEL_TOKEN='{TOKEN}'" in empty.dotenv.read_text()
    assert tomllib.loads(empty.config.read_text("utf-8"))["mixpanel"]["region"] == "eu"
    assert empty.sync("members")["table"] == "members"


def test_on_a_terminal_enter_takes_what_is_there(empty: Newcomer) -> None:
    empty.database.execute(USERS)
    replies = [("[$DATABASE_URL]", ""), ("Mixpanel region", ""), ("(Enter: later)", "")]
    environ = {**empty.environ, "DATABASE_URL": empty.database.url}
    code, painted = on_terminal(("init",), cwd=empty.folder, environ=environ, replies=replies)
    assert code == 0, painted
    assert empty.database.url not in painted
    assert "Next: fill in MIXPANEL_TOKEN=…" in painted


def test_leaving_in_the_middle_writes_nothing(empty: Newcomer) -> None:
    empty.database.execute(USERS)
    before = sorted(empty.folder.iterdir())
    code, _ = on_terminal(
        ("init",),
        cwd=empty.folder,
        environ=empty.environ,
        replies=[("Database (", empty.database.url), ("region", "\x04")],
    )
    assert code == 130
    assert sorted(empty.folder.iterdir()) == before
