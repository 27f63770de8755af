"""`prove FILESYSTEM...`: the command that proves or refutes, and lists what there is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import __version__
from ..errors import UsageError
from . import options
from .formats import FORMS, Style, Target, TargetType
from .running import look, with_progress

if TYPE_CHECKING:
    from ..proofs.baseline import Baseline
    from ..proofs.request import Exports

EXAMPLES = (
    ("prove autofs --kernel 5.0.1", "the use-after-free of 2019"),
    ("prove --linux ~/linux fuse nfs", "two filesystems of a kernel tree"),
    ("prove --linux . --all --baseline b.json", "fail on what is new or worse"),
)
COMMANDS = (
    ("prove contract", "the clauses and the callback table of a kernel version"),
    ("prove diff", "what a change, or a patch, does to verdicts"),
    ("prove history", "in which commit each verdict turned"),
    ("prove overlap", "which callbacks can run at the same time on one dentry"),
    ("prove explain", "what a clause says, why, a trace that breaks it, how to fix it"),
    ("prove models", "regenerate models from a kernel tree"),
    ("prove check", "verify certificates of proofs"),
    ("prove mutate", "break a kernel tree on purpose, and see whether that is noticed"),
)
STATUSES = (
    (0, "every clause is proved or not applicable"),
    (1, "a clause is violated, even if only in a debug build"),
    (2, "usage or input error"),
    (3, "something is unknown and nothing is violated"),
    (70, "internal error"),
)


def _table(title: str, rows: Iterable[tuple[object, str]]) -> str:
    """Rows for the end of the help, as they are."""
    width = max(len(str(name)) for name, _ in rows) + 2
    return "\b\n" + f"{title}:\n" + "\n".join(f"  {name!s:<{width}}{text}" for name, text in rows)


EPILOG = "\n\n".join(
    (_table("Examples", EXAMPLES), _table("Commands", COMMANDS), _table("Exit status", STATUSES))
)


SHORT = """\
Usage: prove [OPTIONS] FILESYSTEM...     prove COMMAND ...

Prove or refute that dentry callbacks keep the VFS's RCU contract.

{examples}

  --linux DIR     read this kernel tree, neither configured nor built
  --git DIR       read a revision of this repository (--rev REV)
  --all, --list   every filesystem there is; which there are
  --clause ID     only this clause, or 'prune-*'
  --format FORM   {forms}
  --output FILE   to FILE; sarif:FILE writes that form as well
  -v, -q          say more, say less

