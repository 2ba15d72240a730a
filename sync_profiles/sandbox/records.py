"""What one Mixpanel record means: read it, or say why it is refused; then change a profile by it. Pure.

Sources: Mixpanel's reference pages for /engage and /groups, its OpenAPI file, and recorded answers of the live server.
Where those are silent the worst case is taken, so that a tool that leans on luck is seen: two operations in one record
are refused, ``$unset`` on an unknown ID makes an empty profile, an absent ``ip`` means a look-up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

_STRING_BYTES_MAX = 255
_NAME_CHARACTERS_MAX = 255
PROPERTIES_MAX = 2000

Properties: TypeAlias = dict[str, Any]

_USER_OPERATIONS = frozenset(("$set", "$set_once", "$unset", "$add", "$append", "$union", "$remove", "$delete"))
_GROUP_OPERATIONS = _USER_OPERATIONS - {"$add", "$append"}
_LOCATION = {"$city": "Sandbox", "$region": "Sandbox", "$country_code": "ZZ", "$timezone": "Etc/UTC"}
_NO_LOOKUP = ("0", 0)


class Update(msgspec.Struct, frozen=True, gc=False):
    """One record, understood. ``group_key`` None: a user's, and ``owner`` is the distinct ID; else the group's ID.

    ``located``: neither ``$ip`` nor the request's ``ip`` forbids deriving a place from the sender's address.
    """

    token: str
    group_key: str | None
    owner: str
    operation: str
    value: Any
    ignore_time: bool
    located: bool


def read_record(record: object, *, group: bool, lookup: bool) -> Update | str:
    """Understand one record, or return the reason it is refused.

    ``group``: it came to /groups. ``lookup``: the request did not say ``ip=0``.
    """
    if type(record) is not dict:
        return "record, must be an object"
    token = record.get("$token")
    if not token or type(token) is not str:
        return "$token, missing or empty"
    group_key = _identifier(record, "$group_key") if group else None
    if group and not group_key:
        return "$group_key, missing or empty"
    owner_name = "$group_id" if group else "$distinct_id"
    owner = _identifier(record, owner_name)
    if not owner:
        return f"{owner_name}, missing or empty"
    operation = _operation(record, group=group)
    if isinstance(operation, str):
        return operation
    name, value = operation
    # An explicit $ip outranks the request's parameter; groups have no place.
    located = not group and name != "$delete" and (record["$ip"] not in _NO_LOOKUP if "$ip" in record else lookup)
    return Update(token, group_key, owner, name, value, record.get("$ignore_time") is True, located)


def change(properties: Properties, update: Update) -> None:
    """Apply one update other than ``$delete`` to a profile's properties, in place."""
    if update.located:
        properties.update(_LOCATION)
    _CHANGES[update.operation](properties, update.value)


def _identifier(record: Properties, name: str) -> str:
    value = record.get(name)
    if type(value) is str:
        return value
    return str(value) if type(value) is int else ""


def _operation(record: Properties, *, group: bool) -> tuple[str, Any] | str:
    allowed = _GROUP_OPERATIONS if group else _USER_OPERATIONS
    names = [name for name in record if name in allowed]
    if len(names) != 1:
        return "one operation expected, found " + (" and ".join(names) or "none")
    value = record[names[0]]
    if type(value) is dict and len(value) > PROPERTIES_MAX:
        return f"{names[0]}, more than {PROPERTIES_MAX} properties"
    if not _SHAPES[names[0]](value):
        return f"{names[0]}, wrong type"
    return names[0], value


def _is_object(value: object) -> bool:
    return type(value) is dict


def _is_number(value: object) -> bool:
    return type(value) is int or type(value) is float


def _is_numbers(value: object) -> bool:
    return type(value) is dict and all(map(_is_number, value.values()))


def _is_names(value: object) -> bool:
    return type(value) is list and bool(value) and all(type(name) is str for name in value)


def _is_lists(value: object) -> bool:
    return type(value) is dict and bool(value) and all(map(_is_union_list, value.values()))


def _is_union_list(value: object) -> bool:
    return type(value) is list and bool(value) and all(type(one) is str or _is_number(one) for one in value)


def _is_singles(value: object) -> bool:
    return type(value) is dict and not any(type(one) is list for one in value.values())


def _is_anything(_value: object) -> bool:
    return True


_SHAPES = {
    "$set": _is_object,
    "$set_once": _is_object,
    "$append": _is_object,
    "$add": _is_numbers,
    "$union": _is_lists,
    "$remove": _is_singles,
    "$unset": _is_names,
    "$delete": _is_anything,
}


def _stored(value: Any) -> Any:
    """Return the value as Mixpanel keeps it: strings, also those in lists, end after 255 bytes."""
    if type(value) is str:
        # Up to 63 characters cannot be more than 252 bytes: most values are never encoded.
        return value if len(value) <= _STRING_BYTES_MAX // 4 else _cut(value)
    if type(value) is list:
        return [_stored(one) for one in value]
    return value


def _cut(text: str) -> str:
    encoded = text.encode()
    return text if len(encoded) <= _STRING_BYTES_MAX else encoded[:_STRING_BYTES_MAX].decode(errors="ignore")


def _set(properties: Properties, value: Properties) -> None:
    for name, one in value.items():
        properties[name[:_NAME_CHARACTERS_MAX]] = _stored(one)


def _set_once(properties: Properties, value: Properties) -> None:
    _set(properties, {name: one for name, one in value.items() if name[:_NAME_CHARACTERS_MAX] not in properties})


def _unset(properties: Properties, value: list[str]) -> None:
    for name in value:
        properties.pop(name[:_NAME_CHARACTERS_MAX], None)


def _add(properties: Properties, value: Properties) -> None:
    for name, one in value.items():
        before = properties.get(name)
        properties[name] = (before if _is_number(before) else 0) + one


def _list_of(properties: Properties, name: str) -> list[Any]:
    before = properties.get(name)
    return before if type(before) is list else []


def _append(properties: Properties, value: Properties) -> None:
    for name, one in value.items():
        properties[name] = [*_list_of(properties, name), _stored(one)]


def _union(properties: Properties, value: Properties) -> None:
    for name, ones in value.items():
        # A new list each time: snapshots handed out earlier share the old one.
        merged = list(_list_of(properties, name))
        for one in _stored(ones):
            if one not in merged:
                merged.append(one)
        properties[name] = merged


def _remove(properties: Properties, value: Properties) -> None:
    for name, one in value.items():
        if type(properties.get(name)) is list:
            properties[name] = [kept for kept in properties[name] if kept != one]


_CHANGES: dict[str, Callable[[Properties, Any], None]] = {
    "$set": _set,
    "$set_once": _set_once,
    "$unset": _unset,
    "$add": _add,
    "$append": _append,
    "$union": _union,
    "$remove": _remove,
}
