"""Operators that put into ->d_prune() what does not belong there."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..reader.source import Definition
from ..reader.tables import Table
from .code import Code, Function
from .delays import FREES
from .mutant import Edit, Expected, Mutant

_RELEASE = re.compile(r"\.d_release\s*=\s*&?(\w+)\s*,?")
_PRUNE = re.compile(r"\.d_prune\s*=\s*&?(\w+)")


def free(code: Code) -> Iterator[Mutant]:
    """All of each ->d_release() done in ->d_prune(): as that method, or at the start of the one there is."""
    for table, definition in _tables(code):
        text = table.file.code[definition.start : definition.end]
        release, prune = _RELEASE.search(text), _PRUNE.search(text)
        found = code.by_name.get(release.group(1), ()) if release else ()
        if release is None or not found:
            continue
        path, at = table.file.path, definition.start + release.start()
        if prune is None:
            change = f"d_prune = {release.group(1)}, no d_release"
            edits = [Edit(path, at, at + len(".d_release"), ".d_prune")]
        else:
            change = f"{prune.group(1)}() starts with {release.group(1)}(), no d_release"
            edits = [Edit(path, at, definition.start + release.end(), "")]
            edits += [
                Edit(f.file.path, f.opening, f.opening, f" {release.group(1)}({f.parameters[0]});")
                for f in code.by_name.get(prune.group(1), ())
            ]
            if len(edits) == 1:
                continue
        expected, why = _frees(code, found)
        line = table.file.line(at)
        yield Mutant("free-in-prune", path, line, table.name, change, tuple(edits), expected, why)


def _frees(code: Code, found: tuple[Function, ...]) -> tuple[Expected, str]:
    if any(FREES.search(f.code) for f in found):
        return Expected.MATTERS, "its own text frees"
    if any(FREES.search(f.code) for f in code.named_by(found)):
        return Expected.UNDECIDED, "a function below it frees something"
    if any(re.search(r"\b\w*(?:put|free|release|destroy)\w*\s*\(", f.code) for f in found):
        return Expected.UNDECIDED, "it calls what may free elsewhere"
    return Expected.HARMLESS, "nothing in its text frees"


def unlock(code: Code) -> Iterator[Mutant]:
    """Each ->d_prune(), and what it calls with its dentry, drops d_lock and takes it again."""
    for function, dentry, expected, why in _prunes(code):
        text = f" spin_unlock(&{dentry}->d_lock); spin_lock(&{dentry}->d_lock);"
        yield _inserted("unlock-in-prune", function, text, expected, why)


def store(code: Code) -> Iterator[Mutant]:
    """Each ->d_prune(), and what it calls with its dentry, stores to the dentry."""
    for function, dentry, expected, why in _prunes(code):
        for text in (f" {dentry}->d_fsdata = NULL;", f" {dentry}->d_flags |= 1;"):
            yield _inserted("store-in-prune", function, text, expected, why)


def _prunes(code: Code) -> Iterator[tuple[Function, str, Expected, str]]:
    """Each function that ->d_prune() runs and that is handed a dentry, with the parameter's name."""
    methods = code.methods("d_prune")
    for function in code.followed(code.teardown_programs("d_prune")):
        head = function.file.code[function.definition.start : function.definition.body]
        dentry = re.search(r"\bstruct\s+dentry\s*\*\s*(\w+)", head)
        if dentry is None:
            continue
        if function in methods:
            yield function, dentry.group(1), Expected.MATTERS, "the method itself does it, on every path"
        else:
            why = "it is called by ->d_prune(); whether with the victim is not told"
            yield function, dentry.group(1), Expected.UNDECIDED, why


def _inserted(operator: str, function: Function, text: str, expected: Expected, why: str) -> Mutant:
    at, path = function.opening, function.file.path
    edit = Edit(path, at, at, text)
    change = f"{function.name}() starts with {text.strip()}"
    return Mutant(operator, path, function.line(at), function.name, change, (edit,), expected, why)


def _tables(code: Code) -> Iterator[tuple[Table, Definition]]:
    """The filesystem's own dentry operations tables of which there is a model, with their initialisers."""
    wanted = {m.table for m in code.models}
    for table in code.unit.tables("dentry_operations"):
        if table.name in wanted and table.file in code.files:
            for definition in table.file.definitions.get(table.name, ()):
                if definition.kind == "variable":
                    yield table, definition
