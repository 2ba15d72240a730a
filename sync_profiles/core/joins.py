"""Queries that are proposed where a table is not enough: names of what users belong to, attributes kept one a row."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from sync_profiles.core import naming
from sync_profiles.core.draft import Setting
from sync_profiles.core.likely import Attributes
from sync_profiles.core.survey import Link, Survey
from sync_profiles.core.types import Column, Kind


class Joined(NamedTuple):
    """One link: the SQL of its column, and the property made of it, to be taken up together."""

    column: str
    property: Setting


def links_joined(survey: Survey) -> list[Joined]:
    """A list of names for each table that users are linked to."""
    taken = {column.name.lower() for column in survey.table.columns}
    found: dict[str, Joined] = {}
    for link in survey.links:
        said = naming.words(link.other) or ("linked",)
        alias = said[-1] if said[-1].endswith("s") else f"{said[-1]}s"
        if alias not in taken and alias not in found:
            value = {"column": alias, "type": "list"}
            why = "With the query above. Here the list follows the table, in union it would only grow."
            found[alias] = Joined(_listing(survey, link, alias), Setting(alias, value, why, active=False))
    return list(found.values())


def _listing(survey: Survey, link: Link, alias: str) -> str:
    """A subquery that gives the names as a list, whatever the database calls that."""
    q = partial(quoted, survey.dialect)
    label = f"o.{q(link.label)}"
    listed = {
        "postgresql": f"array_agg({label} ORDER BY {label})",
        "mysql": f"CONCAT('[', GROUP_CONCAT(JSON_QUOTE({label}) ORDER BY {label}), ']')",  # JSON_ARRAYAGG has no order
    }.get(survey.dialect, f"json_group_array({label})")
    schema = f"{q(survey.table.schema)}." if survey.table.schema else ""
    return (
        f"(SELECT {listed} FROM {schema}{q(link.between)} b\n"
        f"    JOIN {schema}{q(link.other)} o ON o.{q(link.other_key)} = b.{q(link.to_other)}\n"
        f"    WHERE b.{q(link.to_user)} = u.{q(survey.table.primary_key[0])}) AS {q(alias)}"
    )


def join_settings(survey: Survey) -> list[Setting]:
    """``query`` and ``primary_key`` to be used in place of ``table``; nothing where no link is known."""
    joined = links_joined(survey)
    if not joined:
        return []
    columns = ",\n  ".join(["u.*", *(one.column for one in joined)])
    query = f"SELECT {columns}\nFROM {_origin(survey)} u\n"
    names = " and ".join(one.property.key for one in joined)
    why = (
        f"For {names}: use this query in place of table, with the line in set below. A query has no row versions, so"
        " every run reads all of it."
    )
    return [
        Setting("query", query, why, active=False),
        Setting("primary_key", survey.table.primary_key[0], active=False),
    ]


def attribute_query(survey: Survey, found: Attributes, names: Sequence[str]) -> str:
    """One row for each owner, one column for each of the attributes ``names``."""
    q = partial(quoted, survey.dialect)
    kept = next(column for column in survey.table.columns if column.name == found.value)
    value = q(found.value) if _sorts(survey, kept) else f"CAST({q(found.value)} AS text)"
    columns = [q(found.owner)]
    for name in names:
        columns.append(
            f"MAX(CASE WHEN {q(found.name)} = {_literal(survey.dialect, name)} THEN {value} END) AS {q(name)}"
        )
    listed = ",\n  ".join(columns)
    return f"SELECT {listed}\nFROM {_origin(survey)}\nWHERE {q(found.owner)} IS NOT NULL\nGROUP BY {q(found.owner)}\n"


def _sorts(survey: Survey, column: Column) -> bool:
    return survey.dialect != "postgresql" or column.kind in {Kind.TEXT, Kind.INTEGER, Kind.DECIMAL, Kind.FLOAT}


def _origin(survey: Survey) -> str:
    """The table's name in SQL."""
    q = partial(quoted, survey.dialect)
    table = survey.table
    return f"{q(table.schema)}.{q(table.name)}" if table.schema else q(table.name)


def quoted(dialect: str, name: str) -> str:
    """A name in SQL, as a dialect wants it."""
    mark = "`" if dialect == "mysql" else '"'
    return mark + name.replace(mark, mark * 2) + mark


def _literal(dialect: str, text: str) -> str:
    escaped = text.replace("\\", "\\\\") if dialect == "mysql" else text
    return "'" + escaped.replace("'", "''") + "'"
