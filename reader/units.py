"""The units of a tree: the sources of one filesystem each, its tables, and the names that users type.

A table that no filesystem type of its own unit leads to (fs/libfs.c, fs/kernfs, fs/crypto) is there to be
lent: each filesystem elsewhere that names a way to it is a unit that has it too, with its own superblock and
inode operations. `reader/lenders.py` finds those ways.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

from .lenders import Lent, lent_by, setters
from .owners import Owners, Type
from .search import SOURCES_AND_HEADERS, Search
from .source import Macro, SourceFile
from .tables import Table, makers, marks, tables
from .tree import Scope, Tree

NOT_KERNEL = frozenset(
    {"Documentation", "tools", "scripts", "samples", "usr", "LICENSES", "include", "certs"}
)
"""Top-level folders that hold no filesystem of the kernel."""
_NAME = re.compile(r"\.\s*name\s*=\s*(?:(\"[^\"\n]*\")|(\w+))|\bname\s*:\s*(\"[^\"\n]*\")")
_COMPOSITE = re.compile(r"^([\w-]+?)-(?:y|m|objs|\$\([^)\n]*\))\s*[:+]?=\s*((?:\\\n|[^\n#])*)", re.M)


@dataclass(frozen=True)
class Unit:
    """One filesystem's sources.

    folder   its key: a folder, a file, or the object that kbuild links of several files
    paths    its own files
    module   whether these are sources of an out-of-tree module
    lenders  keys of the units that lend it tables
    """

    folder: str
    paths: tuple[str, ...]
    tree: Tree
    module: bool = False
    lenders: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """What `unit_at` makes the same unit of."""
        return "+".join((self.folder, *self.lenders))

    @cached_property
    def files(self) -> tuple[SourceFile, ...]:
        """Its own files, headers too."""
        return tuple(f for p in self.paths if (f := self.tree.file(p)))

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """Its own files, and those of its lenders that are no library of every filesystem."""
        lent = (p for key in self.lenders for p in unit_at(self.tree, key).paths)
        return tuple(dict.fromkeys((*self.paths, *(p for p in lent if p not in Scope.SHARED))))

    @cached_property
    def scope(self) -> Scope:
        """Where its names are looked up."""
        return Scope(self.tree, self.sources)

    # -- what it has -------------------------------------------------------------------------------

    def tables(self, ctype: str) -> tuple[Table, ...]:
        """Every table of structure type `ctype` of the unit, those included that it borrows."""
        if ctype not in self._tables:
            self._tables[ctype] = self._own_tables(ctype)
        return self._tables[ctype]

    @cached_property
    def _tables(self) -> dict[str, tuple[Table, ...]]:
        return {}

    def _own_tables(self, ctype: str) -> tuple[Table, ...]:
        own = self._initialised(ctype, self.files)
        if ctype == "dentry_operations":
            return (*own, *(lent.table for lent in self.lent))
        beside = [f for p in self.sources if p not in self.paths and (f := self.tree.file(p))]
        common = (t for f in self.scope.shared if ctype in f.text for t in tables(f, ctype) if not t.hidden)
        return (*own, *self._initialised(ctype, beside), *(t for t in common if self._names(t.name)))

    def _names(self, word: str) -> bool:
        """Whether the unit's own code names `word`."""
        pattern = re.compile(rf"\b{word}\b")
        return any(word in f.text and pattern.search(f.code) is not None for f in self.files)

    def _initialised(self, ctype: str, files: Iterable[SourceFile]) -> tuple[Table, ...]:
        makers = self._makers(ctype)
        return tuple(
            t
            for f in files
            if ctype in f.text or any(m in f.text for m in makers)
            for t in tables(f, ctype, partial(self._macros, f), makers)
        )

    def _makers(self, ctype: str) -> tuple[str, ...]:
        return tuple(m for f in self.files if ctype in f.text for m in makers(f, ctype))

    def _macros(self, user: SourceFile, name: str) -> Iterable[Macro]:
        for file in (user, *(f for f in self.files if f.path.endswith(".h"))):
            if name in file.candidates and name in file.macros:
                return file.macros[name]
        return ()

    @cached_property
    def lent(self) -> tuple[Lent, ...]:
        """The tables that it borrows."""
        found = (one for key in self.lenders for one in lent_by(unit_at(self.tree, key).files, self.tree))
        return tuple(one for one in found if one.used_by(self.files, self.sets, self.tree))

    @cached_property
    def sets(self) -> bool:
        """Whether it gives its superblocks dentry operations whatever the mount's options."""
        return setters(self.files)

    @cached_property
    def types(self) -> tuple[Type, ...]:
        """The filesystem types that it registers."""
        return tuple(Type(self._registered(t), t) for t in self._initialised("file_system_type", self.files))

    def _registered(self, table: Table) -> str:
        """The name under which a type is registered; "" if it cannot be told."""
        text = table.file.plain
        start = text.find("{", table.start)
        entry = _NAME.search(text, start, max(start, text.find("}", start)))
        if not entry:
            return ""
        if entry.group(2) is None:
            return (entry.group(1) or entry.group(3)).strip('"')
        found = self.scope.macro(entry.group(2), table.file) or self._constant(entry.group(2), table.file)
        values = [m.body if isinstance(m, Macro) else m for _, m in found]
        return next((v.strip('"') for v in values if v.startswith('"')), "")

    @staticmethod
    def _constant(name: str, file: SourceFile) -> tuple[tuple[SourceFile, str], ...]:
        """A text constant of the file."""
        value = re.search(rf"\b{name}\s*\[\s*\]\s*=\s*(\"[^\"\n]*\")", file.plain)
        return ((file, value.group(1)),) if value else ()

    # -- whose it is -------------------------------------------------------------------------------

    @cached_property
    def _owners(self) -> Owners:
        return Owners(self.files, self.types)

    def owners(self, table: Table) -> tuple[Type, ...]:
        """The types that `table` belongs to; none if the source does not tell, which may be any."""
        if table.file.path in self.paths:
            return self._owners.of(table)
        borrowed = next((one for one in self.lent if one.table is table), None)
        return self._owners.naming(borrowed.ways if borrowed is not None else (table.name,))

    def naming(self, words: Iterable[str]) -> tuple[Type, ...]:
        """The types that lead to code which names one of `words`."""
        return self._owners.naming(words)

    def belongs(self, table: Table, to: Table) -> bool:
        """Whether operations in `table` may meet those of the dentry operations table `to`: unless they
        belong to other types."""
        mine, theirs = self.owners(table), self.owners(to)
        return not mine or not theirs or bool(set(mine) & set(theirs))

    def types_of(self, table: Table) -> tuple[Type, ...]:
        """The types whose dentries may have the operations in `table`: all, if the source does not tell."""
        return self.owners(table) or self.types

    @property
    def own_name(self) -> str:
        """What the unit is called where it stands."""
        if self.module and self.folder == "." and self.tree.module is not None:
            return self.tree.module.name
        path = Path(self.folder)
        parent = str(path.parent)
        if parent.startswith("fs/") and not path.suffix and not self.tree.list(parent, (".c",)):
            return path.parent.name
        return path.stem if path.suffix in (".c", ".o") else path.name

    def names_of(self, table: Table) -> tuple[str, ...]:
        """The names that `table` answers to, the one it is reported under first: those that its types
        register, and the unit's own."""
        registered = [t.name for t in self.types_of(table) if t.name]
        own = self.own_name
        first = [own] if own in registered else []
        # "inode" of kernel/bpf/inode.c means nothing to anybody.
        last = (
            [] if registered and self.folder.endswith(".c") and not self.folder.startswith("fs/") else [own]
        )
        return tuple(dict.fromkeys((*first, *registered, *last)))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All names that its tables answer to."""
        found = self.tables("dentry_operations")
        return tuple(dict.fromkeys(n for t in found for n in self.names_of(t))) or (self.own_name,)


# -- where units are -----------------------------------------------------------------------------------


def unit_of(tree: Tree, path: str) -> Unit:
    """The unit that the file at `path` belongs to.

    A folder below fs/ is one filesystem, whatever it holds. A file of fs/ itself stands for itself, as does
    one elsewhere, unless kbuild links it with others of its folder.
    """
    folder = str(Path(path).parent)
    if folder.startswith("fs/") and folder not in ("fs/nls",):
        return unit_at(tree, folder)
    name = _linked(tree, path)
    return unit_at(tree, f"{folder}/{name}.o" if name else path)


def unit_at(tree: Tree, key: str, module: bool = False) -> Unit:
    """The unit that `Unit.key` names."""
    folder, *lenders = key.split("+")
    if module:
        below = tree.module_files
        paths = below if folder == "." else _below(folder, below)
    elif folder.endswith(".c"):
        paths = (folder,)
    elif folder.endswith(".o"):
        where = str(Path(folder).parent)
        objects = _composites(tree, where).get(Path(folder).stem, frozenset())
        paths = tuple(p for p in tree.list(where) if p.endswith(".h") or Path(p).stem in objects)
    else:
        paths = tree.list(folder)
    return Unit(folder, paths, tree, module, tuple(lenders))


def _below(folder: str, paths: Iterable[str]) -> tuple[str, ...]:
    return tuple(p for p in paths if p.startswith(folder + "/"))


def _linked(tree: Tree, path: str) -> str:
    """The object that kbuild links the file into with others; "" if it is linked alone."""
    at = Path(path)
    found = (n for n, objects in _composites(tree, str(at.parent)).items() if at.stem in objects)
    return next((n for n in found if len(_composites(tree, str(at.parent))[n]) > 1), "")


def _composites(tree: Tree, folder: str) -> dict[str, frozenset[str]]:
    """The objects that kbuild links of several in `folder`, by name: the stems of their parts."""
    found: dict[str, set[str]] = {}
    for name in ("Makefile", "Kbuild"):
        file = tree.file(f"{folder}/{name}")
        for target, parts in _COMPOSITE.findall(file.text if file else ""):
            if target not in ("obj", "subdir", "lib", "targets", "always", "extra"):
                stems = re.findall(r"([\w-]+)\.o\b", parts)
                found.setdefault(target, set()).update(stems)
    return {name: frozenset(stems) for name, stems in found.items()}


class Survey:
    """All units of a tree and of the module beside it that have a dentry operations table."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self._units: dict[tuple[tuple[str, ...], tuple[str, ...]], tuple[Unit, ...]] = {}
        self._known_marks: dict[tuple[str, ...], list[tuple[Unit, str]]] = {}

    def units(self) -> tuple[Unit, ...]:
        """Every one, those of the module first, which take the place of what the tree has under the same
        paths."""
        return (*self.of_module(), *self._in(self._folders))

    def find(self, name: str, answers_to: Callable[[Unit], Iterable[str]]) -> tuple[Unit, ...]:
        """The units that the user's word `name` means; none if nothing has that name.

        First those of the module, then what stands where the name says (fs/NAME, fs/NAME.c), then whatever
        `answers_to` that name, in fs/ and, if nothing there does or the word is a table that is lent,
        anywhere.
        """

        def answering(units: Iterable[Unit]) -> tuple[Unit, ...]:
            return tuple(u for u in units if self._may_answer(u, name) and name in answers_to(u))

        own = answering(self.of_module())
        if own:
            return own
        direct = self._in(("fs",), (f"fs/{name}", f"fs/{name}.c"))
        if direct:
            return direct
        found = answering(self._in(("fs",)))
        if found and not any(one.table.name == name for lent in self._lending.values() for one in lent):
            return found
        return answering(self._in(self._folders))

    def _may_answer(self, unit: Unit, name: str) -> bool:
        """Whether a unit can answer to a name: told from the bytes of its files; errs by yes."""
        if unit.own_name == name or any(
            one.table.name == name
            for u, lent in self._lending.items()
            if u.folder in unit.lenders
            for one in lent
        ):
            return True
        word = name.encode()
        return any(word in self._bytes(p) for p in unit.paths)

    def _bytes(self, path: str) -> bytes:
        found = (files.fetch(path)[0] for files in self.tree.places)
        return next((file.raw for file in found if file is not None), b"")

    def without_table(self, name: str) -> Unit | None:
        """A unit that registers a filesystem of that name and has no dentry operations table."""
        quoted = f'"{name}"'.encode()
        named = (
            u
            for u, mark in self._marks(self._folders)
            if "t" in mark and any(quoted in self._bytes(p) for p in u.paths)
        )
        return next((u for u in named if name in (t.name for t in u.types)), None)

    @cached_property
    def _folders(self) -> tuple[str, ...]:
        """The top-level folders, fs/ first."""
        top = self.tree.files.listing(".", ())
        found = [n for n in top.folders if not n.startswith(".")] if top is not None else []
        return ("fs", *(n for n in found if n not in NOT_KERNEL and n != "fs"))

    def _in(self, folders: tuple[str, ...], places: tuple[str, ...] = ()) -> tuple[Unit, ...]:
        """The units in these folders, those alone that stand at one of `places` if there are any."""
        if (folders, places) not in self._units:
            replaced = set(self.tree.module_files)
            there = [
                (u, m)
                for u, m in self._marks(folders)
                if not replaced.intersection(u.paths) and (not places or u.folder in places)
            ]
            self._units[folders, places] = self._completed(there, self._named_in_bytes)
        return self._units[folders, places]

    def _marks(self, folders: tuple[str, ...]) -> list[tuple[Unit, str]]:
        if folders not in self._known_marks:
            self._known_marks[folders] = self._marked(folders)
        return self._known_marks[folders]

    def _marked(self, folders: Iterable[str]) -> list[tuple[Unit, str]]:
        """The units of these folders that may initialise a table or a type, and which of both."""
        search = Search(self.tree.files, self.tree.searched, marks)
        units: dict[str, Unit] = {}
        marked: dict[str, str] = {}
        for path, mark in sorted(p for f in folders for p in search.below(f)):
            unit = unit_of(self.tree, path)
            units.setdefault(unit.folder, unit)
            marked[unit.folder] = marked.get(unit.folder, "") + mark
        return [(units[k], marked[k]) for k in units]

    def of_module(self) -> tuple[Unit, ...]:
        """The filesystems of the out-of-tree module: all of it, or each folder that registers one of
        several."""
        paths = self.tree.module_files
        marked = {p: mark for p in paths if (f := self.tree.file(p)) and (mark := marks(f.raw))}
        types_in = {str(Path(p).parent) for p, mark in marked.items() if "t" in mark}
        tables_in = {str(Path(p).parent) for p, mark in marked.items() if "d" in mark}
        outermost = {t for t in types_in if not any(t.startswith(other + "/") for other in types_in)}
        apart = {t for t in tables_in if not any(t == o or t.startswith(o + "/") for o in outermost)}
        whole = len(types_in) <= 1 or "." in types_in or "." in apart
        folders = ["."] if whole else sorted(outermost | apart)
        there = []
        for unit in (unit_at(self.tree, f, True) for f in folders if marked):
            there.append((unit, "".join(marked.get(p, "") for p in unit.paths)))
        return self._completed(there, lambda unit, _: unit.paths)

    # -- what is lent ------------------------------------------------------------------------------

    def _completed(
        self, there: Iterable[tuple[Unit, str]], hits: Callable[[Unit, int], Iterable[str]]
    ) -> tuple[Unit, ...]:
        """The units that have a table, with their lenders. `hits`: the files of a unit that may name a way
        to what the lender of that number lends."""
        found = []
        for unit, mark in there:
            lenders = []
            for number, (lender, lent) in enumerate(self._lending.items()) if "t" in mark else ():
                if hits(unit, number) and any(one.used_by(unit.files, unit.sets, self.tree) for one in lent):
                    lenders.append(lender.folder)
            if "d" in mark or lenders:
                found.append(replace(unit, lenders=tuple(lenders)))
        return tuple(found)

    @cached_property
    def _lending(self) -> dict[Unit, tuple[Lent, ...]]:
        """The units in fs/ that have tables and register no type, with what they lend."""
        found = (u for u, mark in self._marks(("fs",)) if mark and "t" not in mark)
        return {u: lent for u in found if (lent := lent_by(u.files, self.tree))}

    def _named_in_bytes(self, unit: Unit, number: int) -> list[str]:
        folder = str(Path(unit.folder).parent) if Path(unit.folder).suffix else unit.folder
        if folder not in self._hits:
            self._hits[folder] = dict(self._search_for_ways.below(folder, deep=False))
        return [p for p in unit.paths if str(number) in self._hits[folder].get(p, "").split(",")]

    @cached_property
    def _hits(self) -> dict[str, dict[str, str]]:
        """By folder and file: the numbers of the lenders that it names a way to."""
        return {}

    @cached_property
    def _search_for_ways(self) -> Search:
        ways = [sorted({w for one in lent for w in one.ways}) for lent in self._lending.values()]
        words = [[w.encode() for w in names] for names in ways]

        def look(buffer: bytearray, size: int) -> str:
            hits = (i for i, ws in enumerate(words) if any(buffer.find(w, 0, size) >= 0 for w in ws))
            return ",".join(map(str, hits))

        kind = ";".join(" ".join(names) for names in ways)
        return Search(self.tree.files, self.tree.searched, look, kind, SOURCES_AND_HEADERS)
