"""Which columns become properties, under which names, and why the others do not."""

from __future__ import annotations

from collections.abc import Iterator

from sync_profiles.core import naming
from sync_profiles.core.joins import links_joined
from sync_profiles.core.mapping_rules import FORBIDDEN, NAME_CHARACTERS_MAX
from sync_profiles.core.proposed import Noted, Properties, Setting
from sync_profiles.core.survey import Survey
from sync_profiles.core.types import Column, Kind

_INTERNAL_TYPES = ("tsvector", "tsquery", "geometry", "geography", "vector", "point", "polygon", "pg_lsn", "halfvec")
_MIXPANELS = frozenset(("bucket", "token", "distinct_id", "time", "length"))
"""Names that mean something to Mixpanel itself (its lists of reserved properties)."""
_SHOWN = "what lists of users in Mixpanel show"


def proposed_properties(survey: Survey, used: set[str]) -> Properties:
    """The properties of a sync; columns in ``used`` say something about their row and are no properties."""
    left_out = list(_left_out(survey, used))
    gone = {noted.column for noted in left_out}
    columns = [column for column in survey.table.columns if column.name not in gone]
    created = naming.created_column(columns, texts=survey.dialect == "sqlite")
    once = (
        () if created is None else (Setting("$created", created.name, ("sent with a new profile, then never again",)),)
    )
    rest = [column for column in columns if column is not created]
    named = list(_named(survey, naming.reserved(rest), rest))
    taken = {word for setting in named if setting.active for word in _columns_of(setting)}
    copied, renamed = [], []
    for column in rest:
        if column.name in taken:
            continue
        own = _own_setting(survey, column)
        if own is None:
            copied.append(Noted(column.name, column.type_name))
        else:
            renamed.append(own)
    if not (copied or named or renamed or once):
        key = survey.table.primary_key[0] if survey.table.primary_key else survey.table.columns[0].name
        renamed.append(Setting("key", key, ("there is nothing else to send; the profile at least exists",)))
    joined = [joined.property for joined in links_joined(survey)]
    return Properties(copy=tuple(copied), set=(*named, *renamed, *joined), set_once=once, left_out=tuple(left_out))


def _left_out(survey: Survey, used: set[str]) -> Iterator[Noted]:
    meant = {column.name for column in naming.reserved(survey.table.columns).values()}
    for column in survey.table.columns:
        # A key that is an e-mail address is also worth sending as one.
        why = "says something about the row, see above" if column.name in used - meant else _objection(survey, column)
        if why is not None:
            yield Noted(column.name, why)


def _objection(survey: Survey, column: Column) -> str | None:
    """Why a column should not be sent; None when nothing speaks against it."""
    look = survey.look(column.name)
    if naming.is_secret(column):
        return "looks like a secret"
    if naming.is_sign_in(column):
        return "changes with every sign-in; events tell that better"
    if naming.is_device(column):
        return "the address of a device; personal, and rarely wanted in a profile"
    if column.kind is Kind.BYTES:
        return 'binary; { column = "…", type = "uuid" } sends 16 bytes as a UUID, type = "string" sends UTF-8'
    if column.type_name.startswith(_INTERNAL_TYPES):
        return f"{column.type_name} means nothing outside of the database"
    if look.faulty:
        return f"{look.faulty:,} of the first {survey.sampled:,} rows cannot be sent: the column {look.problem}"
    if look.longs and not look.objects:
        return "holds texts longer than 255 bytes, where Mixpanel cuts them"
    if "\0" in column.name or len(column.name) > NAME_CHARACTERS_MAX:
        return "its name is none that a property can have"
    return None


def _named(survey: Survey, meant: dict[str, Column], rest: list[Column]) -> Iterator[Setting]:
    """Properties that Mixpanel has a name for."""
    if "$email" in meant:
        yield Setting("$email", meant["$email"].name)
    yield from _names(survey, meant, rest)
    for name in ("$phone", "$avatar"):
        if name in meant:
            why = (
                "Mixpanel wants it with + and the country's number" if name == "$phone" else "the address of a picture"
            )
            yield Setting(name, meant[name].name, (why,))


def _names(survey: Survey, meant: dict[str, Column], rest: list[Column]) -> Iterator[Setting]:
    first, last = meant.get("$first_name"), meant.get("$last_name")
    if "$name" in meant:
        yield Setting("$name", meant["$name"].name, (_SHOWN,))
    elif first is not None and last is not None and not {"{", "}"} & set(first.name + last.name):
        whole = _is_filled(survey, first) and _is_filled(survey, last)
        blank = "some rows have no first or last name, and a template with a NULL or blank part makes no good name"
        template = {"template": f"{{{first.name}}} {{{last.name}}}"}
        yield Setting("$name", template, (_SHOWN,) if whole else (blank,), active=whole)
    elif first is None and last is None and "$email" not in meant:
        login = next(
            (column for column in rest if naming.folded(column.name) in {"username", "login", "nickname"}), None
        )
        if login is not None:
            yield Setting("$name", login.name, ("there is no other name",))
    for name, column in (("$first_name", first), ("$last_name", last)):
        if column is not None:
            yield Setting(name, column.name)


def _is_filled(survey: Survey, column: Column) -> bool:
    look = survey.look(column.name)
    return survey.sampled > 0 and not (look.nulls or look.blanks)


def _columns_of(setting: Setting) -> list[str]:
    return [setting.value] if isinstance(setting.value, str) else []


def _own_setting(survey: Survey, column: Column) -> Setting | None:
    """A property that cannot simply be called like its column; None for one that can."""
    name = column.name
    if name in FORBIDDEN or name.startswith(("$", "mp_")) or name.lower() in _MIXPANELS or name != name.strip():
        return Setting(f"user_{name.strip().lstrip('$')}", name, ("its own name means something to Mixpanel",))
    if survey.look(name).objects:
        return Setting(name, {"column": name, "type": "json"}, ("text that holds JSON",))
    return None
