"""Names that a user types: patterns, and what was probably meant by a name that does not exist."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Iterable

from ..errors import AbsentError


def unknown(kind: str, word: str, known: Iterable[str]) -> AbsentError:
    """The error for `word`, which is no `kind`; its one line ends in the nearest names there are."""
    names = sorted(set(known))
    near = difflib.get_close_matches(word, names, n=3, cutoff=0.5)
    if not near and len(names) <= 12:
        return AbsentError(f"unknown {kind} {word!r}; there are: {', '.join(names) or 'none'}")
    hint = f"; nearest: {', '.join(near)}" if near else ""
    return AbsentError(f"unknown {kind} {word!r}{hint}")


def select(kind: str, patterns: Iterable[str], known: Iterable[str]) -> tuple[str, ...]:
    """The names among `known`, in its order, that a pattern (a name or a glob such as ``prune-*``) names.

    A pattern that names nothing is an error, so that a misspelt one never selects silently less.
    """
    names = tuple(known)
    chosen: set[str] = set()
    for pattern in patterns:
        matches = fnmatch.filter(names, pattern)
        if not matches:
            raise unknown(kind, pattern, names)
        chosen.update(matches)
    return tuple(n for n in names if n in chosen)
