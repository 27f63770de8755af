"""Which C files below a folder have something in them, asked again without reading them again."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from .source import MAX_BYTES
from .tree import SETTLED, Searched, read_below

Look = Callable[[bytearray, int], str]
"""What the first so many bytes of a buffer, all of a file, have in them: a word without spaces, or ""."""
SOURCES = (".c",)
SOURCES_AND_HEADERS = (".c", ".h")


class Search:
    """Looks through the files below `root` that end in one of `suffixes`.

    kind      names `look`: other things that are looked for go by another name
    searched  what is known of folders from before (`Tree.searched`); brought up to date
    """

    def __init__(
        self, root: Path, searched: Searched, look: Look, kind: str = "", suffixes: tuple[str, ...] = SOURCES
    ) -> None:
        self.root = root
        self.searched = searched
        self.look = look
        self.kind = kind
        self.suffixes = suffixes
        self._buffer = bytearray(1 << 20)

    def below(self, folder: str, deep: bool = True) -> Iterator[tuple[str, str]]:
        """The path, relative to the root, and the word of each file in `folder` (and below it, if `deep`)
        that has one. Symbolic links to folders are not followed."""
        todo = [folder] if (self.root / folder).resolve().is_relative_to(self.root) else []
        while todo:
            here = todo.pop()
            try:
                with os.scandir(self.root / here) as listing:
                    entries = sorted(listing, key=lambda e: e.name)
            except OSError:
                continue
            if deep:
                todo += [f"{here}/{e.name}" for e in entries if e.is_dir(follow_symlinks=False)]
            files = [e for e in entries if e.name.endswith(self.suffixes)]
            if files:
                yield from self._in_folder(here, files)

    def _in_folder(self, here: str, files: list[os.DirEntry[str]]) -> list[tuple[str, str]]:
        now = time.time()
        seen: list[tuple[object, ...]] = []
        settled = True
        for entry in files:
            try:
                status = entry.stat()
            except OSError:
                seen.append((entry.name,))
                continue
            seen.append((entry.name, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino))
            settled = settled and max(status.st_mtime, status.st_ctime) < now - SETTLED
        looks = hashlib.sha256(repr(seen).encode("utf-8", "surrogateescape")).hexdigest()
        key = f"{self.kind}|{here}"
        known = self.searched.get(key)
        if known is not None and known[0] == looks:
            rows = known[1]
        else:
            words = [(self._word(here, e), f"{here}/{e.name}") for e in files]
            rows = tuple(f"{word} {path}" for word, path in words if word)
            if settled:
                self.searched[key] = (looks, rows)
            else:
                self.searched.pop(key, None)
        return [(path, word) for word, _, path in (r.partition(" ") for r in rows) if path]

    def _word(self, here: str, entry: os.DirEntry[str]) -> str:
        """What `look` says of a file; nothing if it is no C source, or lies outside the tree."""
        try:
            if entry.is_symlink():
                file, _ = read_below(self.root, f"{here}/{entry.name}")
                return self.look(bytearray(file.raw), len(file.raw)) if file is not None else ""
            if not entry.is_file() or entry.stat().st_size > MAX_BYTES:
                return ""
            return self.look(self._buffer, self._read(entry.path))
        except OSError:
            return ""

    def _read(self, path: str) -> int:
        """Read a file into the buffer, which grows with the largest; how many bytes there are."""
        handle = os.open(path, os.O_RDONLY)
        try:
            total = os.readv(handle, [self._buffer])
            while total == len(self._buffer):
                self._buffer.extend(bytes(len(self._buffer)))
                total += os.readv(handle, [memoryview(self._buffer)[total:]])
            return total
        finally:
            os.close(handle)
