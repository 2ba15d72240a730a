"""docs/operating.md: each exit code has an entry, what it quotes is what the program says, what it names exists."""

from __future__ import annotations

import re
import shlex
import signal
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from commands import Outcome, Workplace
from prometheus_client.parser import text_string_to_metric_families
from summaries import finished

from sync_profiles.cli import cli
from sync_profiles.cli.command import EXIT_CODES
from sync_profiles.core.events import Waiting
from sync_profiles.observe.metrics import merged, render
from sync_profiles.sandbox.faults import Fault
from sync_profiles.state.files import StateFiles
from sync_profiles.state.lock import RunLock

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operating.md").read_text("utf-8")
ENTRIES = {
    int(code): text
    for code, text in re.findall(r"^### Exit code (\d+)\b[^\n]*\n(.*?)(?=^#)", PAGE, re.DOTALL | re.MULTILINE)
}
TEXT = ("--log-format", "text")
DELETES = 'table = "users"\non_delete = "delete"\n'
BUG = "import sync_profiles.core.scanplan as module\n\ndef plan(*_): raise KeyError('x')\n\nmodule.plan = plan\n"


def interrupted(place: Workplace, number: signal.Signals) -> Outcome:
    place.sandbox.faults.add(Fault("slow", times=None, seconds=0.5))
    return place.interrupted(number, *TEXT, "run", requests=1)


def skipped(place: Workplace) -> Outcome:
    place.run("run")
    lock = RunLock(StateFiles(place.state).lock("users"))
    assert lock.acquire()
    try:
        return place.run(*TEXT, "-v", "run")
    finally:
        lock.release()


def a_bug(place: Workplace) -> Outcome:
    (place.folder / "sitecustomize.py").write_text(BUG)
    return place.run(*TEXT, "run", code=None, PYTHONPATH=str(place.folder))


def a_mass_delete(place: Workplace) -> Outcome:
    place.write(DELETES)
    place.run("run")
    place.database.execute("DELETE FROM users WHERE id > 500")
    return place.run(*TEXT, "run", code=None)


def a_bad_row(place: Workplace) -> Outcome:
    place.database.execute("UPDATE users SET email = 'a' || char(0) WHERE id = 7")
    return place.run(*TEXT, "run", code=None)


def a_damaged_state(place: Workplace) -> Outcome:
    place.run("run")
    place.state.write_bytes(b"no database at all" * 1000)
    return place.run(*TEXT, "run", code=None)


def an_answer(status: int) -> Callable[[Workplace], Outcome]:
    def cause(place: Workplace) -> Outcome:
        place.sandbox.faults.add(Fault("status", times=None, code=status))
        return place.run(*TEXT, "run", "--deadline", "1s", code=None)

    return cause


def a_misspelt_key(place: Workplace) -> Outcome:
    place.config.write_text(place.config.read_text().replace("table =", "tabel ="))
    return place.run(*TEXT, "run", code=None)


CAUSES: dict[int, Callable[[Workplace], Outcome]] = {
    0: skipped,
    1: a_bug,
    2: lambda place: place.run(*TEXT, "run", "user", code=None),
    3: a_mass_delete,
    65: a_bad_row,
    74: a_damaged_state,
    75: an_answer(503),
    77: an_answer(401),
    78: a_misspelt_key,
    130: lambda place: interrupted(place, signal.SIGINT),
    143: lambda place: interrupted(place, signal.SIGTERM),
}


def test_every_exit_code_has_an_entry_and_a_way_to_cause_it() -> None:
    assert set(ENTRIES) == set(EXIT_CODES) == set(CAUSES)


@pytest.mark.parametrize("code", EXIT_CODES)
def test_what_an_entry_quotes_is_what_the_program_says_when_it_is_caused(place: Workplace, code: int) -> None:
    place.fill(1000)
    outcome = CAUSES[code](place)
    quoted = re.search(r"^```\n(.*?)\n```$", ENTRIES[code], re.DOTALL | re.MULTILINE)
    assert quoted is not None
    assert outcome.code == code, outcome
    assert re.search(pattern(quoted[1]), outcome.err, re.MULTILINE), outcome.err


def pattern(line: str) -> str:
    """The line with any number in the place of each number, and anything where it says "…"."""
    return "^" + re.sub(r"\d[\d,.]*", r"\\d[\\d,.]*", re.escape(line).replace("…", ".*"))


def commands() -> list[str]:
    """Every command of the page, in blocks and in sentences, but for those of other programs that merely name ours."""
    inline = re.findall(r"`(sync-profiles [^`\n]+)`", PAGE)
    fenced = re.findall(r"^ *(sync-profiles [^#\n]*)", PAGE, re.MULTILINE)
    return list(dict.fromkeys(command.strip() for command in (*inline, *fenced)))


@pytest.mark.parametrize("command", commands())
def test_every_command_of_the_page_parses(command: str) -> None:
    group: click.Group = cli
    words = shlex.split(command)[1:]
    if words[-1] == "--help":
        words.pop()
    with cli.make_context("sync-profiles", words) as ctx:
        arguments = [*ctx._protected_args, *ctx.args]
        while isinstance(group, click.Group):
            name, found, arguments = group.resolve_command(ctx, arguments)
            assert found is not None
            if not isinstance(found, click.Group):
                found.make_context(name, arguments, parent=ctx).close()
                return
            group = found


def test_the_page_tells_every_metric_and_no_other() -> None:
    end = finished(waiting=Waiting(1, 1, 1.0), horizon_lag=1)
    written = {family.name for family in text_string_to_metric_families(render(merged({}, end, 1.0)))}
    assert set(re.findall(r"^\| `(sync_profiles_\w+)`", PAGE, re.MULTILINE)) == written


@pytest.mark.parametrize("name", ["README.md", "docs/operating.md", "docs/guarantees.md"])
def test_every_link_of_a_document_leads_somewhere(name: str) -> None:
    document = ROOT / name
    text = document.read_text("utf-8")
    links = re.findall(r"\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"", text)
    for link in (one or other for one, other in links):
        path, _, anchor = link.partition("#")
        target = document if not path else (document.parent / path).resolve()
        if path.startswith("http"):
            continue
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text("utf-8")), link


def anchors(text: str) -> set[str]:
    """The anchors that a forge gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
