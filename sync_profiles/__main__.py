"""Entry of the program: run the command line and turn whatever happens into an exit code and a few plain words."""

from __future__ import annotations

import errno
import gc
import os
import sys
from collections.abc import Sequence

import click

from sync_profiles.cli import cli
from sync_profiles.cli.bug import confess
from sync_profiles.errors import OutputError, SyncProfilesError

NAME = "sync-profiles"
INTERRUPTED = 130
GARBAGE_EVERY = 20_000
"""A page of rows is alive as a whole: at Python's own 700 the collector walks it again and again, for nothing."""

OUTPUT_LOST = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""What writing to stdout fails with; of files that are opened by name the error would say the name."""
BROKEN_PIPE = 141  # what a shell reports for a program that SIGPIPE ended: nobody reads the output any more


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``arguments`` (None: those of the process), return the exit code; a user's mistake raises nothing."""
    gc.set_threshold(GARBAGE_EVERY)
    if "_SYNC_PROFILES_COMPLETE" in os.environ:
        cli.main(prog_name=NAME)  # a shell asks for completions: click answers and exits
    try:
        code = _run(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except SyncProfilesError as error:
        _tell(error)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        _end_line()
        return INTERRUPTED
    except BrokenPipeError:
        _close_stdout()
        return BROKEN_PIPE
    except OSError as error:
        _close_stdout()
        if error.errno not in OUTPUT_LOST or error.filename is not None:
            confess(error)
            return 1
        _tell(OutputError(f"the output cannot be written: {error.strerror}", hint="nothing that was sent is lost"))
        return OutputError.exit_code
    except Exception as error:  # noqa: BLE001  # the last resort: it becomes exit code 1, and the traceback on request
        confess(error)
        return 1
    finally:
        _flush_stderr()
    return code


def _run(arguments: Sequence[str]) -> int:
    """What ``cli.main`` does, but for its own idea of exit codes."""
    try:
        with cli.make_context(NAME, list(arguments)) as ctx:
            code = cli.invoke(ctx)
    except click.exceptions.Exit as leave:
        return leave.exit_code
    return code if isinstance(code, int) else 0


def _tell(error: SyncProfilesError) -> None:
    """One line for each problem, so that none hides behind another; the hint with the last."""
    from sync_profiles.observe.log import ready

    log = ready()
    *others, last = error.message.splitlines() or [type(error).__name__]
    for line in others:
        log.error("%s", line, extra={"fields": {"exit_code": error.exit_code}})
    log.error("%s", last, extra={"fields": {"exit_code": error.exit_code, "hint": error.hint}})


def _end_line() -> None:
    """Leave the line on which the terminal has shown ``^C``."""
    if sys.stderr.isatty():
        sys.stderr.write("\n")


def _flush_stderr() -> None:
    """A log on a full disk must not turn a good run into a failed one: the interpreter would exit with 120."""
    try:
        sys.stderr.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def _close_stdout() -> None:
    """Point stdout at nothing, or the interpreter would complain about the lost pipe when it flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
