"""From a text and an environment to a ``Config``, or to every problem at its line."""

from __future__ import annotations

from typing import Any

import pytest

from sync_profiles.config import Config, Secret, parse
from sync_profiles.config.variables import Variables
from sync_profiles.core.types import ABSENT, Limit, MappingSpec, Property
from sync_profiles.errors import ConfigError

ENVIRON = {"DATABASE_URL": "postgresql://app:pw-of-db@db/app", "MIXPANEL_TOKEN": "token-of-project"}
GOOD = """\
[source]
url = "${DATABASE_URL}"
[mixpanel]
token = "${MIXPANEL_TOKEN}"
[sync.users]
table = "users"
copy = ["plan"]
"""


def read(text: str = GOOD, /, *, environ: dict[str, str] | None = None, **options: Any) -> Config:
    return parse(text, ENVIRON if environ is None else environ, path="config.toml", **options)


def sync(*lines: str, **options: Any) -> Config:
    """A good configuration whose only sync, from line 5 on, has these lines below its header."""
    return read("\n".join([*GOOD.splitlines()[:5], *lines]), **options)


def problems(call: Any, *arguments: Any, **options: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        call(*arguments, **options)
    assert caught.value.exit_code == 78
    return list(caught.value.problems)


def test_every_default_is_what_the_interface_says() -> None:
    config = read()

    assert config.source.url == Secret(ENVIRON["DATABASE_URL"])
    assert config.source.statement_timeout_s == 900
    mixpanel = config.mixpanel
    assert (mixpanel.region, mixpanel.concurrency, mixpanel.records_per_request) == ("us", 4, 1000)
    assert (mixpanel.timeout_s, mixpanel.base_url, mixpanel.project_id) == (60, None, None)
    assert config.state.url is None
    assert config.run.deadline_s == 3000
    (users,) = config.syncs
    assert (users.name, users.table, users.query, users.primary_key, users.where) == ("users", "users", None, (), None)
    assert (users.detect, users.cursor, users.lookback_s, users.full_every_s) == ("auto", None, None, 86_400)
    assert (users.on_delete, users.max_delete, users.max_reject) == ("ignore", Limit(share=0.02), Limit(share=0.01))
    assert users.page_size is None
    assert users.mapping == MappingSpec({"plan": Property(column="plan")})
    assert config.path == "config.toml"
    assert config.warnings == ()


def test_every_key_of_a_sync_arrives() -> None:
    (users,) = sync(
        'schema = "public"',
        'query = "SELECT 1"',
        'primary_key = ["tenant", "id"]',
        'distinct_id = { template = "{tenant}-{id}" }',
        'where = "id > 0"',
        'detect = "cursor"',
        'cursor = "updated_at"',
        'lookback = "0"',
        'full_every = "never"',
        'on_null = "skip"',
        'on_delete = "delete"',
        'deleted = "deleted_at"',
        "max_delete = 10",
        'max_reject = "5%"',
        'updated_at = "keep"',
        "page_size = 100",
        'group_key = "company"',
        'copy = ["plan"]',
        'set."$email" = "email"',
        'set_once."$created" = "created_at"',
        'union.roles = { column = "settings", path = "a.b", type = "list", default = [], secret = true }',
        'set.email_hash = { column = "email", hash = "sha256" }',
        'set.source = { value = "" }',
    ).syncs

    assert (users.schema, users.query, users.primary_key, users.where) == (
        "public",
        "SELECT 1",
        ("tenant", "id"),
        "id > 0",
    )
    assert (users.detect, users.cursor, users.lookback_s, users.full_every_s) == ("cursor", "updated_at", 0, None)
    assert (users.on_delete, users.max_delete, users.max_reject) == ("delete", Limit(count=10), Limit(share=0.05))
    assert users.page_size == 100
    assert users.mapping == MappingSpec(
        set={
            "plan": Property(column="plan"),
            "$email": Property(column="email"),
            "email_hash": Property(column="email", hash="sha256"),
            "source": Property(value=""),
        },
        set_once={"$created": Property(column="created_at")},
        union={"roles": Property(column="settings", path="a.b", type="list", default=[], secret=True)},
        distinct_id=Property(template="{tenant}-{id}"),
        on_null="skip",
        deleted="deleted_at",
        group_key="company",
        ignore_time=True,
    )
    assert users.mapping.set["plan"].value is ABSENT


def test_properties_and_syncs_keep_the_order_of_the_file() -> None:
    config = read(
        GOOD + '[sync.users.set]\nz = "z"\na = "a"\n[sync.b]\ntable = "b"\ncopy = "x"\n[sync.a]\ntable="a"\ncopy="x"'
    )

    assert [each.name for each in config.syncs] == ["users", "b", "a"]
    assert list(config.syncs[0].mapping.set) == ["plan", "z", "a"]


TABLE = 'table = "users"'
COPY = 'copy = ["plan"]'


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ([COPY], "5: sync.users: has nothing to read; give one of table, query, query_file"),
        ([TABLE, COPY, 'query = "x"'], "8: sync.users.query: stands beside table; "),
        (['query = "x"', COPY], "6: sync.users.query: needs primary_key: "),
        ([TABLE], "5: sync.users: sends no property; name some in [sync.users.set] or in copy"),
        ([TABLE, "set = {}"], "5: sync.users: sends no property; "),
        ([TABLE, COPY, 'detect = "cursor"'], '8: sync.users.detect: "cursor" needs cursor: '),
        ([TABLE, COPY, 'detect = "curser"'], "8: sync.users.detect: 'curser' is not one of auto, xmin, cursor, full; "),
        ([TABLE, COPY, "page_size = 100001"], "8: sync.users.page_size: 100001 is not a whole number from 1 to 100000"),
        ([TABLE, COPY, 'wehre = "x"'], "8: sync.users.wehre: unknown key; did you mean 'where'?"),
        ([TABLE, COPY, 'token = "x"'], "8: sync.users.token: unknown key; it belongs in [mixpanel]"),
        ([TABLE, COPY, 'set.plan = "p"'], "8: sync.users.set.plan: is in sync.users.copy already (line 7); "),
        ([TABLE, 'set.a = "p"', 'union.a = "p"'], "8: sync.users.union.a: is in sync.users.set already (line 7); "),
        ([TABLE, 'set.a = "p"', "", 'set_once.a = "p"'], "9: sync.users.set_once.a: is in sync.users.set already"),
        ([TABLE, 'copy = ["a", "a"]'], "7: sync.users.copy: the value names a column twice"),
        ([TABLE, "copy = []"], "7: sync.users.copy: the value is not a column name or a list"),
        ([TABLE, "set.a = 5"], "7: sync.users.set.a: the value is not a column's name or a table such as "),
        ([TABLE, 'set."$email" = ""'], '7: sync.users.set."$email": the value is empty'),
        (
            [TABLE, 'set.a = { path = "x" }'],
            "7: sync.users.set.a: takes exactly one of column, template, value; it has none",
        ),
        ([TABLE, 'set.a = { value = 1, path = "x" }'], "7: sync.users.set.a.path: goes with column only"),
        ([TABLE, 'set.a = { template = "x", value = 1 }'], "it has template and value"),
        (
            [TABLE, 'set.a = { column = "x", typ = "date" }'],
            "7: sync.users.set.a.typ: unknown key; did you mean 'type'?",
        ),
        ([TABLE, 'set.a = { column = "x", type = "int" }'], "'int' is not one of string, number, boolean, date, "),
        ([TABLE, 'set.a = { column = "x", hash = "md5" }'], "7: sync.users.set.a.hash: 'md5' is not one of sha256"),
        ([TABLE, 'set.a = { column = "x", secret = "yes" }'], "7: sync.users.set.a.secret: 'yes' is not true or false"),
        ([TABLE, "set.a = { value = 2026-01-01 }"], "7: sync.users.set.a.value: the value is a date or time of TOML"),
        ([TABLE, "set = 5"], "7: sync.users.set: must be a table: [sync.users.set]"),
        ([TABLE, COPY, "distinct_id = { }"], "8: sync.users.distinct_id: takes exactly one of "),
        ([TABLE, COPY, "primary_key = 5"], "8: sync.users.primary_key: the value is not a column name or a list"),
        ([TABLE, COPY, "where = 5"], "8: sync.users.where: the value is not a text in quotes"),
        ([TABLE, COPY, 'full_every = "0"'], "8: sync.users.full_every: '0' must be longer than 0; write \"never\""),
        (
            [TABLE, COPY, '[sync."a b"]', TABLE, COPY],
            '8: sync."a b": a sync\'s name is made of letters, digits, _ and -',
        ),
        ([TABLE, COPY, "[[sync.list]]"], "8: sync.list: must be a table: [sync.list]"),
    ],
)
def test_a_problem_of_a_sync_stands_at_its_line(lines: list[str], problem: str) -> None:
    assert problem in "\n".join(problems(sync, *lines))
    assert all(text.startswith("config.toml:") for text in problems(sync, *lines))


