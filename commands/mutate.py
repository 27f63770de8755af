"""`prove mutate`: break real source on purpose, and see whether the verdicts turn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from . import options
from .running import look, with_progress


@click.command("mutate", context_settings=options.SETTINGS)
@options.filesystems
@options.everything
@options.linux()
@options.git
@options.kernel
@options.config
@click.option(
    "--operator",
    "operators",
    metavar="NAME",
    multiple=True,
    help="Only changes of this kind (a name or a pattern); may be repeated.",
)
@click.option("--list", "listing", is_flag=True, help="Say where there are places, and change nothing.")
@click.option(
    "--explained",
    metavar="FILE",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A table of survivors that somebody has read, and why each is harmless; may be repeated.",
)
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=float,
    callback=options.positive,
    help="Per obligation; what it cuts off is unknown.",
)
@options.memory_model
@options.reading
@options.form
@options.output
@options.verbose
def mutate(
    operators: tuple[str, ...],
    listing: bool,
    explained: tuple[Path, ...],
    form: str,
    output: Path | None,
    verbose: bool,
    **asked: Any,
) -> int:
    """Break a kernel tree on purpose, one place at a time and without writing to it, and say which of the
    changes turn a verdict. Exits with 1 if one that nobody explained turns none."""
    from ..mutation.operators import NAMES
    from ..mutation.score import explanations
    from ..mutation.score import mutate as run
    from ..proofs.names import select
    from ..report.output import check_target, emit

    check_target(output)
    names = select("operator", operators, NAMES)
    known = explanations(explained)
    answer = with_progress(lambda request: run(request, names, known, listing), asked)
    if form == "json":
        from ..report.json import dump
        from ..report.mutation import mutation_document

        emit(dump(mutation_document(answer)), output)
    else:
        from ..report.mutation import render_mutation, render_places

        seen = look(output)
        text = render_places(answer, seen["paint"]) if listing else None
        emit(text or render_mutation(answer, seen["paint"], verbose), output)
    return 0 if listing else answer.status
