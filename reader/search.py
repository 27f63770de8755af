"""Which C files below a folder have something in them, asked again without reading them again."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from .source import MAX_BYTES
from .tree import SETTLED, Searched, read_below


def search(root: Path, folder: str, searched: Searched, has: Callable[[bytes], bool]) -> Iterator[str]:
    """Paths, relative to `root`, of the C files in and below `folder` whose bytes satisfy `has`.

    What `searched` knows of a folder that looks as it did then is taken from there; it is brought up to date.
    Symbolic links to folders are not followed.
    """
    todo = [folder] if (root / folder).resolve().is_relative_to(root) else []
    while todo:
        here = todo.pop()
        try:
            with os.scandir(root / here) as listing:
                entries = sorted(listing, key=lambda e: e.name)
        except OSError:
            continue
        todo += [f"{here}/{e.name}" for e in entries if e.is_dir(follow_symlinks=False)]
        files = [e for e in entries if e.name.endswith(".c")]
        if files:
            yield from _in_folder(root, here, files, searched, has)


def _in_folder(
    root: Path,
    here: str,
    files: list[os.DirEntry[str]],
    searched: Searched,
    has: Callable[[bytes], bool],
) -> tuple[str, ...]:
    now = time.time()
    looks: list[tuple[object, ...]] = []
    settled = True
    for entry in files:
        try:
            status = entry.stat()
        except OSError:
            looks.append((entry.name,))
            continue
        looks.append((entry.name, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino))
        settled = settled and max(status.st_mtime, status.st_ctime) < now - SETTLED
    look = hashlib.sha256(repr(looks).encode("utf-8", "surrogateescape")).hexdigest()
    known = searched.get(here)
    if known is not None and known[0] == look:
        return known[1]
    found = tuple(f"{here}/{e.name}" for e in files if has(_bytes(root, here, e)))
    if settled:
        searched[here] = (look, found)
    else:
        searched.pop(here, None)
    return found


def _bytes(root: Path, here: str, entry: os.DirEntry[str]) -> bytes:
    """What the file holds; nothing if it is no C source, or lies outside the tree."""
    try:
        if entry.is_symlink():
            file, _ = read_below(root, f"{here}/{entry.name}")
            return file.raw if file is not None else b""
        if not entry.is_file() or entry.stat().st_size > MAX_BYTES:
            return b""
        return Path(entry.path).read_bytes()
    except OSError:
        return b""
