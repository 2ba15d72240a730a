"""From what was found out about a table to a proposed sync, with the reason for everything that is in it or out.

Pure. Whatever the table, the answer is a valid sync, or ``ConfigError`` where nothing tells its rows apart.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

import msgspec

from sync_profiles.core import naming
from sync_profiles.core.draft import Proposal, Setting
from sync_profiles.core.joins import attribute_query, join_settings, quoted
from sync_profiles.core.likely import Attributes, attributes
from sync_profiles.core.proposed_properties import fits_template, proposed_properties
from sync_profiles.core.survey import Survey
from sync_profiles.core.types import Column, Json, Kind
from sync_profiles.errors import ConfigError

_PLAIN = re.compile(r"[a-z_]+")
_NAME_BYTES_MAX = 63
"""PostgreSQL cuts longer names of columns."""
_PUBLIC_IDS = ("uuid", "publicid", "externalid", "guid", "uid", "userid", "useruuid", "accountid", "externaluserid")
_KEY_NAMES = ("id", "uuid", "guid", "pk", "key", "oid")
_ADVICE = (
    "The profile's ID has to be the one that your events carry (mixpanel.identify), or the two never meet. The primary"
    " key is best: an e-mail address changes, and a changed ID is another user to Mixpanel."
)
_SAME_ID = "The profile's ID has to be the one that your events carry (mixpanel.identify), or the two never meet."
_ON_DELETE = "What becomes of profiles whose row is gone: ignore, unset (their properties go) or delete."
_ON_SOFT_DELETE = _ON_DELETE.replace("is gone", "is gone or counts as deleted")


def propose(survey: Survey) -> Proposal:
    """The sync for a table. Raises ``ConfigError`` when no column tells one row from another."""
    found = attributes(survey.table)
    if found is not None and survey.attributes:
        return _of_attributes(survey, found)
    key, deleted = _key(survey), naming.deleted_column(survey.table.columns)
    used = {*key, *([deleted.name] if deleted is not None else ())}
    settings = [
        *_origin(survey),
        *_key_settings(survey, key),
        *_detection(survey),
        *_removal(deleted),
        *_where(survey),
        *join_settings(survey),
    ]
    properties = proposed_properties(survey, used)
    return Proposal(name=_sync_name(survey.table.name), settings=tuple(settings), properties=properties)


def _sync_name(table: str) -> str:
    plain = unicodedata.normalize("NFKD", table.replace("ß", "ss"))
    return re.sub(r"[^A-Za-z0-9_-]+", "", plain.replace(" ", "_")) or "users"


def _origin(survey: Survey) -> Iterator[Setting]:
    table = survey.table
    yield Setting("table", table.name, f"{survey.size}, only ever read" if survey.size else "")
    if table.schema is not None:
        yield Setting("schema", table.schema)


# --- what tells rows and profiles apart ----------------------------------------------------------------------------


def _key(survey: Survey) -> tuple[str, ...]:
    """The table's own primary key, else a unique column that is never NULL, else one that is called like a key."""
    table = survey.table
    if table.primary_key:
        return table.primary_key
    filled = {column.name for column in table.columns if not survey.look(column.name).nulls}
    unique = sorted((names for names in table.unique if filled.issuperset(names)), key=len)
    if unique:
        return unique[0]
    stem = naming.folded(table.name).removesuffix("s")
    for wanted in (*_KEY_NAMES, f"{stem}id", f"{stem}uuid", f"{stem}no", f"{stem}number", "userid", "customerid"):
        for column in table.columns:
            if naming.folded(column.name) == wanted and column.name in filled:
                return (column.name,)
    raise ConfigError(
        f'"{table.name}" has no primary key, and no column looks like one',
        hint="name another table, or write a sync with a query and primary_key by hand",
    )


def _key_settings(survey: Survey, key: tuple[str, ...]) -> Iterator[Setting]:
    table = survey.table
    names: Json = key[0] if len(key) == 1 else list(key)
    if not table.primary_key and key in table.unique:
        yield Setting("primary_key", names, "there is none; this is unique, and no row was seen without it")
    elif not table.primary_key:
        yield Setting("primary_key", names, "there is none; this looks like one, and `check` counts equal ones")
    yield _identity(survey, key)


