"""`prove litmus`: the kernel's litmus tests under a memory model."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import UsageError
from . import options
from .running import look

PICTURES = (".svg", ".tex")


@click.command("litmus", context_settings=options.SETTINGS)
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@options.memory_model
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=float,
    default=60.0,
    show_default=True,
    callback=options.positive,
    help="Time for each test; what it cuts off is unknown.",
)
@click.option(
    "--picture",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Draw the execution of the one test that is named: FILE ends in .svg, or in .tex for TikZ.",
)
@options.form
@options.output
@click.option("-v", "--verbose", is_flag=True, help="With several tests too, show an execution of each.")
@click.option(
    "-q", "--quiet", is_flag=True, help="Only tests whose answer differs from their own or is missing."
)
@options.config
def litmus(
    files: tuple[Path, ...],
    memory_model: str,
    timeout: float,
    picture: Path | None,
    form: str,
    output: Path | None,
    verbose: bool,
    quiet: bool,
) -> int:
    """Answer litmus tests: can their condition hold Never, Sometimes or Always?

    FILE is in the kernel's C litmus format; folders are searched for *.litmus. Each answer is compared with
    the file's own "Result:" line. The exit status is 1 if one differs, 2 if a file cannot be read, 3 if a
    test is unsupported or was not decided in time.
    """
    from ..encodings.models import MODELS
    from ..litmus.suite import Summary, find, outcome
    from ..report.output import check_target, emit

    check_target(output)
    if picture is not None:
        check_target(picture)
        if picture.suffix not in PICTURES:
            raise UsageError(f"--picture: {picture}: the name must end in {' or '.join(PICTURES)}")
    found = list(find(files))
    if picture is not None and len(found) != 1:
        raise UsageError(f"--picture draws one test, not {len(found)}")
    outcomes = [outcome(path, named, MODELS[memory_model], timeout) for path, named in found]
    if picture is not None:
        from ..report.litmus import drawn

        emit(drawn(outcomes[0], picture.suffix), picture)
    if form == "json":
        from ..report.json import dump
        from ..report.litmus import litmus_document

        emit(dump(litmus_document(outcomes, memory_model)), output)
    else:
        from ..report.litmus import render_litmus

        detail = verbose or (len(found) == 1 and not quiet)
        emit(render_litmus(outcomes, memory_model, detail, quiet, **look(output)), output)
    return Summary.of(outcomes).status
