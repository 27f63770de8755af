"""The `prove` command: reads the command line, asks the engine, hands its answer to a renderer.

The first positional argument chooses: the name of a command in `COMMANDS`, or else of a filesystem. What is
slow to import (solver, parser, renderers) is imported when a command runs, so that ``prove --help`` and shell
completion answer at once.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from ..errors import DentryproofError, InternalError
from .check import check
from .contract import contract
from .diff import diff
from .explain import explain
from .history import history
from .litmus import litmus
from .models import models
from .mutate import mutate
from .overlap import overlap
from .prove import prove
from .running import fail

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

COMMANDS: dict[str, click.Command] = {
    c.name: c for c in (check, contract, diff, explain, history, litmus, models, mutate, overlap) if c.name
}


def every_command() -> dict[str, click.Command]:
    """All commands by name, the one that needs no name included."""
    return {"prove": prove, **COMMANDS}


SHORT_USAGE = f"usage: prove [OPTIONS] FILESYSTEM... | prove {'|'.join(COMMANDS)}; see prove --help"


def dispatch(args: Sequence[str]) -> tuple[click.Command, list[str]]:
    """The command that `args` mean, and `args` without its name.

    Its name is the first positional argument, wherever it stands; after ``--`` there are only filesystems.
    """
    values = {
        name: p.nargs
        for command in every_command().values()
        for p in command.params
        if isinstance(p, click.Option) and not p.is_flag
        for name in p.opts
    }
    skip = 0
    for i, word in enumerate(args):
        if skip:
            skip -= 1
        elif word == "--":
            break
        elif word.startswith("-") and word != "-":
            skip = values.get(word, 0)
        elif word in COMMANDS:
            return COMMANDS[word], [*args[:i], *args[i + 1 :]]
        else:
            break
    return prove, list(args)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status; every error is one line on stderr."""
    if argv is None:
        _open_missing_streams()
        sys.unraisablehook = _unraisable
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
        if argv is None:
            _give_up_output()
        why = error.strerror or str(error)
        return fail(f"{error.filename}: {why}" if error.filename else why, 2)
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


def _open_missing_streams() -> None:
    """Give each standard stream that the caller closed a descriptor, or the next file that is opened gets its
    number. To write to standard output that was closed is then the error that it should be."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            # The lowest free number is the one that is missing: those below it are open by now.
            descriptor = os.open(os.devnull, os.O_WRONLY if number == 2 else os.O_RDONLY)
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8"))


def _give_up_output() -> None:
    """What cannot be written now cannot when Python exits either; it would turn the status into its own."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _unraisable(said: UnraisableHookArgs) -> None:
    """An interrupt that comes while a destructor runs is not lost, and what destructors of a solver that was
    interrupted say is nothing that the user could mend."""
    if said.exc_type is KeyboardInterrupt:
        # Raised here it would be lost again; the interrupt comes once more when this has returned.
        threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGINT)).start()
    elif os.environ.get("DENTRYPROOF_TRACEBACK"):
        sys.__unraisablehook__(said)
