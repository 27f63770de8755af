"""`prove diff`: what a change does to verdicts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import InputError, UsageError
from . import options
from .formats import FORMS, Style
from .running import look, with_progress

if TYPE_CHECKING:
    from ..proofs.engine import Request
    from ..proofs.verdict import Report


@click.command("diff", context_settings=options.SETTINGS)
@click.argument("names", metavar="[BASE HEAD] [FILESYSTEM...]", nargs=-1)
@options.linux()
@click.option(
    "--git",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Compare the commits BASE and HEAD of this repository, without a checkout.",
)
@click.option(
    "--patch",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="Compare the tree of --linux with what this patch, or mailbox of patches, makes of it.",
)
@options.module
@options.kernel
@options.clauses
@options.repair
@options.memory_model
@options.reading
@click.option(
    "--format",
    "form",
    type=click.Choice([*FORMS]),
    default="text",
    show_default=True,
    help="What to print.",
)
@options.output
@click.option("-q", "--quiet", is_flag=True, help="One line for each verdict that turned, nothing else.")
@options.config
def diff(
    names: tuple[str, ...],
    linux: Path | None,
    git: Path | None,
    patch: Path | None,
    form: str,
    output: Path | None,
    quiet: bool,
    clauses: tuple[str, ...],
    repair: bool,
    **asked: Any,
) -> int:
    """Prove what a change can affect, before and after it, and print what turned.

    Either two commits (--git DIR BASE HEAD) or a patch (--linux DIR --patch FILE). Only filesystems whose
    verdicts can depend on a changed file are read. The exit status is that of what is new or worse: 1 for a
    violation, 3 for a proof lost to unknown, else 0.
    """
    from ..report.output import check_target, emit

    check_target(output)
    if clauses:
        from ..proofs.engine import clause_ids
        from ..proofs.names import select

        asked["clauses"] = select("clause", clauses, clause_ids())
    if repair:
        from ..proofs.request import Exports

        asked["exports"] = Exports(repair=True)
    if git is not None:
        if linux is not None or patch is not None:
            raise UsageError("--git compares two commits: it goes with neither --linux nor --patch")
        if len(names) < 2:
            raise UsageError("name the two commits: prove diff --git DIR BASE HEAD")
        found = _commits(git, names[0], names[1], names[2:], asked, quiet)
    else:
        if linux is None or patch is None:
            raise UsageError("name what to compare: --git DIR BASE HEAD, or --linux DIR --patch FILE")
        found = _patch(linux, patch, names, asked, quiet)
    before, after = found
    if form == "text":
        from ..report.difference import render

        emit(render(before, after, quiet, **look(output)), output)
    else:
        emit(FORMS[form](after, Style(output=output, quiet=quiet)), output)
    return after.status


def _commits(
    git: Path, base: str, head: str, filesystems: tuple[str, ...], asked: dict[str, Any], quiet: bool
) -> tuple[Report, Report]:
    from ..proofs.difference import difference
    from ..reader.git import changed, revision

    old, new = revision(git, base), revision(git, head)
    paths = frozenset(changed(old, new))
    asked = asked | {"filesystems": filesystems, "everything": not filesystems, "linux": new}

    def ask(request: Request) -> tuple[Report, Report]:
        from dataclasses import replace

        return difference(replace(request, linux=old), request, paths, base)

    return with_progress(ask, asked, quiet)


def _patch(
    linux: Path, patch: Path, filesystems: tuple[str, ...], asked: dict[str, Any], quiet: bool
) -> tuple[Report, Report]:
    from ..proofs.difference import difference
    from ..proofs.patch import patched
    from ..reader.tree import Tree

    try:
        raw = sys.stdin.buffer.read() if str(patch) == "-" else patch.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {patch}: {error.strerror or error}") from error
    texts = patched(Tree(linux), raw, "the patch" if str(patch) == "-" else str(patch))
    asked = asked | {"filesystems": filesystems, "everything": not filesystems, "linux": linux}

    def ask(request: Request) -> tuple[Report, Report]:
        from dataclasses import replace

        after = replace(request, overlay=tuple(sorted(texts.items())))
        return difference(request, after, frozenset(texts), str(linux))

    return with_progress(ask, asked, quiet)
