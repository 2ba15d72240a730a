"""Where Mixpanel is: the hosts of its OpenAPI files (ingestion and query)."""

from __future__ import annotations

from typing import Literal

import msgspec


class Hosts(msgspec.Struct, frozen=True):
    """Where Mixpanel is, without a slash at the end: ``ingestion`` takes profiles, ``query`` gives them back."""

    ingestion: str
    query: str


def hosts(region: Literal["us", "eu", "in"], base_url: str | None = None) -> Hosts:
    """The hosts of a region; ``base_url`` (sandbox, gateway) replaces them all and keeps its own path."""
    if base_url is not None:
        return Hosts(base_url.rstrip("/"), base_url.rstrip("/"))
    ingestion, query = _REGIONS[region]
    return Hosts(f"https://{ingestion}.mixpanel.com", f"https://{query}mixpanel.com")


_REGIONS = {"us": ("api", ""), "eu": ("api-eu", "eu."), "in": ("api-in", "in.")}
