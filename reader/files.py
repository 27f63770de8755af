"""Files by their paths, wherever they are kept: a folder, a revision in git, texts over either.

A reader never learns which: it asks for text, for names, and by what a file is known again unread.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ..errors import InputError
from .source import MAX_BYTES, SourceFile

SETTLED = 2.0
"""A file that changed less than so many seconds ago may change again without another time stamp."""

Signature = tuple[int, ...]
"""By what a file is known again. On disc: size, times of the last change of content and of status in ns, and
inode number, as git's index has it; in git the name of the blob, as a number."""


NOTHING: Signature = ()
"""The signature of a file that is not there."""


@dataclass(frozen=True, slots=True)
class Revision:
    """A commit of a git repository: `repository` is its folder or git directory, `commit` its full name."""

    repository: Path
    commit: str

    def __str__(self) -> str:
        return f"{self.repository}@{self.commit[:12]}"


@dataclass(frozen=True, slots=True)
class Sent:
    """What one unit may need of a tree, for a machine that has no such tree (`reader/sent.py`).

    key       a hash of all of it
    files     by path, what is there, as `tree.content` says it
    listings  by the key that `tree.Consulted` has, the names
    texts     by content, the files' bytes, compressed
    where     whether it stands for the ``tree`` or for the ``module`` beside it
    name      of the module's folder
    """

    key: str
    files: Mapping[str, str] = field(compare=False, repr=False)
    listings: Mapping[str, tuple[str, ...]] = field(compare=False, repr=False)
    texts: Mapping[str, bytes] = field(compare=False, repr=False, default_factory=dict)
    where: str = "tree"
    name: str = ""


Origin = Path | Revision
"""Where a tree is kept."""
Root = Origin | Sent
"""What a tree is read from."""
Module = Path | Sent | None
"""Where the sources outside the tree are, if there are any."""


class Entry(Protocol):
    """One file of a folder that is looked through."""

    @property
    def name(self) -> str:
        """Its name in that folder."""

    def read_into(self, buffer: bytearray) -> int:
        """Read the file into the buffer, which grows where it must; how many bytes there are, 0 for what is
        no source. OSError for what cannot be read."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What is in one folder.

    folders  names of the folders in it, symbolic links left out
    entries  the files that were asked for, by name
    looks    what they look like, as one word; equal words, equal files
    settled  that a change would show in `looks`
    """

    folders: tuple[str, ...]
    entries: tuple[Entry, ...]
    looks: str
    settled: bool


class Files(Protocol):
    """Files by their paths relative to some root: what a `Tree` reads through."""

    def read(self, path: str) -> tuple[SourceFile | None, Signature | None]:
        """The file at `path`, None if there is none, and its signature where it has settled.

        A file that cannot be read as C source has its `problem` set and no text; so has one whose path leads
        out of the root.
        """

    def fetch(self, path: str) -> tuple[SourceFile | None, Signature | None]:
        """The same as it is now, without remembering it."""

    def glance(self, path: str) -> Signature | None:
        """By what the file at `path` is known again: `NOTHING` if there is none, None if it must be read."""

    def names(self, folder: str, suffixes: tuple[str, ...], deep: bool) -> Iterable[str]:
        """The paths of the files in `folder` (and below it, if `deep`) that end in one of `suffixes`."""

    def listing(self, folder: str, suffixes: tuple[str, ...]) -> Listing | None:
        """What is in `folder`, with the files that end in one of `suffixes`; None if there is none."""

    def size(self, path: str) -> int:
        """The size of a file in bytes; 0 if there is none."""

    def forget(self, path: str) -> None:
        """Nobody else will ask for the text of this file."""


def files_of(origin: Root) -> Files:
    """The files of a tree. InputError where there is no such folder, repository or commit."""
    if isinstance(origin, Revision):
        from .git import GitFiles

        return GitFiles(origin)
    if isinstance(origin, Sent):
        from .sent import SentFiles

        return SentFiles(origin)
    return Folder(origin)


