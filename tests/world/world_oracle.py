"""What Mixpanel should hold, worked out from the table and the mapping without any code of the product."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from world_mixpanel import POISON
from world_table import Table, Values


@dataclass(frozen=True)
class Wishes:
    """The mapping of a world. ``set`` is property -> column, ``former`` are properties of earlier mappings."""

    set: Mapping[str, str]
    once: bool
    union: bool
    on_null: str
    on_delete: str
    by_uid: bool
    soft: bool
    former: frozenset[str] = frozenset()

    def with_set(self, **properties: str) -> Wishes:
        """The same with other properties."""
        return replace(self, set=properties, former=self.former | self.set.keys())


class History:
    """Every value that a distinct ID's rows ever had, by column; properties that are only ever added depend on it."""

    def __init__(self) -> None:
        self._values: dict[str, dict[str, list[Any]]] = {}

    def note(self, values: Values) -> None:
        """A version became visible."""
        for distinct_id in {str(values["id"]), values["uid"]} - {None}:
            columns = self._values.setdefault(str(distinct_id), {})
            for name, value in values.items():
                columns.setdefault(name, []).append(value)

    def of(self, distinct_id: str, column: str) -> list[Any]:
        """All values, None among them."""
        return self._values.get(distinct_id, {}).get(column, [])

    def anything_of(self, distinct_id: str) -> list[Any]:
        """Values of any column: a property may have been another column's."""
        return [value for values in self._values.get(distinct_id, {}).values() for value in values]

    def keys_of(self, distinct_id: str) -> set[Any]:
        """Keys whose row ever had this ID."""
        return set(self.of(distinct_id, "id"))


class Oracle:
    """Judges the profiles."""

    def __init__(self, table: Table, history: History) -> None:
        self._table = table
        self._history = history

    def living(self, wishes: Wishes) -> dict[int, Values]:
        """The rows that do not count as deleted."""
        rows = {key: version.values for key, version in self._table.committed.items()}
        return {key: values for key, values in rows.items() if not (wishes.soft and values["deleted"])}

    def bad(self, wishes: Wishes) -> set[int]:
        """Rows that must be rejected: no ID, a shared one, a value that cannot be sent, one that Mixpanel refuses."""
        living = self.living(wishes)
        refused = {key for key, values in living.items() if POISON in [values[c] for c in wishes.set.values()]}
        return self._unmappables(wishes) | self.shared(wishes) | refused

    def shared(self, wishes: Wishes) -> set[int]:
        """Rows whose ID another row has too."""
        living, holders = self.living(wishes), dict[str, list[int]]()
        for key in living.keys() - self._unmappables(wishes):
            holders.setdefault(id_of(living[key], wishes), []).append(key)
        return {key for keys in holders.values() if len(keys) > 1 for key in keys}

    def _unmappables(self, wishes: Wishes) -> set[int]:
        return {key for key, values in self.living(wishes).items() if self._unmappable(values, wishes)}

    def _unmappable(self, values: Values, wishes: Wishes) -> bool:
        if wishes.by_uid and values["uid"] is None:
            return True
        return any(isinstance(values[column], str) and "\0" in values[column] for column in wishes.set.values())

    def wrong(self, wishes: Wishes, profiles: Mapping[str, Mapping[str, Any]], keys: Iterable[int]) -> dict[str, Any]:
        """Of good rows: the profiles that are not what the row says, with what is held and what should be."""
        living = self.living(wishes)
        found: dict[str, Any] = {}
        for key in keys:
            values = living[key]
            held = profiles.get(id_of(values, wishes))
            problem = "no profile" if held is None else self._problem(values, wishes, held)
            if problem:
                found[f"row {key}"] = (problem, dict(values), held)
        return found

    def _problem(self, values: Values, wishes: Wishes, held: Mapping[str, Any]) -> str | None:
        distinct_id = id_of(values, wishes)
        rest = dict(held)
        for name, column in wishes.set.items():
            there, value = name in rest, rest.pop(name, None)
            wanted = values[column]
            if wanted is not None or wishes.on_null == "null":
                if not there or value != wanted:
                    return f"{name} is {value!r} instead of {wanted!r}"
            elif there and (wishes.on_null == "unset" or value not in self._history.anything_of(distinct_id)):
                return f"{name} is {value!r} instead of nothing"
        if wishes.once and rest.pop("$created", None) not in self._history.of(distinct_id, "created"):
            return "$created was never so"
        if wishes.union and not self._union_fits(values["tags"], rest.pop("tags", None), distinct_id, wishes):
            return "tags do not fit"
        # An ID that was another row's keeps what an earlier mapping gave it, where that row could not be sent since.
        if wishes.by_uid and rest.keys() <= wishes.former:
            return None
        return f"{sorted(rest)} are left over" if rest else None

    def _union_fits(self, tags: Any, held: Any, distinct_id: str, wishes: Wishes) -> bool:
        ever = {tag for some in self._history.of(distinct_id, "tags") if some for tag in some}
        if tags is None and wishes.on_null != "skip":
            return held is None
        return set(tags or ()) <= set(held or ()) <= ever

    def surplus(self, wishes: Wishes, profiles: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Profiles of nobody that should be gone, or emptied."""
        if wishes.on_delete == "ignore":
            return {}
        living, bad = self.living(wishes), self.bad(wishes)
        owned = {id_of(values, wishes) for key, values in living.items() if key not in bad}
        found = {}
        for distinct_id, held in profiles.items():
            if distinct_id in owned or self._history.keys_of(distinct_id) & bad:
                continue
            if wishes.on_delete == "delete" or held:
                found[distinct_id] = held
        return found


def id_of(values: Values, wishes: Wishes) -> str:
    """The distinct ID of a row."""
    return str(values["uid"] if wishes.by_uid else values["id"])
