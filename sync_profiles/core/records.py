"""The bytes of Mixpanel records (``/engage`` and ``/groups``), one operation in each."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import msgspec
from msgspec import UNSET

from sync_profiles.core.problems import ValueProblem
from sync_profiles.core.types import DistinctId

RECORD_BYTES_MAX = 1_000_000  # Mixpanel: 1 MB a record

OPERATIONS = ("$set", "$set_once", "$union", "$unset")

Place: TypeAlias = int
Piece: TypeAlias = bytes | Place
"""A part of a record: its bytes, or the place of what differs from profile to profile."""

ID, SET, SET_ONCE, UNION = range(4)

_encoder = msgspec.json.Encoder()
encode = _encoder.encode
_encode_lines = _encoder.encode_lines
_ESCAPE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


class Layout:
    """Objects with the same property names, in the same order: what makes their encoding fast.

    A value is what msgspec encodes, ``UNSET`` where the property is left out.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._build: Callable[..., Any] = _dict_builder(self.names)
        self._split: Callable[[bytes], tuple[Any, ...]] = _dict_splitter(self.names)
        if names and not any(_is_awkward(name) for name in names):
            shape = _struct(self.names)
            self._build = shape
            decode: Callable[[bytes], Any] = msgspec.json.Decoder(shape).decode
            self._split = lambda encoded: msgspec.structs.astuple(decode(encoded))

    def encode(self, values: Sequence[Any]) -> bytes:
        """One object."""
        return encode(self._build(*values))

    def encode_page(self, columns: Sequence[Sequence[Any]], count: int) -> list[bytes]:
        """``count`` objects from the values of each property; raises ``UnicodeEncodeError`` for lone surrogates."""
        if not columns:
            return [b"{}"] * count
        objects = list(map(self._build, *columns))
        lines = _encode_lines(objects).split(b"\n")
        # Stored JSON may have line breaks of its own between its values.
        return lines[:-1] if len(lines) == count + 1 else list(map(encode, objects))

    def split(self, encoded: bytes) -> tuple[Any, ...]:
        """The encoded value of each property, ``UNSET`` where it is left out."""
        return self._split(encoded)


class Envelope:
    """What all records of a sync have in common: user profiles for ``/engage``, group profiles for ``/groups``."""

    def __init__(self, token: str, group_key: str | None = None, *, ignore_time: bool = False) -> None:
        start = {"$token": token} if group_key is None else {"$token": token, "$group_key": group_key}
        id_name = b"$distinct_id" if group_key is None else b"$group_id"
        self._start = encode(start)[:-1] + b',"%b":' % id_name
        place = b',"$ip":"0"' if group_key is None else b""  # no location from this machine's address
        rest = place + (b',"$ignore_time":true' if ignore_time and place else b"")
        self._middle = {name: rest + b',"%b":' % name.encode() for name in OPERATIONS}
        # A delete can leave an "Updated at" behind that no later import lowers (a maintainer's word in issue 102 of
        # mixpanel-node); and it means this very ID, not one that it may be an alias of.
        self._delete = place + (b',"$ignore_time":true,"$ignore_alias":true' if place else b"")

    def record(self, encoded_id: bytes, operation: str, payload: bytes) -> bytes:
        """One record; ``encoded_id`` is the distinct ID as JSON, ``payload`` the operation's encoded value."""
        return b"%b%b%b%b}" % (self._start, encoded_id, self._middle[operation], payload)

    def pieces(self, operation: str, payload: bytes | Place) -> tuple[Piece, ...]:
        """``record`` to be filled in: what stands for the encoded ID, and for a payload unless it is given here."""
        return (self._start, ID, self._middle[operation], payload, b"}")

    def delete(self, distinct_id: DistinctId) -> bytes:
        """The record that removes a profile."""
        return b'%b%b%b,"$delete":""}' % (self._start, encode(distinct_id), self._delete)


def flaw(value: Any) -> ValueProblem | None:
    """What msgspec encodes but no JSON reader should get: NUL and lone surrogates, also escaped inside stored JSON."""
    try:
        encoded = encode(value)
        if b"\\u" not in encoded:
            return None
        encoded = encode(msgspec.json.decode(encoded))
    except UnicodeEncodeError:
        return ValueProblem("bad_value", "holds a lone surrogate, which is not Unicode text")
    except msgspec.DecodeError:
        return ValueProblem("bad_json", "holds JSON that is not valid")
    return ValueProblem("bad_value", "holds a NUL character") if _NUL.search(encoded) else None


def suspects(encoded: Sequence[bytes]) -> list[int]:
    """Indexes of the encodings with an escape that may stand for NUL or a lone surrogate."""
    return [index for index, text in enumerate(encoded) if 92 in text and _ESCAPE.search(text)]  # 92: backslash


def _is_awkward(name: str) -> bool:
    return any(character in '"\\' or character < " " for character in name)


def _struct(names: Sequence[str]) -> type:
    """A struct type with these names; the fast way to encode and to split objects of one layout."""
    fields = [(f"p{index}", msgspec.Raw | msgspec.UnsetType, UNSET) for index in range(len(names))]
    return msgspec.defstruct(
        "Properties", fields, rename={field[0]: name for field, name in zip(fields, names, strict=True)}, gc=False
    )


def _dict_builder(names: Sequence[str]) -> Callable[..., Any]:
    return lambda *values: {name: value for name, value in zip(names, values, strict=True) if value is not UNSET}


def _dict_splitter(names: Sequence[str]) -> Callable[[bytes], tuple[Any, ...]]:
    decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

    def split(encoded: bytes) -> tuple[Any, ...]:
        found = decode(encoded)
        return tuple(found.get(name, UNSET) for name in names)

    return split
