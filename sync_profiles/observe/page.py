"""The status page: everything one sees of a mirror at a glance, as one HTML file that needs nothing else. Pure.

It holds counts, times, outcomes and reasons; neither a key nor a value of any row. Free texts are masked.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from statistics import median
from urllib.parse import quote

import msgspec

from sync_profiles import __version__
from sync_profiles.core.ages import age, ago, unix
from sync_profiles.core.standing import Level, Standing, Step, SyncReport, standing
from sync_profiles.core.types import RunSummary
from sync_profiles.observe.history import history_charts, outcome_mark
from sync_profiles.observe.markup import Html, element
from sync_profiles.observe.redact import redact
from sync_profiles.observe.report import duration, masked

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_MARKS: dict[Level, tuple[str, str, str]] = {
    "in_step": ("✓", "in step", "#1a7f4b"),
    "almost": ("!", "almost in step", "#b26a00"),
    "behind": ("✕", "behind", "#c0282d"),
    "unknown": ("…", "not begun", "#667085"),
}
_ORDER: tuple[Level, ...] = ("behind", "almost", "unknown", "in_step")
_SHOWN = 12
_COLUMNS = (
    "Began", "Outcome", "Detection", "Read", "Unchanged", "Sent", "Deleted", "Rejected", "Pending", "Requests", "Took"
)  # fmt: skip


def status_page(reports: Sequence[SyncReport], now: float) -> str:
    """The page of these syncs at ``now`` (unix seconds)."""
    reports = [_discreet(report) for report in reports]
    stands = [standing(report, now) for report in reports]
    levels = [stand.level for stand in stands]
    level: Level = next((one for one in _ORDER if one in levels), "unknown")
    mark, words, colour = _MARKS[level]
    head = element(
        "head",
        Html('<meta charset="utf-8">'),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html('<meta name="color-scheme" content="light dark">'),
        element("title", f"{mark} {words.capitalize()} · sync-profiles"),
        Html(f'<link rel="icon" href="data:image/svg+xml,{quote(_icon(colour))}">'),
        element("style", Html(_style())),
    )
    sections = [_section(report, stand, now) for report, stand in zip(reports, stands, strict=True)]
    body = element("body", _top(stands, now), element("main", *sections), _foot())
    return f'<!doctype html>\n<html lang="en">\n{head}\n{body}\n</html>\n'


def _discreet(report: SyncReport) -> SyncReport:
    return msgspec.structs.replace(
        report,
        history=[masked(run) for run in report.history],
        reasons=[msgspec.structs.replace(one, text=redact(one.text)) for one in report.reasons],
    )


@cache
def _style() -> str:
    return files(__package__).joinpath("page.css").read_text("utf-8")


def _icon(colour: str) -> str:
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">'
        f'<circle cx="8" cy="8" r="7" fill="{colour}"/></svg>'
    )


def _top(stands: Sequence[Standing], now: float) -> Html:
    good = sum(stand.level == "in_step" for stand in stands)
    overall = "" if len(stands) < 2 else f"{good} of {len(stands)} syncs in step"
    return element(
        "header",
        element("p", element("strong", "sync-profiles"), " status", class_="brand"),
        element("p", overall, class_="overall") if overall else "",
        element("p", "as of ", _moment(now), class_="asof"),
    )


def _foot() -> Html:
    text = f"Written by sync-profiles {__version__}. Times are UTC. No row value is on this page."
    return element("footer", element("p", text))


# --- one sync ------------------------------------------------------------------------------------------------------


def _section(report: SyncReport, stand: Standing, now: float) -> Html:
    parts = [_banner(report, stand), _figures(report, now)]
    if report.history:
        parts.append(_part("Runs over time", *history_charts(report.history)))
    if report.reasons:
        parts.append(_reasons(report, now))
    if report.history:
        parts.append(_runs(report.history))
    return element("section", *parts, class_="sync", aria_label=f"sync {report.sync}")


def _part(title: str, *children: str) -> Html:
    return element("div", element("h3", title), *children, class_="part")


def _banner(report: SyncReport, stand: Standing) -> Html:
    mark, _, _ = _MARKS[stand.level]
    return element(
        "div",
        element("span", mark, class_="mark", aria_hidden="true"),
        element(
            "div",
            element("p", report.sync, class_="name"),
            element("h2", stand.headline),
            element("p", stand.why),
            _steps(stand.steps),
        ),
        class_=f"banner {stand.level}",
    )


def _steps(steps: Sequence[Step]) -> Html:
    if not steps:
        return Html("")
    lines = [
        element("li", step.text, element("code", step.command) if step.command is not None else "") for step in steps
    ]
    return element("ul", *lines, class_="steps")


def _figures(report: SyncReport, now: float) -> Html:
    figures = [
        _figure("Last good run", *_good(report.last_success_at)),
        _figure("Lag", *_lag(report, now)),
        _figure("Profiles known", f"{report.profiles:,}"),
        _figure("Rows waiting", f"{report.pending:,}", f"{report.rejected:,} of them rejected"),
        _figure("Last full pass", *_since(report.full_at, now)),
        _figure("Usual run", *_usual(report.history)),
    ]
    return element("dl", *figures, class_="figures")


def _figure(name: str, value: str, note: str = "") -> Html:
    shown = element("dd", value, element("small", note) if note else "")
    return element("div", element("dt", name), shown)


def _since(at: float | None, now: float) -> tuple[str, str]:
    return ("never", "") if at is None else (ago(now - at), _moment(at))


def _good(at: float | None) -> tuple[str, str]:
    return ("never", "") if at is None else (_moment(at, "{0.day} {0:%b, %H:%M}"), "UTC, when it began")


def _lag(report: SyncReport, now: float) -> tuple[str, str]:
    """How old the table is that Mixpanel holds: it is as the last good run found it when it began."""
    if report.last_success_at is None:
        return "unknown", ""
    return age(now - report.last_success_at), "behind, at most"


def _usual(history: Sequence[RunSummary]) -> tuple[str, str]:
    seconds = sorted(run.seconds for run in history)
    if not seconds:
        return "unknown", ""
    return duration(median(seconds)), f"at most {duration(seconds[-1])}"


# --- why rows are rejected -----------------------------------------------------------------------------------------


def _reasons(report: SyncReport, now: float) -> Html:
    top = max(reason.count for reason in report.reasons)
    rows = [
        element(
            "tr",
            element("td", f"{reason.count:,}", class_="number"),
            element("td", reason.text, element("span", "", class_="share", style=f"width:{reason.count / top:.1%}")),
            element("td", element("code", reason.code)),
            element("td", ago(now - reason.since)),
            class_="reason",
        )
        for reason in report.reasons
    ]
    table = _table("reasons", ("Rows", "Reason", "Code", "Since"), rows)
    return _part("Why rows are rejected", table)


def _table(kind: str, columns: Sequence[str], rows: Sequence[Html]) -> Html:
    heads = [element("th", column, scope="col") for column in columns]
    table = element("table", element("thead", element("tr", *heads)), element("tbody", *rows), class_=kind)
    return element("div", table, class_="scroll", tabindex=0, role="region", aria_label=f"table of {kind}")


# --- every run -----------------------------------------------------------------------------------------------------


def _runs(history: Sequence[RunSummary]) -> Html:
    latest = _table("runs", _COLUMNS, [row for run in history[:_SHOWN] for row in _run_rows(run)])
    earlier = history[_SHOWN:]
    if not earlier:
        return _part("Runs", latest)
    more = _table("runs", _COLUMNS, [row for run in earlier for row in _run_rows(run)])
    return _part("Latest runs", latest, element("details", element("summary", f"{len(earlier):,} earlier runs"), more))


def _run_rows(run: RunSummary) -> list[Html]:
    counts = (run.scanned, run.unchanged, run.sent, run.deleted, run.rejected, run.pending, run.requests)
    row = element(
        "tr",
        element("td", _moment(unix(run.started_at))),
        element("td", outcome_mark(run)),
        element("td", run.detection, title=run.why),
        *(
            element("td", f"{count:,}" if count else "·", class_="number" if count else "number none")
            for count in counts
        ),
        element("td", duration(run.seconds), class_="number"),
    )
    if not run.message:
        return [row]
    return [row, element("tr", element("td", run.message, colspan=len(_COLUMNS)), class_="message")]


def _moment(at: float, form: str = "{0.day} {0:%b %Y, %H:%M}") -> Html:
    when = datetime.fromtimestamp(at, UTC)
    return element("time", form.format(when), datetime=f"{when:%Y-%m-%dT%H:%M:%SZ}")
