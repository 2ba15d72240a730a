"""Records as pieces to be filled in: many profiles are sent in one form and differ in a few places only."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, repeat
from typing import TypeAlias

import msgspec

from sync_profiles.core.records import Piece
from sync_profiles.core.types import Shape

ByPlace: TypeAlias = Sequence[Sequence[bytes]]
"""What differs from profile to profile, by place: encoded IDs, ``$set``, ``$set_once`` and ``$union`` objects."""


class Form(msgspec.Struct, frozen=True, gc=False):
    """How profiles are sent: the pieces of each record, and of the records joined by commas.

    ``shape`` is what a profile of this form holds once it is acknowledged; ``held``: it did before.
    """

    records: tuple[tuple[Piece, ...], ...]
    pieces: tuple[Piece, ...]
    shape: Shape
    held: bool = False


def joined(records: Sequence[tuple[Piece, ...]]) -> tuple[Piece, ...]:
    """The pieces of the records with commas between them; as few as there can be."""
    pieces: list[Piece] = []
    for piece in chain.from_iterable((b",", *record) if index else record for index, record in enumerate(records)):
        if pieces and isinstance(piece, bytes) and isinstance(pieces[-1], bytes):
            pieces[-1] += piece
        else:
            pieces.append(piece)
    return tuple(pieces)


def filled_in(forms: Sequence[Form], columns: ByPlace) -> list[bytes]:
    """The records of each profile, in its form; those of one form are made together."""
    alike: dict[int, list[int]] = {}
    for index, form in enumerate(map(id, forms)):
        alike.setdefault(form, []).append(index)
    bodies = [b""] * len(forms)
    for indexes in alike.values():
        picked = columns if len(alike) == 1 else [[column[index] for index in indexes] for column in columns]
        filled = (picked[piece] if isinstance(piece, int) else repeat(piece) for piece in forms[indexes[0]].pieces)
        for index, body in zip(indexes, map(b"".join, zip(*filled, strict=False)), strict=True):
            bodies[index] = body
    return bodies


def sizes(form: Form, values: Sequence[bytes]) -> list[int]:
    """The bytes of each record of one profile; ``values`` by place."""
    return [sum(len(values[piece] if isinstance(piece, int) else piece) for piece in record) for record in form.records]
