"""The line map agrees with tomllib about what is there, and with the writer of the text about where."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync_profiles.config.lines import Place, key_lines


@dataclass
class Written:
    """A TOML text under construction, and the line each place was written on."""

    text: str = ""
    lines: dict[Place, int] = field(default_factory=dict)

    @property
    def line(self) -> int:
        return self.text.count("\n") + 1

    def add(self, text: str) -> None:
        self.text += text


def places(value: Any, place: Place = ()) -> set[Place]:
    """Every place in a parsed document, tables and list elements included."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    here = {place} if place else set()
    return here.union(*(places(each, (*place, key)) for key, each in inner))


AWKWARD = st.sampled_from(["a", "b-1", "_", "$email", "x.y", 'q"q', "it's", "#no", "[t]", "= {", "é", "a b", "\t", "1"])
SCALARS = st.sampled_from(
    [
        "1",
        "-1.5e3",
        "true",
        "inf",
        "0xff",
        "1979-05-27 07:32:00.5Z",
        "07:32:00",
        '"a # b = [c] \\" }"',
        "'c:\\{x} \"'",
        '""',
        "''",
        '"""\nx = 1\n[no]\n"""',
        '"""say ""hi"" \\""" # """"',
        '"""""""',
        "'''\n'a' ''b''\n'''''",
        '"""a\\\n   b"""',
        '"${NAME:-x}"',
    ]
)
GAPS = st.sampled_from(["", " ", "\t"])
COMMENTS = st.sampled_from(["", "  # a = 1 ] } \" '''", "#"])
ENDS = st.sampled_from(["\n", "\r\n", "\n\n", "\n# [x]\n"])


@st.composite
def documents(draw: st.DrawFn) -> Written:
    """A valid TOML text in many styles: quoting, dotted keys, headers, inline tables, arrays over several lines."""
    out = Written()
    names = st.lists(AWKWARD, unique=True, max_size=3)

    def key(name: str) -> str:
        if name in {"a", "b-1", "_", "1"} and draw(st.booleans()):
            return name
        if "'" not in name and "\t" not in name and draw(st.booleans()):
            return f"'{name}'"
        return '"' + name.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t").replace("é", "\\u00e9") + '"'

    def value(place: Place, depth: int) -> None:
        kind = draw(st.sampled_from(["scalar", "array", "table"])) if depth < 3 else "scalar"
        if kind == "scalar":
            out.add(draw(SCALARS))
        elif kind == "table":
            out.add("{" + draw(GAPS))
            for number, name in enumerate(draw(names)):
                out.add(("," if number else "") + draw(GAPS))
                pair(place, name, depth + 1)
            out.add(draw(GAPS) + "}")
        else:
            array(place, depth)

    def array(place: Place, depth: int) -> None:
        out.add("[")
        for number in range(draw(st.integers(0, 3))):
            out.add(draw(st.sampled_from(["", " ", "\n", ' # ] " ,\n', "\r\n"])))
            out.lines[(*place, number)] = out.line
            value((*place, number), depth + 1)
            out.add(draw(st.sampled_from([",", " , ", "\n,", ", # ,[\n"])))
        out.add(draw(st.sampled_from(["]", "\n]"])))

    def pair(place: Place, name: str, depth: int) -> None:
        inner = draw(AWKWARD) if draw(st.booleans()) else None
        out.lines[(*place, name)] = out.line
        out.add(key(name))
        whole: Place = (*place, name)
        if inner is not None:
            whole = (*whole, inner)
            out.lines[whole] = out.line
            out.add(draw(GAPS) + "." + draw(GAPS) + key(inner))
        out.add(draw(GAPS) + "=" + draw(GAPS))
        value(whole, depth)

    def pairs(place: Place, without: set[str]) -> None:
        for name in draw(names):
            if name not in without:
                out.add(draw(GAPS))
                pair(place, name, 0)
                out.add(draw(COMMENTS) + draw(ENDS))

    headers = draw(st.lists(st.sampled_from(["plain", "deep", "list"]), unique=True))
    pairs((), set())
    for header in headers:
        if header == "list":
            for number in range(draw(st.integers(1, 3))):
                out.lines.setdefault(("list",), out.line)
                out.lines[("list", number)] = out.line
                out.add("[[ list ]]" + draw(COMMENTS) + draw(ENDS))
                pairs(("list", number), {"sub"})
                if draw(st.booleans()):
                    out.lines[("list", number, "sub")] = out.line
                    out.add("[list.sub]" + draw(COMMENTS) + draw(ENDS))
                    pairs(("list", number, "sub"), set())
        else:
            place: Place = (header,) if header == "plain" else (header, "$x.y")
            for length in range(1, len(place) + 1):
                out.lines[place[:length]] = out.line
            out.add(f"[{draw(GAPS)}" + (header if header == "plain" else f'{header} . "$x.y"') + f"{draw(GAPS)}]\n")
            pairs(place, set())
    return out


@settings(deadline=None)  # a busy machine is no failure
@given(documents())
def test_every_place_of_a_document_is_found_on_the_line_it_was_written(written: Written) -> None:
    document = tomllib.loads(written.text)

    assert key_lines(written.text) == written.lines
    assert set(written.lines) == places(document)


def test_a_header_of_its_own_wins_over_a_mention_in_passing() -> None:
    lines = key_lines("[sync.users.set]\na = 'a'\n\n[sync.users]\ntable = 'users'\n")

    assert lines[("sync", "users")] == 4
    assert lines[("sync", "users", "set")] == 1
    assert lines[("sync",)] == 1


@pytest.mark.parametrize("text", ["", "\n", "# only a comment", "a = 1", "[a]", "a = 1\r\n"])
def test_the_end_of_a_text_needs_no_line_end(text: str) -> None:
    assert set(key_lines(text)) == places(tomllib.loads(text))


def test_a_long_text_is_read_in_one_pass() -> None:
    """A quote that looks open must not make the pattern try every split: ten thousand of them are read at once."""
    quotes = '"" ' * 10_000
    lines = key_lines(f'a = """{quotes}"""\nb = 1\n')

    assert lines == {("a",): 1, ("b",): 2}
