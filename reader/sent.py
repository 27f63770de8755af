"""A tree by what of it one unit may need: what goes to a machine that has no such tree, and is read there.

Which files that is is told from includes: the unit's own files, those that it may be linked with, and every
header that these include. Where that was not enough, the reader on the other machine stops and says what it
lacks; it never takes for absent what was only not sent.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from ..errors import DentryproofError, InternalError
from .files import Listing, Sent, Signature
from .source import SourceFile
from .tree import ABSENT, Scope, Tree, content
from .units import unit_at

_known: dict[tuple[str, str], SourceFile] = {}
"""What this process read, by path and content: headers serve one unit after the other, and one commit after
the other."""


class LackingError(DentryproofError):
    """What was sent lacks something that the reader asks for: a ``file`` by its path, a ``listing`` by its
    key."""

    def __init__(self, kind: str, what: str) -> None:
        super().__init__(kind, what)
        self.kind, self.what = kind, what

    def __str__(self) -> str:
        return f"the {self.kind} {self.what} was not sent"


def needed(tree: Tree, folder: str, own: bool) -> Tree:
    """A view of `tree` that was asked for all that the unit may need: its `consulted` names that."""
    view = tree.afresh()
    unit = unit_at(view, folder, own)
    view.file("Makefile")
    for path in (*unit.sources, *Scope.SHARED):
        view.headers(path)
    return view


class SentFiles:
    """The files that were sent. See `files.Files`; LackingError for what was not."""

    def __init__(self, sent: Sent) -> None:
        self._sent = sent

    def read(self, path: str) -> tuple[SourceFile | None, Signature | None]:
        """See `Files`."""
        word = self._sent.files.get(path)
        if word is None:
            raise LackingError("file", path)
        if word == ABSENT:
            return None, None
        if (path, word) not in _known:
            _known[path, word] = self._unpacked(path, word)
        return _known[path, word], None

    def _unpacked(self, path: str, word: str) -> SourceFile:
        if word.startswith("!"):
            return SourceFile(path, b"", problem=word[1:])
        file = SourceFile(path, zlib.decompress(self._sent.texts[word]))
        if content(file) != word:
            raise InternalError(f"{path} arrived damaged")
        return file

    def fetch(self, path: str) -> tuple[SourceFile | None, Signature | None]:
        """See `Files`."""
        return self.read(path)

    def glance(self, path: str) -> Signature | None:
        """See `Files`: there is nothing by which a file is known unread."""
        return None

    def names(self, folder: str, suffixes: tuple[str, ...], deep: bool) -> Iterable[str]:
        """See `Files`."""
        key = f"{self._sent.where}|{'deep' if deep else 'flat'}|{','.join(suffixes)}|{folder}"
        if key not in self._sent.listings:
            raise LackingError("listing", key)
        return self._sent.listings[key]

    def listing(self, folder: str, suffixes: tuple[str, ...]) -> Listing | None:
        """See `Files`. That it has an fs/ makes it a tree; it is not there to be searched."""
        if (folder, suffixes) != ("fs", ()):
            raise InternalError(f"what was sent of a tree cannot be searched: {folder}")
        return Listing((), (), "", settled=True)

    def size(self, path: str) -> int:
        """See `Files`."""
        file, _ = self.read(path)
        return len(file.raw) if file is not None else 0

    def forget(self, path: str) -> None:
        """See `Files`."""
        _known.pop((path, self._sent.files.get(path, "")), None)
