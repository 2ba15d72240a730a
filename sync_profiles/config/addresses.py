"""URLs of a configuration, checked as text: no driver is loaded, and no message repeats an address."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from sync_profiles.config.forms import Form, MisfitError, secret, without_spaces

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9_]*)(?:\+[A-Za-z0-9_]+)?://")
_PASSWORD = re.compile(r"://[^:/?#@]*:[^@]+@|[?&](?:password|passwd|sslpassword)=[^&]")
_LOOPBACK = re.compile(r"localhost|127(?:\.[0-9]{1,3}){3}|::1", re.IGNORECASE)


def has_password(url: str) -> bool:
    """Whether a URL carries a password, before the host or among its options."""
    return _PASSWORD.search(url) is not None


def database_url(*schemes: str) -> Form:
    """An SQLAlchemy URL whose database is one of ``schemes``; a driver may follow (``postgresql+psycopg2``)."""

    def check(text: str) -> str:
        scheme = _SCHEME.match(text)
        if text != text.strip():
            raise MisfitError("has a space or a line end around it")
        if scheme is None:
            raise MisfitError(f"is not a database URL such as {schemes[0]}://user@host/name")
        if scheme[1] not in schemes:
            raise MisfitError(f"is not for a database this program knows: {', '.join(schemes)}")
        return text

    return secret(check, exposes=has_password)


def _split(text: str) -> tuple[str, str]:
    """Scheme and host of a web address; ``MisfitError`` when there is more wrong with it than a missing path."""
    try:
        parts = urlsplit(without_spaces(text))
        scheme, host, _port = parts.scheme, parts.hostname, parts.port
    except MisfitError:
        raise
    except ValueError as error:
        raise MisfitError("is not a web address") from error
    if scheme not in {"http", "https"} or not host:
        raise MisfitError("is not a web address that begins with https://")
    return scheme, host


def _base_url(value: object) -> str:
    if not isinstance(value, str):
        raise MisfitError("is not a text in quotes")
    if not value.strip():
        raise MisfitError("is empty")
    if "@" in value:
        raise MisfitError("must not hold credentials")
    scheme, host = _split(value)
    if "?" in value or "#" in value:
        raise MisfitError("must end with its path: no ? and no #")
    if scheme == "http" and not _LOOPBACK.fullmatch(host):
        raise MisfitError("must be https; http is for this machine only (127.0.0.1, localhost)")
    return value.rstrip("/")


BASE_URL = Form(_base_url, {"type": "string", "minLength": 1})


def _web_address(text: str) -> str:
    _split(text)
    return text


HEALTHCHECK_URL = secret(_web_address, exposes=lambda _: False)
"""Who knows it can report a run that was none, so it is masked; it opens nothing, so it may stand in the file."""
