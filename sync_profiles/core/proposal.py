"""From what was found out about a table to a proposed sync, with the reason for everything that is in it or out.

Pure. Whatever the table, the answer is a valid sync, or ``ConfigError`` where nothing tells its rows apart.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

import msgspec

from sync_profiles.core import naming
from sync_profiles.core.joins import attribute_query, join_settings, quoted
from sync_profiles.core.likely import Attributes, attributes
from sync_profiles.core.properties_proposal import proposed_properties
from sync_profiles.core.proposed import Proposal, Setting
from sync_profiles.core.survey import Survey
from sync_profiles.core.types import Column, Json, Kind
from sync_profiles.errors import ConfigError

_NAME_BYTES_MAX = 63
"""PostgreSQL cuts longer names of columns."""
_PUBLIC_IDS = ("uuid", "publicid", "externalid", "guid", "uid", "userid", "useruuid", "accountid", "externaluserid")
_KEY_NAMES = ("id", "uuid", "guid", "pk", "key", "oid")
_ADVICE = (
    "The profile's ID has to be the one that your events carry (mixpanel.identify), or profiles and events never meet.",
    "The primary key is the best: an e-mail address changes, and a changed ID is another user to Mixpanel.",
)
_ON_DELETE = (
    "ignore, unset (the properties go) or delete (the profile goes), for rows that are gone or count as deleted.",
)


def propose(survey: Survey) -> Proposal:
    """The sync for a table. Raises ``ConfigError`` when no column tells one row from another."""
    found = attributes(survey.table)
    if found is not None and survey.attributes:
        return _of_attributes(survey, found)
    key = _key(survey)
    change, deleted = _change(survey), naming.deleted_column(survey.table.columns)
    used = {column.name for column in (change, deleted) if column is not None} | set(key)
    settings = [
        *_origin(survey),
        *join_settings(survey),
        *_key_settings(survey, key),
        *_detection(survey, change),
        *_removal(survey, deleted),
    ]
    return Proposal(
        name=_sync_name(survey.table.name), settings=tuple(settings), properties=proposed_properties(survey, used)
    )


def _sync_name(table: str) -> str:
    plain = unicodedata.normalize("NFKD", table.replace("ß", "ss"))
    return re.sub(r"[^A-Za-z0-9_-]+", "", plain.replace(" ", "_")) or "users"


def _origin(survey: Survey) -> Iterator[Setting]:
    table = survey.table
    rows = "" if survey.rows is None else f"About {survey.rows:,} rows. "
    yield Setting("table", table.name, (f"{rows}Nothing is ever written to it.",))
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
    if table.primary_key:
        yield Setting("primary_key", names, ("The table's own primary key tells rows apart.",), active=False)
    elif key in table.unique:
        yield Setting("primary_key", names, ("There is no primary key; this is unique, and no row was seen without.",))
    else:
        why = (
            "There is no primary key and nothing unique; this looks like one. `sync-profiles check` counts equal keys."
        )
        yield Setting("primary_key", names, (why,))
    yield from _identity(survey, key)


def _identity(survey: Survey, key: tuple[str, ...]) -> Iterator[Setting]:
    by_name = {column.name: column for column in survey.table.columns}
    unique = {names[0] for names in survey.table.unique if len(names) == 1 and names != key}
    public = [name for name in by_name if name in unique and naming.folded(name) in _PUBLIC_IDS]
    owner = next((name for name in public if naming.folded(name) in {"userid", "useruuid"}), None)
    if owner is not None and not survey.look(owner).nulls and by_name[owner].kind is not Kind.BYTES:
        why = "Here that is the user's own ID, and not that of this row."
        yield Setting("distinct_id", owner, (*_ADVICE[:1], why))
    elif len(key) > 1:
        why = "The primary key has several columns; a profile needs one ID."
        other = next((name for name in public if not survey.look(name).nulls), None)
        yield Setting("distinct_id", other or _template(key, by_name), (*_ADVICE[:1], why))
    elif by_name[key[0]].kind is Kind.BYTES:
        why = "The key is binary; 16 bytes are sent as a UUID."
        yield Setting("distinct_id", {"column": key[0], "type": "uuid"}, (*_ADVICE, why))
    else:
        others = f" Unique as well: {', '.join(public)}." if public else ""
        yield Setting("distinct_id", key[0], (_ADVICE[0], _ADVICE[1] + others), active=False)


def _template(key: tuple[str, ...], by_name: dict[str, Column]) -> Json:
    usable = [name for name in key if not {"{", "}"} & set(name) and by_name[name].kind is not Kind.BYTES]
    return {"template": ":".join(f"{{{name}}}" for name in usable)} if usable else {"column": key[0], "type": "uuid"}


# --- changes and removals ------------------------------------------------------------------------------------------


def _change(survey: Survey) -> Column | None:
    return naming.change_column(survey.table.columns, texts=survey.dialect == "sqlite")


def _detection(survey: Survey, change: Column | None) -> Iterator[Setting]:
    if change is None:
        how = (
            "PostgreSQL's row versions (xmin) find every change."
            if survey.row_versions
            else "Every run reads all rows and compares them; only what differs is sent."
        )
        yield Setting("cursor", "updated_at", (f"The table has no change column. {how}",), active=False)
        return
    look = survey.look(change.name)
    usable = not look.faulty and not (survey.sampled and look.nulls == survey.sampled)
    yield Setting("cursor", change.name, tuple(_of_change(survey, change)), active=usable)


def _of_change(survey: Survey, change: Column) -> Iterator[str]:
    name, look = change.name, survey.look(change.name)
    if survey.row_versions:
        yield "PostgreSQL's row versions (xmin) find every change, without this column."
        yield "It serves `backfill --since`, and runs in which xmin cannot be used."
    else:
        yield f"Runs read rows whose {name} is at or after that of the last run; every 24 h (full_every) all of them."
    match survey.stamped_by:
        case "trigger":
            yield "A trigger of the database sets it with every change."
        case "column":
            yield "The column's own ON UPDATE sets it with every change."
        case _:
            yield "As far as can be seen the application sets it; an UPDATE that leaves it out does not move it."
    if look.nulls:
        yield f"{look.nulls:,} of the first {survey.sampled:,} rows have none (NULL): every run reads those."


def _removal(survey: Survey, deleted: Column | None) -> Iterator[Setting]:
    if deleted is not None:
        yield Setting("deleted", deleted.name, ("Soft delete: rows where it is true or not null count as deleted.",))
    yield Setting("on_delete", "delete", _ON_DELETE, active=False)
    active = naming.active_column(survey.table.columns)
    if active is not None:
        name = quoted(survey.dialect, active.name)
        condition = name if survey.dialect == "postgresql" and active.kind is Kind.BOOLEAN else f"{name} = 1"
        why = (
            f"{active.name} is false for users who are switched off; `deleted` wants the opposite, so it goes in here:",
            "they are left out then, and removed as on_delete says.",
        )
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
    why = ("The table keeps one attribute a row; this makes one row of each user. A new attribute is added by hand.",)
    settings = (
        Setting("query", attribute_query(survey, found, wanted), why),
        Setting("primary_key", found.owner),
        Setting("distinct_id", found.owner, _ADVICE[:1], active=False),
        Setting("on_delete", "delete", _ON_DELETE, active=False),
    )
    return Proposal(name=_sync_name(survey.table.name), settings=settings, properties=properties)
