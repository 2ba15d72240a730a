"""The status page: whole by itself, true at a glance, safe whatever is on it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest
from summaries import a_summary

from sync_profiles.core.ages import unix
from sync_profiles.core.standing import Reason, SyncReport
from sync_profiles.core.types import RunSummary
from sync_profiles.observe.charts import HEIGHT, WIDTH, Bar, bars, is_uneven, span_of
from sync_profiles.observe.markup import Html, element, joined
from sync_profiles.observe.page import status_page
from sync_profiles.observe.redact import register_secret

NOW = unix("2026-11-24T12:00:00Z")
VOID = {"meta", "link"}


def run(hours_ago: float, **changes: Any) -> RunSummary:
    at = datetime.fromtimestamp(NOW - hours_ago * 3600, UTC)
    return a_summary(started_at=at.strftime("%Y-%m-%dT%H:%M:%SZ"), **changes)


def report(runs: int, **changes: Any) -> SyncReport:
    history = [run(number + 0.5, sent=number * 7 % 50, scanned=1000 + number) for number in range(runs)]
    at = unix(history[0].started_at) if history else None
    return SyncReport(**{"sync": "users", "history": history, "last_success_at": at, "profiles": 1234, **changes})


class Balanced(HTMLParser):
    """Fails on a tag that is not closed where it should be; collects texts and tags."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.said = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.said += data + " "


@pytest.mark.parametrize("runs", [0, 1, 2, 13, 500])
def test_a_page_is_well_formed_and_needs_nothing_but_itself(runs: int) -> None:
    page = status_page([report(runs)], NOW)
    tags = Balanced(page).tags
    assert {name for name, _ in tags} & {"script", "img", "iframe", "object", "form", "base"} == set()
    assert [str(attributes["href"])[:15] for name, attributes in tags if name == "link"] == ["data:image/svg+"]
    assert not [key for _, attributes in tags for key in attributes if key.startswith("on") or key == "src"]
    assert re.search(r"default-src 'none'", page.replace("&#x27;", "'"))
    assert not re.search(r"url\(|@import", page)


def test_without_a_run_the_page_says_how_to_begin() -> None:
    said = Balanced(status_page([report(0, profiles=0)], NOW)).said
    assert "No run yet" in said
    assert "sync-profiles run users" in said
    assert "Runs over time" not in said


def test_the_title_tells_the_worst_standing_and_the_top_counts_them() -> None:
    good, bad = report(3), report(3, sync="companies", last_success_at=NOW - 9 * 3600)
    assert "<title>✓ In step · sync-profiles</title>" in status_page([good], NOW)
    page = status_page([good, bad], NOW)
    assert "<title>✕ Behind · sync-profiles</title>" in page
    assert "1 of 2 syncs in step" in page
    assert "No good run for 9 hours" in page


def test_every_count_of_every_run_is_on_the_page_as_text() -> None:
    history = [run(1, scanned=1201, unchanged=1101, sent=98, deleted=71, rejected=17, pending=13, requests=29)]
    said = Balanced(status_page([report(1, history=history)], NOW)).said
    for count in ("1,201", "1,101", "98", "71", "17", "13", "29", "1.9 s"):
        assert f" {count} " in said, count


def test_charts_are_read_out_as_sentences() -> None:
    page = Balanced(status_page([report(24)], NOW))
    labels = [attributes.get("aria-label") for name, attributes in page.tags if name == "svg"]
    assert len(labels) == 6
    assert "Outcome of each run: 24 of 24 came to their end" in labels
    assert any(
        label and re.fullmatch(r"Profiles sent by each run: .* by the last, .* at most, .* in all", label)
        for label in labels
    )


def test_twelve_runs_are_shown_and_the_earlier_ones_folded_away() -> None:
    page = status_page([report(40)], NOW)
    latest, _, folded = page.partition("<details>")
    assert latest.count("<tr>") - 1 == 12
    assert "28 earlier runs" in folded
    assert folded.count("<tr>") - 1 == 28
    assert "<details>" not in status_page([report(12)], NOW)


def test_reasons_are_listed_with_their_share() -> None:
    why = [Reason("bad_value", "column mrr is no number", 30, NOW - 7200), Reason("bad_date", "no date", 10, NOW)]
    page = status_page([report(1, reasons=why, rejected=40, pending=40)], NOW)
    assert re.findall(r"width:([\d.]+)%", page) == ["100.0", "33.3"]
    assert "2 hours ago" in page


def test_whatever_looks_like_markup_is_text() -> None:
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&"
    bad = [run(1, outcome="failed", message=evil, why=evil)]
    page = status_page([report(1, history=bad, reasons=[Reason("x", evil, 1, NOW)], sync="a<b")], NOW)
    assert {name for name, _ in Balanced(page).tags} & {"script", "img"} == set()
    assert "&lt;script&gt;" in page


def test_secrets_and_addresses_are_masked_wherever_a_text_is_free() -> None:
    register_secret("s3cret-of-the-page")
    told = "postgresql://app:pass0word@db/app refused s3cret-of-the-page of ann@example.com"
    bad = [run(1, outcome="failed", message=told, why=told)]
    page = status_page([report(1, history=bad, reasons=[Reason("x", told, 1, NOW)])], NOW)
    assert [one for one in ("s3cret", "pass0word", "ann@example.com") if one in page] == []
    assert page.count("***") > 3


def test_five_hundred_runs_stay_below_a_megabyte() -> None:
    assert len(status_page([report(500)], NOW).encode()) < 1_000_000


# --- charts and markup ---------------------------------------------------------------------------------------------


def drawn(*values: float) -> list[tuple[float, float]]:
    """(y, height) of each bar."""
    series = [Bar(at * 3600.0, value, "") for at, value in enumerate(values)]
    svg = bars(series, span_of([bar.at for bar in series]), "")
    return [
        (float(y), float(height)) for y, height in re.findall(r' y="([\d.]+)" width="[\d.]+" height="([\d.]+)"', svg)
    ]


def test_bars_stand_on_the_ground_and_the_highest_fills_the_chart() -> None:
    assert drawn(5, 10, 2.5) == [(50.0, 50.0), (0.0, 100.0), (75.0, 25.0)]


def test_what_is_not_nothing_is_seen_and_nothing_is_not_drawn() -> None:
    (_, lowest), _ = drawn(1, 39), drawn(0, 0)
    assert drawn(0, 0) == []
    assert lowest[1] == HEIGHT
    assert min(height for _, height in drawn(1, 39)) == 4.0


def test_a_first_run_does_not_hide_the_others() -> None:
    heights = [height for _, height in drawn(1_000_000, 50, 60, 40, 55)]
    assert is_uneven([1_000_000, 50, 60, 40, 55])
    assert min(heights) > HEIGHT / 5
    assert not is_uneven([5, 10])
    assert not is_uneven([])


@pytest.mark.parametrize("moments", [[5.0], [5.0, 5.0], [0.0, 60.0], [0.0, 1e7]])
def test_every_moment_lies_inside_its_span(moments: list[float]) -> None:
    span = span_of(moments)
    assert all(0 < span.share(at) < 1 for at in moments)
    svg = bars([Bar(at, 1, "") for at in moments], span, "")
    assert all(0 <= float(x) <= WIDTH for x in re.findall(r' x="(-?[\d.]+)"', svg))


def test_only_html_is_html() -> None:
    assert element("b", "<i>", Html("<u></u>"), class_="x y", aria_label='"', title=None) == (
        '<b class="x y" aria-label="&quot;">&lt;i&gt;<u></u></b>'
    )
    assert joined("a", Html("<br>")) == "a<br>"
