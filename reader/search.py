"""Which C files below a folder have something in them, asked again without reading them again."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .files import Entry, Files, Listing
from .tree import Searched

Look = Callable[[bytearray, int], str]
"""What the first so many bytes of a buffer, all of a file, have in them: a word without spaces, or ""."""
SOURCES = (".c",)
SOURCES_AND_HEADERS = (".c", ".h")


class Search:
    """Looks through the files of a tree that end in one of `suffixes`.

    kind      names `look`: other things that are looked for go by another name
    searched  what is known of folders from before (`Tree.searched`); brought up to date
    """

    def __init__(
        self,
        files: Files,
        searched: Searched,
        look: Look,
        kind: str = "",
        suffixes: tuple[str, ...] = SOURCES,
    ) -> None:
        self.files = files
        self.searched = searched
        self.look = look
        self.kind = kind
        self.suffixes = suffixes
        self._buffer = bytearray(1 << 20)

    def below(self, folder: str, deep: bool = True) -> Iterator[tuple[str, str]]:
        """The path, relative to the root, and the word of each file in `folder` (and below it, if `deep`)
        that has one. Symbolic links to folders are not followed."""
        todo = [folder]
        while todo:
            here = todo.pop()
            listing = self.files.listing(here, self.suffixes)
            if listing is None:
                continue
            if deep:
                todo += [f"{here}/{name}" for name in listing.folders]
            if listing.entries:
                yield from self._in_folder(here, listing)

    def _in_folder(self, here: str, listing: Listing) -> list[tuple[str, str]]:
        key = f"{self.kind}|{here}"
        known = self.searched.get(key)
        if known is not None and known[0] == listing.looks:
            rows = known[1]
        else:
            words = [(self._word(e), f"{here}/{e.name}") for e in listing.entries]
            rows = tuple(f"{word} {path}" for word, path in words if word)
            if listing.settled:
                self.searched[key] = (listing.looks, rows)
            else:
                self.searched.pop(key, None)
        return [(path, word) for word, _, path in (r.partition(" ") for r in rows) if path]

    def _word(self, entry: Entry) -> str:
        """What `look` says of a file; nothing if it is no C source, or lies outside the tree."""
        try:
            return self.look(self._buffer, entry.read_into(self._buffer))
        except OSError:
            return ""
