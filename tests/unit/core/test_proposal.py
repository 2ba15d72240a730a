"""From what was seen of a table to a proposed sync: a line for each reason."""

from __future__ import annotations

import random
import tomllib
from typing import Any

import msgspec
import pytest

from sync_profiles.config import Config, parse
from sync_profiles.core.draft import Proposal, config_text
from sync_profiles.core.mapping import compile_mapping
from sync_profiles.core.proposal import propose
from sync_profiles.core.proposed_properties import fits_template
from sync_profiles.core.survey import Link, Look, Survey, Table, looked_at
from sync_profiles.core.types import Column, Kind
from sync_profiles.errors import ConfigError

WORDS = {"int": Kind.INTEGER, "text": Kind.TEXT, "time": Kind.DATETIME, "bool": Kind.BOOLEAN, "bytes": Kind.BYTES}


def columns(text: str) -> tuple[Column, ...]:
    """``"id int, email text"`` as columns."""
    named = [one.strip().rsplit(" ", 1) for one in text.split(",")]
    return tuple(Column(name, WORDS[word], word) for name, word in named)


def survey(text: str, *, key: tuple[str, ...] = ("id",), table: str = "users", **changes: Any) -> Survey:
    """A table of ten rows on MariaDB; what a test is about is changed."""
    schema, unique = changes.pop("schema", None), changes.pop("unique", ())
    made = Table(name=table, schema=schema, columns=columns(text), primary_key=key, unique=unique)
    return msgspec.structs.replace(Survey(dialect="mysql", table=made, rows=10, sampled=10), **changes)


def proposed(text: str, **changes: Any) -> dict[str, Any]:
    """The sync as a reader of the file gets it, after the program itself has read it."""
    found = survey(text, **changes)
    proposal = propose(found)
    checked(found, proposal)
    sync = tomllib.loads(config_text(proposal))["sync"][proposal.name]
    assert isinstance(sync, dict)
    return sync


def checked(found: Survey, proposal: Proposal) -> Config:
    """The file is valid, and its mapping fits the table."""
    environ = {"DATABASE_URL": "sqlite:///x.db", "MIXPANEL_TOKEN": "t"}
    config = parse(config_text(proposal), environ, path="config.toml")
    (sync,) = config.syncs
    key = sync.primary_key or found.table.primary_key
    if sync.query is None:
        compile_mapping(sync.mapping, found.table.columns, key, token="t")
    return config


def said(text: str, **changes: Any) -> str:
    return config_text(propose(survey(text, **changes)))


def inactive(text: str, **changes: Any) -> set[str]:
    """Lines that wait to be taken up."""
    lines = [line for line in said(text, **changes).splitlines() if line[:1] == "#" and line[1:2] != " "]
    return {line.partition("  # ")[0].rstrip() for line in lines}


def left_out(text: str, **changes: Any) -> dict[str, str]:
    return {one.column: one.why for one in propose(survey(text, **changes)).properties.left_out}


# --- key and distinct ID -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "changes", "key", "distinct_id"),
    [
        ("id int, plan text", {}, None, None),
        ("email text, plan text", {"key": ("email",)}, None, None),
        ("id bytes, plan text", {}, None, {"column": "id", "type": "uuid"}),
        ("org int, no int, plan text", {"key": ("org", "no")}, None, {"template": "{org}:{no}"}),
        ("org int, uuid text", {"key": ("org", "x"), "unique": (("uuid",),)}, None, "uuid"),
        ("id int, user_id int, bio text", {"unique": (("user_id",),)}, None, "user_id"),
        ("id int, uuid text, plan text", {"unique": (("uuid",),)}, None, None),
        ("code text, plan text", {"key": (), "unique": (("code",),)}, "code", None),
        ("a text, user_no int", {"key": ()}, "user_no", None),
        ("x text, Id int", {"key": ()}, "Id", None),
    ],
)
def test_what_tells_rows_and_profiles_apart(text: str, changes: dict[str, Any], key: Any, distinct_id: Any) -> None:
    if "x" in changes.get("key", ()):
        text += ", x int"
    sync = proposed(text, **changes)
    assert sync.get("primary_key") == key
    assert sync.get("distinct_id") == distinct_id


