"""Folders of certificates and of exported obligations, and the index that lists what a run put there.

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
from .export import FORMS
from .request import Request
from .verdict import Result, Verdict

EXPORTED_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,180}\.[0-9a-f]{16}"
"""What names of exported files are, without the form's suffix."""


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
    """Each with what it is for: ``certificate``, or the name of a form."""
    exports = request.exports
    certificates = [] if exports.certificates is None else [(exports.certificates, "certificate")]
    return certificates + [(folder, form) for form, folder in exports.scripts]


def _listed(folder: Path, name: str, kernel: str, source: str, results: tuple[Result, ...]) -> None:
    if name == "certificate":
        pattern = FILE_NAME
        wanted = {r.certificate for r in results if r.verdict is Verdict.PROVED} - {""}
    else:
        pattern = re.compile(EXPORTED_NAME + re.escape(FORMS[name].suffix))
        wanted = {file for r in results for form, file in r.exported if form == name}
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
