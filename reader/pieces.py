"""Function definitions, parsed: once for each way in which the configuration can cut through them.

What was parsed is remembered, up to a bound, as long as the process lives: a function is called from many
places, and several tables of a tree share files.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from .parse import Parsed, errors, parse_function
from .preprocessor import Choice, TooManyVariants, variants
from .source import Definition, SourceFile

MAX_KEPT = 2_000_000
"""How many characters of source are kept parsed; a tree takes some fifty bytes a character."""

_HAS_CONDITIONAL = re.compile(r"^[ \t]*#[ \t]*if", re.M)
_INCLUDES = re.compile(r"^[ \t]*#[ \t]*include\b", re.M)

_K = TypeVar("_K")
_V = TypeVar("_V")


class Kept(Generic[_K, _V]):
    """Remembers what was made last, as much of it as has a total weight below `limit`."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.weight = 0
        self._kept: OrderedDict[_K, tuple[_V, int]] = OrderedDict()

    def get(self, key: _K, weight: int, make: Callable[[], _V]) -> _V:
        """What is kept for `key`, or else what `make` makes, kept from now on."""
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
            return found[0]
        value = make()
        self._kept[key] = value, weight
        self.weight += weight
        while self.weight > self.limit and len(self._kept) > 1:
            self.weight -= self._kept.popitem(last=False)[1][1]
        return value


@dataclass(frozen=True)
class Pieces:
    """A function, parsed: for each configuration that matters, the conditions that it takes and the text.

    problem  why what is parsed is not all that the function does; "" if it is. `at`: where (an offset)
    """

    ways: tuple[tuple[Choice, Parsed], ...]
    problem: str = ""
    at: int = 0


_kept: Kept[tuple[SourceFile, Definition], Pieces] = Kept(MAX_KEPT)


def pieces(file: SourceFile, definition: Definition) -> Pieces:
    """The function `definition` of `file`, parsed."""
    weight = definition.end - definition.start
    return _kept.get((file, definition), weight, lambda: _pieces(file, definition))


def _pieces(file: SourceFile, definition: Definition) -> Pieces:
    start, end = definition.start, definition.end
    text, code = file.text[start:end], file.code[start:end]
    body = max(0, definition.body - start)
    included = _INCLUDES.search(code)
    conditional = bool(_HAS_CONDITIONAL.search(code))
    problem = definition.broken
    whole = parse_function(text, definition.name, start) if not conditional else None
    if whole is not None or "conflict" in problem:
        whole = whole or parse_function(text, definition.name, start)
        if included and not problem:
            return Pieces((((), whole),), "a file is included in it", start + included.start())
        return Pieces((((), whole),), problem, _first_error(whole, start))
    for every in (False, True):
        try:
            texts = variants(text, code, body, every)
        except TooManyVariants as many:
            where = start + (many.args[0] if many.args else 0)
            whole = parse_function(text, definition.name, start)
            return Pieces((((), whole),), "too many #if lines cut through it", where)
        ways = tuple((chosen, parse_function(t, definition.name, start)) for chosen, t in texts)
        if not any(p.root.has_error for _, p in ways):
            return Pieces(ways)
    return Pieces(ways, problem, start)


def _first_error(piece: Parsed, start: int) -> int:
    bad = errors(piece.root)
    return start + (bad[0].start_byte if bad else 0)
