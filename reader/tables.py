"""Operations tables of a tree: where they are, what they name, and whose they are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from .source import Definition, SourceFile
from .tree import Tree

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
        own = Path(self.folder).name.removesuffix(".c")
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


def unit_at(tree: Tree, folder: str) -> Unit:
    """The unit that `Unit.folder` names: a folder, or one file."""
    return Unit(folder, (folder,) if folder.endswith(".c") else tree.list(folder), tree)


def files_with_tables(tree: Tree, folders: tuple[str, ...] = FOLDERS) -> tuple[str, ...]:
    """Paths of the C files that initialise a ``struct dentry_operations``."""
    found: dict[str, None] = {}
    for folder in folders:
        for path in tree.list(folder, (".c",), deep=True):
            if path in found:
                continue
            try:
                raw = (tree.root / path).read_bytes()
            except OSError:
                continue
            if b"dentry_operations" in raw and _TABLE.search(raw):
                found[path] = None
    return tuple(sorted(found))


def units(tree: Tree, folders: tuple[str, ...] = FOLDERS) -> tuple[Unit, ...]:
    """Every unit of the tree that has a dentry operations table."""
    found: dict[str, Unit] = {}
    for path in files_with_tables(tree, folders):
        unit = unit_of(tree, path)
        found.setdefault(unit.folder, unit)
    return tuple(found.values())


def find_units(tree: Tree, name: str) -> tuple[Unit, ...]:
    """The units that the user's word `name` means; none if nothing in the tree has that name.

    First what stands where the name says (fs/NAME, fs/NAME.c), then whatever registers that name.
    """
    direct = []
    for folder in (f"fs/{name}", f"fs/{name}.c"):
        paths = tree.list(folder) if not folder.endswith(".c") else ((folder,) if tree.file(folder) else ())
        if any(_has_table(tree, p) for p in paths):
            direct.append(Unit(folder, paths, tree))
    if direct:
        return tuple(direct)
    return tuple(
        u
        for u in units(tree)
        if name in u.names or any(t.name == name for t in u.tables("dentry_operations"))
    )


def _has_table(tree: Tree, path: str) -> bool:
    file = tree.file(path)
    return bool(file and path.endswith(".c") and _TABLE.search(file.raw))
