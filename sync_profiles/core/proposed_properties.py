"""Which columns become properties, under which names, and why the others do not."""

from __future__ import annotations

from collections.abc import Iterator

from sync_profiles.core import naming, withheld
from sync_profiles.core.draft import LeftOut, Properties, Setting
from sync_profiles.core.joins import links_joined
from sync_profiles.core.mapping_rules import FORBIDDEN, NAME_CHARACTERS_MAX
from sync_profiles.core.survey import Survey
from sync_profiles.core.types import Column, Kind

_INTERNAL_TYPES = ("tsvector", "tsquery", "geometry", "geography", "vector", "point", "polygon", "pg_lsn", "halfvec")
_MIXPANELS = frozenset(("bucket", "token", "distinct_id", "time", "length"))
"""Names that mean something to Mixpanel itself (its lists of reserved properties)."""
_LOGINS = ("username", "userlogin", "login", "loginname", "nickname", "benutzername")


def proposed_properties(survey: Survey, used: set[str]) -> Properties:
    """The properties of a sync; columns in ``used`` say something about their row and are no properties."""
    left_out = list(_left_out(survey, used))
    gone = {one.column for one in left_out}
    columns = [column for column in survey.table.columns if column.name not in gone]
    created = naming.created_column(columns, texts=survey.dialect == "sqlite")
    once = () if created is None else (Setting("$created", created.name, "sent with a new profile, never again"),)
    rest = [column for column in columns if column is not created]
    named = list(_named(survey, rest))
    taken = {setting.value for setting in named if setting.active and isinstance(setting.value, str)}
    plain = [column for column in rest if column.name not in taken]
    copied = [column.name for column in plain if not _needs_own_setting(survey, column)]
    renamed = list(_own_settings(survey, [column for column in plain if _needs_own_setting(survey, column)]))
    if not (copied or renamed or once or any(setting.active for setting in named)):
        renamed.append(Setting("source", {"value": survey.table.name}, "there is nothing else to send"))
    joined = [one.property for one in links_joined(survey)]
    return Properties(copy=tuple(copied), set=(*named, *renamed, *joined), set_once=once, left_out=tuple(left_out))


# --- left out ------------------------------------------------------------------------------------------------------


def _left_out(survey: Survey, used: set[str]) -> Iterator[LeftOut]:
    meant = {column.name for column in naming.reserved(survey.table.columns).values()}
    for column in survey.table.columns:
        # A key that is an e-mail address is also worth sending as one.
        why = "used above" if column.name in used - meant else _objection(survey, column)
        if why is not None:
            yield LeftOut(column.name, why)


def _objection(survey: Survey, column: Column) -> str | None:
    """Why a column should not be sent; None when nothing speaks against it."""
    look = survey.look(column.name)
    if withheld.is_secret(column):
        return "looks like a secret"
    if withheld.is_sign_in(column):
        return "sign-in bookkeeping, which changes although the user does not; events tell it better"
    if naming.tells_of_change(column.name):
        return "moves with every change of the row, and would send the profile each time"
    if withheld.is_device(column):
        return "address or fingerprint of a device: personal, and rarely wanted in a profile"
    if column.kind is Kind.BYTES:
        return 'binary ({ column = "…", type = "uuid" } sends 16 bytes as UUID, type = "string" UTF-8 as text)'
    if column.type_name.startswith(_INTERNAL_TYPES):
        return f"{column.type_name}, which means nothing outside of the database"
    if look.faulty:
        return (
            f"cannot be sent as it is: in {look.faulty:,} of the first {survey.sampled:,} rows the value {look.problem}"
        )
    if look.longs and not look.objects:
        return "texts longer than 255 bytes, which Mixpanel cuts"
    if not _is_property_name(column.name):
        return "a name that no property can have"
    return None


def _is_property_name(name: str) -> bool:
    return (
        bool(name.strip())
        and len(name) <= NAME_CHARACTERS_MAX
        and not any(character == "\0" or "\ud800" <= character <= "\udfff" for character in name)
    )


# --- under Mixpanel's names ----------------------------------------------------------------------------------------


def _named(survey: Survey, rest: list[Column]) -> Iterator[Setting]:
    """Properties that Mixpanel has a name for."""
    meant = naming.reserved(rest)
    if "$email" in meant:
        yield Setting("$email", meant["$email"].name)
    yield from _names(survey, meant, rest)
    if "$phone" in meant:
        yield Setting("$phone", meant["$phone"].name, "with + and the country code, as Mixpanel wants it")
    if "$avatar" in meant:
        yield Setting("$avatar", meant["$avatar"].name, "address of a picture")


def _names(survey: Survey, meant: dict[str, Column], rest: list[Column]) -> Iterator[Setting]:
    """``$name`` is what Mixpanel lists users by."""
    first, last = meant.get("$first_name"), meant.get("$last_name")
    login = next((column for column in rest if naming.folded(column.name) in _LOGINS), None)
    if "$name" in meant:
        yield Setting("$name", meant["$name"].name)
    elif first is not None and last is not None and fits_template(first.name) and fits_template(last.name):
        fits, why = _full_name_fits(survey, first, last)
        yield Setting("$name", {"template": f"{{{first.name}}} {{{last.name}}}"}, why, active=fits)
        if not fits and login is not None:
            yield Setting("$name", login.name)
    elif login is not None:
        yield Setting("$name", login.name, "there is no other name")
    for name, column in (("$first_name", first), ("$last_name", last)):
        if column is not None:
            yield Setting(name, column.name)


def _full_name_fits(survey: Survey, first: Column, last: Column) -> tuple[bool, str]:
    """Whether both names together make one, and what there is to say of it. Empty texts would leave a blank."""
    looks = [survey.look(first.name), survey.look(last.name)]
    if not survey.sampled:
        return False, "if neither can be empty text; there was no row to see"
    if any(look.blanks for look in looks):
        return False, f"{first.name} or {last.name} is empty in some rows"
    return True, "left out where one of them is NULL" if any(look.nulls for look in looks) else ""


def _needs_own_setting(survey: Survey, column: Column) -> bool:
    return _is_mixpanels(column.name) or survey.look(column.name).objects


def _own_settings(survey: Survey, columns: list[Column]) -> Iterator[Setting]:
    """Properties that cannot simply be called like their columns, or are more than their text."""
    taken = {column.name for column in survey.table.columns}
    for column in columns:
        name = column.name
        if _is_mixpanels(name):
            name = f"user_{name.strip().lstrip('$')}"
            while name in taken:
                name = f"user_{name}"
            taken.add(name)
        value = {"column": column.name, "type": "json"} if survey.look(column.name).objects else column.name
        why = "text that holds JSON" if name == column.name else "its own name means something to Mixpanel"
        yield Setting(name, value, why)


def _is_mixpanels(name: str) -> bool:
    return name in FORBIDDEN or name.startswith(("$", "mp_")) or name.lower() in _MIXPANELS or name != name.strip()


def fits_template(column: str) -> bool:
    """Whether a template can name a column."""
    return column == column.strip() != "" and not {"{", "}"} & set(column)
