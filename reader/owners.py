"""Whose an operations table is: which of a unit's filesystem types lead to it.

A unit may register several filesystems (msdos and vfat, fuse and fusectl) that share code. Told from the text
alone: a definition leads to whatever it names, and to what the unit stores in the members that it reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from .source import SourceFile
from .tables import Table
from .tree import is_static

OPERATIONS = ("dentry_operations", "super_operations", "inode_operations")
_WORD = re.compile(r"[A-Za-z_]\w*")
_MEMBER = re.compile(r"(?:->|\.)\s*(\w+)\b\s*(\(?)")
_STORE = re.compile(r"(?:\.|->)\s*(\w+)\s*=(?!=)\s*&?\s*([A-Za-z_]\w*)\s*[,;}\n]")
_SET_BY_ALL = frozenset({"s_op", "i_op", "i_fop", "s_d_op", "__s_d_op", "d_op", "dops", "ops"})
"""Members of the VFS's own structures: whoever reads them reads what is there, not what may be stored."""


@dataclass(frozen=True)
class Type:
    """A ``struct file_system_type``. `name` is the registered one; empty where it could not be told."""

    name: str
    table: Table


@dataclass(frozen=True, eq=False)
class _Node:
    """A definition: function, initialised variable or macro."""

    name: str
    file: SourceFile
    kind: str
    text: str
    hidden: bool


class Owners:
    """Which of `types` lead to a table that stands in `files`."""

    def __init__(self, files: Sequence[SourceFile], types: Sequence[Type]) -> None:
        self.files = tuple(files)
        self.types = tuple(types)
        self._reached: dict[str, frozenset[_Node]] = {}
        self._next: dict[_Node, tuple[_Node, ...]] = {}

    def of(self, table: Table) -> tuple[Type, ...]:
        """The types that lead to `table`; none if none is seen to."""
        if len(self.types) <= 1:
            return self.types
        name = table.inside or table.name
        nodes = [n for n in self._nodes.get(name, ()) if n.file is table.file]
        tied = {t for n in nodes for t in self._tied.get(n, ())}
        return self._ordered(tied or self._leading(nodes))

    def naming(self, words: Iterable[str]) -> tuple[Type, ...]:
        """The types that lead to a definition which names one of `words`; none if none is seen to."""
        if len(self.types) <= 1:
            return self.types
        words = tuple(words)
        pattern = re.compile(r"\b(?:" + "|".join(map(re.escape, words)) + r")\b")
        everything = (n for nodes in self._nodes.values() for n in nodes if any(w in n.text for w in words))
        return self._ordered(self._leading([n for n in everything if pattern.search(n.text)]))

    def _ordered(self, found: Iterable[Type]) -> tuple[Type, ...]:
        among = set(found)
        return tuple(t for t in self.types if t in among)

    def _leading(self, nodes: Iterable[_Node]) -> set[Type]:
        targets = set(nodes)
        return {t for t in self.types if targets & self._reach(t)}

    def _reach(self, of: Type) -> frozenset[_Node]:
        key = f"{of.table.file.path}:{of.table.name}"
        if key not in self._reached:
            start = [n for n in self._nodes.get(of.table.name, ()) if n.file is of.table.file]
            self._reached[key] = self._closure(start, self._follow)
        return self._reached[key]

    @staticmethod
    def _closure(start: Iterable[_Node], follow: object) -> frozenset[_Node]:
        todo = list(start)
        seen = set(todo)
        while todo:
            for node in follow(todo.pop()):  # type: ignore[operator]
                if node not in seen:
                    seen.add(node)
                    todo.append(node)
        return frozenset(seen)

    # -- who names whom ----------------------------------------------------------------------------

    @cached_property
    def _nodes(self) -> dict[str, list[_Node]]:
        found: dict[str, list[_Node]] = {}
        for file in self.files:
            for name, definitions in file.definitions.items():
                for d in definitions:
                    if d.kind != "type":
                        text = file.code[d.start : d.end]
                        kind = d.ctype if d.kind == "variable" else ""
                        node = _Node(name, file, kind or d.kind, text, is_static(file, d))
                        found.setdefault(name, []).append(node)
            for name, macros in file.macros.items():
                for m in macros:
                    found.setdefault(name, []).append(_Node(name, file, "macro", m.body, True))
        return found

    @cached_property
    def _stored(self) -> dict[str, set[str]]:
        """What the unit stores in a member, by its name: functions, and tables of operations."""
        found: dict[str, set[str]] = {}
        for file in self.files:
            for member, name in _STORE.findall(file.code):
                if member not in _SET_BY_ALL and name in self._nodes:
                    found.setdefault(member, set()).add(name)
        return found

    def _visible(self, name: str, user: SourceFile) -> list[_Node]:
        nodes = self._nodes.get(name, [])
        own = [n for n in nodes if n.file is user]
        return own or [n for n in nodes if not n.hidden or n.file.path.endswith(".h")]

    def _follow(self, node: _Node) -> tuple[_Node, ...]:
        if node not in self._next:
            names = {w for w in _WORD.findall(node.text) if w in self._nodes and w != node.name}
            for member, call in _MEMBER.findall(node.text):
                stored = self._stored.get(member, set())
                names |= stored if call else {n for n in stored if self._is_operations(n)}
            self._next[node] = tuple(n for w in names for n in self._visible(w, node.file))
        return self._next[node]

    def _is_operations(self, name: str) -> bool:
        return any(n.kind in OPERATIONS for n in self._nodes[name])

    @cached_property
    def _tied(self) -> dict[_Node, set[Type]]:
        """Where a variable names types, and tables (itself, or through variables): those types' tables."""
        found: dict[_Node, set[Type]] = {}
        by_name = {t.table.name: t for t in self.types}
        for nodes in self._nodes.values():
            for node in nodes:
                if node.kind in ("function", "macro", "file_system_type"):
                    continue
                types = {by_name[w] for w in _WORD.findall(node.text) if w in by_name}
                for other in self._closure([node], self._variables) if types else ():
                    if other.kind in OPERATIONS:
                        found.setdefault(other, set()).update(types)
        return found

    def _variables(self, node: _Node) -> list[_Node]:
        if node.kind == "file_system_type":
            return []
        names = {w for w in _WORD.findall(node.text) if w in self._nodes and w != node.name}
        found = [n for w in names for n in self._visible(w, node.file)]
        return [n for n in found if n.kind not in ("function", "macro")]
