"""Which request a fault strikes."""

from __future__ import annotations

import pytest

from sync_profiles.sandbox.faults import Fault, Faults


def struck(faults: Faults, *paths: str) -> list[str | None]:
    taken = [faults.take(path)[1] for path in paths]
    return [None if fault is None else fault.kind for fault in taken]


@pytest.mark.parametrize(
    ("added", "expected"),
    [
        ([Fault("html")], ["html", None, None, None]),
        ([Fault("html", times=2)], ["html", "html", None, None]),
        ([Fault("html", times=None)], ["html", "html", "html", "html"]),
        ([Fault("html", skip=2)], [None, None, "html", None]),
        ([Fault("html"), Fault("empty")], ["html", "empty", None, None]),
        ([Fault("html", times=2), Fault("empty", skip=1)], ["html", "html", "empty", None]),
        ([Fault("html", skip=3), Fault("empty", skip=1)], [None, "empty", None, "html"]),
    ],
    ids=str,
)
def test_faults_strike_by_position_and_then_in_the_order_they_were_added(
    added: list[Fault], expected: list[str | None]
) -> None:
    faults = Faults()
    faults.add(*added)
    assert struck(faults, *["/engage"] * 4) == expected


def test_a_fault_without_path_is_for_profiles_of_users_and_groups() -> None:
    faults = Faults()
    faults.add(Fault("html", times=2))
    assert struck(faults, "/api/query/engage", "/groups", "/engage") == [None, "html", "html"]


def test_a_fault_with_a_path_counts_only_requests_to_it() -> None:
    faults = Faults()
    faults.add(Fault("html", skip=1, path="/api/query/engage"))
    paths = ("/engage", "/api/query/engage", "/engage", "/api/query/engage")
    assert struck(faults, *paths) == [None, None, None, "html"]


def test_slowness_adds_up_with_another_fault() -> None:
    faults = Faults()
    faults.add(Fault("slow", times=None, seconds=0.5), Fault("slow", seconds=0.25), Fault("reset"))
    assert faults.take("/engage") == (0.75, Fault("reset"))
    assert faults.take("/engage") == (0.5, None)


def test_spent_faults_are_gone_and_clear_ends_the_others() -> None:
    faults = Faults()
    faults.add(Fault("html"), Fault("empty", times=None))
    assert faults.waiting == 2
    struck(faults, "/engage")
    assert faults.waiting == 1
    faults.clear()
    assert struck(faults, "/engage") == [None]
