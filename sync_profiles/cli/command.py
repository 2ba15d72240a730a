"""What all commands share: global options on either side of the name, examples and exit codes in each help."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any

import click

from sync_profiles.cli import context

EXIT_CODES: Mapping[int, str] = {
    0: "done, nothing to do, or another run is active",
    1: "unexpected: a bug",
    2: "usage",
    3: "a guard stopped the run and wants a decision",
    65: "done, but some rows were rejected; the others were sent",
    74: "the state store cannot be read or written, or the output not written",
    75: "temporary: try again later, nothing is lost",
    77: "credentials or rights refused",
    78: "configuration",
    130: "stopped by SIGINT",
    143: "stopped by SIGTERM",
}
"""The contract with schedulers; every help ends with the part that fits the command."""


def epilog(*examples: str, codes: Iterable[int] = EXIT_CODES) -> str:
    """The end of a help text: one example per line, then the exit codes that the command may end with."""
    lines = [f"  {example}" for example in examples]
    table = [f"  {code:>3}  {EXIT_CODES[code]}" for code in codes]
    # \b keeps click from filling the paragraph.
    return "\n".join(["\b", "Examples:", *lines, "", "\b", "Exit codes:", *table])


def workers_option(text: str) -> Callable[[Any], Any]:
    """``--workers N``, which ``run`` and ``backfill`` have."""
    return click.option("--workers", type=click.IntRange(1), metavar="N", help=text)


class Command(click.Command):
    """A command that also takes the global options, applies them before it runs, and hides them in its help.

    Its callback returns the exit code, or None for 0.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(context.global_options(hidden=True))

    def invoke(self, ctx: click.Context) -> Any:
        """Apply the global options, then run."""
        context.apply(ctx)
        return super().invoke(ctx)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Examples and exit codes flush left, then where the global options are explained."""
        _write_epilog(self, formatter)
        formatter.write(f"\nGlobal options such as -c and -v: {ctx.find_root().info_name} --help\n")


class Group(click.Group):
    """A group whose commands are imported when they are asked for: help and completion stay fast.

    ``lazy`` maps a name to ("module:attribute", one line of help).
    """

    command_class = Command

    def __init__(self, *args: Any, lazy: Mapping[str, tuple[str, str]] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lazy = dict(lazy or {})
        self.params.extend(context.global_options(hidden=not lazy))

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """In the order they were declared: the most used first."""
        return [*self.lazy, *self.commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command of that name."""
        if cmd_name not in self.lazy:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = self.lazy[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Like click's, with the same "did you mean" whatever click's version."""
        name = args[0]
        if not name.startswith("-") and name not in self.list_commands(ctx):
            near = difflib.get_close_matches(name, self.list_commands(ctx), n=3)
            ctx.fail(f"No such command '{name}'." + (f" Did you mean {' or '.join(near)}?" if near else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # click's signature
        """List the commands without importing them."""
        rows = [(name, short_help) for name, (_, short_help) in self.lazy.items()]
        rows += [(name, command.get_short_help_str(80)) for name, command in self.commands.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # click's signature
        """Examples and exit codes flush left."""
        _write_epilog(self, formatter)


def _write_epilog(command: click.Command, formatter: click.HelpFormatter) -> None:
    if command.epilog:
        formatter.write_paragraph()
        formatter.write_text(command.epilog)
