"""``status --html``: a page from a real state, written whole or not at all."""

from __future__ import annotations

from commands import Workplace


def test_the_page_tells_how_a_real_state_stands_without_a_value_of_any_row(place: Workplace) -> None:
    place.fill(20)
    place.run("run")
    place.run("status", "--html", "status.html")
    assert "✓ In step" in (place.folder / "status.html").read_text("utf-8")
    place.database.execute("UPDATE users SET plan = 'a' || char(0) WHERE id = 7")
    place.run("run", code=65)
    outcome = place.run("status", "--html", "status.html")
    page = (place.folder / "status.html").read_text("utf-8")
    assert outcome.out == outcome.err == ""
    assert "In step, but for 1 row" in page
    assert "plan" in page  # the reason names the column
    assert "example.com" not in page
    assert not list(place.folder.glob(".status*"))
    place.check_discreet(page)


def test_a_dash_is_stdout_and_a_link_stays_a_link(place: Workplace) -> None:
    place.write()
    (place.folder / "web").mkdir()
    (place.folder / "status.html").symlink_to("web/index.html")
    place.run("status", "--html", "status.html")
    assert (place.folder / "status.html").is_symlink()
    shown = place.run("status", "--html", "-").out
    assert shown.startswith("<!doctype html>")
    assert "No run yet" in shown
    assert shown.count("<section") == (place.folder / "web" / "index.html").read_text("utf-8").count("<section") == 1


def test_a_page_that_cannot_be_written_is_refused_with_a_cure(place: Workplace) -> None:
    place.write()
    outcome = place.run("status", "--html", "nowhere/status.html", code=2)
    assert "cannot write" in outcome.err
    assert "hint=" in outcome.err
    place.run("status", "--html", "x.html", "--json", code=2)
    assert not (place.folder / "x.html").exists()


def test_as_many_runs_are_drawn_as_are_wanted(place: Workplace) -> None:
    place.fill(3)
    place.run("run")
    place.run("run")
    assert place.run("status", "--html", "-").out.count('class="outcome ok"') == 2
    assert place.run("status", "--html", "-", "--limit", "1").out.count('class="outcome ok"') == 1