Commands: {commands}
Exit status: 0 proved, 1 violated, 2 bad input, 3 unknown
All options: prove --help, prove COMMAND --help, man prove
"""
"""What ``-h`` says: fits a terminal of 24 lines and 80 columns."""


def _short_help(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        width = max(len(example) for example, _ in EXAMPLES) + 2
        text = SHORT.format(
            examples="\n".join(f"  {example:<{width}}{said}" for example, said in EXAMPLES),
            forms=", ".join(FORMS),
            commands=", ".join(name.removeprefix("prove ") for name, _ in COMMANDS),
        )
        click.echo(text, nl=False)
        ctx.exit()


@click.command("prove", context_settings=options.SETTINGS | {"help_option_names": ["--help"]}, epilog=EPILOG)
@options.filesystems
@options.everything
@click.option(
    "--list", "listing", is_flag=True, help="List operations tables and their callbacks instead of proving."
)
@options.linux()
@options.git
@click.option(
    "--model",
    "models",
    metavar="FILE",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Decide for this model file; repeatable.",
)
@options.module
@options.kernel
@options.clauses
@click.option("--solver", metavar="NAME", default="sat", show_default=True, help="sat, z3 or cvc5.")
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=float,
    callback=options.positive,
    help="Per obligation; what it cuts off is unknown.",
)
@click.option(
    "--certificate",
    "certificates",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write a certificate of each proof, and an index, into DIR; prove check DIR verifies them.",
)
@click.option(
    "--export",
    "export",
    metavar="FORM DIR",
    nargs=2,
    type=(click.Choice(["smt2"]), click.Path(file_okay=False, path_type=Path)),
    help="Write each obligation into DIR; FORM is smt2 (SMT-LIB 2.6).",
)
@click.option(
    "--cross-check",
    is_flag=True,
    help="Ask z3, cvc5 and a SAT solver. If they disagree, that is an internal error.",
)
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
@click.option(
    "--output",
    "outputs",
    metavar="FILE",
    type=TargetType(),
    multiple=True,
    help="Write to FILE, replacing it in one step, instead of to standard output. FORM:FILE (sarif:FILE) "
    "writes that form as well; repeatable.",
)
@click.option(
    "--source-url",
    metavar="PATTERN",
    default="",
    help="What places in the source link to in html: an address with {file} and {line}.",
)
@click.option(
    "--baseline",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Fail only on what is new or worse than in FILE.",
)
@click.option("--update-baseline", is_flag=True, help="Write what was found to the baseline's file.")
@click.option("--stats", "statistics", is_flag=True, help="Say how much of the source was understood.")
@click.option(
    "-q", "--quiet", is_flag=True, help="One line for each violated or unknown result, nothing else."
)
@options.verbose
@options.config
@click.option(
    "-h",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_short_help,
    help="Show what is used most, on one screen.",
)
@click.version_option(__version__, prog_name="dentryproof", message="%(prog)s %(version)s")
def prove(
    filesystems: tuple[str, ...],
    everything: bool,
    listing: bool,
    linux: Path | None,
    models: tuple[Path, ...],
    module: Path | None,
    kernel: str | None,
    clauses: tuple[str, ...],
    solver: str,
    timeout: float | None,
    certificates: Path | None,
    export: tuple[str, Path] | None,
    cross_check: bool,
    form: str,
    outputs: tuple[Target, ...],
    source_url: str,
    baseline: Path | None,
    update_baseline: bool,
    statistics: bool,
    quiet: bool,
    verbose: bool,
    **reading: Any,
) -> int:
    """Prove or refute that the dentry callbacks of FILESYSTEM keep the VFS's RCU contract.

    A violated clause comes with a trace on two CPUs, a proved one with what it holds by.
    """
    if models and (linux or reading["git"] or everything or listing):
        raise UsageError("--model goes with neither a tree nor --all nor --list")
    if not (filesystems or everything or listing or module or models):
        raise UsageError("name a filesystem, or give --all or --list")
    if module and not (linux or reading["git"]):
        raise UsageError("--module needs the kernel tree that the module is for: give it with --linux DIR")
    if filesystems and everything:
        raise UsageError("--all and names of filesystems exclude each other")
    quiet, verbose = options.said_last("quiet", "verbose")
    if update_baseline and not baseline:
        raise UsageError("--update-baseline needs the file: name it with --baseline FILE")
    targets = _targets(form, outputs)
    if source_url:
        from ..paper.page import checked_pattern

        source_url = checked_pattern(source_url)
    asked: dict[str, Any] = {
        "filesystems": filesystems,
        "given": models,
        "everything": everything or not (filesystems or module or models),
        "linux": linux,
        "module": module,
        "kernel": kernel,
        **reading,
    }
    if listing:
        if certificates or export or cross_check:
            raise UsageError("--list proves nothing that could be certified, exported or checked")
        if baseline or form not in LISTED or any(t.form for t in outputs):
            raise UsageError("--list prints text or json and compares nothing")
        return _list(asked, form, targets[0].path, quiet)
    if clauses:
        from ..proofs.engine import clause_ids
        from ..proofs.names import select

        asked["clauses"] = select("clause", clauses, clause_ids())
    asked |= {"solver": solver, "timeout": timeout}
    if certificates or export or cross_check:
        asked["exports"] = _exports(certificates, export, cross_check)
    style = Style(quiet=quiet, verbose=verbose, statistics=statistics, source_url=source_url)
    return _prove(asked, targets, style, _Against(baseline, update_baseline) if baseline else None)


def _exports(certificates: Path | None, export: tuple[str, Path] | None, cross_check: bool) -> Exports:
    """What to make of each obligation. Workers have the folders by their full names."""
    from ..proofs.request import Exports

    scripts = export[1].resolve() if export else None
    folder = certificates.resolve() if certificates else None
    if scripts is not None and scripts == folder:
        raise UsageError("certificates and exported obligations cannot both go to one folder")
    return Exports(folder, scripts, cross_check)


LISTED = ("text", "json")
"""The forms that a list of tables can take."""
STDOUT = Path("-")


def _targets(form: str, outputs: tuple[Target, ...]) -> tuple[Target, ...]:
    """What to write where: what ``--format`` names goes to the file given without a form, or to stdout."""
    from ..report.output import check_target

    plain = [t.path for t in outputs if not t.form]
    if len(plain) > 1:
        raise UsageError("--output FILE can be given once; name the form of the others: --output sarif:FILE")
    targets = (Target(form, *(plain or [STDOUT])), *(t for t in outputs if t.form))
    paths = [str(t.path) for t in targets]
    twice = next((p for p in paths if paths.count(p) > 1), None)
    if twice is not None:
        where = "standard output" if twice == str(STDOUT) else twice
        raise UsageError(f"two reports cannot both go to {where}")
    for target in targets:
        check_target(target.path)
    return targets


@dataclass(frozen=True, slots=True)
class _Against:
    """The baseline's file, and whether it is to be rewritten."""

    file: Path
    update: bool


def _prove(asked: dict[str, Any], targets: tuple[Target, ...], style: Style, against: _Against | None) -> int:
    from ..proofs.engine import run
    from ..report.output import emit, replace_file

    before = _before(against)
    report = with_progress(run, asked, style.quiet)
    status = report.status
    if against is not None:
        from ..proofs.baseline import compare, dump, merged

        whole = bool(asked["everything"])
        report = replace(report, comparison=compare(before, report.results, str(against.file), whole))
        status = 0 if against.update else report.status
        if against.update:
            replace_file(against.file, dump(merged(before, report.results, whole)))
    for target in targets:
        emit(FORMS[target.form](report, replace(style, output=target.path)), target.path)
    return status


def _before(against: _Against | None) -> Baseline:
    """The baseline as it is now; an empty one if there is no file yet and one is to be written."""
    from ..proofs.baseline import Baseline, load

    if against is None or (against.update and not against.file.exists()):
        return Baseline({}, {})
    return load(against.file)


def _list(asked: dict[str, Any], form: str, output: Path, quiet: bool) -> int:
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
