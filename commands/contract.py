"""`prove contract`: the clauses and the callback table of a kernel version."""

from __future__ import annotations

from pathlib import Path

import click

from . import options
from .running import look, request

DOCUMENTS = ("latex", "rst", "markdown", "html")


@click.command("contract", context_settings=options.SETTINGS)
@options.kernel
@options.linux()
@options.git
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", *DOCUMENTS]),
    default="text",
    show_default=True,
    help="What to print. All but text and json are whole documents: clauses with their formulas, callbacks, "
    "overlap matrix, teardown step by step, changes.",
)
@click.option("--since", metavar="VERSION", default="", help="Changes from this kernel on.")
@click.option("--until", metavar="VERSION", default="", help="Changes up to this kernel.")
@options.output
@options.config
def contract(
    kernel: str | None,
    linux: Path | None,
    git: Path | None,
    rev: str | None,
    form: str,
    since: str,
    until: str,
    output: Path | None,
) -> int:
    """Print the clauses of the contract and the callback table of a kernel version.

    With a tree: also where its source, its locking.rst and the specification of what the VFS does around a
    callback disagree. The exit status is 1 if they do.
    """
    from ..proofs.engine import contract_answer
    from ..report.output import check_target, emit

    check_target(output)
    asked = request(kernel=kernel, linux=linux, git=git, rev=rev)
    if form in DOCUMENTS:
        from ..paper.documents import contract as document
        from ..proofs.engine import handbook_answer

        book = handbook_answer(asked, since, until)
        emit(document(book, form), output)
        return book.answer.status
    answer = contract_answer(asked)
    changes = None
    if since or until:
        from ..proofs.engine import contract_changes

        changes = contract_changes(answer.kernel, since, until)
    if form == "json":
        from ..report.json import contract_document, dump

        emit(dump(contract_document(answer, changes)), output)
    else:
        from ..report.tables import render_contract

        emit(render_contract(answer, changes=changes, **look(output)), output)
    return answer.status
