"""A proposed sync, and its text as ``config.toml`` with the skeleton of the ``.env`` beside it."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Sequence

import msgspec

from sync_profiles.core.types import Json

DATABASE_URL = "DATABASE_URL"
MIXPANEL_TOKEN = "MIXPANEL_TOKEN"  # noqa: S105 - the name of a variable
VARIABLES = (DATABASE_URL, MIXPANEL_TOKEN)
"""What the configuration takes from the environment or from ``.env``."""

_WIDTH = 118
_REMARK_AT_MAX = 60
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_HEAD = """\
# Proposed by `sync-profiles init`: read it, change what is yours, then `sync-profiles check`.
# ${{NAME}} comes from the environment or from the .env file beside this one; secrets stay there.
# Every key there is: `sync-profiles config schema`.

[source]
url = "${{DATABASE_URL}}"

[mixpanel]
token = "${{MIXPANEL_TOKEN}}"  # Mixpanel, Settings, Project Details
region = "{region}"                # us, eu or in; in the wrong one Mixpanel accepts everything and shows nothing
# With a service account, `check` proves the token and profiles can be read back; sending needs none.
#project_id = 123456
#service_account = "${{MIXPANEL_SERVICE_ACCOUNT}}"
#service_secret = "${{MIXPANEL_SERVICE_SECRET}}"
"""


class Setting(msgspec.Struct, frozen=True):
    """``key = value`` and the reason for it; not ``active``: a comment itself, to be taken up by hand.

    A reason with a capital letter first begins a paragraph above it, any other is a remark behind it where that fits.
    """

    key: str
    value: Json
    why: str = ""
    active: bool = True


class LeftOut(msgspec.Struct, frozen=True):
    """A column that is not sent, and why."""

    column: str
    why: str


class Properties(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of the columns: ``copy`` under their own names, ``set`` and ``set_once`` under others."""

    copy: tuple[str, ...] = ()
    set: tuple[Setting, ...] = ()
    set_once: tuple[Setting, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """One sync: ``name`` is its own, ``settings`` say what is read and how, ``properties`` what is sent."""

    name: str
    settings: tuple[Setting, ...]
    properties: Properties


def config_text(proposal: Proposal, *, region: str = "us") -> str:
    """The whole file; valid once the variables in it are set."""
    properties = proposal.properties
    lines = [_HEAD.format(region=region), f"[sync.{proposal.name}]"]
    lines += _settings(proposal.settings)
    lines += _copied(properties.copy)
    lines += _left_out(properties.left_out)
    lines += _operation(proposal.name, "set", properties.set)
    lines += _operation(proposal.name, "set_once", properties.set_once)
    return "\n".join(lines) + "\n"


def dotenv_text(url: str | None, token: str = "") -> str:
    """The variables of the configuration; ``url`` None: it is in the environment already."""
    lines = ["# Read by sync-profiles beside config.toml; the environment's own variables win. Never commit this file."]
    if url is None:
        lines += ["# In the environment already; cron has another one, so write it here for cron.", f"#{DATABASE_URL}="]
    else:
        lines.append(f"{DATABASE_URL}={_dotenv_value(url)}")
    lines += ["# The project's token: Mixpanel, Settings, Project Details.", f"{MIXPANEL_TOKEN}={_dotenv_value(token)}"]
    return "\n".join(lines) + "\n"


def _dotenv_value(text: str) -> str:
    """In single quotes only ``\\`` and ``'`` mean something."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'" if text else ""


# --- parts of the file ---------------------------------------------------------------------------------------------


def _settings(settings: Sequence[Setting]) -> Iterator[str]:
    """One line each; remarks stand behind the values in one column, sentences above as a paragraph of their own."""
    lines = [_assignment(setting) for setting in settings]
    short = [len(line) for line, setting in zip(lines, settings, strict=True) if _is_remark(line, setting)]
    column = max(short, default=0) + 2
    first, after_paragraph = True, False
    for line, setting in zip(lines, settings, strict=True):
        why, paragraph = _one_line(setting.why), setting.why[:1].isupper()
        if not first and (paragraph or (after_paragraph and why)):
            yield ""
        first = False
        after_paragraph = paragraph
        if _is_remark(line, setting) and column + len("# ") + len(why) <= _WIDTH:
            yield f"{line.ljust(column)}# {why}"
        else:
            yield from _comment(why)
            yield line


def _is_remark(line: str, setting: Setting) -> bool:
    return bool(setting.why) and not setting.why[0].isupper() and len(line) <= _REMARK_AT_MAX


def _assignment(setting: Setting) -> str:
    text = f"{_key(setting.key)} = {_value(setting.value)}"
    return text if setting.active else "\n".join(f"#{line}" for line in text.split("\n"))


def _copied(names: Sequence[str]) -> Iterator[str]:
    if not names:
        return
    yield ""
    yield from _comment("Columns that become properties of the same name.")
    listed = ", ".join(map(_string, names))
    if len(listed) + len("copy = []") <= _WIDTH:
        yield f"copy = [{listed}]"
        return
    yield "copy = ["
    yield from _filled([f"{_string(name)}," for name in names], "  ")
    yield "]"


def _left_out(left_out: Sequence[LeftOut]) -> Iterator[str]:
    if not left_out:
        return
    reasons: dict[str, list[str]] = {}
    for one in left_out:
        reasons.setdefault(one.why, []).append(_one_line(one.column))
    yield ""
    yield "# Left out:"
    for why, columns in reasons.items():
        names = [f"{column}," for column in columns[:-1]] + columns[-1:]
        yield from _filled([*f"{_one_line(why)}:".split(), *names], "#   ", "#     ")


def _filled(words: Sequence[str], indent: str, next_indent: str | None = None) -> Iterator[str]:
    """Words on as few lines as there have to be."""
    line = indent
    for word in words:
        if len(line) + 1 + len(word) > _WIDTH and line.strip(" #"):
            yield line.rstrip()
            line = indent if next_indent is None else next_indent
        line += f"{word} "
    yield line.rstrip()


def _operation(sync: str, operation: str, settings: Sequence[Setting]) -> Iterator[str]:
    if settings:
        yield f"\n[sync.{sync}.{operation}]"
        yield from _settings(settings)


def _comment(text: str) -> Iterator[str]:
    for line in textwrap.wrap(text, _WIDTH - 2, break_long_words=False, break_on_hyphens=False):
        yield f"# {line}"


def _one_line(text: str) -> str:
    """A comment ends with its line, whatever a column is called."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


# --- TOML ----------------------------------------------------------------------------------------------------------


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _quoted(name)


def _value(value: Json) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(name)} = {_value(inner)}" for name, inner in value.items()) + " }"
    return _string(str(value))


def _string(text: str) -> str:
    """A text as a value: ``${`` in it is no variable. Several lines stand as they are, where TOML lets them."""
    escaped = text.replace("${", "$${")
    plain = all(character.isprintable() or character == "\n" for character in text)
    if "\n" in text and plain and "'''" not in text and not text.endswith("'"):
        return f"'''\n{escaped}'''"
    return _quoted(escaped)


def _quoted(text: str) -> str:
    """A literal string of TOML where that spares escapes, else a basic one; JSON's escapes are valid but for DEL."""
    if {'"', "\\"} & set(text) and "'" not in text and text.isprintable():
        return f"'{text}'"
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