def test_another_unique_id_is_mentioned() -> None:
    assert "Unique as well: uuid" in said("id int, uuid text", unique=(("uuid",),))


def test_a_unique_column_in_which_nulls_were_seen_is_no_key() -> None:
    changes: dict[str, Any] = {"key": (), "unique": (("code",),), "looks": {"code": Look(nulls=1)}}
    assert proposed("code text, id int", **changes)["primary_key"] == "id"


@pytest.mark.parametrize("column", ["part bytes", "{part} int"])
def test_a_key_of_several_columns_that_make_no_text_has_no_proposal(column: str) -> None:
    with pytest.raises(ConfigError, match="no one ID"):
        propose(survey(f"id int, {column}", key=("id", column.partition(" ")[0])))


def test_a_table_that_tells_no_row_from_another_has_no_proposal() -> None:
    with pytest.raises(ConfigError, match="no primary key") as caught:
        propose(survey("a text, b text", key=()))
    assert caught.value.hint is not None


# --- changes and removals ------------------------------------------------------------------------------------------


def test_a_change_column_is_used_where_nothing_better_is() -> None:
    assert proposed("id int, updated_at time")["cursor"] == "updated_at"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "only the application sets it"),
        ({"stamped_by": "trigger"}, "A trigger sets it"),
        ({"stamped_by": "column"}, "ON UPDATE sets it"),
        ({"looks": {"updated_at": Look(nulls=3)}}, "NULL in 3 of the first 10 rows"),
    ],
)
def test_what_is_known_of_the_change_column_is_said(changes: dict[str, Any], words: str) -> None:
    assert words in said("id int, updated_at time", **changes).replace("\n# ", " ")


@pytest.mark.parametrize("look", [Look(nulls=10), Look(faulty=1, problem="is odd")])
def test_a_change_column_that_tells_nothing_waits_to_be_taken_up(look: Look) -> None:
    assert "cursor" not in proposed("id int, updated_at time", looks={"updated_at": look})
    assert '#cursor = "updated_at"' in inactive("id int, updated_at time", looks={"updated_at": look})


def test_row_versions_need_no_change_column() -> None:
    changes: dict[str, Any] = {"dialect": "postgresql", "row_versions": True}
    assert "cursor" not in proposed("id int, updated_at time", **changes)
    assert {'#detect = "xmin"', '#cursor = "updated_at"'} <= inactive("id int, updated_at time", **changes)


def test_without_any_of_them_every_row_is_compared_and_that_is_said() -> None:
    assert '#detect = "full"' in inactive("id int, plan text")
    assert "runs read every row" in said("id int, plan text")


def test_soft_deletes_are_seen_and_removing_is_left_to_the_user() -> None:
    assert proposed("id int, deleted_at time")["deleted"] == "deleted_at"
    assert proposed("id int, is_deleted bool")["deleted"] == "is_deleted"
    assert proposed("id int, deleted_at time")["on_delete"] == "ignore"
    assert "gone or counts as deleted" in said("id int, deleted_at time")
    assert "gone or counts as deleted" not in said("id int, plan text")


@pytest.mark.parametrize(
    ("dialect", "column", "line"),
    [
        ("postgresql", "is_active bool", '#where = "is_active"'),
        ("postgresql", "isActive bool", "#where = '\"isActive\"'"),
        ("postgresql", "active int", '#where = "active = 1"'),
        ("mysql", "isActive bool", '#where = "`isActive` = 1"'),
        ("sqlite", "enabled bool", '#where = "enabled = 1"'),
    ],
)
def test_a_flag_of_the_living_becomes_a_condition_to_take_up(dialect: str, column: str, line: str) -> None:
    assert line in inactive(f"id int, {column}", dialect=dialect)
    assert column.partition(" ")[0] in proposed(f"id int, {column}", dialect=dialect)["copy"]


