"""The `prove` command: reads the command line, asks the engine, hands its answer to a renderer.

The first positional argument chooses: ``contract``, ``overlap`` or ``models`` is a command of that name,
anything else the name of a filesystem. What is slow to import (solver, parser, renderers) is imported
when a command runs, so that ``prove --help`` and shell completion answer at once.
"""

from __future__ import annotations

import math
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .. import __version__
from ..errors import DentryproofError, InternalError, UsageError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from .engine import Request

SHORT_USAGE = "usage: prove [OPTIONS] FILESYSTEM... | prove contract|overlap|models; see prove --help"
SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
EPILOG = """\b
Commands:
  prove contract   the clauses and the callback table of a kernel version
  prove overlap    which callbacks can run at the same time on one dentry
  prove models     regenerate models from a kernel tree
\b
Exit status:
  0   every clause is proved or not applicable
  1   a clause is violated, even if only in a debug build
  2   usage or input error
  3   something is unknown and nothing is violated
  70  internal error
"""

Function = TypeVar("Function", bound=Callable[..., Any])


def _mebibytes(ctx: click.Context, param: click.Parameter, value: int) -> int:
    return value << 20


def _positive(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    """Refuse times that are no times: zero, negative, infinite, NaN."""
    if value is not None and not (math.isfinite(value) and value > 0):
        raise click.BadParameter("not a positive number of seconds", ctx, param)
    return value


def _complete_names(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[str | CompletionItem]:
    """Shell completion: commands, and the filesystems that there are models of."""
    from .kept import kept, kept_kernel

    try:
        names = {n for m in kept(kept_kernel(None), everything=True) for n in m.names}
    except DentryproofError:
        names = set()
    return [n for n in sorted(names.union(COMMANDS)) if n.startswith(incomplete)]


def _linux(required: bool = False) -> Callable[[Function], Function]:
    return click.option(
        "--linux",
        metavar="DIR",
        required=required,
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="Read this kernel tree (neither configured nor built) instead of the models.",
    )


def _several(*options: Callable[[Function], Function]) -> Callable[[Function], Function]:
    """The options as one decorator, in the order of the help."""

    def decorate(function: Function) -> Function:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


_module = click.option(
    "--module",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Sources outside the tree: names mean its filesystems first, and are all of them if not given.",
)
_reading = _several(
    click.option(
        "--jobs", metavar="N", type=click.IntRange(min=1), help="Processes; all cores if not given."
    ),
    click.option(
        "--read-timeout",
        metavar="SECONDS",
        type=float,
        default=120.0,
        show_default=True,
        callback=_positive,
        help="Processor time to read a filesystem in, and to decide an obligation in if --timeout is not "
        "given; what it cuts off is unknown.",
    ),
    click.option(
        "--memory",
        metavar="MIB",
        type=click.IntRange(min=64),
        default=2048,
        show_default=True,
        callback=_mebibytes,
        help="Memory of each process; what needs more is unknown.",
    ),
    click.option(
        "--cache-dir",
        metavar="DIR",
        type=click.Path(path_type=Path),
        help="Where answers are kept for the next run; DENTRYPROOF_CACHE, or the user's cache folder, if not "
        "given.",
    ),
    click.option("--no-cache", is_flag=True, help="Neither use nor keep answers."),
)


_kernel = click.option(
    "--kernel",
    metavar="VERSION",
    help="The kernel whose models to use (newest if not given); with --linux, what to call a tree "
    "that does not say.",
)
_format = click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="What to print.",
)
_output = click.option(
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write to FILE, replacing it in one step, instead of to standard output.",
)
_verbose = click.option(
    "-v", "--verbose", is_flag=True, help="Say more: what each proof holds by and leans on."
)
_all = click.option("--all", "everything", is_flag=True, help="Every filesystem that there is.")
_filesystems = click.argument(
    "filesystems", metavar="FILESYSTEM...", nargs=-1, shell_complete=_complete_names
)


@click.command("prove", context_settings=SETTINGS, epilog=EPILOG)
@_filesystems
@_all
@click.option(
    "--list", "listing", is_flag=True, help="List operations tables and their callbacks instead of proving."
)
@_linux()
@_module
@_kernel
@click.option(
    "--clause",
    "clauses",
    metavar="ID",
    multiple=True,
    help="Only this clause, or those that a pattern such as 'prune-*' names; repeatable.",
)
@click.option("--solver", metavar="NAME", default="z3", show_default=True, help="The solver that decides.")
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=float,
    callback=_positive,
    help="Per obligation; what it cuts off is unknown.",
)
@_reading
@_format
@_output
@click.option("--stats", "statistics", is_flag=True, help="Say how much of the source was understood.")
@click.option(
    "-q", "--quiet", is_flag=True, help="One line for each violated or unknown result, nothing else."
)
@_verbose
@click.version_option(__version__, prog_name="dentryproof", message="%(prog)s %(version)s")
def check(
    filesystems: tuple[str, ...],
    everything: bool,
    listing: bool,
    linux: Path | None,
    module: Path | None,
    kernel: str | None,
    clauses: tuple[str, ...],
    solver: str,
    timeout: float | None,
    form: str,
    output: Path | None,
    statistics: bool,
    quiet: bool,
    verbose: bool,
    **reading: Any,
) -> int:
    """Prove or refute that the dentry callbacks of FILESYSTEM keep the VFS's RCU contract.

    A violated clause comes with a trace on two CPUs, a proved one with what it holds by.
    """
    if not (filesystems or everything or listing or module):
        raise UsageError("name a filesystem, or give --all or --list")
    if module and not linux:
        raise UsageError("--module needs the kernel tree that the module is for: give it with --linux DIR")
    if filesystems and everything:
        raise UsageError("--all and names of filesystems exclude each other")
    if quiet and verbose:
        raise UsageError("--quiet and --verbose exclude each other")
    from ..report.output import check_target

    check_target(output)
    asked: dict[str, Any] = {
        "filesystems": filesystems,
        "everything": everything or not (filesystems or module),
        "linux": linux,
        "module": module,
        "kernel": kernel,
        **reading,
    }
    if listing:
        return _list(asked, form, output, quiet)
    if clauses:
        from .engine import clause_ids
        from .names import select

        asked["clauses"] = select("clause", clauses, clause_ids())
    asked |= {"solver": solver, "timeout": timeout}
    return _prove(asked, form, output, quiet, verbose, statistics)


