"""`prove models`: what the reader extracts from a tree, as model files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..errors import UsageError
from . import options
from .running import with_progress


@click.command("models", context_settings=options.SETTINGS)
@options.filesystems
@options.everything
@options.linux()
@options.git
@options.module
@options.kernel
@options.reading
@click.option(
    "--write",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write each model to its place below FOLDER instead of to standard output.",
)
@options.config
def models(
    filesystems: tuple[str, ...], everything: bool, write: Path | None, module: Path | None, **asked: Any
) -> int:
    """Read a kernel tree and write what the reader extracted as model files."""
    if bool(filesystems) == everything and not (module and not filesystems):
        raise UsageError("name the filesystems to read, or give --all")
    if not (asked["linux"] or asked["git"]):
        raise UsageError("models are read from a kernel tree: give --linux DIR, or --git DIR")
    from ..proofs.engine import extract_models
    from ..report.escapes import visible
    from ..report.output import emit, replace_file

    texts = with_progress(
        extract_models,
        {"filesystems": filesystems, "everything": everything, "module": module, **asked},
    )
    if write is None:
        emit("".join(m.text for m in texts))
        return 0
    for model in texts:
        path = write / model.name
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, model.text)
    emit("".join(f"{visible(str(write / m.name))}\n" for m in texts))
    return 0
