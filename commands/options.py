"""Options that several commands take, each stated once."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..encodings.usual import MEMORY_MODEL, MEMORY_MODELS
from ..errors import DentryproofError, UsageError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

Function = TypeVar("Function", bound=Callable[..., Any])


def mebibytes(ctx: click.Context, param: click.Parameter, value: int) -> int:
    return value << 20


def positive(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    """Refuse times that are no times: zero, negative, infinite, NaN."""
    if value is not None and not (math.isfinite(value) and value > 0):
        raise click.BadParameter("not a positive number of seconds", ctx, param)
    return value


def complete_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str | CompletionItem]:
    """Shell completion: commands, and the filesystems that there are models of."""
    from ..proofs.kept import kept, kept_kernel
    from .main import COMMANDS

    try:
        names = {n for m in kept(kept_kernel(None), everything=True) for n in m.names}
    except DentryproofError:
        names = set()
    return [n for n in sorted(names.union(COMMANDS)) if n.startswith(incomplete)]


def _no_config(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        ctx.meta[__name__] = True


def _config(ctx: click.Context, param: click.Parameter, value: Path | None) -> None:
    """Take the defaults of the other options from the configuration, before these are looked at."""
    if ctx.resilient_parsing:
        return
    isolated = bool(ctx.meta.get(__name__))
    if isolated and value is not None:
        raise UsageError("--config and --no-config exclude each other")
    from .config import defaults, nearest
    from .main import every_command

    file = None if isolated else value or nearest(Path.cwd())
    if file is not None:
        ctx.default_map = defaults(file, ctx.command, every_command())


def linux() -> Callable[[Function], Function]:
    return click.option(
        "--linux",
        metavar="DIR",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="Read this kernel tree (neither configured nor built) instead of the models.",
    )


def several(*options: Callable[[Function], Function]) -> Callable[[Function], Function]:
    """The options as one decorator, in the order of the help."""

    def decorate(function: Function) -> Function:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


repair = click.option(
    "--repair",
    is_flag=True,
    help="For each violation the smallest set of changes, from a list, under which the clause is proved.",
)
config = several(
    click.option(
        "--no-config",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_no_config,
        help="Take no defaults from a file.",
    ),
    click.option(
        "--config",
        metavar="FILE",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        is_eager=True,
        expose_value=False,
        callback=_config,
        help="Take defaults from FILE, not from dentryproof.toml or pyproject.toml.",
    ),
)


def said_last(one: str, other: str) -> tuple[bool, bool]:
    """Two flags that exclude each other; the command line wins over the configuration.

    UsageError where one place says both.
    """
    ctx = click.get_current_context()
    values = bool(ctx.params[one]), bool(ctx.params[other])
    if all(values):
        said = [ctx.get_parameter_source(n) is click.core.ParameterSource.COMMANDLINE for n in (one, other)]
        if said[0] == said[1]:
            raise UsageError(f"--{one} and --{other} exclude each other")
        return said[0], said[1]
    return values


git = several(
    click.option(
        "--git",
        metavar="DIR",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="Read a revision of this git repository, without a checkout.",
    ),
    click.option("--rev", metavar="REV", help="The revision of --git; HEAD if not given."),
)
module = click.option(
    "--module",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Sources outside the tree: names mean its filesystems first, and are all of them if not given.",
)
reading = several(
    click.option(
        "--jobs", metavar="N", type=click.IntRange(min=1), help="Processes; all cores if not given."
    ),
    click.option(
        "--scheduler",
        metavar="ADDRESS",
        help="Have the work done by the cluster of this Dask scheduler, tcp://HOST:8786; needs "
        "dentryproof[cluster].",
    ),
    click.option(
        "--read-timeout",
        metavar="SECONDS",
        type=float,
        default=120.0,
        show_default=True,
        callback=positive,
        help="Processor time to read a filesystem in, and to decide an obligation in if --timeout is not "
        "given; what it cuts off is unknown.",
    ),
    click.option(
        "--memory",
        metavar="MIB",
        type=click.IntRange(min=64),
        default=2048,
        show_default=True,
        callback=mebibytes,
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


kernel = click.option(
    "--kernel",
    metavar="VERSION",
    help="The kernel whose models to use (newest if not given); with --linux, what to call a tree "
    "that does not say.",
)
form = click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="What to print.",
)
output = click.option(
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write to FILE, replacing it in one step, instead of to standard output.",
)
verbose = click.option(
    "-v", "--verbose", is_flag=True, help="Say more: what each proof holds by and leans on."
)
clauses = click.option(
    "--clause",
    "clauses",
    metavar="ID",
    multiple=True,
    help="Only this clause, or those that a pattern such as 'prune-*' names; repeatable.",
)
memory_model = click.option(
    "--memory-model",
    type=click.Choice(MEMORY_MODELS),
    default=MEMORY_MODEL,
    show_default=True,
    help="What CPUs and compilers may reorder: what the kernel's memory model lets them, or nothing.",
)
everything = click.option("--all", "everything", is_flag=True, help="Every filesystem that there is.")
filesystems = click.argument("filesystems", metavar="FILESYSTEM...", nargs=-1, shell_complete=complete_names)
