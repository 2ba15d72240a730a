"""HTML as values: whatever is not made here is text and is escaped."""

from __future__ import annotations

from html import escape


class Html(str):
    """Text that is HTML already; plain ``str`` never is."""

    __slots__ = ()


def element(name: str, *children: str, **attributes: str | float | None) -> Html:
    """An element. Attributes: ``class_`` is ``class``, other underscores are hyphens, None leaves one out."""
    said = "".join(f' {_name(key)}="{escape(str(value))}"' for key, value in attributes.items() if value is not None)
    return Html(f"<{name}{said}>{joined(*children)}</{name}>")


def joined(*children: str) -> Html:
    """Children one after the other; text among them is escaped."""
    return Html("".join(child if isinstance(child, Html) else escape(child) for child in children))


def _name(key: str) -> str:
    return key.removesuffix("_").replace("_", "-")
