"""Where a finished document goes: standard output, or a file that is replaced in one step."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TextIO

from ..errors import InputError


def check_target(path: Path | None) -> None:
    """Refuse a file that could not be written, before hours of proving and not after."""
    if path is None or str(path) == "-":
        return
    folder = path.parent
    if path.is_dir():
        raise InputError(f"cannot write {path}: it is a folder")
    if not folder.is_dir():
        raise InputError(f"cannot write {path}: there is no folder {folder}")
    if not os.access(folder, os.W_OK):
        raise InputError(f"cannot write {path}: folder {folder} is not writable")


def emit(text: str, path: Path | None = None) -> None:
    """Write `text` to `path`, or to standard output where that is None or ``-``."""
    if path is None or str(path) == "-":
        _print(text)
    else:
        replace_file(path, text)


def replace_file(path: Path, text: str) -> None:
    """Write under a temporary name, then rename: a reader sees the old file or the whole new one."""
    data = text.encode("utf-8", "backslashreplace")
    target = path.resolve()
    try:
        if target.exists() and not target.is_file():  # a pipe or a device
            target.write_bytes(data)
            return
        temporary = target.parent / f".prove.{os.getpid()}.tmp"
        try:
            temporary.write_bytes(data)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error


def _print(text: str) -> None:
    stream = sys.stdout
    encoding = stream.encoding or "utf-8"
    try:
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except BrokenPipeError:
        _forget(stream)  # the reader has what it wanted
    except OSError as error:
        _forget(stream)
        raise InputError(f"cannot write to standard output: {error.strerror or error}") from error


def _forget(stream: TextIO) -> None:
    """Let what could not be written go nowhere, or Python tries again, and complains, when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
