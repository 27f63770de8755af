"""Tables that are there to be lent, and the ways by which a filesystem comes to one.

fs/libfs.c sets its table for case folding in a helper that filesystems call; fs/kernfs sets its own when a
superblock is filled. Whoever names the table, such a helper, a table of operations with such a helper in it,
or an inline function of a header around one, may have that table.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .conditions import around, unconditional
from .source import Definition, SourceFile
from .tables import Table, tables
from .tree import Scope, Tree, is_static

LIBRARY = (*Scope.SHARED, "fs/file_table.c")
_SETTER = re.compile(
    r"(?:->|\.)\s*(?:s_d_op|dops)\s*=(?!=)\s*([^;]+);"
    r"|\bset_default_d_op\s*\("
    r"|\bmount_pseudo(?:_xattr)?\s*\([^;]*&\s*\w+\s*,\s*\w+\s*\)"
)
"""What gives a superblock its table: an assignment, or a helper that is handed one."""
_INCLUDE = re.compile(r"^[ \t]*#[ \t]*include[ \t]*<(linux/[^>\n]+)>", re.M)
_GUARD = re.compile(r"if\s*\([^;{}]*!\s*[^;{}]*\b(?:s_d_op|d_op)\b[^;{}]*\)[^;{}]*\{?[^;{}]*$")


@dataclass(frozen=True)
class Lent:
    """A table that filesystems elsewhere may have.

    ways      the names by which they come to it
    defaults  those of the ways that only set it where the superblock has no table of its own
    needs     members of the superblock that every place that sets it tests first
    """

    table: Table
    ways: frozenset[str]
    defaults: frozenset[str]
    needs: frozenset[str] = frozenset()

    def used_by(self, files: Iterable[SourceFile], sets: bool, tree: Tree) -> bool:
        """Whether the code of `files` names a way to it; `sets`: they give the superblock a table always."""
        wanted = self.ways - self.defaults if sets else self.ways
        if not wanted:
            return False
        words = re.compile(r"\b(?:" + "|".join(map(re.escape, sorted(wanted))) + r")\b")
        files = tuple(files)
        named = any(any(w in f.text for w in wanted) and words.search(f.code) for f in files)
        return named and all(_stores(m, files, tree) for m in self.needs)


def _stores(member: str, files: tuple[SourceFile, ...], tree: Tree) -> bool:
    """Whether the code of `files`, or an inline function of a header that they include, sets `member`."""
    store = re.compile(rf"(?:->|\.)\s*{member}\s*=(?!=)")
    headers = (h for f in files for h in _headers(f, tree))
    return any(member in f.text and store.search(f.code) for f in (*files, *headers))


def setters(files: Iterable[SourceFile]) -> bool:
    """Whether the code of `files` gives its superblocks dentry operations whatever the mount's options:
    by an assignment under no condition, or in an ``else``."""
    words = ("s_d_op", "set_default_d_op", "dops")
    return any(_always(file.code) for file in files if any(w in file.text for w in words))


def _always(code: str) -> bool:
    for match in _SETTER.finditer(code):
        value = match.group(1)
        if value is not None and re.search(r"\bNULL\b", value):
            continue
        if unconditional(code, match.start()):
            return True
    return False


def lent_by(files: Iterable[SourceFile], tree: Tree) -> tuple[Lent, ...]:
    """The tables in `files` with the ways to each; those alone to which there is one from outside."""
    files = tuple(files)
    found = []
    for file in files:
        if "dentry_operations" in file.text:
            for table in tables(file, "dentry_operations"):
                one = _lent(table, files, tree)
                if one.ways:
                    found.append(one)
    return tuple(found)


def _lent(table: Table, files: tuple[SourceFile, ...], tree: Tree) -> Lent:
    """Follow who names the table, who names those, and so on, through the lender's files, the kernel's
    library files and the headers that the lender includes."""
    library = [f for p in LIBRARY if (f := tree.file(p))]
    places = {f.path: f for f in (*files, *library)}
    headers = {h.path: h for f in files for h in _headers(f, tree)}
    hidden: dict[tuple[str, str], bool] = {}
    ways: dict[str, bool] = {}
    if not table.hidden:
        ways[table.name] = False
    needs: list[frozenset[str]] = []
    todo: list[tuple[str, str, bool]] = [(table.name, table.file.path if table.hidden else "", False)]
    while todo:
        name, only, default = todo.pop()
        for path, file in (places | headers).items():
            if (only and path != only) or name not in file.text:
                continue
            for d in _naming(name, file, table):
                weak = default or (name == table.name and _guarded(file, d, name))
                needs += _tested(file, d, name) if name == table.name else []
                static = is_static(file, d) and path not in headers
                key = (d.name, path if static else "")
                if hidden.get(key, True) and (key not in hidden or not weak):
                    hidden[key] = weak
                    if not static:
                        ways[d.name] = ways.get(d.name, True) and weak
                    todo.append((d.name, key[1], weak))
    common = frozenset.intersection(*needs) if needs and table.hidden else frozenset()
    return Lent(table, frozenset(ways), frozenset(w for w, default in ways.items() if default), common)


def _headers(file: SourceFile, tree: Tree) -> Iterator[SourceFile]:
    for name in _INCLUDE.findall(file.text):
        header = tree.file("include/" + name)
        if header is not None:
            yield header


def _naming(name: str, file: SourceFile, table: Table) -> Iterator[Definition]:
    """The functions and variables of `file` that name `name`, but for itself."""
    word = re.compile(rf"\b{re.escape(name)}\b")
    for definitions in file.definitions.values():
        for d in definitions:
            if d.kind == "type" or d.name == name:
                continue
            if name == table.name and table.inside and (file is not table.file or d.name != table.inside):
                continue
            if word.search(file.code, d.start, d.end):
                yield d


def _guarded(file: SourceFile, definition: Definition, name: str) -> bool:
    """Whether a function sets the table only where the superblock has none."""
    code = file.code[definition.start : definition.end]
    uses = [m.start() for m in re.finditer(rf"&\s*{name}\b", code)]
    return bool(uses) and all(_GUARD.search(code[:at]) for at in uses)


def _tested(file: SourceFile, definition: Definition, name: str) -> list[frozenset[str]]:
    """For each place in a function that sets the table, the members of the superblock that the conditions
    around it test, at once or through a local variable."""
    code = file.code[definition.start : definition.end]
    found = []
    for use in re.finditer(rf"&\s*{name}\b", code):
        condition = " && ".join(a.test for a in around(file.code, definition.start + use.start()))
        for word in re.findall(r"\b[a-z]\w*\b", condition):
            condition += " && ".join(re.findall(rf"\b{word}\s*=(?!=)\s*([^;]+);", code[: use.start()]))
        parts = [p for p in condition.split("&&") if "!" not in p and "||" not in p]
        found.append(frozenset(m for p in parts for m in re.findall(r"->\s*(s_[a-z]\w*)", p)))
    return found
