"""What ``run`` and ``backfill`` share: the observers, one sync after the other, printing results."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import click
import msgspec

from sync_profiles import config as configuration
from sync_profiles.cli.bug import confess
from sync_profiles.cli.context import Settings
from sync_profiles.cli.shown import dry_run_line
from sync_profiles.cli.stopping import StopRequest
from sync_profiles.config import Config, SyncConfig
from sync_profiles.core.events import Event, Observer
from sync_profiles.engine.ending import RunResult
from sync_profiles.errors import UsageError, most_serious
from sync_profiles.observe.log import LogObserver
from sync_profiles.observe.redact import redact

log = logging.getLogger("sync_profiles")


def deadline_s(given: str | None, config: Config) -> float | None:
    """``--deadline`` in seconds, or what the config says; 0 means none."""
    if given is None:
        return config.run.deadline_s
    try:
        return configuration.parse_duration(given) or None
    except ValueError as error:
        raise UsageError(f"--deadline: {error}", hint='Write it like "50m", "90s" or "1h30m"; 0 for none.') from error


@contextmanager
def observed(config: Config, settings: Settings, *, dry: bool = False) -> Iterator[Observer]:
    """Everybody who watches a run, as one observer: terminal or log, metrics file, health-check ping.

    Of a ``dry`` run nobody hears elsewhere: it is no sign of life.
    """
    with ExitStack() as stack:
        observers: list[Observer] = []
        if not settings.quiet and sys.stderr.isatty() and settings.log_format != "json":
            from sync_profiles.observe.terminal import on_terminal

            painter = stack.enter_context(on_terminal(color=settings.color))
            observers += [painter] if painter is not None else []
        observers.append(LogObserver(closing=not observers))
        if config.run.metrics_file is not None and not dry:
            from sync_profiles.observe.metrics import MetricsFile

            observers.append(MetricsFile(config.run.metrics_file))
        if config.run.healthcheck_url is not None and not dry:
            from sync_profiles.observe.ping import pinging

            observers.append(stack.enter_context(pinging(config.run.healthcheck_url.reveal())))

        def tell(event: Event) -> None:
            for observer in observers:
                observer(event)

        yield tell


def each(
    syncs: Sequence[SyncConfig],
    stop: StopRequest,
    run_one: Callable[[SyncConfig], RunResult],
    *,
    as_json: bool,
    dry: bool = False,
) -> int:
    """Run one sync after the other; one that fails keeps none of the others from running, a signal does.

    Neither does a stdout that nobody reads or whose disk is full; that is raised when all have run.
    """
    codes, unprinted = [], None
    for sync in syncs:
        result = run_one(sync)
        codes.append(result.exit_code)
        try:
            (report_dry if dry else report)(result, as_json=as_json)
        except OSError as error:
            unprinted = error
        if stop.cause in {"SIGINT", "SIGTERM"}:
            break
    if unprinted is not None:
        raise unprinted
    return most_serious(codes)


def report(result: RunResult, *, as_json: bool) -> None:
    """The result on stdout when JSON was asked for; a bug is confessed on stderr."""
    if as_json:
        click.echo(redact(msgspec.json.encode(result.summary).decode()))
    if result.exit_code == 1 and result.error is not None:
        confess(result.error)


def report_dry(result: RunResult, *, as_json: bool) -> None:
    """What a run would do, on stdout; why it could not be found out, on stderr."""
    summary = result.summary
    report(result, as_json=as_json)
    if result.exit_code not in {0, 65}:
        fields = {"sync": summary.sync, "outcome": summary.outcome, "hint": result.hint}
        log.error("%s: %s, %s", summary.sync, summary.outcome, summary.message, extra={"fields": fields})
    elif not as_json:
        click.echo(dry_run_line(summary))
