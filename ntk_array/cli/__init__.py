"""The command line, ``ntk-array COMMAND``: a file for each command, which adds its own options."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

from .. import __version__
from . import fit, gram, info, predict, study
from .errors import line_for, next_time

__all__ = ["main"]

COMMANDS: tuple[Callable[["argparse._SubParsersAction[argparse.ArgumentParser]"], None], ...] = (
    study.register,
    gram.register,
    fit.register,
    predict.register,
    info.register,
)
"""Each adds a sub-parser with ``set_defaults(command=...)``: a function from the options to the exit status."""

BAD_INPUT = 2
INTERRUPTED = 130
"""128 plus the number of the signal SIGINT, as shells report it."""
EXPECTED = (ValueError, TypeError, OSError, ImportError, FloatingPointError, MemoryError)
"""Errors that a user can do something about. All others are defects, and keep their traceback."""

EPILOG = """exit status: 0 when all is done; 2 for bad input, with one line on standard error that says what to change;
130 after Ctrl-C. Progress is shown on a terminal, and not in a pipe. "ntk-array COMMAND --help" lists the options."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 2 for bad input, 130 after Ctrl-C."""
    options = parser().parse_args(arguments)
    try:
        status = int(options.command(options))
        _flush()
        return status
    except BrokenPipeError:
        return 0  # whoever read the output has seen enough, as "head" has
    except EXPECTED as error:
        print(f"ntk-array: {line_for(error, goes_on=options.goes_on)}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print(f"ntk-array: interrupted; {next_time(options.goes_on)}", file=sys.stderr)
        return INTERRUPTED


def _flush() -> None:
    """Write what was printed: a full disk or a closed pipe shows now, and not at exit, where it has a traceback."""
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError, ValueError):  # standard output need not be a file
            # Python flushes once more at exit, and what is left goes nowhere then.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    top = argparse.ArgumentParser(
        prog="ntk-array", description="Neural tangent kernels on any array library.", epilog=EPILOG
    )
    top.add_argument("--version", action="version", version=f"ntk_array {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for register in COMMANDS:
        register(commands)
    return top