@pytest.mark.parametrize(
    ("section", "line", "problem"),
    [
        ("source", 'statement_timeout = "25d"', "3: source.statement_timeout: '25d' is longer than 576h"),
        ("source", "statement_timeout = 0", "3: source.statement_timeout: 0 must be longer than 0"),
        ("source", 'primary_key = "id"', "3: source.primary_key: unknown key; it belongs in [sync.NAME]"),
        ("mixpanel", 'regoin = "eu"', "3: mixpanel.regoin: unknown key; did you mean 'region'?"),
        ("mixpanel", 'region = "EU"', "3: mixpanel.region: 'EU' is not one of us, eu, in; did you mean 'eu'?"),
        ("mixpanel", "concurrency = 65", "3: mixpanel.concurrency: 65 is not a whole number from 1 to 64"),
        ("mixpanel", "records_per_request = 2001", "2001 is not a whole number from 1 to 2000"),
        ("mixpanel", "project_id = 0", "3: mixpanel.project_id: 0 is not a whole number from 1"),
        ("mixpanel", 'service_account = "${A:-x}"', "3: mixpanel.service_account: goes with service_secret: "),
        ("mixpanel", 'service_secret = "${A:-x}"', "3: mixpanel.service_secret: goes with service_account: "),
        ("mixpanel", 'base_url = "http://mixpanel.example.com"', "3: mixpanel.base_url: the value must be https"),
        (
            "state",
            'url = "mysql://state"',
            "3: state.url: the value is not for a database this program knows: sqlite, ",
        ),
        ("run", 'deadline = "soon"', "3: run.deadline: 'soon' is not a duration such as "),
        ("run", 'healthcheck_url = "x"', "3: run.healthcheck_url: the value is not a web address"),
        ("run", 'metrics_file = ""', "3: run.metrics_file: the value is empty"),
        ("sinc.users", 'table = "users"', "2: sinc: unknown section; did you mean 'sync'?"),
        ("users", 'table = "users"', "2: users: unknown section; known here: source, mixpanel, state, run, sync"),
    ],
)
def test_a_problem_of_a_section_stands_at_its_line(section: str, line: str, problem: str) -> None:
    required = {"source": 'url = "${DATABASE_URL}"', "mixpanel": 'token = "${MIXPANEL_TOKEN}"'}
    broken = f"\n[{section}]\n{line}\n{required.pop(section, '')}\n"
    rest = "".join(f"[{name}]\n{key}\n" for name, key in required.items())
    found = problems(read, broken + rest + '[sync.users]\ntable = "users"\ncopy = "plan"\n')

    assert len(found) == 1
    assert f"config.toml:{problem}" in found[0] or problem in found[0]


