"""What the name of a column says that it holds: a time of change or deletion, something Mixpanel has a name for.

Guesses, for a proposal that a person reads; nothing is sent or held back because of them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from sync_profiles.core.types import Column, Kind


def _each(text: str) -> tuple[str, ...]:
    """Names that stand in one text: a list of hundreds of quoted ones would be pages long."""
    return tuple(text.split())


_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_MOMENTS = frozenset({Kind.INSTANT, Kind.DATETIME, Kind.DATE})

_CHANGE = _each(
    "updatedat updated updatedon updatedate updateddate dateupdated updatetime updatedtime lastupdated lastupdatedat "
    "lastupdate lastupdateddate modifiedat modified modifiedon modifieddate datemodified lastmodified lastmodifiedat "
    "lastmodifieddate lastmodifiedon modificationdate mtime changedat changedon lastchanged lastchange systemmodstamp "
    "writedate modificationtime geandertam aktualisiertam letzteanderung"
)
_DELETED_AT = _each("deletedat deletedon deleteddate datedeleted deletedtime removedat discardedat softdeletedat")
_DELETED = _each("deleted isdeleted removed isremoved softdeleted discarded geloscht isdiscarded")
_ACTIVE = _each("isactive active enabled isenabled aktiv")
_CREATED = _each(
    "createdat created createdon createddate datecreated creationdate createtime createdtime createdate datejoined "
    "joinedat joinedon joined joindate registeredat registered registrationdate dateregistered userregistered signupat "
    "signedupat signupdate insertedat addedat createdattime dateentered erstelltam angelegtam registriertam ctime"
)

_RESERVED: dict[str, tuple[str, ...]] = {
    "$email": _each(
        "email emailaddress useremail primaryemail contactemail emailaddr mail email1 emailprimary workemail "
        "mailaddress emailadresse businessemail"
    ),
    "$name": _each("fullname name displayname realname completename contactname customername vollername"),
    "$first_name": ("firstname", "givenname", "forename", "fname", "vorname", "prenom", "first", "nombre"),
    "$last_name": ("lastname", "familyname", "surname", "lname", "nachname", "familienname", "last", "apellido"),
    "$phone": _each(
        "phone phonenumber telephone mobile mobilephone mobilenumber cellphone cell telephonenumber phone1 tel telefon "
        "telefonnummer phoneno handy mobil mobilnummer contactphone primaryphone businessphone msisdn workphone "
        "phonemobile phonework phonehome"
    ),
    "$avatar": _each(
        "avatar avatarurl image imageurl photo photourl picture pictureurl profilepicture profilepictureurl "
        "profileimage profileimageurl profilephoto profilephotopath avatarpath profilepic gravatar userimage"
    ),
}
"""Mixpanel's names (its page on reserved profile properties) and the columns that mean them, the surest first."""


def folded(name: str) -> str:
    """A name without case, accents and separators: ``E-Mail`` and ``e_mail`` are ``email``."""
    plain = unicodedata.normalize("NFKD", name.replace("ß", "ss"))
    return "".join(letter for letter in plain.casefold() if letter.isalnum())


def words(name: str) -> tuple[str, ...]:
    """The words of a name in any of the usual spellings: ``resetPasswordToken`` is reset, password, token."""
    plain = unicodedata.normalize("NFKD", name.replace("ß", "ss"))
    return tuple(word.lower() for word in _WORDS.findall("".join(c for c in plain if not unicodedata.combining(c))))


def change_column(columns: Sequence[Column], *, texts: bool) -> Column | None:
    """The column that an application moves whenever it changes a row; ``texts``: times may be kept as text."""
    allowed = _MOMENTS - {Kind.DATE} | {Kind.INTEGER} | ({Kind.TEXT, Kind.ANY} if texts else set())
    return _first((column for column in columns if column.kind in allowed), _CHANGE)


def tells_of_change(name: str) -> bool:
    """Whether a column says when its row was changed last, in whatever type."""
    return folded(name) in _CHANGE


def deleted_column(columns: Sequence[Column]) -> Column | None:
    """The column whose being true or not null says that a row counts as deleted; a time before a flag."""
    moments = _MOMENTS | {Kind.INTEGER, Kind.TEXT, Kind.ANY}
    moment = _first((column for column in columns if column.kind in moments), _DELETED_AT)
    return moment or _first((column for column in columns if column.kind in moments | {Kind.BOOLEAN}), _DELETED)


def active_column(columns: Sequence[Column]) -> Column | None:
    """The flag that is false where a user is switched off."""
    return _first((column for column in columns if column.kind in {Kind.BOOLEAN, Kind.INTEGER}), _ACTIVE)


def created_column(columns: Sequence[Column], *, texts: bool) -> Column | None:
    """The time at which a user came to be."""
    allowed = _MOMENTS | ({Kind.TEXT, Kind.ANY} if texts else set())
    return _first((column for column in columns if column.kind in allowed), _CREATED)


def reserved(columns: Sequence[Column]) -> dict[str, Column]:
    """Which column Mixpanel has which name for; one column each."""
    texts = [column for column in columns if column.kind in {Kind.TEXT, Kind.ANY}]
    found = {name: _first(texts, meant) for name, meant in _RESERVED.items()}
    if found["$last_name"] is not None and found["$first_name"] is None:
        found["$first_name"], found["$name"] = _first(texts, ("name",)), _first(texts, ("fullname", "displayname"))
    return {name: column for name, column in found.items() if column is not None}


def _first(columns: Iterable[Column], meant: Sequence[str]) -> Column | None:
    by_name: dict[str, Column] = {}
    for column in columns:
        by_name.setdefault(folded(column.name), column)
    return next((by_name[name] for name in meant if name in by_name), None)
