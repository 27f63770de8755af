"""Folders of certificates and of scripts, and the index that lists what a run put there.

A folder is used if it is new, empty, or has an index from before. When a run has come to its end, files of
earlier ones go; they are told by their names, which end in a hash.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from ..checker.form import FILE_NAME, INDEX
from ..errors import InputError, UsageError
from .certificate import index, text
from .evidence import write
from .request import Request
from .verdict import Result, Verdict

SCRIPT_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,180}\.[0-9a-f]{16}\.smt2")


def prepare(request: Request) -> None:
    """Make the folders of a run. UsageError for one that holds something else; InputError where that cannot
    be done."""
    for folder, name in _folders(request):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not (folder / INDEX).exists() and any(folder.iterdir()):
                raise UsageError(
                    f"{folder} is neither empty nor a folder that this tool wrote: it has no {INDEX}"
                )
        except OSError as error:
            raise InputError(f"cannot write {folder}: {error.strerror or error}") from error
        if not (folder / INDEX).exists():  # what is interrupted from here on may be gone on with
            write(folder / INDEX, text(index("", "", (), {}, name)))


def finish(request: Request, kernel: str, results: tuple[Result, ...]) -> None:
    """Write the indexes."""
    source = "tree" if request.linux else "models"
    for folder, name in _folders(request):
        _listed(folder, name, kernel, source, results)


def _folders(request: Request) -> list[tuple[Path, str]]:
    asked = ((request.exports.certificates, "certificate"), (request.exports.scripts, "script"))
    return [(folder, name) for folder, name in asked if folder is not None]


def _listed(folder: Path, name: str, kernel: str, source: str, results: tuple[Result, ...]) -> None:
    pattern = FILE_NAME if name == "certificate" else SCRIPT_NAME
    wanted = {getattr(r, name) for r in results if name == "script" or r.verdict is Verdict.PROVED} - {""}
    hashes: dict[str, str] = {}
    try:
        for path in sorted(folder.iterdir()):
            if pattern.fullmatch(path.name):
                if path.name in wanted:
                    hashes[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
                else:
                    path.unlink()
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror or error}") from error
    document: dict[str, Any] = index(kernel, source, results, hashes, name)
    write(folder / INDEX, text(document))
