"""`prove check`: certificates verified without encoder and solver."""

from __future__ import annotations

from pathlib import Path

import click

from . import options
from .running import say


@click.command("check", context_settings=options.SETTINGS)
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("files", metavar="[FILE]...", nargs=-1)
@click.option(
    "--models",
    is_flag=True,
    help="Also build each obligation anew from the models that this installation keeps, and compare.",
)
@click.option("-q", "--quiet", is_flag=True, help="Only what does not check.")
def check(folder: Path, files: tuple[str, ...], models: bool, quiet: bool) -> int:
    """Verify the certificates in DIR, all or those named, that prove --certificate DIR wrote.

    The clauses are derived anew from the scenario, each lemma's circle is walked, the proof is checked by
    unit propagation and the witness replayed. The exit status is 1 if something does not check, 2 if it
    cannot be read.
    """
    from ..checker.check import check_folder
    from ..report.output import emit

    answers, good = check_folder(folder, files)
    wrong = [(a.file, a.reason) for a in answers if a.reason]
    if models:
        from ..proofs.rebuild import differing

        wrong += differing(good)
    for name, reason in wrong:
        say(f"{name}: {reason}")
    checked = len(answers) - len({name for name, _ in wrong})
    if not quiet:
        largest = max(answers, key=lambda a: a.clauses, default=None)
        size = f"; the largest has {largest.steps} steps and {largest.clauses} clauses" if largest else ""
        emit(f"{checked} of {len(answers)} certificates check{size}\n")
    return 1 if wrong else 0
