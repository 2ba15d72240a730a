"""The options that every command understands, before or after its name, and what they come to."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

import click
import msgspec

LogFormat: TypeAlias = Literal["auto", "text", "json"]


class Settings(msgspec.Struct, frozen=True):
    """What a command finds as ``ctx.obj`` (``@click.pass_obj``).

    ``config_path`` None: search the usual places. ``color`` None: coloured on a terminal, plain elsewhere.
    """

    config_path: str | None = None
    verbosity: int = 0
    quiet: bool = False
    log_format: LogFormat = "auto"
    color: bool | None = None


def decide_color(environ: Mapping[str, str], *, no_color: bool) -> bool | None:
    """The flag, then ``NO_COLOR``, then ``FORCE_COLOR``; an empty variable counts as unset (https://no-color.org)."""
    if no_color or environ.get("NO_COLOR"):
        return False
    return True if environ.get("FORCE_COLOR") else None


def current(ctx: click.Context) -> Settings:
    """The settings so far; those of the group stand below those of its commands."""
    settings = ctx.find_object(Settings)
    return settings if settings is not None else Settings(color=decide_color(os.environ, no_color=False))


def apply(ctx: click.Context) -> None:
    """Set up log lines and colour, once all options are known and before the command does anything."""
    from sync_profiles.observe import log

    settings = ctx.obj = current(ctx)
    if settings.quiet and settings.verbosity:
        raise click.UsageError("-q and -v do not fit together.", ctx)
    ctx.color = settings.color
    log.configure(settings.log_format, settings.verbosity, quiet=settings.quiet)


def global_options(*, hidden: bool) -> list[click.Parameter]:
    """Fresh instances of the global options; commands have them hidden, the group's help explains them."""
    return [
        _option(
            ("-c", "--config"),
            "config_path",
            type=click.Path(dir_okay=False),
            metavar="PATH",
            hidden=hidden,
            help="Configuration file; default: $SYNC_PROFILES_CONFIG, ./config.toml, the user's, /etc.",
        ),
        _option(("-v", "--verbose"), "verbosity", count=True, hidden=hidden, help="Say more; -vv says everything."),
        _option(("-q", "--quiet"), "quiet", is_flag=True, hidden=hidden, help="Errors only, no progress bar."),
        _option(
            ("--log-format",),
            "log_format",
            type=click.Choice(["auto", "text", "json"]),
            hidden=hidden,
            help="Lines on stderr: text for people, json for machines; auto: text on a terminal, key=value elsewhere.",
        ),
        _option(("--no-color",), "color", is_flag=True, hidden=hidden, help="Plain text; NO_COLOR does the same."),
    ]


def _option(flags: tuple[str, ...], field: str, **attributes: Any) -> click.Option:
    return click.Option([*flags, field], expose_value=False, callback=_MERGE[field], **attributes)


def _merging(
    merge: Callable[[Settings, Any], dict[str, object]],
) -> Callable[[click.Context, click.Parameter, Any], None]:
    def callback(ctx: click.Context, _option: click.Parameter, value: Any) -> None:
        if value:
            ctx.obj = msgspec.structs.replace(current(ctx), **merge(current(ctx), value))

    return callback


_MERGE = {
    "config_path": _merging(lambda _, value: {"config_path": value}),
    "verbosity": _merging(lambda settings, value: {"verbosity": settings.verbosity + value}),
    "quiet": _merging(lambda _, value: {"quiet": value}),
    "log_format": _merging(lambda _, value: {"log_format": value}),
    "color": _merging(lambda _settings, _value: {"color": False}),
}
