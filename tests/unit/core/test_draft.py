"""How a proposal looks: what a careful colleague would have written."""

from __future__ import annotations

import io
import tomllib
from typing import Any

import pytest
from dotenv import dotenv_values

from sync_profiles.core.draft import LeftOut, Properties, Proposal, Setting, config_text, dotenv_text


def body(*settings: Setting, **properties: Any) -> str:
    """The part of the file that belongs to the sync."""
    text = config_text(Proposal(name="users", settings=settings, properties=Properties(**properties)))
    return text.partition("[sync.users]\n")[2]


def test_remarks_stand_in_one_column_and_sentences_are_paragraphs() -> None:
    assert (
        body(
            Setting("table", "users", "10 rows"),
            Setting("schema", "public"),
            Setting("cursor", "updated_at", "Runs read the rows in which it moved."),
            Setting("deleted", "deleted_at", "soft delete"),
            Setting("distinct_id", "id", "the key", active=False),
        )
        == """\
table = "users"         # 10 rows
schema = "public"

# Runs read the rows in which it moved.
cursor = "updated_at"

deleted = "deleted_at"  # soft delete
#distinct_id = "id"     # the key
"""
    )


def test_what_belongs_to_a_paragraph_stays_in_it() -> None:
    text = body(
        Setting("query", "SELECT 1\n", "A way to join.", active=False), Setting("primary_key", "id", active=False)
    )
    assert text == "# A way to join.\n#query = '''\n#SELECT 1\n#'''\n#primary_key = \"id\"\n"


def test_a_remark_that_would_be_too_long_stands_above() -> None:
    why = "word " * 25
    assert body(Setting("table", "users", why)) == "# " + why.strip()[:114] + '\n# word word\ntable = "users"\n'


def test_columns_fill_lines_and_reasons_are_grouped() -> None:
    names = tuple(f"column_{number:02}" for number in range(20))
    text = body(
        Setting("table", "users"),
        copy=names,
        left_out=tuple(LeftOut(name, "looks like a secret" if "1" in name else "is binary") for name in names),
    )
    assert max(map(len, text.splitlines())) <= 118
    assert tomllib.loads(text)["copy"] == list(names)
    assert 'copy = [\n  "column_00", "column_01",' in text
    assert "#   looks like a secret: column_01, column_10, column_11," in text
    assert text.count("is binary") == 1


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("plain", '"plain"'),
        ('say "hi"', "'say \"hi\"'"),
        ("back\\slash", "'back\\slash'"),
        ("both ' and \"", '"both \' and \\""'),
        ("${HOME}", '"$${HOME}"'),
        ("tab\t\x7f", '"tab\\t\\u007f"'),
        ("ä €", '"ä €"'),
        ("two\nlines\n", "'''\ntwo\nlines\n'''"),
        ("it's\n'''", "\"it's\\n'''\""),
    ],
)
def test_a_text_is_written_as_plainly_as_toml_lets_it(text: str, written: str) -> None:
    line = body(Setting("where", text))
    assert line == f"where = {written}\n"
    assert tomllib.loads(line)["where"] == text.replace("${", "$${")


def test_no_name_of_a_column_gets_out_of_its_comment() -> None:
    evil = "x\ntable = 1\r\x00\u2028y"
    text = body(Setting("table", "users", f"of {evil}"), left_out=(LeftOut(evil, f"because\n{evil}"),))
    assert tomllib.loads(text) == {"table": "users"}


def test_operations_have_sections_of_their_own_with_quoted_names() -> None:
    text = config_text(
        Proposal(
            name="users",
            settings=(Setting("table", "users"),),
            properties=Properties(
                set=(Setting("$email", "email"), Setting("Größe", {"column": "g", "type": "json"})),
                set_once=(Setting("$created", "created_at"),),
            ),
        ),
        region="eu",
    )
    read = tomllib.loads(text)
    assert read["sync"]["users"]["set"] == {"$email": "email", "Größe": {"column": "g", "type": "json"}}
    assert read["sync"]["users"]["set_once"] == {"$created": "created_at"}
    assert read["mixpanel"] == {"token": "${MIXPANEL_TOKEN}", "region": "eu"}
    assert read["source"] == {"url": "${DATABASE_URL}"}


@pytest.mark.parametrize("url", ["sqlite:////a b.db", "postgresql://u:p'\\w#$x@h/d", "mysql://u:${X}@h/d"])
@pytest.mark.parametrize("token", ["", "abc", "with'quote"])
def test_the_env_gives_back_what_was_put_in(url: str, token: str) -> None:
    read = dotenv_values(stream=io.StringIO(dotenv_text(url, token)), interpolate=False)
    assert read == {"DATABASE_URL": url, "MIXPANEL_TOKEN": token}


def test_a_url_that_is_in_the_environment_is_not_written_down() -> None:
    read = dotenv_values(stream=io.StringIO(dotenv_text(None)), interpolate=False)
    assert read == {"MIXPANEL_TOKEN": ""}
    assert "#DATABASE_URL=" in dotenv_text(None)
