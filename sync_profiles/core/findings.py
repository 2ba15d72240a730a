"""What is to be said of a sync: facts about its table in, findings out. Pure, so that each is a line of a table."""

from __future__ import annotations

import math
from collections.abc import Iterator

from sync_profiles.core import guards
from sync_profiles.core.batching import BYTES_MAX
from sync_profiles.core.facts import CursorFacts, Finding, IdFacts, Level, SampleFacts, TableFacts, ValueFacts
from sync_profiles.core.types import Identity, Limit
from sync_profiles.errors import AccessError, ConfigError, GuardStop, StateError, SyncProfilesError, TemporaryError

SKEW_S_MAX = 60.0
ROWS_READ_A_SECOND = 10_000
REQUEST_S = 0.5
"""How long one request of a thousand records may take; assumed on the slow side, nothing public says it."""
MANY_ROWS = 1_000_000
FEW_ROWS = 1000
"""A table of so many is read as quickly without an index."""

_CODES: dict[type[SyncProfilesError], str] = {
    ConfigError: "config",
    AccessError: "access",
    TemporaryError: "away",
    StateError: "state",
    GuardStop: "guard",
}
_IDS = {
    "null": ("null_id", "no distinct ID (NULL)", "leave them out with where, or choose another distinct_id"),
    "blank": ("refused_id", "an empty or blank distinct ID", "leave them out with where, or mend them"),
    "padded": (
        "padded_id",
        "a distinct ID with spaces around it",
        "mend them: Mixpanel would take it for another user",
    ),
    "long": ("refused_id", "a distinct ID longer than 255 bytes", "choose another distinct_id"),
    "refused": (
        "refused_id",
        "a distinct ID from Mixpanel's list of refused ones (0, -1, null, anonymous, …)",
        "leave them out with where, or mend them",
    ),
    "duplicate": (
        "duplicate_id",
        "a distinct ID that another row has as well",
        "none of them is sent; choose a unique distinct_id, such as the primary key",
    ),
}


def failed(error: SyncProfilesError, sync: str | None = None) -> list[Finding]:
    """What made a check impossible, as error findings: one for each problem."""
    problems = error.problems if isinstance(error, ConfigError) else (error.message,)
    code = next((code for kind, code in _CODES.items() if isinstance(error, kind)), "failed")
    hint = error.hint or ""
    return [Finding("error", code, f"{sync}: {problem}" if sync else problem, hint) for problem in problems]


def table_findings(sync: str, facts: TableFacts, *, now: float, full_every_s: float | None) -> Iterator[Finding]:
    """Rights, key, change detection, secrets and the clock; ``now`` is this machine's, in unix seconds."""
    yield Finding("ok", "rows", f"{sync}: {facts.rows:,} rows, and the user may read them")
    yield from _rights(sync, facts)
    yield from _key(sync, facts)
    yield from _detection(sync, facts)
    yield from (Finding("warn", code, f"{sync}: {message}") for code, message in facts.notes)
    if facts.cursor is not None:
        yield from _cursor(sync, facts.cursor, facts.rows, full_every_s)
    if facts.secrets:
        yield Finding("ok", "secrets", f"{sync}: left out, they look like secrets: {', '.join(facts.secrets)}")
    if facts.sent_secrets:
        message = f"{sync}: sent though they look like secrets: {', '.join(facts.sent_secrets)}"
        yield Finding("warn", "secrets", message, "take them out of the mapping, or send a hash")
    skew = facts.now - now
    if abs(skew) > SKEW_S_MAX:
        where = "ahead of" if skew > 0 else "behind"
        message = f"{sync}: the database's clock is {abs(skew):,.0f} s {where} this machine's"
        yield Finding("warn", "clock", message, "set both by NTP: the age of a full pass and pending rows go by it")
    else:
        yield Finding("ok", "clock", f"{sync}: this machine and the database agree on the time")