@click.command("contract", context_settings=SETTINGS)
@_kernel
@_linux()
@_format
@_output
def contract(kernel: str | None, linux: Path | None, form: str, output: Path | None) -> int:
    """Print the clauses of the contract and the callback table of a kernel version.

    With a tree: also where its source, its locking.rst and the specification of what the VFS does around a
    callback disagree. The exit status is 1 if they do.
    """
    from ..report.output import check_target, emit
    from .engine import contract_answer

    check_target(output)
    answer = contract_answer(_request(kernel=kernel, linux=linux))
    if form == "json":
        from ..report.json import contract_document, dump

        emit(dump(contract_document(answer)), output)
    else:
        from ..report.tables import render_contract

        emit(render_contract(answer, **_look(output)), output)
    return answer.status


@click.command("overlap", context_settings=SETTINGS)
@_kernel
@_format
@_output
@_verbose
def overlap(kernel: str | None, form: str, output: Path | None, verbose: bool) -> int:
    """Print which callbacks can run at the same time on one dentry, each pair proved or refuted."""
    from ..report.output import check_target, emit
    from .engine import overlap_answer

    check_target(output)
    answer = _with_progress(overlap_answer, {"kernel": kernel})
    if form == "json":
        from ..report.json import dump, overlap_document

        emit(dump(overlap_document(answer)), output)
    else:
        from ..report.tables import render_overlap

        emit(render_overlap(answer, verbose=verbose, **_look(output)), output)
    return 0


@click.command("models", context_settings=SETTINGS)
@_filesystems
@_all
@_linux(required=True)
@_module
@_kernel
@_reading
@click.option(
    "--write",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write each model to its place below FOLDER instead of to standard output.",
)
def models(
    filesystems: tuple[str, ...], everything: bool, write: Path | None, module: Path | None, **asked: Any
) -> int:
    """Read a kernel tree and write what the reader extracted as model files."""
    if bool(filesystems) == everything and not (module and not filesystems):
        raise UsageError("name the filesystems to read, or give --all")
    from ..report.output import emit, replace_file
    from .engine import extract_models

    texts = _with_progress(
        extract_models,
        {"filesystems": filesystems, "everything": everything, "module": module, **asked},
    )
    if write is None:
        emit("".join(m.text for m in texts))
        return 0
    for model in texts:
        path = write / model.name
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, model.text)
    emit("".join(f"{write / m.name}\n" for m in texts))
    return 0


COMMANDS: dict[str, click.Command] = {c.name: c for c in (contract, overlap, models) if c.name}