def _identity(survey: Survey, key: tuple[str, ...]) -> Setting:
    by_name = {column.name: column for column in survey.table.columns}
    unique = {names[0] for names in survey.table.unique if len(names) == 1 and names != key}
    public = [
        name
        for name, column in by_name.items()
        if name in unique and naming.folded(name) in _PUBLIC_IDS and column.kind is not Kind.BYTES
    ]
    filled = [name for name in public if not survey.look(name).nulls]
    owner = next((name for name in filled if naming.folded(name) in {"userid", "useruuid"}), None)
    if owner is not None:
        return Setting("distinct_id", owner, f"{_SAME_ID} Here that is the user's own, and not that of this row.")
    if len(key) > 1:
        why = f"{_SAME_ID} The primary key has several columns; a profile needs one ID."
        return Setting("distinct_id", filled[0] if filled else _template(key, by_name), why)
    if by_name[key[0]].kind is Kind.BYTES:
        why = f"{_ADVICE} The key is binary; its 16 bytes are sent as a UUID."
        return Setting("distinct_id", {"column": key[0], "type": "uuid"}, why)
    others = f" Unique as well: {', '.join(public)}." if public else ""
    return Setting("distinct_id", key[0], _ADVICE + others, active=False)


def _template(key: tuple[str, ...], by_name: dict[str, Column]) -> Json:
    if not all(fits_template(name) and by_name[name].kind is not Kind.BYTES for name in key):
        hint = "write a sync with a query by hand, in which one column is the ID"
        raise ConfigError(f"the primary key ({', '.join(key)}) makes no one ID", hint=hint)
    return {"template": ":".join(f"{{{name}}}" for name in key)}


# --- changes and removals ------------------------------------------------------------------------------------------


def _detection(survey: Survey) -> Iterator[Setting]:
    change = naming.change_column(survey.table.columns, texts=survey.dialect == "sqlite")
    if survey.row_versions:
        yield Setting(
            "detect", "xmin", "what auto takes here: PostgreSQL's row versions find every change", active=False
        )
        if change is not None:
            yield Setting("cursor", change.name, "only `backfill --since` would need it", active=False)
    elif change is None:
        why = "what auto takes here: no change column, so runs read every row and send what differs"
        yield Setting("detect", "full", why, active=False)
    else:
        look = survey.look(change.name)
        usable = not look.faulty and not (survey.sampled and look.nulls == survey.sampled)
        yield Setting("cursor", change.name, " ".join(_of_change(survey, change)), active=usable)


def _of_change(survey: Survey, change: Column) -> Iterator[str]:
    look = survey.look(change.name)
    yield "The change column: runs read the rows in which it moved, and all rows every 24 h (full_every)."
    match survey.stamped_by:
        case "trigger":
            yield "A trigger sets it with every change."
        case "column":
            yield "Its own ON UPDATE sets it with every change."
        case _:
            yield "As far as can be seen only the application sets it: an UPDATE without it waits for the full pass."
    if look.nulls:
        yield f"It is NULL in {look.nulls:,} of the first {survey.sampled:,} rows, which every run reads."


def _removal(deleted: Column | None) -> Iterator[Setting]:
    if deleted is not None:
        yield Setting("deleted", deleted.name, "soft delete: rows where it is true or not null count as deleted")
    yield Setting("on_delete", "ignore", _ON_DELETE if deleted is None else _ON_SOFT_DELETE)


def _where(survey: Survey) -> Iterator[Setting]:
    active = naming.active_column(survey.table.columns)
    if active is None:
        return
    name = active.name if _PLAIN.fullmatch(active.name) else quoted(survey.dialect, active.name)
    condition = name if survey.dialect == "postgresql" and active.kind is Kind.BOOLEAN else f"{name} = 1"
    why = f"To treat users whose {active.name} is false as deleted (`deleted` wants the opposite):"
    yield Setting("where", condition, why, active=False)


# --- attributes ----------------------------------------------------------------------------------------------------


def _of_attributes(survey: Survey, found: Attributes) -> Proposal:
    """A table of attributes, one a row, becomes a query with one row for each owner."""
    names: dict[str, str] = {found.owner.lower(): ""}
    for name in survey.attributes:
        if len(name.encode()) <= _NAME_BYTES_MAX and "\0" not in name:
            names.setdefault(name.lower(), name)  # a query cannot have two columns that differ in capital letters only
    columns = tuple(Column(name, Kind.TEXT, "an attribute") for name in names.values() if name)
    wide = msgspec.structs.replace(survey.table, columns=columns, primary_key=(found.owner,), unique=())
    properties = proposed_properties(Survey(dialect=survey.dialect, table=wide), set())
    left_out = {noted.column for noted in properties.left_out}
    wanted = [column.name for column in columns if column.name not in left_out]
    why = "The table keeps one attribute a row; this makes one row of each user. A new attribute is added by hand."
    settings = (
        Setting("query", attribute_query(survey, found, wanted), why),
        Setting("primary_key", found.owner),
        Setting("distinct_id", found.owner, _SAME_ID, active=False),
        Setting("on_delete", "ignore", _ON_DELETE),
    )
    return Proposal(name=_sync_name(survey.table.name), settings=settings, properties=properties)