# --- properties ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "look", "why"),
    [
        ("encrypted_password text", Look(), "looks like a secret"),
        ("last_login time", Look(), "sign-in bookkeeping"),
        ("updated_at text", Look(), "moves with every change"),
        ("ip_address text", Look(), "address or fingerprint of a device"),
        ("photo bytes", Look(), "binary"),
        ("bio text", Look(longs=1), "longer than 255 bytes"),
        ("score int", Look(faulty=2, problem="is infinite"), "in 2 of the first 10 rows the value is infinite"),
        (f"{'n' * 256} text", Look(), "a name that no property can have"),
        ("id int", Look(), "used above"),
    ],
)
def test_a_column_is_left_out_for_a_reason(column: str, look: Look, why: str) -> None:
    name = column.rsplit(" ", 1)[0]
    text = "plan text, id int" if name == "id" else f"id int, plan text, {column}"
    found = left_out(text, looks={name: look})
    assert why in found[name]
    assert "plan" not in found
    proposed(text, looks={name: look})


def test_long_texts_that_are_json_are_sent_as_such() -> None:
    sync = proposed("id int, settings text", looks={"settings": Look(longs=1, objects=True)})
    assert sync["set"] == {"settings": {"column": "settings", "type": "json"}}


@pytest.mark.parametrize(
    ("looks", "name", "waits"),
    [
        ({}, {"template": "{first} {last}"}, False),
        ({"last": Look(nulls=2)}, {"template": "{first} {last}"}, False),
        ({"last": Look(blanks=2)}, "login", True),
    ],
)
def test_a_full_name_is_made_where_neither_part_is_empty_text(looks: Any, name: Any, *, waits: bool) -> None:
    text = "id int, first text, last text, login text"
    assert proposed(text, looks=looks)["set"]["$name"] == name
    assert any(line.startswith('#"$name" = { template') for line in inactive(text, looks=looks)) is waits


def test_of_an_empty_table_nobody_knows_whether_names_are_empty() -> None:
    assert "$name" not in proposed("id int, first text, last text", sampled=0)["set"]


def test_a_login_is_the_name_where_there_is_no_other() -> None:
    assert proposed("id int, username text")["set"] == {"$name": "username"}
    assert proposed("id int, username text, name text")["copy"] == ["username"]


def test_the_time_of_joining_is_set_once_and_not_copied() -> None:
    sync = proposed("id int, created_at time, plan text")
    assert sync["set_once"] == {"$created": "created_at"}
    assert sync["copy"] == ["plan"]


def test_an_email_that_is_the_key_is_sent_as_well() -> None:
    assert proposed("email text, plan text", key=("email",))["set"] == {"$email": "email"}


@pytest.mark.parametrize("name", ["$city", "mp_lib", "time", "length", "Bucket", " padded"])
def test_a_name_that_means_something_to_mixpanel_is_changed(name: str) -> None:
    found = Survey(
        dialect="sqlite",
        table=Table(
            name="users",
            columns=(Column("id", Kind.INTEGER, ""), Column(name, Kind.TEXT, ""), Column("user_time", Kind.TEXT, "")),
            primary_key=("id",),
        ),
    )
    (setting,) = propose(found).properties.set
    assert setting.value == name
    assert setting.key.startswith("user_")
    checked(found, propose(found))


def test_a_table_with_nothing_to_send_still_makes_profiles() -> None:
    assert proposed("id int, password text")["set"] == {"source": {"value": "users"}}


# --- names and queries ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "name"), [("users", "users"), ("App Users", "App_Users"), ("Größe", "Grosse"), ("таблица", "users")]
)
def test_a_sync_is_called_like_its_table_as_far_as_toml_lets_it(table: str, name: str) -> None:
    assert propose(survey("id int, plan text", table=table)).name == name
    assert proposed("id int, plan text", table=table, schema="app")["table"] == table


LINK = Link("auth_user_groups", "user_id", "group_id", "auth_group", "id", "name")


def test_what_users_belong_to_waits_as_a_query_with_its_property() -> None:
    text = said("id int, plan text", links=(LINK,), dialect="postgresql")
    assert '#  (SELECT array_agg(o."name" ORDER BY o."name")' in text
    assert '#groups = { column = "groups", type = "list" }' in text
    assert proposed("id int, plan text", links=(LINK,))["table"] == "users"


