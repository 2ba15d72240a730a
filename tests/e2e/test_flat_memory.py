"""Memory does not know the table's size: whole processes, measured from outside as the kernel counts them."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import Server, ServerMissingError, Servers, labels

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT))

from benchmarks.cases import CASES, Bench, Case, running_sink  # noqa: E402 - the folder stands beside the tests
from benchmarks.table import create_users  # noqa: E402

NAMED = {case.name: case for case in CASES}
FIRST = NAMED["first"]
FIRST_XMIN = dataclasses.replace(FIRST, detect="xmin")
FULL = NAMED["full"]
KINDS = ["sqlite", "postgres", "mariadb"]
GROWTH_MB_MAX = 20
"""8 MB of it is the cache of the state's pages, which fills up. A run that held its rows would need 1 MB a thousand."""


@pytest.fixture(scope="module")
def pool() -> Iterator[Servers]:
    started = Servers()
    yield started
    started.close()


def server_of(kind: str, pool: Servers) -> Server:
    try:
        return pool.get(labels(kind)[0] if kind == "postgres" else kind)
    except ServerMissingError as missing:
        pytest.skip(f"no {kind} server here; get one with: {missing}")


def peaks_mb(server: Server, rows: int, cases: list[Case], folder: Path) -> dict[Case, float]:
    """The most memory that each case took on a table of so many rows."""
    folder.mkdir()
    with server.fresh_database() as database, running_sink(0) as sink:
        create_users(database, rows)
        bench = Bench(database, rows, folder, {(0, 0): sink})
        return {case: bench.measure(case).rss_mb for case in cases}


def grown_mb(server: Server, sizes: tuple[int, int], cases: list[Case], folder: Path) -> dict[str, float]:
    few, many = (peaks_mb(server, rows, cases, folder / str(rows)) for rows in sizes)
    return {f"{case.title}, {case.detect}": many[case] - few[case] for case in cases}


def cases_on(kind: str, *more: Case) -> list[Case]:
    return [FIRST, *([FIRST_XMIN] if kind == "postgres" else []), *more]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_over_three_times_the_rows_takes_no_more_memory(kind: str, pool: Servers, tmp_path: Path) -> None:
    grown = grown_mb(server_of(kind, pool), (25_000, 75_000), cases_on(kind), tmp_path)
    assert max(grown.values()) <= GROWTH_MB_MAX, grown


@pytest.mark.proof
@pytest.mark.parametrize("kind", KINDS)
def test_a_million_rows_take_no_more_memory_than_a_tenth_of_them(kind: str, pool: Servers, tmp_path: Path) -> None:
    xmin = dataclasses.replace(NAMED["full"], detect="xmin", name="full, xmin")
    more = [FULL, NAMED["backfill"], *([xmin] if kind == "postgres" else [])]
    grown = grown_mb(server_of(kind, pool), (100_000, 1_000_000), cases_on(kind, *more), tmp_path)
    assert max(grown.values()) <= GROWTH_MB_MAX, grown


# --- one row that is far too large ---------------------------------------------------------------------------------


LARGE = Case("large", "a row that is too large", FIRST.command, "", "nothing", exit_code=65)
COPIES_MAX = {"sqlite": 2.2, "postgres": 3.3}
"""What the drivers hold themselves: SQLite its value beside Python's, libpq its input and its result beside it."""


def peak_with_a_large_row_mb(server: Server, megabytes: int, folder: Path) -> float:
    """The most memory of a run over 3000 rows, one of which holds so much JSON: it is rejected, the others arrive."""
    folder.mkdir()
    with server.fresh_database() as database, running_sink(0) as sink:
        create_users(database, 3000)
        filler = {
            "postgresql": f"repeat('x', {megabytes * 1_000_000})",
            "sqlite": f"replace(hex(zeroblob({megabytes * 500_000})), '0', 'x')",
        }[database.kind]
        json = f"""'{{"theme": "' || {filler} || '"}}'"""
        cast = "::jsonb" if database.kind == "postgresql" else ""
        database.execute(f"UPDATE users SET settings = ({json}){cast} WHERE id = 2000")
        bench = Bench(database, 3000, folder, {(0, 0): sink})
        return bench.measure(LARGE).rss_mb


def assert_loaded_once(server: Server, kind: str, megabytes: int, folder: Path) -> None:
    few, much = (peak_with_a_large_row_mb(server, size, folder / str(size)) for size in (2, megabytes))
    assert (much - few) / (megabytes - 2) <= COPIES_MAX[kind]


@pytest.mark.parametrize("kind", COPIES_MAX)
def test_a_row_that_no_record_can_hold_is_loaded_once(kind: str, pool: Servers, tmp_path: Path) -> None:
    assert_loaded_once(server_of(kind, pool), kind, 40, tmp_path)


@pytest.mark.proof
@pytest.mark.parametrize("kind", COPIES_MAX)
def test_a_row_of_200_megabytes_is_loaded_once(kind: str, pool: Servers, tmp_path: Path) -> None:
    assert_loaded_once(server_of(kind, pool), kind, 200, tmp_path)
