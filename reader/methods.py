"""Which functions are the methods of a filesystem that has a given dentry operations table.

The table's own, and those of the superblocks and inodes that its dentries are met with: the operations that
belong to the same filesystem types. Where the source does not tell whose operations are, they are everyone's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..spec.contract import clauses
from ..spec.kernel_functions import table as kernel_functions
from ..spec.program import Gap, Source
from ..spec.vfs import Vfs
from .conditions import unconditional
from .source import SourceFile
from .tables import Table
from .units import Unit

SUPER_METHODS = ("evict_inode", "destroy_inode", "free_inode", "put_super")
_KINDS = ("inode_operations", "super_operations", "file_system_type")
_BOUND = frozenset(m for c in clauses() for m in c.binds)
_BDI_SETTERS = ("super_setup_bdi", "super_setup_bdi_name")
_BDI = re.compile(rf"\b(?:{'|'.join(_BDI_SETTERS)})\s*\(")
_BDI_SHARED = re.compile(r"->\s*s_bdi\s*=(?!=)(?!\s*&\s*noop_backing_dev_info\b)")
"""A superblock that is given the backing device of another, or of its block device: fuse's submounts."""
_NEW_SUPER = r"!\s*\w+\s*->\s*s_root"
"""A test for a superblock that is being set up, not found to exist."""
_ALIASES = 3
"""How many macros that stand for one another are looked through."""


@dataclass(frozen=True)
class Job:
    """A function to execute as a method, in a mode (`Program.mode`); `line` is where a table in `file` names
    it."""

    method: str
    function: str
    mode: str
    file: SourceFile
    line: int


class Methods:
    """The methods of the filesystem that `unit` is, as the kernel that `vfs` describes calls them."""

    def __init__(self, unit: Unit, vfs: Vfs) -> None:
        self.unit = unit
        self.vfs = vfs

    def jobs(self, table: Table) -> tuple[Job, ...]:
        """What there is to execute for a dentry operations table."""
        return tuple(dict.fromkeys((*self._of_table(table), *self._around(table))))

    def _of_table(self, table: Table) -> Iterator[Job]:
        for method in dict.fromkeys(m for m, _ in table.slots):
            callback = self.vfs.callback(method)
            if callback is None or method not in _BOUND:
                continue
            modes = ("rcu", "ref") if callback.lockless and callback.blocks == "ref-walk" else ("",)
            if method in ("d_iput", "d_release"):
                modes = ("", "ref")
            for function, line in self._callbacks(table, method):
                for mode in modes:
                    yield Job(method, function, mode, table.file, line)

    def _around(self, table: Table) -> Iterator[Job]:
        """The methods of inodes, superblock and type."""
        seen: set[tuple[str, str]] = set()
        lockless = self.vfs.lockless("inode_operations")
        for ctype, methods in zip(_KINDS, (lockless, SUPER_METHODS, ("kill_sb",)), strict=True):
            for own in self.operations(ctype, table):
                for method in methods:
                    for function, line in self._callbacks(own, method):
                        if (method, function) not in seen:
                            seen.add((method, function))
                            mode = "rcu" if ctype == "inode_operations" else ""
                            yield Job(method, function, mode, own.file, line)

    def operations(self, ctype: str, table: Table) -> tuple[Table, ...]:
        """The operations of structure type `ctype` that the superblocks and inodes of `table` may have."""
        if ctype == "file_system_type":
            return tuple(t.table for t in self.unit.types_of(table))
        return tuple(t for t in self.unit.tables(ctype) if self.unit.belongs(t, table))

    def _callbacks(self, table: Table, method: str) -> Iterator[tuple[str, int]]:
        """The functions that a table has for a method, and where it names them."""
        for function in table.functions(method):
            for name in dict.fromkeys(self._meant(function, table.file)):
                yield name, table.line_of(function)

    def _meant(self, name: str, file: SourceFile, depth: int = 0) -> Iterator[str]:
        """The functions that `name` may stand for: itself, unless it is a macro for another, or for none."""
        scope = self.unit.scope
        found = [m for _, m in scope.macro(name, file) if m.params is None and depth < _ALIASES]
        if not found or scope.find(name, "function", file) or name in kernel_functions():
            yield name
        for macro in found:
            word = macro.body.strip("() &\t")
            if word not in ("NULL", "0", name):
                yield from self._meant(word, file, depth + 1)

    # -- single facts ------------------------------------------------------------------------------

    def private_bdi(self, table: Table) -> Source | None:
        """Where every superblock of the table gets a backing device of its own; None if some may have none:
        those of another type, or where the call stands under a condition."""
        if not set(self.unit.types_of(table)) <= set(self.unit.naming(_BDI_SETTERS)):
            return None
        if any(_BDI_SHARED.search(file.code) for file in self.unit.files):
            return None
        for file in self.unit.files:
            for match in _BDI.finditer(file.code):
                if unconditional(file.code, match.start(), _NEW_SUPER):
                    return Source(file.path, file.line(match.start()), "")
        return None

    def facts(self, table: Table) -> Iterator[tuple[str, str]]:
        """Which function each superblock operations table has for a teardown."""
        for own in self.operations("super_operations", table):
            for member in SUPER_METHODS:
                for function in own.functions(member):
                    yield f"{member}@{own.name}", function

    def gaps(self, table: Table) -> Iterator[Gap]:
        """What makes everything doubtful that is said of `table`: files that cannot be read, or whose top
        level is damaged, and tables that are, or that are not understood."""
        for file in {f.path: f for f in (*self.unit.files, *self.unit.scope.used.values())}.values():
            if file.problem:
                yield Gap(f"{file.path}: {file.problem}", Source(file.path, 1))
            for damage in file.damage:
                line = file.line(damage.at)
                yield Gap(f"{file.path}:{line}: {damage.reason}", Source(file.path, line))
        for one in (table, *(t for ctype in _KINDS for t in self.operations(ctype, table))):
            source = Source(one.file.path, one.line, one.name)
            for d in one.file.definitions.get(one.name, ()):
                if d.kind == "variable" and d.broken:
                    yield Gap(f"{one.name}: {d.broken} ({source})", source)
            if one.problem:
                yield Gap(one.problem, source)
