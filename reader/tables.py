"""Operations tables of a tree: where they are, what they name, and whose they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..spec.program import Source
from .search import search
from .source import Definition, SourceFile
from .tree import Scope, Tree

FOLDERS = ("fs", "mm", "net", "ipc", "kernel", "security", "drivers/dma-buf", "drivers")
_TABLE = re.compile(rb"struct\s+dentry_operations\s+\w+\s*(?:\[[^\]]*\])?[^;={]*=")
_SLOT = re.compile(r"\.\s*(\w+)\s*=\s*&?\s*(\w+)\s*(?=[,}\n])")
_TYPE_NAME = re.compile(r"\.name\s*=\s*\"([^\"]+)\"")
_NAME_MACRO = re.compile(r"\.name\s*=\s*([A-Z]\w+)")
_SMALL_FOLDER = 2


@dataclass(frozen=True)
class Table:
    """An initialised operations structure: its slots as (member, function), in source order."""

    name: str
    ctype: str
    file: SourceFile
    line: int
    slots: tuple[tuple[str, str], ...]
    condition: tuple[str, ...]

    def functions(self, member: str) -> tuple[str, ...]:
        """The functions stored in `member` (several in an array of tables)."""
        return tuple(dict.fromkeys(f for m, f in self.slots if m == member))


def places(scope: Scope, table: Table) -> tuple[tuple[str, Source], ...]:
    """Where the functions of `table` are defined, by name; those that are found."""
    found: dict[str, Source] = {}
    for function in dict(sorted((f, m) for m, f in table.slots)):
        for file, definition in scope.find(function, "function", table.file)[:1]:
            found[function] = Source(file.path, file.line(definition.start), function)
    return tuple(found.items())


def tables(file: SourceFile, ctype: str) -> tuple[Table, ...]:
    """The tables of structure type `ctype` that `file` initialises."""
    found = []
    for definitions in file.definitions.values():
        for d in definitions:
            if d.kind == "variable" and d.ctype == ctype:
                found.append(_table(file, d))
    return tuple(found)


def _table(file: SourceFile, d: Definition) -> Table:
    body = file.code[d.start : d.end]
    opening = body.index("{")
    slots = tuple((m, f) for m, f in _SLOT.findall(body, opening) if not f.isdigit() and f != "NULL")
    line = file.line(d.start + body[:opening].rindex(d.name))
    return Table(d.name, d.ctype, file, line, slots, d.condition)


@dataclass(frozen=True)
class Unit:
    """One filesystem's sources: a folder, or a single file of a folder of many."""

    folder: str
    paths: tuple[str, ...]
    tree: Tree
    module: bool = False
    """Whether these are sources of an out-of-tree module."""

    @cached_property
    def files(self) -> tuple[SourceFile, ...]:
        """Its files, headers too."""
        return tuple(f for p in self.paths if (f := self.tree.file(p)))

    def tables(self, ctype: str) -> tuple[Table, ...]:
        """Every table of structure type `ctype` in the unit."""
        return tuple(t for f in self.files if ctype in f.text for t in tables(f, ctype))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names that its file system types register, then the folder's or file's own name."""
        found: dict[str, None] = {}
        for file in self.files:
            if "file_system_type" not in file.text:
                continue
            for definitions in file.definitions.values():
                for d in definitions:
                    if d.kind == "variable" and d.ctype == "file_system_type":
                        text = file.text[d.start : d.end]
                        for name in _TYPE_NAME.findall(text):
                            found[name] = None
                        for macro in _NAME_MACRO.findall(text):
                            value = next((m.body for f in self.files for m in f.macros.get(macro, ())), "")
                            if value.startswith('"'):
                                found[value.strip('"')] = None
        folder = self.tree.module if self.module and self.folder == "." else None
        own = folder.name if folder is not None else Path(self.folder).name.removesuffix(".c")
        found[own] = None
        return tuple(found)


def unit_of(tree: Tree, path: str) -> Unit:
    """The unit that the file at `path` belongs to.

    A folder with its own Makefile below fs/ is one filesystem, whatever it holds; elsewhere, and in fs/
    itself, each file stands for itself.
    """
    folder = str(Path(path).parent)
    if folder.startswith("fs/") and folder not in ("fs/nls",):
        return Unit(folder, tree.list(folder), tree)
    return Unit(path, (path,), tree)


def unit_at(tree: Tree, folder: str, module: bool = False) -> Unit:
    """The unit that `Unit.folder` names: a folder, or one file."""
    if module:
        below = tree.module_files
        return Unit(folder, below if folder == "." else _below(folder, below), tree, True)
    return Unit(folder, (folder,) if folder.endswith(".c") else tree.list(folder), tree)


def _below(folder: str, paths: Iterable[str]) -> tuple[str, ...]:
    return tuple(p for p in paths if p.startswith(folder + "/"))


def initialises_table(raw: bytes) -> bool:
    """Whether a C file initialises a ``struct dentry_operations``."""
    return b"dentry_operations" in raw and _TABLE.search(raw) is not None


def files_with_tables(tree: Tree, folders: tuple[str, ...] = FOLDERS) -> tuple[str, ...]:
    """Paths of the C files of the tree that initialise a ``struct dentry_operations``."""
    found: set[str] = set()
    for folder in folders:
        found.update(search(tree.root, folder, tree.searched, initialises_table))
    return tuple(sorted(found))


def units(tree: Tree, folders: tuple[str, ...] = FOLDERS) -> tuple[Unit, ...]:
    """Every unit that has a dentry operations table, those of the module first.

    What the module has under the same path takes the place of the tree's.
    """
    found: dict[str, Unit] = {}
    replaced = set(tree.module_files)
    for path in files_with_tables(tree, folders):
        unit = unit_of(tree, path)
        if not replaced.intersection(unit.paths):
            found.setdefault(unit.folder, unit)
    return (*module_units(tree), *found.values())


def module_units(tree: Tree) -> tuple[Unit, ...]:
    """The filesystems of the out-of-tree module: all of it, or each folder that registers one of several."""
    paths = tree.module_files
    files = [f for p in paths if p.endswith(".c") and (f := tree.file(p))]
    tables_in = {str(Path(f.path).parent) for f in files if initialises_table(f.raw)}
    types_in = {str(Path(f.path).parent) for f in files if tables(f, "file_system_type")}
    if not tables_in:
        return ()
    if len(types_in) <= 1 or "." in types_in:
        return (Unit(".", paths, tree, True),)
    outermost = {t for t in types_in if not any(t.startswith(other + "/") for other in types_in)}
    apart = {t for t in tables_in if not any(t == o or t.startswith(o + "/") for o in outermost)}
    found = (Unit(f, _below(f, paths), tree, True) for f in sorted(outermost | apart - {"."}))
    whole = (Unit(".", paths, tree, True),) if "." in apart else ()
    return whole or tuple(u for u in found if any(_has_table(tree, p) for p in u.paths))


def find_units(tree: Tree, name: str, answers_to: Callable[[Unit], Iterable[str]]) -> tuple[Unit, ...]:
    """The units that the user's word `name` means; none if nothing has that name.

    First those of the module, then what stands where the name says (fs/NAME, fs/NAME.c), then whatever
    `answers_to` that name.
    """
    own = tuple(u for u in module_units(tree) if name in answers_to(u))
    direct = []
    for folder in () if own else (f"fs/{name}", f"fs/{name}.c"):
        paths = tree.list(folder) if not folder.endswith(".c") else ((folder,) if tree.file(folder) else ())
        if any(_has_table(tree, p) for p in paths):
            direct.append(Unit(folder, paths, tree))
    return own or tuple(direct) or tuple(u for u in units(tree) if name in answers_to(u))


def _has_table(tree: Tree, path: str) -> bool:
    file = tree.file(path)
    return bool(file and path.endswith(".c") and initialises_table(file.raw))