def signature(status: os.stat_result, now: float) -> Signature | None:
    """By what a file on disc is known again; None for one that changed just before `now`."""
    if not stat.S_ISREG(status.st_mode) or max(status.st_mtime, status.st_ctime) > now - SETTLED:
        return None
    return (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def read_below(base: Path, path: str) -> tuple[SourceFile | None, Signature | None]:
    """The file at `path` below `base`, as `Files.read` gives it."""
    try:
        resolved = (base / path).resolve()
    except (OSError, RuntimeError, ValueError):
        return SourceFile(path, b"", problem="its path leads nowhere"), None
    if not resolved.is_relative_to(base):
        return SourceFile(path, b"", problem="leads out of the tree"), None
    try:
        if not resolved.is_file():
            return None, None
        status = resolved.stat()
        if status.st_size > MAX_BYTES:
            return SourceFile(path, b"", problem=TOO_LARGE), None
        known = signature(status, time.time())
        return SourceFile(path, resolved.read_bytes()), known
    except OSError as error:
        return SourceFile(path, b"", problem=error.strerror or "cannot be read"), None


TOO_LARGE = f"larger than {MAX_BYTES >> 20} MiB"


def looks_of(seen: object) -> str:
    return hashlib.sha256(repr(seen).encode("utf-8", "surrogateescape")).hexdigest()


# -- a folder --------------------------------------------------------------------------------------------


class Folder:
    """The files below the folder `base`, and nothing outside it. What was read is remembered."""

    def __init__(self, base: Path) -> None:
        self.base = base.resolve()
        self._read: dict[str, tuple[SourceFile | None, Signature | None]] = {}
        self._inside: dict[str, bool] = {}
        if not self.base.is_dir():
            raise InputError(f"{base}: no such folder")

    def read(self, path: str) -> tuple[SourceFile | None, Signature | None]:
        """See `Files`."""
        if path not in self._read:
            self._read[path] = self.fetch(path)
        return self._read[path]

    def fetch(self, path: str) -> tuple[SourceFile | None, Signature | None]:
        """See `Files`."""
        return read_below(self.base, path)

    def glance(self, path: str) -> Signature | None:
        """See `Files`."""
        try:
            status = os.lstat(f"{self.base}/{path}")
        except (FileNotFoundError, NotADirectoryError):
            return NOTHING
        except (OSError, ValueError):
            return None
        inside = stat.S_ISREG(status.st_mode) and self._is_inside(path)
        return signature(status, time.time()) if inside else None

    def names(self, folder: str, suffixes: tuple[str, ...], deep: bool) -> Iterable[str]:
        """See `Files`."""
        start = self.base / folder
        if not start.resolve().is_relative_to(self.base) or not start.is_dir():
            return ()
        walk = start.rglob("*") if deep else start.glob("*")
        return (str(p.relative_to(self.base)) for p in walk if p.name.endswith(suffixes))

    def listing(self, folder: str, suffixes: tuple[str, ...]) -> Listing | None:
        """See `Files`."""
        start = self.base / folder
        try:
            if not start.resolve().is_relative_to(self.base):
                return None
            with os.scandir(start) as found:
                entries = sorted(found, key=lambda e: e.name)
        except (OSError, RuntimeError, ValueError):
            return None
        folders = tuple(e.name for e in entries if e.is_dir(follow_symlinks=False))
        files = [e for e in entries if e.name.endswith(suffixes)]
        now, settled = time.time(), True
        seen: list[tuple[object, ...]] = []
        for entry in files:
            try:
                status = entry.stat()
            except OSError:
                seen.append((entry.name,))
                continue
            seen.append((entry.name, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino))
            settled = settled and max(status.st_mtime, status.st_ctime) < now - SETTLED
        inside = tuple(_OnDisc(e.name, e, self.base, f"{folder}/{e.name}") for e in files)
        return Listing(folders, inside, looks_of(seen), settled)

    def size(self, path: str) -> int:
        """See `Files`."""
        try:
            return (self.base / path).stat().st_size
        except (OSError, ValueError):
            return 0

    def forget(self, path: str) -> None:
        """See `Files`."""
        self._read.pop(path, None)

    def _is_inside(self, path: str) -> bool:
        """Whether the folder of `path` lies below the base, symbolic links followed."""
        folder = f"{self.base}/{path.rpartition('/')[0]}"
        if folder not in self._inside:
            self._inside[folder] = Path(folder).resolve().is_relative_to(self.base)
        return self._inside[folder]


@dataclass(frozen=True, slots=True)
class _OnDisc:
    name: str
    entry: os.DirEntry[str]
    base: Path
    path: str

    def read_into(self, buffer: bytearray) -> int:
        """See `Entry`."""
        if self.entry.is_symlink():
            file, _ = read_below(self.base, self.path)
            return fill(buffer, file.raw) if file is not None else 0
        if not self.entry.is_file() or self.entry.stat().st_size > MAX_BYTES:
            return 0
        handle = os.open(self.entry.path, os.O_RDONLY)
        try:
            total = os.readv(handle, [buffer])
            while total == len(buffer):
                buffer.extend(bytes(len(buffer)))
                total += os.readv(handle, [memoryview(buffer)[total:]])
            return total
        finally:
            os.close(handle)


def fill(buffer: bytearray, raw: bytes) -> int:
    buffer[: len(raw)] = raw
    return len(raw)


# -- texts over others -----------------------------------------------------------------------------------


class Overlaid:
    """`below`, with the files at some paths replaced or added, or gone where the text is None."""

    def __init__(self, below: Files, texts: Mapping[str, str | None]) -> None:
        self.below = below
        self._files = {
            path: None if text is None else SourceFile(path, text.encode("utf-8", "surrogateescape"))
            for path, text in texts.items()
        }

    def read(self, path: str) -> tuple[SourceFile | None, Signature | None]:
        """See `Files`."""
        return (self._files[path], None) if path in self._files else self.below.read(path)

    def fetch(self, path: str) -> tuple[SourceFile | None, Signature | None]:
        """See `Files`."""
        return (self._files[path], None) if path in self._files else self.below.fetch(path)

    def glance(self, path: str) -> Signature | None:
        """See `Files`."""
        return None if path in self._files else self.below.glance(path)

    def names(self, folder: str, suffixes: tuple[str, ...], deep: bool) -> Iterator[str]:
        """See `Files`."""
        yield from (p for p in self.below.names(folder, suffixes, deep) if p not in self._files)
        start = "" if folder in ("", ".") else folder.rstrip("/") + "/"
        for path, file in self._files.items():
            named = path.startswith(start) and path.endswith(suffixes)
            if file is not None and named and (deep or "/" not in path[len(start) :]):
                yield path

    def listing(self, folder: str, suffixes: tuple[str, ...]) -> Listing | None:
        """See `Files`."""
        start = "" if folder in ("", ".") else folder + "/"
        inner = {p[len(start) :]: f for p, f in self._files.items() if p.startswith(start)}
        found = self.below.listing(folder, suffixes)
        if not inner:
            return found
        here = {n: f for n, f in inner.items() if "/" not in n and n.endswith(suffixes)}
        added = {n.partition("/")[0] for n, f in inner.items() if "/" in n and f is not None}
        if found is None:
            found = Listing((), (), "", True)
        entries: list[Entry] = [e for e in found.entries if e.name not in here]
        entries += [_Given(n, f) for n, f in here.items() if f is not None]
        entries.sort(key=lambda e: e.name)
        seen = (found.looks, sorted((n, f.sha256 if f else "") for n, f in here.items()))
        looks = looks_of(seen) if here else found.looks
        return Listing(tuple(sorted({*found.folders, *added})), tuple(entries), looks, found.settled)

    def size(self, path: str) -> int:
        """See `Files`."""
        file = self._files.get(path)
        return len(file.raw) if file is not None else 0 if path in self._files else self.below.size(path)

    def forget(self, path: str) -> None:
        """See `Files`; a text that was given stays."""
        if path not in self._files:
            self.below.forget(path)


@dataclass(frozen=True, slots=True)
class _Given:
    name: str
    file: SourceFile

    def read_into(self, buffer: bytearray) -> int:
        """See `Entry`."""
        return fill(buffer, self.file.raw)
