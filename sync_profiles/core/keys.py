r"""Primary keys and their one text form, which the state, the messages and ``--key`` use.

A key of one column is the column's text: digits, a UUID, the text itself. A composite key is a JSON array of such
texts. Texts never begin with a backslash by themselves, so what is not text can be marked with one:

    \x41     bytes, as hexadecimal digits
    \s80     text that no UTF-8 file can hold (lone surrogates) or that holds NUL, as hexadecimal digits
    \N       NULL, which SQLite lets into primary keys
    \\x41    the text \x41
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from sync_profiles.core.types import Key

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[str]).decode


def key_of(values: Sequence[object]) -> Key:
    """The key of one row from the values of its primary key columns, one or more."""
    texts = [_text(value) for value in values]
    return texts[0] if len(texts) == 1 else _encode(texts).decode()


def keys_of(columns: Sequence[Sequence[Any]]) -> list[Key]:
    """The keys of a page: ``columns`` are the primary key columns, each with one value a row."""
    texts = [_texts(values) for values in columns]
    return texts[0] if len(texts) == 1 else [_encode(parts).decode() for parts in zip(*texts, strict=True)]


def key_parts(key: Key, n: int) -> tuple[str | bytes | None, ...]:
    """The values behind a key of ``n`` columns; raises ``ValueError`` for text that is no such key.

    Everything but bytes and NULL comes back as text: the database compares it with its own type.
    """
    if n == 1:
        return (_value(key),)
    try:
        texts = _decode(key)
    except msgspec.DecodeError as error:
        raise ValueError(f"a key of {n} columns is a JSON array of {n} texts") from error
    if len(texts) != n:
        raise ValueError(f"a key of {n} columns is a JSON array of {n} texts")
    return tuple(_value(text) for text in texts)


def _text(value: object) -> str:
    if isinstance(value, str):
        return _marked(value)
    if value is None:
        return "\\N"
    if isinstance(value, bytes | bytearray | memoryview):
        return "\\x" + bytes(value).hex()
    return str(value)


def _marked(text: str) -> str:
    if "\0" in text or not _is_unicode(text):
        return "\\s" + text.encode("utf-8", "surrogatepass").hex()
    return "\\" + text if text.startswith("\\") else text


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _texts(values: Sequence[Any]) -> list[str]:
    """Whole columns of integers, or of texts without anything to mark, take one look instead of one a value."""
    types = set(map(type, values))
    if types == {int}:
        return list(map(str, values))
    if types == {str}:
        joined = "".join(values)
        if "\\" not in joined and "\0" not in joined and (joined.isascii() or _is_unicode(joined)):
            return list(values)
    return list(map(_text, values))


def _value(text: str) -> str | bytes | None:
    if not text.startswith("\\"):
        return text
    read = _MARKS.get(text[1:2])
    if read is None:
        raise ValueError("a key with a backslash in front is none that was written here")
    return read(text)


def _null(text: str) -> None:
    if text != "\\N":
        raise ValueError("a key with a backslash in front is none that was written here")


_MARKS: dict[str, Callable[[str], str | bytes | None]] = {
    "x": lambda text: bytes.fromhex(text[2:]),
    "s": lambda text: bytes.fromhex(text[2:]).decode("utf-8", "surrogatepass"),
    "N": _null,
    "\\": lambda text: text[1:],
}
