"""A proposal as the text of ``config.toml``, and the skeleton of the ``.env`` beside it."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Sequence

from sync_profiles.core.proposed import Noted, Properties, Proposal, Setting
from sync_profiles.core.types import Json

WIDTH = 118
DATABASE_URL, MIXPANEL_TOKEN = "DATABASE_URL", "MIXPANEL_TOKEN"  # noqa: S105 - names of variables
VARIABLES = (DATABASE_URL, MIXPANEL_TOKEN)
"""What the configuration takes from the environment or from ``.env``."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_HEAD = """\
# Written by `sync-profiles init` from what it saw in the database: a proposal to be read and changed.
# ${NAME} comes from the environment or from the .env file beside this one; secrets stay there.
#
#   sync-profiles check           what would go wrong in a run, before there is one
#   sync-profiles preview         the records that would be sent
#   sync-profiles config schema   every key there is

[source]
url = "${DATABASE_URL}"

[mixpanel]
# The project's token: Mixpanel, Settings, Project Details.
token = "${MIXPANEL_TOKEN}"
# Where the project is hosted: us, eu or in. In the wrong one, Mixpanel accepts everything and shows nothing.
region = "us"
# With these three, check proves the token and verify reads profiles back.
#project_id = 123456
#service_account = "${MIXPANEL_SERVICE_ACCOUNT}"
#service_secret = "${MIXPANEL_SERVICE_SECRET}"
"""


def config_text(proposal: Proposal) -> str:
    """The whole file; valid once the variables in it are set."""
    properties = proposal.properties
    lines = [_HEAD, f"[sync.{proposal.name}]"]
    lines += [line for setting in proposal.settings for line in _setting(setting)]
    lines += _copied(properties.copy)
    lines += _left_out(properties.left_out)
    lines += _operation(proposal.name, "set", properties.set)
    lines += _operation(proposal.name, "set_once", properties.set_once)
    return "\n".join(lines) + "\n"


def dotenv_text(url: str | None) -> str:
    """The variables of the configuration, to be filled in; ``url`` None: it is in the environment already."""
    database = f"{DATABASE_URL}={_dotenv_value(url)}" if url is not None else f"#{DATABASE_URL}="
    said = (
        "" if url is not None else "# Was taken from the environment. Cron has another one: write it here for that.\n"
    )
    return (
        "# Read by sync-profiles beside config.toml; variables of the environment win. Keep it to yourself (mode 0600).\n"
        f"{said}{database}\n"
        "# The project's token: Mixpanel, Settings, Project Details.\n"
        f"{MIXPANEL_TOKEN}=\n"
    )


def _dotenv_value(text: str) -> str:
    """In single quotes only ``\\`` and ``'`` mean something."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


# --- parts of the file ---------------------------------------------------------------------------------------------


def _setting(setting: Setting) -> Iterator[str]:
    for sentence in setting.why:
        yield from _comment(sentence)
    text = f"{_key(setting.key)} = {_value(setting.value)}"
    yield text if setting.active else "\n".join(f"#{line}" for line in text.split("\n"))


def _copied(copied: Sequence[Noted]) -> Iterator[str]:
    if not copied:
        return
    yield from _comment("Columns that become properties of the same name.")
    yield "copy = ["
    names = [_string(noted.column) + "," for noted in copied]
    width = max(map(len, names))
    for name, noted in zip(names, copied, strict=True):
        yield f"  {name.ljust(width)}  # {_one_line(noted.why)}"
    yield "]"


def _left_out(left_out: Sequence[Noted]) -> Iterator[str]:
    if not left_out:
        return
    yield from _comment("Left out:")
    for noted in left_out:
        yield from _comment(f"  {noted.column}: {noted.why}")


def _operation(sync: str, operation: str, settings: Sequence[Setting]) -> Iterator[str]:
    if settings:
        yield f"\n[sync.{sync}.{operation}]"
        for setting in settings:
            yield from _setting(setting)


def _comment(text: str) -> Iterator[str]:
    indent = text[: len(text) - len(text.lstrip())]
    lines = textwrap.wrap(_one_line(text), WIDTH - 2 - len(indent), break_long_words=False, break_on_hyphens=False)
    yield from (f"# {indent}{line}" for line in lines)


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
    """A basic string of TOML; JSON's escapes are among its own, but for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