def _rights(sync: str, facts: TableFacts) -> Iterator[Finding]:
    if facts.read_only:
        yield Finding("ok", "read_only", f"{sync}: the session is read only")
    else:
        yield Finding("error", "read_only", f"{sync}: the session could write", "is a pooler in between that drops it?")
    if facts.may_write:
        rights = ", ".join(facts.may_write)
        hint = "nothing is ever written; a user that may SELECT and nothing else is safer still"
        yield Finding("warn", "rights", f"{sync}: the database user has more rights than it needs: {rights}", hint)
    if facts.row_security:
        message = f"{sync}: row-level security decides which rows this user sees; those it hides look deleted"
        hint = "ALTER ROLE … BYPASSRLS, or see to a policy that shows this user every row"
        yield Finding("warn", "row_security", message, hint)


def _key(sync: str, facts: TableFacts) -> Iterator[Finding]:
    names = ", ".join(facts.key)
    if facts.null_keys:
        message = f"{sync}: {_rows(facts.null_keys)} no primary key ({names} is NULL)"
        yield Finding("error", "null_key", message, f'leave them out: where = "{facts.key[0]} IS NOT NULL"')
    if facts.shared_keys:
        message = f"{sync}: {names} is no primary key: {facts.shared_keys:,} rows share its value with another"
        yield Finding("error", "shared_key", message, "name other columns as primary_key")
    if not (facts.null_keys or facts.shared_keys):
        sure = "the database keeps it so" if facts.certain_key else "now; no constraint keeps it so"
        yield Finding("ok", "key", f"{sync}: the primary key {names} is unique and never NULL ({sure})")


def _detection(sync: str, facts: TableFacts) -> Iterator[Finding]:
    match facts.detection:
        case "xmin":
            yield Finding("ok", "detection", f"{sync}: changes are found by row versions (xmin), all of them")
        case "cursor":
            yield Finding("ok", "detection", f"{sync}: changes are found by the change column")
        case _ if facts.rows > MANY_ROWS:
            message = f"{sync}: every run reads all {facts.rows:,} rows: there is no change column"
            yield Finding("warn", "detection", message, "set cursor, or on PostgreSQL grant what xmin needs")
        case _:
            yield Finding("ok", "detection", f"{sync}: changes are found by comparing every row in every run")


def _cursor(sync: str, facts: CursorFacts, rows: int, full_every_s: float | None) -> Iterator[Finding]:
    name = facts.name
    if facts.indexed is False:
        level: Level = "warn" if rows > FEW_ROWS else "ok"
        message = f"{sync}: {name} has no index: each run reads the whole table"
        yield Finding(level, "cursor_index", message, f"create an index on {name}" if level == "warn" else "")
    elif facts.indexed:
        yield Finding("ok", "cursor_index", f"{sync}: {name} is indexed")
    if facts.nulls:
        message = f"{sync}: {_rows(facts.nulls)} no {name}: every run reads them, nothing says when they change"
        yield Finding("warn", "null_cursor", message, f'fill {name} in, or use detect = "full"')
    if facts.ahead:
        message = f"{sync}: {name} lies in the future in some rows: until then every run reads them"
        yield Finding("warn", "future_cursor", message, "mend them; does a clock run ahead, or is it local time?")
    if facts.stamped_by is not None:
        by = "a trigger" if facts.stamped_by == "trigger" else "the column's own ON UPDATE"
        yield Finding("ok", "cursor_set_by", f"{sync}: {name} is set by {by}, as far as can be seen")
    elif full_every_s is None:
        message = f"{sync}: {name} is set by the application only, as far as can be seen, and full_every is never"
        yield Finding("warn", "cursor_set_by", message, "an UPDATE that leaves it out is never found; set full_every")
    else:
        message = f"{sync}: {name} is set by the application only, as far as can be seen: an UPDATE that leaves it out"
        every = f"{full_every_s / 3600:g} h"
        yield Finding("ok", "cursor_set_by", f"{message} is found by the full pass every {every}")