def dispatch(args: Sequence[str]) -> tuple[click.Command, list[str]]:
    """The command that `args` mean, and `args` without its name.

    Its name is the first positional argument, wherever it stands; after ``--`` there are only filesystems.
    """
    takes_value = {
        name
        for command in (check, *COMMANDS.values())
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
    return check, list(args)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status; every error is one line on stderr."""
    args = list(sys.argv[1:] if argv is None else argv)
    command, rest = dispatch(args)
    name = "prove" if command is check else f"prove {command.name}"
    try:
        status = command.main(rest, prog_name=name, complete_var="_PROVE_COMPLETE", standalone_mode=False)
        return int(status or 0)
    except click.ClickException as error:
        return _fail(error.format_message(), error.exit_code)
    except DentryproofError as error:
        status = _fail(str(error), error.status)
        if not args:
            click.echo(SHORT_USAGE, err=True)
        return status
    except (click.Abort, KeyboardInterrupt):
        return 130
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error), 2)
    except SystemExit:  # click's own: completion is done, or nobody reads the help any more
        return 0
    except Exception as error:
        # An uncaught exception would end in status 1, which means "violated".
        if os.environ.get("DENTRYPROOF_TRACEBACK"):
            traceback.print_exc()
        return _fail(
            f"internal error: {type(error).__name__}: {error} (DENTRYPROOF_TRACEBACK=1 shows where)",
            InternalError.status,
        )


def _prove(
    asked: dict[str, Any], form: str, output: Path | None, quiet: bool, verbose: bool, statistics: bool
) -> int:
    from ..report.output import emit
    from .engine import run
    from .verdict import exit_status

    report = _with_progress(run, asked, quiet)
    if form == "json":
        from ..report.json import dump, report_document

        emit(dump(report_document(report)), output)
    else:
        from ..report.text import Detail, render

        detail = Detail.QUIET if quiet else Detail.VERBOSE if verbose else Detail.NORMAL
        emit(render(report, detail, statistics=statistics, **_look(output)), output)
    return exit_status(report.results)


def _list(asked: dict[str, Any], form: str, output: Path | None, quiet: bool) -> int:
    from ..report.output import emit
    from .engine import list_tables

    rows = _with_progress(list_tables, asked, quiet)
    if form == "json":
        from ..report.json import dump, tables_document

        emit(dump(tables_document(rows)), output)
    else:
        from ..report.tables import render_tables

        emit(render_tables(rows, _look(output)["paint"], quiet), output)
    return 0


Answer = TypeVar("Answer")


def _with_progress(ask: Callable[[Request], Answer], asked: dict[str, Any], quiet: bool = False) -> Answer:
    """``ask(request)`` with a display of what goes on, removed whatever happens, and notes on stderr."""
    from ..report.live import Progress

    progress = Progress(enabled=not quiet)
    notes: list[str] = []
    request = _request(**asked, progress=progress, note=notes.append)
    try:
        return ask(request)
    except KeyboardInterrupt:
        if progress.done and request.cache is not None:
            notes.append(
                f"{progress.done} of {progress.total} are finished and kept; the next run goes on there"
            )
        raise
    finally:
        progress.clear()
        for note in () if quiet else notes:
            _say(f"note: {note}")


def _request(
    *,
    filesystems: tuple[str, ...] = (),
    jobs: int | None = None,
    read_timeout: float | None = None,
    memory: int | None = None,
    cache_dir: Path | None = None,
    no_cache: bool = False,
    **asked: Any,
) -> Request:
    """The engine's request with every default filled in."""
    from .cache import default_folder
    from .engine import Request
    from .pool import USUAL, Limits

    return Request(
        filesystems=tuple(dict.fromkeys(filesystems)),
        jobs=jobs or _cores(),
        limits=Limits(read_timeout or USUAL.seconds, memory or USUAL.memory),
        cache=None if no_cache else cache_dir or default_folder(),
        **asked,
    )


def _cores() -> int:
    """The cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


def _look(output: Path | None) -> dict[str, Any]:
    """Width and colours for text that goes to `output`: those of the terminal, if it goes there."""
    from ..report.terminal import MAX_WIDTH, paint_for, plain, width_for

    if output is None or str(output) == "-":
        return {"width": width_for(sys.stdout), "paint": paint_for(sys.stdout)}
    return {"width": MAX_WIDTH, "paint": plain}


def _fail(message: str, status: int) -> int:
    _say(message)
    return status


def _say(message: str) -> None:
    """One line on stderr."""
    line = " ".join(message.split())
    click.echo(f"prove: {line}".encode("utf-8", "backslashreplace").decode(), err=True)
