"""`prove overlap`: which callbacks can run at the same time on one dentry."""

from __future__ import annotations

from pathlib import Path

import click

from . import options
from .running import look, with_progress


@click.command("overlap", context_settings=options.SETTINGS)
@options.kernel
@options.form
@options.output
@options.verbose
@options.config
def overlap(kernel: str | None, form: str, output: Path | None, verbose: bool) -> int:
    """Print which callbacks can run at the same time on one dentry, each pair proved or refuted."""
    from ..proofs.engine import overlap_answer
    from ..report.output import check_target, emit

    check_target(output)
    answer = with_progress(overlap_answer, {"kernel": kernel})
    if form == "json":
        from ..report.json import dump, overlap_document

        emit(dump(overlap_document(answer)), output)
    else:
        from ..report.tables import render_overlap

        emit(render_overlap(answer, verbose=verbose, **look(output)), output)
    return 0
