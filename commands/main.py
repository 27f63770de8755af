"""The `prove` command: reads the command line, asks the engine, hands its answer to a renderer.

The first positional argument chooses: the name of a command in `COMMANDS`, or else of a filesystem. What is
slow to import (solver, parser, renderers) is imported when a command runs, so that ``prove --help`` and shell
completion answer at once.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

import click

from ..errors import DentryproofError, InternalError
from .contract import contract
from .diff import diff
from .explain import explain
from .models import models
from .mutate import mutate
from .overlap import overlap
from .prove import prove
from .running import fail

COMMANDS: dict[str, click.Command] = {
    c.name: c for c in (contract, diff, explain, models, mutate, overlap) if c.name
}


def every_command() -> dict[str, click.Command]:
    """All commands by name, the one that needs no name included."""
    return {"prove": prove, **COMMANDS}


SHORT_USAGE = f"usage: prove [OPTIONS] FILESYSTEM... | prove {'|'.join(COMMANDS)}; see prove --help"


def dispatch(args: Sequence[str]) -> tuple[click.Command, list[str]]:
    """The command that `args` mean, and `args` without its name.

    Its name is the first positional argument, wherever it stands; after ``--`` there are only filesystems.
    """
    takes_value = {
        name
        for command in every_command().values()
        for p in command.params
        if isinstance(p, click.Option) and not p.is_flag
        for name in p.opts
    }
    skip = False
    for i, word in enumerate(args):
        if skip:
            skip = False
        elif word == "--":
            break
        elif word.startswith("-") and word != "-":
            skip = word in takes_value
        elif word in COMMANDS:
            return COMMANDS[word], [*args[:i], *args[i + 1 :]]
        else:
            break
    return prove, list(args)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status; every error is one line on stderr."""
    args = list(sys.argv[1:] if argv is None else argv)
    command, rest = dispatch(args)
    name = "prove" if command is prove else f"prove {command.name}"
    try:
        status = command.main(rest, prog_name=name, complete_var="_PROVE_COMPLETE", standalone_mode=False)
        return int(status or 0)
    except click.ClickException as error:
        return fail(error.format_message(), error.exit_code)
    except DentryproofError as error:
        status = fail(str(error), error.status)
        if not args:
            click.echo(SHORT_USAGE, err=True)
        return status
    except (click.Abort, KeyboardInterrupt):
        return 130
    except OSError as error:
        return fail(f"{error.filename}: {error.strerror}" if error.filename else str(error), 2)
    except SystemExit:  # click's own: completion is done, or nobody reads the help any more
        return 0
    except Exception as error:
        # An uncaught exception would end in status 1, which means "violated".
        if os.environ.get("DENTRYPROOF_TRACEBACK"):
            traceback.print_exc()
        return fail(
            f"internal error: {type(error).__name__}: {error} (DENTRYPROOF_TRACEBACK=1 shows where)",
            InternalError.status,
        )
