"""A proposed sync as it will stand in the file: settings with their reasons, columns that are left out with theirs."""

from __future__ import annotations

import msgspec

from sync_profiles.core.types import Json


class Setting(msgspec.Struct, frozen=True):
    """``key = value`` below its reasons, each a comment; not ``active``: a comment itself, to be taken up by hand."""

    key: str
    value: Json
    why: tuple[str, ...] = ()
    active: bool = True


class Noted(msgspec.Struct, frozen=True):
    """A column and what is to be said of it."""

    column: str
    why: str


class Properties(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of the columns: ``copy`` under their own names, ``set`` and ``set_once`` under others."""

    copy: tuple[Noted, ...] = ()
    set: tuple[Setting, ...] = ()
    set_once: tuple[Setting, ...] = ()
    left_out: tuple[Noted, ...] = ()


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """One sync: ``name`` is its own, ``settings`` say what is read and how, ``properties`` what is sent."""

    name: str
    settings: tuple[Setting, ...]
    properties: Properties
