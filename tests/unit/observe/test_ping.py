from __future__ import annotations

import json
import logging

import pytest
from summaries import finished, started

from sync_profiles.errors import AccessError
from sync_profiles.observe.ping import PingRefusedError, address, pinging

URL = "https://hc.example/ping/0d3f"


class Service:
    """Keeps what it was sent; ``down`` makes it fail."""

    def __init__(self, down: OSError | None = None) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.down = down

    def __call__(self, url: str, body: bytes) -> None:
        if self.down is not None:
            raise self.down
        self.heard.append((url.removeprefix(URL), body))

    @property
    def words(self) -> list[str]:
        return [word for word, _ in self.heard]


def test_one_start_and_one_outcome_for_all_syncs_together() -> None:
    service = Service()
    with pinging(URL, service) as observe:
        for name in ("users", "teams"):
            observe(started(name))
            observe(finished(sync=name))
    assert service.words == ["/start", ""]
    code, _, _, *summaries = service.heard[-1][1].decode().splitlines()
    assert code == "exit code 0"
    assert [json.loads(line)["sync"] for line in summaries] == ["users", "teams"]


@pytest.mark.parametrize("outcome", ["deferred", "stopped", "failed"])
def test_one_run_that_did_not_end_well_is_a_failure(outcome: str) -> None:
    service = Service()
    with pinging(URL, service) as observe:
        observe(started())
        observe(finished(outcome=outcome, message="away", exit_code=75))
        observe(finished(sync="teams", outcome="rejected", exit_code=65))
    assert service.words == ["/start", "/fail"]
    code, users, teams, *summaries = service.heard[-1][1].decode().splitlines()
    assert code == "exit code 75"
    assert users.startswith(f"users: {outcome}, 1,200 scanned")
    assert teams.startswith("teams: rejected, ")
    assert [json.loads(line)["message"] for line in summaries] == ["away", None]


def test_rejected_rows_are_no_failure() -> None:
    service = Service()
    with pinging(URL, service) as observe:
        observe(finished(outcome="rejected", rejected=1))
    assert service.words == [""]


def test_a_run_that_only_found_another_one_active_is_silent() -> None:
    service = Service()
    with pinging(URL, service) as observe:
        observe(finished(outcome="skipped"))
    assert service.words == []


def test_an_error_that_passes_is_a_failure_with_its_own_words() -> None:
    service = Service()
    with pytest.raises(AccessError), pinging(URL, service) as observe:
        observe(started())
        raise AccessError("postgresql://app:hunter2@db refused the login")
    assert service.words == ["/start", "/fail"]
    assert service.heard[-1][1] == b"exit code 77\npostgresql://***@db refused the login"


def test_of_an_unexpected_error_only_the_kind_is_told() -> None:
    service = Service()
    with pytest.raises(ValueError, match="ada"), pinging(URL, service):
        raise ValueError("ada lovelace")
    assert service.heard == [("/fail", b"exit code 1\nValueError")]


@pytest.mark.parametrize(
    ("down", "why"),
    [(ConnectionError(f"cannot reach {URL}"), "ConnectionError"), (PingRefusedError(404), "HTTP 404")],
)
def test_a_service_that_is_down_is_a_warning_that_does_not_name_the_address(
    down: OSError, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), pinging(URL, Service(down)) as observe:
        observe(finished())
    assert caplog.messages == [f"health-check ping failed: {why}"]


@pytest.mark.parametrize(
    ("url", "word", "expected"),
    [
        (URL, "start", f"{URL}/start"),
        (f"{URL}/", "fail", f"{URL}/fail"),
        (URL, "", URL),
        (f"{URL}?create=1", "fail", f"{URL}/fail?create=1"),
    ],
)
def test_the_word_goes_to_the_end_of_the_path(url: str, word: str, expected: str) -> None:
    assert address(url, word) == expected
