"""Which table of a database holds its users: by name first, then by what is in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sync_profiles.core import naming, withheld
from sync_profiles.core.survey import Table
from sync_profiles.core.types import Kind

_SURE, _LEAD, _WORTH = 50, 20, 20
_OF_STAFF = 40
_NOISE = frozenset(("entity", "table", "tbl", "master", "base", "main", "list", "records"))
_PEOPLE = {
    **dict.fromkeys(("user", "users", "benutzer", "appuser", "appusers", "useraccount", "useraccounts"), 60),
    **dict.fromkeys(("customer", "customers", "member", "members", "subscriber", "subscribers"), 50),
    **dict.fromkeys(("kunde", "kunden", "mitglieder", "client", "clients", "account", "accounts"), 45),
    **dict.fromkeys(("contact", "contacts", "kontakt", "kontakte", "person", "persons", "people", "profile"), 40),
    **dict.fromkeys(("profiles", "lead", "leads", "player", "players", "student", "students", "patients"), 35),
    **dict.fromkeys(("employee", "employees", "staff", "admins"), 15),
}
_KEYS = (
    *("key", "name", "metakey", "attribute", "attributename", "attr", "property", "propertyname"),
    *("field", "fieldname", "optionname", "settingkey"),
)
_VALUES = (
    *("value", "metavalue", "attributevalue", "val", "propertyvalue", "fieldvalue", "optionvalue"),
    *("settingvalue", "valuetext"),
)
_OWNERS = frozenset(
    ("user", "customer", "member", "contact", "account", "person", "profile", "owner", "subscriber", "client", "entity")
)
ATTRIBUTE_COLUMNS_MAX = 8


class Attributes(NamedTuple):
    """The columns of a table that keeps one attribute of a user in each row."""

    owner: str
    name: str
    value: str


def name_score(name: str) -> int:
    """How much a table's name alone speaks for it."""
    if naming.folded(name) in _PEOPLE:
        return _PEOPLE[naming.folded(name)]
    said = [word for word in naming.words(name) if word not in _NOISE]
    if said and said[-1] in _PEOPLE:
        return _PEOPLE[said[-1]] - (_OF_STAFF if said[0] in {"admin", "staff"} else 5)
    return -10 if any(word in _PEOPLE for word in said) else 0


def score(table: Table) -> int:
    """How much speaks for a table as the one with the users; meaningful in comparison only."""
    if attributes(table) is not None:
        return name_score(table.name) - 60
    meant = naming.reserved(table.columns)
    points = name_score(table.name)
    points += 25 if "$email" in meant else 0
    points += 10 if "$name" in meant or "$last_name" in meant else 0
    points += 5 if "$phone" in meant else 0
    points += 10 if any(withheld.is_secret(column) for column in table.columns) else 0
    points += 10 if any(withheld.is_sign_in(column) for column in table.columns) else 0
    points -= 20 if len(table.columns) < 3 else 0
    return points if table.primary_key else points - 10


def likely(tables: Sequence[Table]) -> list[Table]:
    """The tables worth a look, the likeliest first."""
    ranked = sorted(tables, key=lambda table: (-score(table), table.name))
    return [table for table in ranked if score(table) >= _WORTH]


def obvious(tables: Sequence[Table]) -> Table | None:
    """The one that needs no question; None where there is none, or two that could be it."""
    ranked = likely(tables)
    if len(ranked) < 2:
        return next(iter(ranked), None)
    first, second = score(ranked[0]), score(ranked[1])
    return ranked[0] if first >= _SURE and first - second >= _LEAD else None


def attributes(table: Table) -> Attributes | None:
    """Owner, name and value of a table of attributes; None for any other."""
    if len(table.columns) > ATTRIBUTE_COLUMNS_MAX:
        return None
    by_name = {naming.folded(column.name): column for column in table.columns if column.kind is not Kind.BYTES}
    name = next((by_name[word] for word in _KEYS if word in by_name), None)
    value = next((by_name[word] for word in _VALUES if word in by_name), None)
    owner = next((column for column in table.columns if _is_owner(column.name)), None)
    if name is None or value is None or owner is None or (owner.name,) in (table.primary_key, *table.unique):
        return None
    return Attributes(owner.name, name.name, value.name)


def _is_owner(name: str) -> bool:
    said = naming.words(name)
    return len(said) > 1 and said[-1] in {"id", "uuid"} and bool(_OWNERS & set(said[:-1]))
