"""``sandbox``: a Mixpanel of one's own."""

from __future__ import annotations

import click

from sync_profiles.cli.command import Command, epilog


@click.command(
    cls=Command,
    short_help="Run a local stand-in for Mixpanel.",
    epilog=epilog("sync-profiles sandbox", "sync-profiles sandbox --port 9000", codes=(0, 1, 2, 130, 143)),
)
@click.option("--port", type=click.IntRange(0, 65535), default=8066, show_default=True, help="0 takes any free port.")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; nothing asks for a password."
)
def sandbox(port: int, host: str) -> None:
    """Run a local stand-in for Mixpanel until Ctrl-C stops it.

    It takes profiles, keeps them in memory and shows them on a page at /sandbox, with the requests that brought them
    and switches for faults. Point a configuration at it with base_url and token in [mixpanel].
    """
    from sync_profiles.sandbox.server import Sandbox

    server = Sandbox(host, port, keep_history=True)
    click.echo(f'base_url = "{server.url}"\ntoken = "{server.token}"\n# the page: {server.url}/sandbox')
    try:
        server.serve_forever()
    finally:
        server.close()
