"""Columns that are better not sent, by what they are called: secrets, traces of signing in, addresses of devices.

Guesses, for a proposal that a person reads: rather too many than one too few.
"""

from __future__ import annotations

import re

from sync_profiles.core.mapping_rules import looks_secret
from sync_profiles.core.naming import folded, words
from sync_profiles.core.types import Column, Kind

_COUNTED = frozenset({Kind.INTEGER, Kind.DECIMAL, Kind.FLOAT, Kind.BOOLEAN})
_MOMENTS = frozenset({Kind.INSTANT, Kind.DATETIME, Kind.DATE})

_SECRET_PARTS = ("password", "passwd", "passwort", "kennwort", "passphrase", "passcode", "secret", "credential")
_SECRET_WORDS = frozenset(
    words(
        "pass pwd pw token tokens salt salted hash hashed digest encrypted crypted cipher ciphertext otp totp hotp "
        "mfa cvv cvc ssn iban pin jwt apikey passkey passkeys webauthn fido cookie authtoken accesstoken "
        "refreshtoken remembertoken"
    )
)
_SECRET_PAIRS = re.compile(
    r"(^|_)((api|private|access|secret|auth|activation|encryption|signing|license|session|reset|recovery)_key"
    r"|(recovery|backup)_codes?|(verification|confirmation|reset|login|auth|activation|sms|unlock)_code"
    r"|security_(answer|question|stamp)|concurrency_stamp|two_factor|credit_card|card_number|bank_account"
    r"|social_security|session_(id|data)|remember_me|national_id)(_|$)"
)
_SIGN_IN = re.compile(
    r"(last|current|previous|prev|first)_(log_?(in|on|ged_in)|sign_?in|signed_in|seen|activity|active|access|"
    r"visit|request|auth(entication)?)(_|$)"
    r"|(log_?in|sign_?in|logon|visit|session|access)s?_(count|counter|attempts|failures|ip)$"
    r"|(log_?in|sign_?in)_at$|failed_|_failed_|access_failed|lockout|^locked(_|$)|unlock|remember"
    r"|_sent_at$|password_\w+_(at|on|date|time)$|unconfirmed|^(is_)?online$|consumed_timestep"
)
_ADDRESSES = re.compile(r"(^|_)ip(_?addr(ess)?)?$|(^|_)ip_|ip_address|user_agent|device_id|fingerprint")


def is_secret(column: Column) -> bool:
    """Whether a column should not leave the database without being asked for by name; rather too often than not."""
    said, whole = words(column.name), folded(column.name)
    joined = "_".join(said)
    if looks_secret(column.name):
        return True
    if column.kind in _MOMENTS:
        return False
    if looks_secret(joined) or _SECRET_PAIRS.search(joined) or any(part in whole for part in _SECRET_PARTS):
        return True
    counted = column.kind in _COUNTED and not {"pin", "ssn", "cvv", "cvc", "otp"} & set(said)
    return not counted and (bool(_SECRET_WORDS & set(said)) or whole.endswith(("token", "hash", "salt", "apikey")))


def is_sign_in(column: Column) -> bool:
    """Whether a column is written by signing in, not by a change of the user."""
    return _SIGN_IN.search("_".join(words(column.name))) is not None


def is_device(column: Column) -> bool:
    """Whether a column tells of a device or its address."""
    return _ADDRESSES.search("_".join(words(column.name))) is not None or column.type_name in {
        "inet",
        "cidr",
        "macaddr",
    }