def test_all_problems_come_at_once_in_the_order_of_the_file() -> None:
    found = problems(
        read, '[sync.users]\ntabel = "x"\n[mixpanel]\nregion = "uk"\nregin = "us"\n[run]\ndeadline = "x"\n', environ={}
    )

    assert [text.split(": ")[:2] for text in found] == [
        ["config.toml:1", "source.url"],
        ["config.toml:1", "sync.users"],
        ["config.toml:1", "sync.users"],
        ["config.toml:2", "sync.users.tabel"],
        ["config.toml:3", "mixpanel.token"],
        ["config.toml:4", "mixpanel.region"],
        ["config.toml:5", "mixpanel.regin"],
        ["config.toml:7", "run.deadline"],
    ]
    assert found[0].endswith('source.url: is missing; write url = "${DATABASE_URL}"')


@pytest.mark.parametrize("tail", ["", "[sync]\n", "[sync]\ntable = 'users'\n", "[[sync]]\ntable = 'users'\n"])
def test_a_configuration_without_a_sync_is_a_problem(tail: str) -> None:
    (found,) = problems(read, GOOD[: GOOD.index("[sync")] + tail)

    assert "sync: " in found
    assert "[sync.users]" in found


def test_a_section_that_is_no_table_is_a_problem() -> None:
    assert "config.toml:1: run: must be a table: [run]" in problems(read, "run = 5\n" + GOOD)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[source]\nurl = \n", "config.toml:2: not valid TOML: "),
        ("[source]\nurl = 'x'\nurl = 'y'\n\n", "config.toml:3: not valid TOML: "),
        ("a = [\n1\n", "config.toml:2: not valid TOML: "),
        ("\n\na = 'b", "config.toml:3: not valid TOML: "),
        (f"a = {'[' * 5000}", "config.toml:1: not valid TOML: nested too deeply"),
        (f"a = {'9' * 5000}", "config.toml:1: not valid TOML: a number is too long"),
    ],
)
def test_a_syntax_error_names_its_line(text: str, problem: str) -> None:
    (found,) = problems(read, text)

    assert found.startswith(problem)