def test_a_list_that_would_have_the_name_of_a_column_is_not_proposed() -> None:
    assert "query" not in said("id int, groups text", links=(LINK,))


def test_attributes_one_a_row_become_a_query_without_their_secrets() -> None:
    found = survey(
        "umeta_id int, user_id int, meta_key text, meta_value text",
        key=("umeta_id",),
        attributes=("Locale", "locale", "it's", "session_tokens", "user_id", "n" * 64),
    )
    sync = tomllib.loads(config_text(propose(found)))["sync"]["users"]
    checked(found, propose(found))
    assert sync["primary_key"] == "user_id"
    assert sync["copy"] == ["Locale", "it's"]
    assert "= 'it''s' THEN `meta_value` END) AS `it's`" in sync["query"]
    assert "session_tokens" not in sync["query"]


# --- any table at all ----------------------------------------------------------------------------------------------

PIECES = (
    *("id", "name", "email", "token", "user", "time", "deleted", "at", "updated", "first", "last", "is", "active"),
    *(
        "_",
        " ",
        ".",
        "$",
        "${",
        "{",
        "}",
        "]",
        "#",
        "=",
        '"',
        "'",
        "''",
        "\\",
        "ä",
        "\n",
        "\t",
        "\x7f",
        "\u200b",
        "\u2028",
    ),
)


@pytest.mark.parametrize("seed", range(60))
def test_whatever_the_table_the_proposal_is_valid(seed: int) -> None:
    """Names of columns and tables are anything, looks too."""
    chance = random.Random(seed)

    def name() -> str:
        return "".join(chance.choices(PIECES, k=chance.randint(1, 4)))

    names = [one for one in dict.fromkeys(["key", *(name() for _ in range(30))]) if one.strip()]
    chance.shuffle(names)
    made = tuple(Column(one, chance.choice(list(Kind)), "type") for one in names)
    several = [one.name for one in made if fits_template(one.name) and one.kind is not Kind.BYTES]
    key = tuple(chance.sample(several, k=2)) if chance.random() < 0.3 and len(several) > 1 else (made[0].name,)
    looks = {one: Look(*(chance.choice((0, 0, 5)) for _ in range(4)), "is odd", chance.random() < 0.2) for one in names}
    found = Survey(
        dialect=chance.choice(("postgresql", "mysql", "sqlite")),
        table=Table(name=f"t{name()}", schema=chance.choice((None, f"s{name()}")), columns=made, primary_key=key),
        sampled=10,
        looks=looks,
        links=(LINK,) if chance.random() < 0.3 else (),
    )
    (sync,) = checked(found, propose(found)).syncs
    assert sync.table == found.table.name
    assert sync.schema == found.table.schema


# --- what rows show ------------------------------------------------------------------------------------------------


def test_rows_are_counted_and_not_remembered() -> None:
    found = looked_at(
        (*columns("a text, b text, c text"), Column("f", Kind.FLOAT, "float")),
        [(None, "x" * 256, '{"a": 1}', 1.5), (" ", "ok", "[]", float("nan")), ("", "nul \0", None, None)],
    )
    assert found["a"] == Look(nulls=1, blanks=2)
    assert (found["b"].longs, found["b"].faulty) == (1, 1)
    assert found["c"] == Look(nulls=1, objects=True)
    assert found["f"].faulty == 1
    assert "nul" not in found["b"].problem.replace("NUL", "")


@pytest.mark.parametrize("text", ["{broken", "plain", "[1", '{"a": "\ud800"}'])
def test_what_only_begins_like_json_is_text(text: str) -> None:
    (look,) = looked_at(columns("a text"), [(text,), ("{}",)]).values()
    assert not look.objects


def test_a_size_in_words_is_exact_where_all_was_seen() -> None:
    assert survey("id int").size == "10 rows"
    assert survey("id int", sampled=1).size == "1 row"
    assert survey("id int", more=True, rows=12345).size == "about 12,345 rows"
    assert survey("id int", more=True, rows=None).size == ""