def id_findings(sync: str, facts: IdFacts, rows: int, max_reject: Limit) -> Iterator[Finding]:
    """Distinct IDs that no run will send; an error where so many would stop it."""
    rejected = sum(found.rows for name, found in facts.counts.items() if name in _IDS)
    level: Level = "error" if guards.mass_reject(max_reject, rejected, rows) is not None else "warn"
    for name, (code, what, hint) in _IDS.items():
        found = facts.counts.get(name)
        if found is not None:
            message = f"{sync}: {_rows(found.rows)} {what}{_such_as(found.keys)}"
            more = "; so many would stop the run (max_reject)" if level == "error" else ""
            yield Finding(level, code, message, hint + more)
    twins = facts.counts.get("case_twin")
    if twins is not None:
        message = f"{sync}: {_rows(twins.rows)} a distinct ID that differs from another's by case only"
        hint = "they become profiles of their own; Mixpanel tells capitals from small letters"
        yield Finding("warn", "case_twin", message + _such_as(twins.keys), hint)
    if not facts.judged:
        yield Finding("ok", "ids", f"{sync}: distinct IDs cannot be computed in SQL; the sample alone speaks for them")
    elif not facts.counts:
        yield Finding("ok", "ids", f"{sync}: every distinct ID can be used, and none occurs twice")
    if not facts.compared:
        message = f"{sync}: equal distinct IDs cannot be found in SQL: every full pass compares all of them"
        yield Finding("warn", "ids_compared", message, "a distinct_id that is one column, or a template, can be")


def sample_findings(sync: str, facts: SampleFacts, ids: IdFacts, rows: int, max_reject: Limit) -> Iterator[Finding]:
    """Values that cannot be sent, or not whole. Problems of IDs count only where the database could not count them.

    An error where a run over all ``rows`` would stop because so many are rejected.
    """
    shown = [one for one in facts.values if not (ids.judged and one.code in {"null_id", "refused_id"})]
    yield from (_value_finding(sync, one, facts.rows) for one in shown)
    yield from (Finding("warn", code, f"{sync}: {message}") for code, message in facts.warnings)
    if not any(one.code != "long" for one in shown):
        yield Finding("ok", "values", f"{sync}: {facts.rows:,} rows mapped on trial, every value can be sent")

    rejected = round((facts.rows - facts.profiles) / facts.rows * rows) if facts.rows else 0
    stopped = guards.mass_reject(max_reject, rejected, rows)
    if stopped is not None:
        message = f"{sync}: going by the sample, the first run would stop: {stopped.message}"
        yield Finding("error", "mass_reject", message, "mend the mapping first, or raise max_reject")


def _value_finding(sync: str, value: ValueFacts, rows: int) -> Finding:
    message = f"{sync}: {value.place}: {value.found.rows:,} of {rows:,} rows: {value.text}{_such_as(value.found.keys)}"
    if value.code == "long":
        return Finding("warn", "long_text", message, "leave it out, or send a part or a hash of it")
    return Finding("warn", value.code, message, "these rows are rejected; a type, a default or where may be the cure")


def estimate_finding(sync: str, rows: int, sample: SampleFacts, records_max: int, in_flight: int) -> Finding:
    """What the first run will take, by what the sample's profiles weigh."""
    share = rows / sample.profiles if sample.profiles else 0.0
    by_count, by_size = share * sample.records / records_max, share * sample.bytes / BYTES_MAX
    requests = math.ceil(max(by_count, by_size))
    seconds = max(rows / ROWS_READ_A_SECOND, requests * REQUEST_S / in_flight)
    megabytes = share * sample.bytes / 1e6
    took = f"about {seconds / 60:,.0f} minutes" if seconds >= 120 else f"about {max(1, round(seconds))} s"
    sent = f"{requests:,} request{'' if requests == 1 else 's'}, {megabytes:,.1f} MB"
    message = f"{sync}: the first run sends about {sent}, and takes {took}"
    return Finding("ok", "estimate", message)


def owner_findings(sync: str, before: Identity | None, now: Identity) -> Iterator[Finding]:
    """Whether the next run would stop because the state belongs to something else."""
    for code, stopped in (("owner", guards.another_owner(before, now)), ("drift", guards.drifted(before, now))):
        if stopped is not None:
            yield Finding("error", code, f"{sync}: {stopped.message}", stopped.hint)


def _rows(count: int) -> str:
    return "1 row has" if count == 1 else f"{count:,} rows have"


def _such_as(keys: tuple[str, ...]) -> str:
    return f" (key {', '.join(keys)})" if keys else ""
