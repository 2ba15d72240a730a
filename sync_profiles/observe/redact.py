"""Masking: what leaves through a log line, an error message or a ping must name no secret and no person.

Two nets. Values that are known to be secret (the token, the database URL) are registered when they are read and masked
wherever they turn up. What merely looks like one, a password inside a URL or an e-mail address, is masked by its shape,
because a driver's own message may quote it.
"""

from __future__ import annotations

import re
from urllib.parse import quote, quote_plus, unquote, urlsplit

MASK = "***"

SECRET_LENGTH_MIN = 4
"""Shorter values would mask half of every sentence; no token or password worth the name is that short."""

# Greedy up to the last @ of the word: a password with an unescaped "/" or "@" is masked whole. A quote ends the word,
# or the mask would reach into the next string of a JSON line. Bounded, which keeps the search linear.
_URL_LOGIN = re.compile(r'://[^\s/@"]{0,256}:[^\s"]{0,1024}@')
# The look-behind lets a match start only where a word starts, which keeps the search linear in the length of the text.
_EMAIL = re.compile(r"(?<![\w.+%*-])[\w.+%-]+@[\w-]+(?:\.[\w-]+)+")
# How libpq, drivers and query strings write what a URL writes before its @.
_PAIR = re.compile(
    r"\b((?:ssl)?password|passwd|pwd|token|secret)=(?:'[^']{1,1024}'|[^\s&;,'\"]{1,1024})", re.IGNORECASE
)

_secrets: set[str] = set()


def register_secret(value: str | None) -> None:
    """Mask ``value``, as it is and as it looks inside a URL, in everything ``redact`` sees from now on.

    None, blank and very short values are ignored.
    """
    if value is None or len(value.strip()) < SECRET_LENGTH_MIN:
        return
    _secrets.update((value, quote(value, safe=""), quote_plus(value, safe="")))


def register_url(url: str) -> None:
    """Mask the address of a database, and its password: a driver's message may quote that alone, decoded."""
    register_secret(url)
    try:
        password = urlsplit(url).password
    except ValueError:  # a bracket too many; whoever connects will say so
        return
    register_secret(unquote(password) if password else None)


def redact(text: str) -> str:
    """``text`` with ``***`` for registered secrets, logins in URLs, ``password=`` and the like, e-mail addresses."""
    # The longest first: a secret may contain another one.
    for secret in sorted(_secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    if "=" in text:
        text = _PAIR.sub(rf"\1={MASK}", text)
    if "@" not in text:
        return text
    return _EMAIL.sub(MASK, _URL_LOGIN.sub(f"://{MASK}@", text))