# --- variables -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${A}", "one"),
        ("x${A}-${B}y", "xone-twoy"),
        ("${MISSING:-d}", "d"),
        ("${MISSING:-}", ""),
        ("${EMPTY:-d}", "d"),
        ("${EMPTY}", ""),
        ("${A:-d}", "one"),
        ("${MISSING:-a:-b}", "a:-b"),
        ("${MISSING:-a\nb}", "a\nb"),
        ("pa$$word", "pa$$word"),
        ("$email costs $5 $", "$email costs $5 $"),
        ("$${A}", "${A}"),
        ("{A}", "{A}"),
        ("${RECURSIVE}", "${A}"),
    ],
)
def test_variables_are_filled_in_once_and_dollars_left_alone(text: str, value: str) -> None:
    variables = Variables(
        {"A": "one", "EMPTY": "", "RECURSIVE": "${A}"}, {"B": "two", "A": "not this", "EMPTY": "nor this"}
    )
    expanded = variables.expand([{"k": text}, 5], ())

    assert expanded.value == [{"k": value}, 5]
    assert expanded.problems == []


@pytest.mark.parametrize("text", ["${", "${A", "${}", "${1A}", "${A-b}", "${A }", "${A:b}", "${MISSING:-${A}}", "${Ä}"])
def test_a_malformed_variable_is_a_problem_that_does_not_repeat_the_text(text: str) -> None:
    (found,) = problems(sync, TABLE, COPY, f'where = "secret {text}"')

    assert found.startswith("config.toml:8: sync.users.where: ")
    assert "secret" not in found


def test_a_variable_that_is_not_set_is_named_at_the_line_that_wants_it() -> None:
    assert problems(read, environ={}) == [
        "config.toml:2: source.url: environment variable DATABASE_URL is not set",
        "config.toml:4: mixpanel.token: environment variable MIXPANEL_TOKEN is not set",
    ]


def test_variables_work_deep_inside_values_and_blame_the_line_of_the_element() -> None:
    (users,) = sync(
        TABLE,
        "copy = [",
        '"${A}",',
        '"plan"]',
        'set.v = { value = { deep = ["${A}"] } }',
        environ={**ENVIRON, "A": "x"},
    ).syncs
    assert list(users.mapping.set) == ["x", "plan", "v"]
    assert users.mapping.set["v"].value == {"deep": ["x"]}

    assert problems(sync, TABLE, "copy = [", '"plan",', '"${A}"]') == [
        "config.toml:9: sync.users.copy: environment variable A is not set"
    ]


def test_a_bad_value_from_a_variable_is_blamed_on_the_variable_and_not_repeated() -> None:
    text = GOOD.replace("[sync", 'region = "${REGION}"\nconcurrency = "${HOW}${MANY}"\n[sync', 1)
    found = problems(read, text, environ={**ENVIRON, "REGION": "mars", "HOW": "a"}, dotenv={"MANY": "lot"})

    blamed = "environment variable HOW with variable MANY of .env"
    assert found == [
        "config.toml:5: mixpanel.region: environment variable REGION is not one of us, eu, in",
        f"config.toml:6: mixpanel.concurrency: {blamed} is not a whole number from 1 to 64",
    ]


@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_variable_for_a_required_value_is_a_problem(value: str) -> None:
    assert problems(read, environ={**ENVIRON, "MIXPANEL_TOKEN": value}) == [
        "config.toml:4: mixpanel.token: environment variable MIXPANEL_TOKEN is empty"
    ]


def test_an_optional_setting_that_variables_leave_empty_counts_as_not_given() -> None:
    text = GOOD + '[run]\nhealthcheck_url = "${PING:-}"\nmetrics_file = "${METRICS}"\ndeadline = "${DEADLINE:-}"\n'
    config = read(text, environ={**ENVIRON, "METRICS": ""})

    assert (config.run.healthcheck_url, config.run.metrics_file, config.run.deadline_s) == (None, None, 3000)
    assert config.origins["run.deadline"] == "default"


