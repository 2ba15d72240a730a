"""`python -m benchmarks`: what the product costs beside the script a user would have written; see ``--help``."""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cases import (
    CASES,
    NAIVE,
    Bench,
    Case,
    Cost,
    FailedError,
    cases_of,
    running_sink,
)
from benchmarks.table import create_users

if TYPE_CHECKING:
    from servers import LiveDatabase

TESTS = Path(__file__).parents[1] / "tests"
HEADINGS = ("", "wall s", "CPU s", "RSS MB", "records", "wall s", "CPU s", "wall", "CPU", "to reach")
COLUMNS = "{:<30}{:>8}{:>8}{:>8}{:>11}{:>10}{:>8}{:>8}{:>7}  {}"


def main() -> int:
    """Measure, round by round, then print the medians."""
    wanted = _arguments()
    names = {NAIVE.name, *(wanted.only or [case.name for case in CASES])}
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(_database(wanted.database))
        cases = [case for case in cases_of(database.kind) if case.name in names]
        costs: dict[Case, list[Cost]] = {case: [] for case in cases}
        _tell(f"{database.label}: a table of {wanted.rows:,} rows")
        create_users(database, wanted.rows)
        sinks = {kind: stack.enter_context(running_sink(*kind)) for kind in {case.sink for case in cases}}
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmarks-")))
        bench = Bench(database, wanted.rows, folder, sinks)
        for number in range(1, wanted.repeat + 1):
            for case in cases:
                _tell(f"round {number} of {wanted.repeat}: {case.title}")
                costs[case].append(bench.measure(case))
        print(report(costs, database.label, wanted.rows, wanted.repeat))
    return 0


def report(costs: dict[Case, list[Cost]], label: str, rows: int, repeat: int) -> str:
    """The table of medians."""
    naive = costs[NAIVE]
    lines = [
        f"{label}, {rows:,} rows, median of {repeat}; every figure is a whole process, start-up included",
        f"{'':<30}{'measured':>8}{'per 1M rows':>45}{'to naive':>15}",
        COLUMNS.format(*HEADINGS),
        *(_line(case, found, naive, rows) for case, found in costs.items()),
    ]
    kept = [cost.state_bytes for case, found in costs.items() if case.name in {"first", "backfill"} for cost in found]
    if kept:
        lines.append(f"state on disk: {max(kept) / rows:.0f} bytes a row; to reach: 150, then 80")
    for case, found in costs.items():
        if case.name == "first-server":
            lines.append(f"state in PostgreSQL: {_median(found, lambda cost: cost.state_bytes) / rows:.0f} bytes a row")
        if case.delay_ms or case.name.startswith("workers"):
            rate = rows / _median(found, lambda cost: cost.wall_s)
            lines.append(f"{case.title}: {rate:,.0f} profiles/s")
        if case.storm_s:
            refused, again_s = _median(found, lambda cost: cost.refused), _median(found, lambda cost: cost.recovered_s)
            lines.append(
                f"  {refused:.0f} requests were refused; the first good one came {again_s:.1f} s after the storm"
            )
    return "\n".join(lines)


def _line(case: Case, found: list[Cost], naive: list[Cost], rows: int) -> str:
    wall_s, cpu_s = _median(found, lambda cost: cost.wall_s), _median(found, lambda cost: cost.cpu_s)
    whole = case.sends_all or case.name in {"full", "full-server"}  # the cases whose cost grows with the table
    return COLUMNS.format(
        case.title,
        f"{wall_s:.2f}",
        f"{cpu_s:.2f}",
        f"{_median(found, lambda cost: cost.rss_mb):.0f}",
        f"{_median(found, lambda cost: cost.records):,.0f}",
        f"{wall_s / rows * 1e6:.2f}" if whole else "",
        f"{cpu_s / rows * 1e6:.2f}" if whole else "",
        f"{wall_s / _median(naive, lambda cost: cost.wall_s):.2f}",
        f"{cpu_s / _median(naive, lambda cost: cost.cpu_s):.2f}",
        case.target,
    ).rstrip()


def _median(costs: Sequence[Cost], of: Callable[[Cost], float]) -> float:
    return statistics.median(map(of, costs))


@contextlib.contextmanager
def _database(kind: str) -> Iterator[LiveDatabase]:
    """An empty database on a server that is started for it; the tests know how."""
    sys.path.append(str(TESTS))
    from servers import ServerMissingError, Servers, labels

    with contextlib.closing(Servers()) as servers:
        try:
            server = servers.get(labels(kind)[0])
        except ServerMissingError as missing:
            raise FailedError(f"no {kind} server here; get one with: {missing}") from missing
        with server.fresh_database() as database:
            yield database


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000, help="rows of the table (default: 200000)")
    parser.add_argument("--repeat", type=int, default=3, help="rounds; medians are printed (default: 3)")
    parser.add_argument("--database", choices=("postgres", "mariadb", "sqlite"), default="postgres")
    parser.add_argument(
        "--only", action="append", choices=[case.name for case in CASES], metavar="CASE", help="one case; repeatable"
    )
    return parser.parse_args()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except FailedError as failed:
        sys.exit(str(failed))
