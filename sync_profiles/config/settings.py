"""Every key of ``config.toml``, once: its form, default, place in the ``Config`` and reason.

Reading, the JSON Schema, ``config show``, "did you mean" and the test of ``config.example.toml`` all follow these
tables; a new key is one line here and one field in ``model``.
"""

from __future__ import annotations

from typing import Any, get_args

import msgspec

from sync_profiles.config import forms
from sync_profiles.config.addresses import BASE_URL, HEALTHCHECK_URL, database_url
from sync_profiles.config.forms import Form
from sync_profiles.config.model import Region
from sync_profiles.core.types import ABSENT, Detect, Limit, OnDelete, OnNull, ValueType

RECORDS_MAX = 2000  # Mixpanel's own limit for one request to /engage
STATEMENT_TIMEOUT_MAX_S = 24 * 86_400.0  # PostgreSQL counts it as milliseconds in 31 bits
PAGE_ROWS_MAX = 100_000  # a page is held in memory, several times over
_MANY = 10**15 - 1


class Setting(msgspec.Struct, frozen=True):
    """One key. ``attribute`` is where its value lives in the section's struct (dots go deeper).

    ``cure`` is given for a key that has to be there: what to write.
    """

    key: str
    form: Form
    attribute: str
    why: str
    default: Any = None
    cure: str | None = None


SOURCE = (
    Setting(
        "url",
        database_url("postgresql", "postgres", "mysql", "mariadb", "sqlite"),
        "url",
        "SQLAlchemy URL of the application's database",
        cure='write url = "${DATABASE_URL}"',
    ),
    Setting(
        "statement_timeout",
        forms.duration(longest_s=STATEMENT_TIMEOUT_MAX_S),
        "statement_timeout_s",
        "longest time one statement may take",
        default=900.0,
    ),
)

MIXPANEL = (
    Setting(
        "token",
        forms.secret(forms.without_spaces, exposes=bool),
        "token",
        "the project's token",
        cure='write token = "${MIXPANEL_TOKEN}"',
    ),
    Setting("region", forms.choice(*get_args(Region)), "region", "where the project is hosted", default="us"),
    Setting("base_url", BASE_URL, "base_url", "replaces every Mixpanel host: a sandbox or a gateway"),
    Setting("project_id", forms.whole(1, _MANY), "project_id", "for reading profiles back"),
    Setting(
        "service_account",
        forms.secret(forms.without_spaces, exposes=lambda _: False),
        "service_account",
        "for reading profiles back",
    ),
    Setting(
        "service_secret", forms.secret(forms.without_spaces, exposes=bool), "service_secret", "of the service account"
    ),
    Setting("concurrency", forms.whole(1, 64), "concurrency", "most requests in flight", default=4),
    Setting(
        "records_per_request",
        forms.whole(1, RECORDS_MAX),
        "records_per_request",
        "most records in one request",
        default=1000,
    ),
    Setting("timeout", forms.duration(), "timeout_s", "longest wait for one answer", default=60.0),
)

STATE = (
    Setting(
        "url",
        database_url("sqlite", "postgresql", "postgres"),
        "url",
        "where the state is kept, when not in this user's own SQLite file",
    ),
)

RUN = (
    Setting(
        "deadline",
        forms.duration(off="0"),
        "deadline_s",
        "a run stops cleanly after this long; 0 for none",
        default=3000.0,
    ),
    Setting("healthcheck_url", HEALTHCHECK_URL, "healthcheck_url", "pinged when a run starts, ends well, fails"),
    Setting("metrics_file", forms.TEXT, "metrics_file", "written for Prometheus' node exporter after each run"),
)

SYNC = (
    Setting("table", forms.TEXT, "table", "table or view that holds one row for each profile"),
    Setting("query", forms.TEXT, "query", "SELECT that gives one row for each profile"),
    Setting("query_file", forms.TEXT, "query_file", "file with that SELECT, relative to this file"),
    Setting("schema", forms.TEXT, "schema", "database schema of the table"),
    Setting("primary_key", forms.NAMES, "primary_key", "column or columns that tell rows apart", default=()),
    Setting("where", forms.TEXT, "where", "SQL predicate added to every read"),
    Setting("detect", forms.choice(*get_args(Detect)), "detect", "how changed rows are found", default="auto"),
    Setting("cursor", forms.TEXT, "cursor", "column that grows when a row changes"),
    Setting("lookback", forms.duration(zero=True), "lookback_s", "how far to read back behind the last cursor"),
    Setting(
        "full_every",
        forms.duration(off="never"),
        "full_every_s",
        'a full pass at least this often; "never" to switch it off',
        default=86_400.0,
    ),
    Setting(
        "on_null",
        forms.choice(*get_args(OnNull)),
        "mapping.on_null",
        "what a NULL does to its property",
        default="unset",
    ),
    Setting(
        "on_delete",
        forms.choice(*get_args(OnDelete)),
        "on_delete",
        "what a deleted row does to its profile",
        default="ignore",
    ),
    Setting("deleted", forms.TEXT, "mapping.deleted", "soft delete: rows where this is true or not null are gone"),
    Setting(
        "max_delete",
        forms.LIMIT,
        "max_delete",
        "a run that would delete more of the known profiles stops",
        default=Limit(share=0.02),
    ),
    Setting("max_reject", forms.LIMIT, "max_reject", "a run that rejects more rows stops", default=Limit(share=0.01)),
    Setting("group_key", forms.TEXT, "mapping.group_key", "makes these group profiles, of this group"),
    Setting(
        "updated_at",
        forms.switch(off="touch", on="keep"),
        "mapping.ignore_time",
        "whether sending moves Mixpanel's own Updated at",
        default=False,
    ),
    Setting("page_size", forms.whole(1, PAGE_ROWS_MAX), "page_size", "rows of one read"),
)

PROPERTY = (
    Setting("column", forms.TEXT, "column", "column the value is read from"),
    Setting("template", forms.TEXT, "template", "text with {column} in it"),
    Setting("value", forms.JSON, "value", "the same value for every profile", default=ABSENT),
    Setting("path", forms.TEXT, "path", "dots into a JSON column"),
    Setting("type", forms.choice(*get_args(ValueType)), "type", "type to convert to"),
    Setting("hash", forms.choice("sha256"), "hash", "sends a hash instead of the value"),
    Setting("default", forms.JSON, "default", "sent in place of NULL", default=ABSENT),
    Setting("secret", forms.FLAG, "secret", "allows a column whose name looks like a secret", default=False),
)

SECTIONS = {"source": SOURCE, "mixpanel": MIXPANEL, "state": STATE, "run": RUN}
"""The tables that stand once; ``[sync.NAME]`` stands for each sync."""

OPERATIONS = ("set", "set_once", "union")
SYNC_MAPPING = ("distinct_id", "copy", *OPERATIONS)
"""Keys of a sync that hold properties; ``syncs`` reads them."""
