"""`prove FILESYSTEM...`: the command that proves or refutes, and lists what there is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .. import __version__
from ..errors import UsageError
from . import options
from .running import look, with_progress

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


@click.command("prove", context_settings=options.SETTINGS, epilog=EPILOG)
@options.filesystems
@options.everything
@click.option(
    "--list", "listing", is_flag=True, help="List operations tables and their callbacks instead of proving."
)
@options.linux()
@options.module
@options.kernel
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
    callback=options.positive,
    help="Per obligation; what it cuts off is unknown.",
)
@options.reading
@options.form
@options.output
@click.option("--stats", "statistics", is_flag=True, help="Say how much of the source was understood.")
@click.option(
    "-q", "--quiet", is_flag=True, help="One line for each violated or unknown result, nothing else."
)
@options.verbose
@click.version_option(__version__, prog_name="dentryproof", message="%(prog)s %(version)s")
def prove(
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
        from ..proofs.engine import clause_ids
        from ..proofs.names import select

        asked["clauses"] = select("clause", clauses, clause_ids())
    asked |= {"solver": solver, "timeout": timeout}
    return _prove(asked, form, output, quiet, verbose, statistics)


def _prove(
    asked: dict[str, Any], form: str, output: Path | None, quiet: bool, verbose: bool, statistics: bool
) -> int:
    from ..proofs.engine import run
    from ..proofs.verdict import exit_status
    from ..report.output import emit

    report = with_progress(run, asked, quiet)
    if form == "json":
        from ..report.json import dump, report_document

        emit(dump(report_document(report)), output)
    else:
        from ..report.text import Detail, render

        detail = Detail.QUIET if quiet else Detail.VERBOSE if verbose else Detail.NORMAL
        emit(render(report, detail, statistics=statistics, **look(output)), output)
    return exit_status(report.results)


def _list(asked: dict[str, Any], form: str, output: Path | None, quiet: bool) -> int:
    from ..proofs.engine import list_tables
    from ..report.output import emit

    rows = with_progress(list_tables, asked, quiet)
    if form == "json":
        from ..report.json import dump, tables_document

        emit(dump(tables_document(rows)), output)
    else:
        from ..report.tables import render_tables

        emit(render_tables(rows, look(output)["paint"], quiet), output)
    return 0
