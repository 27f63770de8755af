"""Whether a tree is still what an answer about it rests on.

A file is known again by size, times and inode number, and read and hashed only where one of them differs,
as git does with its index. What is remembered of a tree from run to run is a hint: without it everything
is read again.
"""

from __future__ import annotations

from typing import Any

from .files import NOTHING, Files, Signature
from .tree import ABSENT, Consulted, Searched, Tree, content, names_hash

_HASH = 64
"""Length of a SHA-256 in hex."""


class State:
    """What stands in `tree` now. `remembered` is what `memory` gave in an earlier run."""

    def __init__(self, tree: Tree, remembered: Any = None) -> None:
        self.tree = tree
        self._known: dict[str, Signature] = {}
        self._hashes: dict[str, str] = {}
        self._now: dict[str, str] = {}
        self._listings: dict[str, str] = {}
        self._changed = False
        if isinstance(remembered, dict):
            self._recall(remembered)
        self._searched = dict(tree.searched)

    def holds(self, files: dict[str, str], listings: dict[str, str]) -> bool:
        """Whether every path has the content, and every listing the names, that it had (`Consulted`)."""
        return all(self.content(p) == was for p, was in files.items()) and all(
            self.listing(k) == was for k, was in listings.items()
        )

    def content(self, path: str) -> str:
        """What is at `path`, as `reader.tree.content` says it."""
        if path not in self._now:
            found = (self._in(files, path) for files in self.tree.places)
            self._now[path] = next((f for f in found if f is not None), ABSENT)
        return self._now[path]

    def listing(self, key: str) -> str:
        """The hash of a listing's names."""
        if key not in self._listings:
            self._listings[key] = names_hash(self.tree.listed(key))
        return self._listings[key]

    def learn(self, consulted: Consulted) -> None:
        """Remember what somebody who read the tree found there."""
        for path, known in consulted.signatures.items():
            if len(consulted.files.get(path, "")) == _HASH:
                self._remember(path, known, consulted.files[path])

    def memory(self) -> dict[str, Any]:
        """What the next run wants to remember."""
        return {
            "files": {p: [*known, self._hashes[p]] for p, known in self._known.items()},
            "searched": {folder: [look, *found] for folder, (look, found) in self.tree.searched.items()},
        }

    @property
    def news(self) -> bool:
        """Whether `memory` has something that was not remembered."""
        return self._changed or self.tree.searched != self._searched

    def _recall(self, remembered: dict[str, Any]) -> None:
        """Take over what has the right form; the memory is a file that others may have written."""
        files, searched = remembered.get("files"), remembered.get("searched")
        for path, row in files.items() if isinstance(files, dict) else ():
            if isinstance(row, list) and len(row) > 1 and isinstance(row[-1], str):
                self._known[path], self._hashes[path] = tuple(row[:-1]), row[-1]
        found: Searched = {}
        for folder, row in searched.items() if isinstance(searched, dict) else ():
            if isinstance(row, list) and row and all(isinstance(w, str) for w in row):
                found[folder] = (row[0], tuple(row[1:]))
        self.tree.searched.update(found)

    def _remember(self, path: str, known: Signature, sha256: str) -> None:
        if self._known.get(path) != known or self._hashes.get(path) != sha256:
            self._known[path], self._hashes[path] = known, sha256
            self._changed = True

    def _in(self, files: Files, path: str) -> str | None:
        """The content of `path` in one of the tree's places; None if nothing is there."""
        known = files.glance(path)
        if known == NOTHING:
            return None
        if known is not None and self._known.get(path) == known:
            return self._hashes[path]
        file, settled = files.fetch(path)
        if file is None:
            return None
        found = content(file)
        if known is not None and settled is not None and len(found) == _HASH:
            self._remember(path, settled, found)
        return found
