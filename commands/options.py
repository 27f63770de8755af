"""Options that several commands take, each stated once."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..errors import DentryproofError

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


def linux(required: bool = False) -> Callable[[Function], Function]:
    return click.option(
        "--linux",
        metavar="DIR",
        required=required,
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
everything = click.option("--all", "everything", is_flag=True, help="Every filesystem that there is.")
filesystems = click.argument("filesystems", metavar="FILESYSTEM...", nargs=-1, shell_complete=complete_names)
