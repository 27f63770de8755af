"""`prove FILESYSTEM...`: the command that proves or refutes, and lists what there is."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import __version__
from ..encodings.usual import SOLVER
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
    ("prove diff --git . origin/main HEAD", "what a branch does to verdicts"),
    ("prove history --git . --from v6.1 nfs", "in which commit each turned"),
)
EXPORTED = ("smt2", "promela", "litmus")
"""The forms of `proofs/export.py`."""
COMMANDS = (
    ("prove contract", "the clauses and the callback table of a kernel version"),
    ("prove diff", "what a change, or a patch, does to verdicts"),
    ("prove history", "in which commit each verdict turned"),
    ("prove overlap", "which callbacks can run at the same time on one dentry"),
    ("prove explain", "what a clause says, why, a trace that breaks it, how to fix it"),
    ("prove models", "regenerate models from a kernel tree"),
    ("prove check", "verify certificates of proofs"),
    ("prove mutate", "break a kernel tree on purpose: is it noticed?"),
    ("prove litmus", "answer litmus tests under the kernel's memory model"),
)
STATUSES = (
    (0, "every clause is proved or not applicable"),
    (1, "a clause is violated, even if only in a debug build"),
    (2, "usage or input error"),
    (3, "something is unknown and nothing is violated"),
    (70, "internal error"),
)


GROUPS = (
    ("What is read", ("linux", "git", "rev", "module", "models", "kernel")),
    ("What of it", ("everything", "listing", "clauses")),
    (
        "How it is decided",
        ("solver", "memory_model", "timeout", "cross_check", "certificates", "exported", "repair"),
    ),
    ("Who does it", ("jobs", "scheduler", "read_timeout", "memory", "cache_dir", "no_cache")),
    ("What is printed", ("form", "outputs", "source_url", "statistics", "quiet", "verbose")),
    ("What fails", ("baseline", "update_baseline")),
)
"""The options by what they are about; those of no group come last in the help."""


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

{commands}
Exit status: 0 proved, 1 violated, 2 bad input, 3 unknown
More: prove --help, prove --help-all, prove COMMAND --help, man prove
"""
"""What ``-h`` says: fits a terminal of 24 lines and 80 columns."""


HELP = """\
Usage: prove [OPTIONS] FILESYSTEM...     prove COMMAND ...

Prove or refute that dentry callbacks keep the VFS's RCU contract. A violated
clause comes with a trace on two CPUs, a proved one with what it holds by.

Examples:
{examples}

Commands:
{commands}

{groups}
Forms of --format: {forms}.

Exit status:
{statuses}

Options explained: prove --help-all, man prove; a command: prove COMMAND --help
"""
"""What ``--help`` says: fits 50 lines of 80 columns."""


def _rows(rows: Iterable[tuple[object, str]]) -> str:
    width = max(len(str(name)) for name, _ in rows) + 2
    return "\n".join(f"  {name!s:<{width}}{said}" for name, said in rows)


def _forms() -> str:
    return ", ".join(FORMS)


def _short(ctx: click.Context) -> str:
    names = ", ".join(name.removeprefix("prove ") for name, _ in COMMANDS)
    commands = textwrap.fill(f"Commands: {names}", width=80, subsequent_indent=" " * 10)
    return SHORT.format(examples=_rows(EXAMPLES), forms=_forms(), commands=commands)


def _screen(ctx: click.Context) -> str:
    grouped = {name for _, names in GROUPS for name in names}
    options = {p.name: p for p in ctx.command.params if isinstance(p, click.Option) and p.name}
    groups = (*GROUPS, ("Other", tuple(name for name in options if name not in grouped)))
    said = "\n".join(
        textwrap.fill(
            f"{title + ':':<19}{', '.join(_named(options[n]) for n in names)}",
            80,
            subsequent_indent=" " * 19,
            break_on_hyphens=False,
        )
        for title, names in groups
    )
    return HELP.format(
        examples=_rows(EXAMPLES),
        commands=_rows(COMMANDS),
        groups=said.replace(_JOINT, " "),
        forms=_forms(),
        statuses=_rows(STATUSES),
    )


_JOINT = "\x00"


def _named(option: click.Option) -> str:
    """An option as the help has it, in one piece."""
    short, name = min(option.opts, key=len), max(option.opts, key=len)
    words = [f"{short}/{name}" if short != name else name]
    if not option.is_flag:
        words.append(option.metavar or "FORM")
    return _JOINT.join(" ".join(words).split())


def _full(ctx: click.Context) -> str:
    return ctx.get_help() + "\n"


def _help(text: Callable[[click.Context], str]) -> Callable[[click.Context, click.Parameter, bool], None]:
    """What an option does that shows help."""

    def show(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        if value and not ctx.resilient_parsing:
            click.echo(text(ctx), nl=False)
            ctx.exit()

    return show


def _helper(name: str, text: Callable[[click.Context], str], said: str) -> Callable[[Any], Any]:
    return click.option(
        name, is_flag=True, is_eager=True, expose_value=False, callback=_help(text), help=said
    )


@click.command("prove", context_settings=options.SETTINGS | {"help_option_names": []})
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
@click.option("--solver", metavar="NAME", default=SOLVER, show_default=True, help="sat, z3 or cvc5.")
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
    "exported",
    metavar="FORM DIR",
    nargs=2,
    multiple=True,
    type=(click.Choice(EXPORTED), click.Path(file_okay=False, path_type=Path)),
    help="Write each obligation into DIR; FORM is smt2 (SMT-LIB 2.6), promela (for spin) or litmus (for "
    "herd7). Repeatable.",
)
@click.option(
    "--cross-check",
    is_flag=True,
    help="Ask z3, cvc5 and a SAT solver. If they disagree, that is an internal error.",
)
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
@_helper("-h", _short, "Show what is used most.")
@_helper("--help", _screen, "Show examples, commands, and which options there are.")
@_helper("--help-all", _full, "Show what each option means.")
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
    exported: tuple[tuple[str, Path], ...],
    cross_check: bool,
    repair: bool,
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
        if certificates or exported or cross_check or repair:
            raise UsageError("--list proves nothing that could be certified, exported, checked or repaired")
        if baseline or form not in LISTED or any(t.form for t in outputs):
            raise UsageError("--list prints text or json and compares nothing")
        return _list(asked, form, targets[0].path, quiet)
    if clauses:
        from ..proofs.engine import clause_ids
        from ..proofs.names import select

        asked["clauses"] = select("clause", clauses, clause_ids())
    asked |= {"solver": solver, "timeout": timeout}
    if certificates or exported or cross_check or repair:
        asked["exports"] = _exports(certificates, exported, cross_check, repair)
    style = Style(quiet=quiet, verbose=verbose, statistics=statistics, source_url=source_url)
    return _prove(asked, targets, style, _Against(baseline, update_baseline) if baseline else None)


def _exports(
    certificates: Path | None, exported: tuple[tuple[str, Path], ...], cross_check: bool, repair: bool
) -> Exports:
    """What to make of each obligation. Workers have the folders by their full names."""
    from ..proofs.request import Exports

    scripts = tuple((form, folder.resolve()) for form, folder in exported)
    folder = certificates.resolve() if certificates else None
    forms, folders = [form for form, _ in scripts], [f for _, f in scripts]
    if folder in folders:
        raise UsageError("certificates and exported obligations cannot both go to one folder")
    if len(set(forms)) < len(forms):
        raise UsageError("--export: each form goes to one folder")
    if len(set(folders)) < len(folders):
        raise UsageError("--export: two forms cannot both go to one folder")
    return Exports(folder, scripts, cross_check, repair)


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
