"""Functions that a macro, called at the top level of a file, defines."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from .macros import arguments, substituted
from .source import Definition, Expanded, Macro, SourceFile

MAX_DEPTH = 4
"""How deep macros nest that define functions."""

Macros = Callable[[str, SourceFile], tuple[tuple[SourceFile, Macro], ...]]
Found = tuple[tuple[SourceFile, Definition], ...]


def generated(name: str, files: Iterable[SourceFile], macros: Macros) -> Found:
    """The definitions of function `name` that macro calls at the top level of the first of `files` that has
    any come to; `macros` finds what defines a macro. A call whose arguments have no part of the name is
    passed over: a macro puts names together from what it is given."""
    for file in files:
        found = tuple(_in(name, file, macros, 1))
        if found:
            return found
    return ()


def _in(name: str, file: SourceFile, macros: Macros, depth: int) -> Iterable[tuple[SourceFile, Definition]]:
    for call in file.invocations:
        if not any(word in name for word in call.words):
            continue
        for _, macro in macros(call.name, file):
            if macro.params is None:
                continue
            given = tuple(a.text for a in arguments(file.text[file.code.index("(", call.start) : call.end]))
            text = substituted(macro, given)[0]
            expanded = Expanded(file, call.start, text)
            there = [d for d in expanded.definitions.get(name, ()) if d.kind == "function"]
            found: list[tuple[SourceFile, Definition]] = [(expanded, d) for d in there]
            if not found and depth < MAX_DEPTH:
                found = list(_in(name, expanded, macros, depth + 1))
            conditions = (*file.conditions(call.start), *macro.condition)
            yield from ((f, replace(d, condition=(*conditions, *d.condition))) for f, d in found)