@pytest.mark.parametrize("written", ["${FILTER}", "${FILTER:-}"])
def test_a_predicate_that_a_variable_left_empty_stops_rather_than_sending_every_row(written: str) -> None:
    (found,) = problems(sync, TABLE, COPY, f'where = "{written}"', environ={**ENVIRON, "FILTER": ""})

    assert found.startswith("config.toml:8: sync.users.where: ")
    assert found.endswith("is empty")


def test_the_real_environment_wins_over_dotenv() -> None:
    config = read(dotenv={"MIXPANEL_TOKEN": "from-dotenv", "UNUSED": "x"})
    assert config.mixpanel.token == Secret("token-of-project")

    config = read(environ={}, dotenv=ENVIRON)
    assert config.mixpanel.token == Secret("token-of-project")
    assert config.origins["mixpanel.token"] == ".env MIXPANEL_TOKEN"


# --- secrets -------------------------------------------------------------------------------------------------------


def test_neither_a_config_nor_its_problems_hold_a_secret_in_the_open() -> None:
    config = read()
    assert "pw-of-db" not in repr(config)
    assert "token-of-project" not in repr(config)

    broken = GOOD.replace("${DATABASE_URL}", "oracle://app:pw-of-db@db").replace(
        "${MIXPANEL_TOKEN}", "token of project"
    )
    found = "\n".join(problems(read, broken + '[run]\ndeadline = "token-of-project-0123456789"\n'))
    assert "pw-of-db" not in found
    assert "token" not in found.replace("mixpanel.token", "")


@pytest.mark.parametrize(
    ("url", "token", "warned"),
    [
        ("${DATABASE_URL}", "${MIXPANEL_TOKEN}", []),
        ("postgresql://app@db/app", "${MIXPANEL_TOKEN}", []),
        ("postgresql://app:${PW}@db/app", "${MIXPANEL_TOKEN}", []),
        ("postgresql://app:pw@db/app", "${MIXPANEL_TOKEN}", ["2: source.url"]),
        ("${NO_URL:-postgresql://app:pw@db/app}", "${MIXPANEL_TOKEN}", ["2: source.url"]),
        ("${DATABASE_URL}", "abc", ["4: mixpanel.token"]),
        ("${DATABASE_URL}", "${MIXPANEL_TOKEN:-abc}", ["4: mixpanel.token"]),
    ],
)
def test_a_literal_secret_in_a_file_that_others_read_is_warned_of(url: str, token: str, warned: list[str]) -> None:
    text = GOOD.replace("${DATABASE_URL}", url).replace("${MIXPANEL_TOKEN}", token)
    environ = {**ENVIRON, "PW": "pw"}
    warnings = read(text, environ=environ, readable_by_others=True).warnings

    assert [warning.split(": a secret")[0] for warning in warnings] == [f"config.toml:{each}" for each in warned]
    assert read(text, environ=environ).warnings == ()


# --- query files ---------------------------------------------------------------------------------------------------


def test_a_query_file_is_read_into_query_as_it_is() -> None:
    asked: list[str] = []

    def reader(name: str) -> str:
        asked.append(name)
        return "SELECT '${NOT_A_VARIABLE}';\n"

    (users,) = sync('query_file = "${WHICH:-users}.sql"', 'primary_key = "id"', COPY, read_query=reader).syncs

    assert asked == ["users.sql"]
    assert (users.query_file, users.query) == ("users.sql", "SELECT '${NOT_A_VARIABLE}';\n")


@pytest.mark.parametrize(
    ("failure", "what"),
    [
        (FileNotFoundError(2, "No such file or directory"), "cannot be read: No such file or directory"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"), "the file is not UTF-8 text"),
        (None, "the file is empty"),
    ],
)
def test_a_query_file_that_cannot_be_used_is_a_problem(failure: Exception | None, what: str) -> None:
    def reader(name: str) -> str:
        if failure is not None:
            raise failure
        return " \n"

    assert problems(sync, 'query_file = "q.sql"', 'primary_key = "id"', COPY, read_query=reader) == [
        f"config.toml:6: sync.users.query_file: {what}"
    ]


def test_without_a_reader_no_file_is_looked_for() -> None:
    (found,) = problems(sync, 'query_file = "q.sql"', 'primary_key = "id"', COPY)

    assert "cannot be read" in found
