"""`prove history`: in which commit each verdict turned."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError
from . import options
from .running import look, with_progress

if TYPE_CHECKING:
    from ..proofs.timeline import History


def _text(answer: History, output: Path | None, quiet: bool) -> str:
    from ..report.history import render_history

    return render_history(answer, quiet, **look(output))


def _json(answer: History, output: Path | None, quiet: bool) -> str:
    from ..report.history import history_document
    from ..report.json import dump

    return dump(history_document(answer))


def _svg(answer: History, output: Path | None, quiet: bool) -> str:
    from ..report.history import timeline
    from ..report.svg import svg

    return svg(timeline(answer), "history", alone=True)


_FORMS = {"text": _text, "json": _json, "svg": _svg}


@click.command("history", context_settings=options.SETTINGS)
@options.filesystems
@options.everything
@click.option(
    "--git",
    metavar="DIR",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The git repository; nothing is checked out.",
)
@click.option("--from", "since", metavar="REV", required=True, help="The commit to start from.")
@click.option("--to", "until", metavar="REV", default="HEAD", show_default=True, help="The last commit.")
@click.option(
    "--paths",
    metavar="PATH",
    multiple=True,
    help="Only commits that touch this file or folder, not all that the verdicts rest on; repeatable.",
)
@click.option(
    "--every",
    is_flag=True,
    help="Try every commit that can matter. Bisection does not see what turned and turned back.",
)
@click.option("--first-parent", is_flag=True, help="Do not look into merges for the commit.")
@options.kernel
@options.clauses
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=float,
    callback=options.positive,
    help="Per obligation; what it cuts off is unknown.",
)
@options.memory_model
@options.reading
@click.option(
    "--format",
    "form",
    type=click.Choice([*_FORMS]),
    default="text",
    show_default=True,
    help="What to print; svg is a timeline.",
)
@options.output
@click.option("-q", "--quiet", is_flag=True, help="One line for each verdict that turned, nothing else.")
@options.config
def history(
    git: Path,
    since: str,
    until: str,
    paths: tuple[str, ...],
    every: bool,
    first_parent: bool,
    clauses: tuple[str, ...],
    form: str,
    output: Path | None,
    quiet: bool,
    **asked: Any,
) -> int:
    """Say for each clause and object in which commit it first appeared, broke, was fixed.

    Of the commits on the first-parent line from --from to --to those are candidates that touch what the
    verdicts rest on. They are bisected between commits whose verdicts differ; a merge in which something
    turned is searched in the same way. Without a FILESYSTEM, --paths says which are meant: those that have
    one of these files. The exit status is that of the last commit: 1 violated, 3 unknown, else 0.
    """
    from ..report.output import check_target, emit

    check_target(output)
    if not (asked["filesystems"] or asked["everything"] or paths):
        raise UsageError("name a filesystem, --paths, or --all")
    if clauses:
        from ..proofs.engine import clause_ids
        from ..proofs.names import select

        asked["clauses"] = select("clause", clauses, clause_ids())
    from ..proofs.history import Asked
    from ..proofs.history import history as ask

    what = Asked(git, since, until, paths, every, first_parent)
    answer = with_progress(lambda request: ask(request, what), asked, quiet)
    emit(_FORMS[form](answer, output, quiet), output)
    return answer.status
