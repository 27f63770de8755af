"""The history of a git repository: the commits from one to another, and which of them touch what.

A *line* is a row of commits each of which has the one before it as an ancestor: what `git log --first-parent`
shows.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import pygit2

from ..errors import InputError
from .files import Revision
from .git import repository, root_of, shallow


@dataclass(frozen=True, slots=True)
class Told:
    """What is told of a commit: its full name, the day it was committed, its subject, how many parents."""

    name: str
    date: str
    subject: str
    parents: int


def told(revision: Revision) -> Told:
    """What is told of a commit. InputError if it is not there."""
    commit = _commit(revision)
    zone = datetime.timezone(datetime.timedelta(minutes=commit.commit_time_offset))
    day = datetime.datetime.fromtimestamp(commit.commit_time, zone).date().isoformat()
    subject = commit.raw_message.decode("utf-8", "replace").strip().split("\n", 1)[0]
    return Told(str(commit.id), day, subject, len(commit.parent_ids))


def line(before: Revision, after: Revision) -> tuple[Revision, ...]:
    """The commits from `before`, the first, to `after` along first parents, oldest first.

    Where `before` came in by a merge, the line goes from it to that merge. InputError where it is no ancestor
    of `after`, or the way between them is not in the repository.
    """
    repo = repository(before.repository)
    found = [after.commit]
    if before.commit != after.commit:
        if not _descends(repo, after.commit, before.commit):
            names = f"{before.commit[:12]} is no ancestor of {after.commit[:12]}"
            raise InputError(f"{before.repository}: {names}{shallow(repo)}")
        while parents := _commit(replace(after, commit=found[-1])).parent_ids:
            found.append(str(parents[0]))
            if found[-1] == before.commit:
                break
        if found[-1] != before.commit:
            found = [*_holding(repo, found, before.commit), before.commit]
    return tuple(replace(after, commit=c) for c in reversed(found))


def _descends(repo: pygit2.Repository, young: str, old: str) -> bool:
    """Whether `old` is an ancestor of `young`, as far as the repository has the commits between."""
    try:
        return bool(repo.descendant_of(young, old))
    except (KeyError, pygit2.GitError):
        return False


def _base(repo: pygit2.Repository, one: str, other: str) -> str | None:
    """The best common ancestor of two commits, if it and the way to it are there."""
    try:
        found = repo.merge_base(one, other)
    except (KeyError, pygit2.GitError):
        return None
    return str(found) if found is not None else None


def _holding(repo: pygit2.Repository, newest_first: list[str], old: str) -> list[str]:
    """Those commits of a line that have `old` as an ancestor; the newest has."""
    low, high = 0, len(newest_first)
    while high - low > 1:
        middle = (low + high) // 2
        if _descends(repo, newest_first[middle], old):
            low = middle
        else:
            high = middle
    return newest_first[:high]


def sides(before: Revision, merge: Revision) -> tuple[tuple[Revision, Revision], ...]:
    """What a merge brought in, where `before` precedes it on a line: for each other parent the commit that
    both come from, and that parent. Nothing if `merge` is no merge."""
    repo = repository(merge.repository)
    parents = [str(p) for p in _commit(merge).parent_ids]
    found = []
    for parent in parents if len(parents) > 1 else ():
        base = _base(repo, before.commit, parent)
        if base is not None and base != parent:
            found.append((replace(merge, commit=base), replace(merge, commit=parent)))
    return tuple(found)


@dataclass(slots=True)
class _Node:
    """A path that is watched, or leads to one: whether all below it counts, or which names are in it."""

    whole: bool = False
    names: bool = False
    below: dict[str, _Node] = field(default_factory=dict)


class Watch:
    """Paths (files, or folders with all that is in them), and listings as `tree.Consulted` names them.

    Of a folder that was listed the names count, whatever they end in.
    """

    def __init__(self, paths: Iterable[str], listings: Iterable[str] = ()) -> None:
        self._top = _Node()
        for path in paths:
            self._at(path).whole = True
        for key in listings:
            _, depth, _, folder = key.split("|", 3)
            node = self._at(folder)
            node.names, node.whole = True, node.whole or depth == "deep"

    def _at(self, path: str) -> _Node:
        node = self._top
        for name in path.split("/"):
            if name not in ("", "."):
                node = node.below.setdefault(name, _Node())
        return node

    def touched(self, before: Revision, after: Revision) -> bool:
        """Whether anything that is watched differs between two commits. InputError if one is not there."""
        return _differs(root_of(before), root_of(after), self._top)


def _differs(before: pygit2.Object | None, after: pygit2.Object | None, node: _Node) -> bool:
    if _looks(before) == _looks(after):
        return False
    if node.whole:
        return True
    if node.names and _names(before) != _names(after):
        return True
    return any(_differs(_entry(before, n), _entry(after, n), below) for n, below in node.below.items())


def _looks(entry: pygit2.Object | None) -> tuple[object, object] | None:
    return None if entry is None else (entry.id, entry.filemode)


def _names(entry: pygit2.Object | None) -> list[str]:
    return [str(e.name) for e in entry] if isinstance(entry, pygit2.Tree) else []


def _entry(folder: pygit2.Object | None, name: str) -> pygit2.Object | None:
    """What a tree has under a name; a tree may have thousands, of which few are watched."""
    try:
        return folder[name] if isinstance(folder, pygit2.Tree) else None
    except KeyError:
        return None


def _commit(revision: Revision) -> pygit2.Commit:
    repo = repository(revision.repository)
    try:
        return repo[revision.commit].peel(pygit2.Commit)
    except (KeyError, ValueError, pygit2.GitError):
        raise InputError(
            f"{revision.repository}: commit {revision.commit} is not there{shallow(repo)}"
        ) from None
