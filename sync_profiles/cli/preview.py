"""``sync-profiles preview``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from itertools import islice

import click

from sync_profiles.cli.command import Command, epilog
from sync_profiles.cli.context import Settings
from sync_profiles.cli.loading import load_config, sync_names


@click.command(
    cls=Command,
    short_help="Show the records that would be sent.",
    epilog=epilog(
        "sync-profiles preview --limit 3",
        "sync-profiles preview users --key 42 --json",
        "sync-profiles preview --changed",
        codes=(0, 1, 2, 65, 74, 75, 77, 78),
    ),
)
@click.argument("sync", required=False, shell_complete=sync_names)
@click.option("--limit", type=click.IntRange(min=1), default=10, show_default=True, help="At most so many rows.")
@click.option("--key", "keys", multiple=True, metavar="K", help="The row with this primary key; may be repeated.")
@click.option("--changed", is_flag=True, help="Only what differs from what Mixpanel acknowledged, with the reason.")
@click.option("--json", "as_json", is_flag=True, help="One Mixpanel record per line, as it would be sent.")
@click.pass_obj
def preview(settings: Settings, /, sync: str | None, limit: int, keys: tuple[str, ...], **flags: bool) -> int:
    """Show the records that would be sent, the token masked. Sends nothing, remembers nothing.

    Exit code 65 when one of the rows shown would be rejected.
    """
    from sync_profiles import wiring
    from sync_profiles.cli.choosing import the_one
    from sync_profiles.cli.shown import finding_lines
    from sync_profiles.engine.preview import Finding, Survey

    config = load_config(settings)
    one = the_one(config, sync)
    with closing(wiring.opened_store(config, read_only=True)) as store:
        parts = wiring.open_parts(config, one, masked=True)
        survey = Survey(parts, store.reader(one.name), time.time())
        findings: Iterator[Finding]
        if flags["changed"]:
            findings = survey.changed_of(keys) if keys else survey.changed(survey.plan(asked_full=False))
        else:
            findings = survey.selected(keys)
        rejected = 0
        for finding in islice(findings, limit):
            rejected += finding.why == "rejected"
            for line, to_stderr in finding_lines(finding, changed=flags["changed"], as_json=flags["as_json"]):
                click.echo(line, err=to_stderr)
    return 65 if rejected else 0
