"""`prove contract`: the clauses and the callback table of a kernel version."""

from __future__ import annotations

from pathlib import Path

import click

from . import options
from .running import look, request


@click.command("contract", context_settings=options.SETTINGS)
@options.kernel
@options.linux()
@options.form
@options.output
@options.config
def contract(kernel: str | None, linux: Path | None, form: str, output: Path | None) -> int:
    """Print the clauses of the contract and the callback table of a kernel version.

    With a tree: also where its source, its locking.rst and the specification of what the VFS does around a
    callback disagree. The exit status is 1 if they do.
    """
    from ..proofs.engine import contract_answer
    from ..report.output import check_target, emit

    check_target(output)
    answer = contract_answer(request(kernel=kernel, linux=linux))
    if form == "json":
        from ..report.json import contract_document, dump

        emit(dump(contract_document(answer)), output)
    else:
        from ..report.tables import render_contract

        emit(render_contract(answer, **look(output)), output)
    return answer.status
