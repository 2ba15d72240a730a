"""What a configuration says, once it was read: frozen values, every default filled in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NoReturn, TypeAlias

import msgspec

from sync_profiles.core.types import Detect, Limit, MappingSpec, OnDelete

Region: TypeAlias = Literal["us", "eu", "in"]

MASK = "***"


class Secret:
    """A text that shows itself only to ``reveal()``.

    Not a ``str``: an f-string, a log line, a traceback or a JSON encoder that meets it gets ``***`` or an error,
    never the text. Pickling raises ``TypeError``: whoever sends a secret elsewhere has to reveal it on purpose.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself; only for the line that hands it to a driver or a header."""
        return self._text

    def __str__(self) -> str:
        return MASK

    def __repr__(self) -> str:
        return f"Secret({MASK!r})"

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __eq__(self, other: object) -> bool:
        return self._text == other._text if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled; reveal it where it is needed")


class SourceConfig(msgspec.Struct, frozen=True):
    """``[source]``: the database that is read."""

    url: Secret
    statement_timeout_s: float


class MixpanelConfig(msgspec.Struct, frozen=True):
    """``[mixpanel]``; ``base_url`` (without a slash at its end) replaces every Mixpanel host."""

    token: Secret
    region: Region
    base_url: str | None
    project_id: int | None
    service_account: Secret | None
    service_secret: Secret | None
    concurrency: int
    records_per_request: int
    timeout_s: float


class StateConfig(msgspec.Struct, frozen=True):
    """``[state]``; ``url`` None: the SQLite file of this user or service."""

    url: Secret | None


class RunConfig(msgspec.Struct, frozen=True):
    """``[run]``; ``deadline_s`` None: none."""

    deadline_s: float | None
    healthcheck_url: Secret | None
    metrics_file: str | None


class SyncConfig(msgspec.Struct, frozen=True):
    """``[sync.NAME]``: exactly one of ``table`` and ``query`` is given.

    ``query_file`` is kept as written, its content is in ``query``. ``primary_key`` empty: the table's own.
    ``lookback_s`` None: the detection decides. ``full_every_s`` None: never. ``page_size`` None: the source decides.
    """

    name: str
    table: str | None
    query: str | None
    query_file: str | None
    schema: str | None
    primary_key: tuple[str, ...]
    where: str | None
    detect: Detect
    cursor: str | None
    lookback_s: float | None
    full_every_s: float | None
    mapping: MappingSpec
    on_delete: OnDelete
    max_delete: Limit
    max_reject: Limit
    page_size: int | None


class Config(msgspec.Struct, frozen=True):
    """A whole configuration; ``syncs`` in the order of the file.

    ``origins`` says for each dotted key where its value came from: ``config.toml:12``, ``environment NAME``,
    ``.env NAME`` (several joined by a comma) or ``default``. ``warnings`` are lines for people.
    """

    source: SourceConfig
    mixpanel: MixpanelConfig
    state: StateConfig
    run: RunConfig
    syncs: tuple[SyncConfig, ...]
    path: str
    warnings: tuple[str, ...]
    origins: Mapping[str, str]

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """What nobody may print, as it is."""
        given = (self.mixpanel.token, self.mixpanel.service_secret, self.run.healthcheck_url)
        return tuple(secret for secret in given if secret is not None)

    @property
    def addresses(self) -> tuple[Secret, ...]:
        """The databases' addresses, each of which may hold a password."""
        return tuple(url for url in (self.source.url, self.state.url) if url is not None)
