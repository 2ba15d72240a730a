"""Values whose every digit matters, kept with a hash of themselves: SQLite has no checksums of its own.

A position that says one digit too much would pass over changes without a word.
"""

from __future__ import annotations

import hashlib
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")
_HASH_BYTES = 8


class DamageError(ValueError):
    """What is read is not what was written."""


def seal(value: Any) -> str:
    """``value`` as JSON behind a hash of it."""
    text = msgspec.json.encode(value).decode()
    return f"{_hash(text)}{text}"


def unsealed(sealed: str, wanted: type[T]) -> T:
    """The value; raises ``DamageError``, or ``msgspec.DecodeError`` when it is of another kind.

    What begins like JSON was written before there were hashes.
    """
    text = sealed if sealed.startswith("{") else sealed[2 * _HASH_BYTES :]
    if text is not sealed and _hash(text) != sealed[: 2 * _HASH_BYTES]:
        raise DamageError
    return msgspec.json.decode(text, type=wanted)


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=_HASH_BYTES).hexdigest()
