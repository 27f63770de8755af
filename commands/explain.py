"""`prove explain`: what a clause says, why, a trace that breaks it, who broke it, and how to fix it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import options
from .running import look

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str | CompletionItem]:
    """Shell completion: the clauses."""
    from ..proofs.engine import clause_ids

    return [c for c in clause_ids() if c.startswith(incomplete)]


@click.command("explain", context_settings=options.SETTINGS)
@click.argument("clause", metavar="[CLAUSE]", required=False, shell_complete=_complete)
@options.form
@options.output
@options.config
def explain(clause: str | None, form: str, output: Path | None) -> int:
    """Explain a clause of the contract; without one, list them.

    What it says and why, its formula, the shortest trace that breaks it on a made-up filesystem (decided when
    asked, not kept), which real filesystem broke it and when, and how to fix it.
    """
    from ..proofs.engine import clause_statements, explained
    from ..report.output import check_target, emit

    check_target(output)
    if form == "json":
        from ..report.explain import explained_document, statements_document
        from ..report.json import dump

        document = (
            explained_document(explained(clause)) if clause else statements_document(clause_statements())
        )
        emit(dump(document), output)
    else:
        from ..report.explain import render_explained, render_statements

        shown = look(output)
        text = render_explained(explained(clause), **shown) if clause else ""
        emit(text or render_statements(clause_statements(), **shown), output)
    return 0
