"""Git repositories, read without a checkout (pygit2, libgit2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

import pygit2
from pygit2.enums import FileMode, RepositoryOpenFlag

from ..errors import InputError
from .files import NOTHING, TOO_LARGE, Listing, Revision, Signature, fill, looks_of
from .source import MAX_BYTES, SourceFile

_LINKS = 8
"""So many symbolic links are followed to one file."""


@cache
def repository(path: Path) -> pygit2.Repository:
    """The repository that has its git directory, or its work tree, at `path`. InputError if there is none."""
    try:
        return pygit2.Repository(str(path), RepositoryOpenFlag.NO_SEARCH)
    except pygit2.GitError:
        raise InputError(f"{path}: no git repository") from None


def revision(path: Path, name: str) -> Revision:
    """The commit that `name` means in the repository at `path`: a branch, ``v6.12~3``, part of a hash.

    InputError where nothing of that name is a commit; it says so if the repository is shallow, since then
    older commits are not there.
    """
    repo = repository(path)
    try:
        commit = repo.revparse_single(name).peel(pygit2.Commit)
    except (KeyError, ValueError, pygit2.GitError):
        raise InputError(f"{path}: no commit {name!r}{shallow(repo)}") from None
    return Revision(path.resolve(), str(commit.id))


def shallow(repo: pygit2.Repository) -> str:
    """The end of a message about a commit that is missing: what to do where the clone is shallow, else ""."""
    return "; the clone is shallow: git fetch --unshallow brings the rest" if repo.is_shallow else ""


def changed(before: Revision, after: Revision) -> tuple[str, ...]:
    """Paths whose content differs between two commits of one repository, sorted."""
    deltas = root_of(before).diff_to_tree(root_of(after)).deltas
    return tuple(sorted({p for d in deltas for p in (d.old_file.path, d.new_file.path)}))


def root_of(revision: Revision) -> pygit2.Tree:
    """The tree of a commit. InputError where it, or the commit, is not in the repository."""
    repo = repository(revision.repository)
    try:
        return repo[revision.commit].peel(pygit2.Tree)
    except (KeyError, ValueError, pygit2.GitError):
        raise InputError(f"{revision.repository}: commit {revision.commit} is not there") from None


class GitFiles:
    """The files of one commit, read from the repository's objects; a work tree is neither needed nor touched.

    See `files.Files`.
    """

    def __init__(self, revision: Revision) -> None:
        self._root = root_of(revision)
        self._read: dict[str, tuple[SourceFile | None, Signature | None]] = {}
        self._blobs: dict[str, pygit2.Blob | str | None] = {}

    def read(self, path: str) -> tuple[SourceFile | None, Signature | None]:
        """See `Files`."""
        if path not in self._read:
            self._read[path] = self.fetch(path)
        return self._read[path]

    def fetch(self, path: str) -> tuple[SourceFile | None, Signature | None]:
        """See `Files`."""
        blob = self._blob(path)
        if isinstance(blob, str):
            return SourceFile(path, b"", problem=blob), None
        if blob is None:
            return None, None
        if blob.size > MAX_BYTES:
            return SourceFile(path, b"", problem=TOO_LARGE), None
        return SourceFile(path, blob.data), _signature(blob)

    def glance(self, path: str) -> Signature | None:
        """See `Files`."""
        blob = self._blob(path)
        if blob is None:
            return NOTHING
        return _signature(blob) if isinstance(blob, pygit2.Blob) else None

    def names(self, folder: str, suffixes: tuple[str, ...], deep: bool) -> Iterator[str]:
        """See `Files`."""
        start = self._folder(folder)
        todo = [(_prefix(folder), start)] if start is not None else []
        while todo:
            here, tree = todo.pop()
            for entry in tree:
                name = str(entry.name)
                if isinstance(entry, pygit2.Tree):
                    if deep:
                        todo.append((f"{here}{name}/", entry))
                elif isinstance(entry, pygit2.Blob) and name.endswith(suffixes):
                    yield here + name

    def listing(self, folder: str, suffixes: tuple[str, ...]) -> Listing | None:
        """See `Files`."""
        tree = self._folder(folder)
        if tree is None:
            return None
        inside = sorted((str(e.name), e) for e in tree)
        folders = tuple(name for name, e in inside if isinstance(e, pygit2.Tree))
        blobs = [(n, e) for n, e in inside if isinstance(e, pygit2.Blob) and n.endswith(suffixes)]
        entries = tuple(_Stored(name, self, _prefix(folder) + name) for name, _ in blobs)
        looks = looks_of([(name, str(e.id), int(e.filemode)) for name, e in blobs])
        return Listing(folders, entries, looks, settled=True)

    def size(self, path: str) -> int:
        """See `Files`."""
        blob = self._blob(path)
        return int(blob.size) if isinstance(blob, pygit2.Blob) else 0

    def forget(self, path: str) -> None:
        """See `Files`."""
        self._read.pop(path, None)

    def _folder(self, folder: str) -> pygit2.Tree | None:
        """The tree object of a folder; None if there is none."""
        found = self._root if folder in ("", ".") else self._at(folder)
        return found if isinstance(found, pygit2.Tree) else None

    def _at(self, path: str) -> pygit2.Object | None:
        try:
            return self._root[path]
        except (KeyError, ValueError):
            return None

    def _blob(self, path: str) -> pygit2.Blob | str | None:
        """The blob at `path`, symbolic links followed within the tree; None if there is none, or in words why
        it cannot be read."""
        if path not in self._blobs:
            self._blobs[path] = self._found(path)
        return self._blobs[path]

    def _found(self, path: str) -> pygit2.Blob | str | None:
        here = path
        for _ in range(_LINKS):
            if not here or here.startswith("/"):
                return "leads out of the tree"
            found = self._at(here)
            if not isinstance(found, pygit2.Blob):
                return None
            if found.filemode != FileMode.LINK:
                return found
            here = _joined(str(PurePosixPath(here).parent), found.data.decode("utf-8", "surrogateescape"))
        return "its path leads nowhere"


@dataclass(frozen=True, slots=True)
class _Stored:
    name: str
    files: GitFiles
    path: str

    def read_into(self, buffer: bytearray) -> int:
        """See `files.Entry`."""
        file, _ = self.files.fetch(self.path)
        return fill(buffer, file.raw) if file is not None else 0


def _signature(blob: pygit2.Blob) -> Signature:
    return (int(str(blob.id), 16),)


def _prefix(folder: str) -> str:
    return "" if folder in ("", ".") else folder.rstrip("/") + "/"


def _joined(folder: str, target: str) -> str:
    """A link's target as a path from the root; empty if it leads out of it."""
    if target.startswith("/"):
        return ""
    parts = [p for p in folder.split("/") if p not in ("", ".")]
    for part in target.split("/"):
        if part == "..":
            if not parts:
                return ""
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)
