"""Functions that a macro, called at the top level of a file, defines."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from .macros import arguments, substituted
from .pieces import Kept
from .source import Definition, Expanded, Invocation, Macro, SourceFile, parts

MAX_DEPTH = 4
"""How deep macros nest that define functions."""

MAX_KEPT = 2_000_000
"""How many characters of expanded text are remembered."""

Macros = Callable[[str, SourceFile], tuple[tuple[SourceFile, Macro], ...]]
Found = tuple[tuple[SourceFile, Definition], ...]


class Generated:
    """Finds such functions; `macros` finds what defines a macro. What calls come to is remembered."""

    def __init__(self, macros: Macros) -> None:
        self.macros = macros
        self._kept: Kept[tuple[int, int, Macro], tuple[SourceFile, Expanded]] = Kept(MAX_KEPT)

    def find(self, name: str, files: Iterable[SourceFile]) -> Found:
        """The definitions of function `name` that macro calls at the top level of the first of `files` that
        has any come to. A call whose arguments have no part of the name is passed over: a macro puts names
        together from what it is given."""
        within = parts(name)
        for file in files:
            if not within.isdisjoint(file.given_words):
                found = tuple(self._in(name, within, file, 1))
                if found:
                    return found
        return ()

    def _in(
        self, name: str, within: frozenset[str], file: SourceFile, depth: int
    ) -> Iterable[tuple[SourceFile, Definition]]:
        for call in file.invocations:
            if within.isdisjoint(call.words):
                continue
            for _, macro in self.macros(call.name, file):
                if macro.params is None:
                    continue
                expanded = self._expanded(file, call, macro)
                there = [d for d in expanded.definitions.get(name, ()) if d.kind == "function"]
                found: list[tuple[SourceFile, Definition]] = [(expanded, d) for d in there]
                if not found and depth < MAX_DEPTH:
                    found = list(self._in(name, within, expanded, depth + 1))
                if found:
                    conditions = (*file.conditions(call.start), *macro.condition)
                    yield from ((f, replace(d, condition=(*conditions, *d.condition))) for f, d in found)

    def _expanded(self, file: SourceFile, call: Invocation, macro: Macro) -> Expanded:
        """What a call of `macro` comes to."""

        def make() -> tuple[SourceFile, Expanded]:
            text = file.text[file.code.index("(", call.start) : call.end]
            given = tuple(a.text for a in arguments(text))
            return file, Expanded(file, call.start, substituted(macro, given)[0])

        # Not by the file itself: an expansion and its origin count as equal.
        return self._kept.get((id(file), call.start, macro), call.end - call.start + len(macro.body), make)[1]
