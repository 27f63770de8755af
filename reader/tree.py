"""A kernel tree that was neither configured nor built, and where names in it are defined."""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from .files import Files, Module, Overlaid, Root, Signature, files_of
from .source import Definition, Macro, SourceFile, parts

if TYPE_CHECKING:
    from .generated import Generated

ABSENT = "-"
"""What stands for the content of a file that is not there."""
Searched = dict[str, tuple[str, tuple[str, ...]]]
"""By folder: what its C files looked like (names, sizes, times, inodes), and which of them were found."""
_VERSION = re.compile(r"^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION)[ \t]*=[ \t]*(\S*)[ \t]*$", re.M)
_STORED = re.compile(r"\.(\w+)\s*=\s*&?(\w+)\s*[,}\n]|->(\w+)\s*=\s*&?(\w+)\s*;")


@dataclass(frozen=True)
class Consulted:
    """What an answer about a tree rests on.

    files       each path that was asked for, with `content` of what was there
    listings    each listing that was asked for (`Tree.listed`), with a hash of its names
    signatures  of the files that had settled before they were read
    """

    files: dict[str, str]
    listings: dict[str, str]
    signatures: dict[str, Signature]


def content(file: SourceFile | None) -> str:
    """A file's content as one word: its SHA-256, ``!`` and why it cannot be read, or `ABSENT`."""
    if file is None:
        return ABSENT
    return f"!{file.problem}" if file.problem and not file.raw else file.sha256


def names_hash(names: Iterable[str]) -> str:
    """A listing as one word."""
    return hashlib.sha256("\0".join(names).encode("utf-8", "surrogateescape")).hexdigest()


class Tree:
    """Reads files below `root`, and below `module`, which comes first, and nothing outside them.

    A path is relative to the one or the other. Every path that was asked for is remembered: `consulted`.
    """

    def __init__(
        self, root: Root, module: Module = None, overlay: Mapping[str, str | None] | None = None
    ) -> None:
        self.root = root.resolve() if isinstance(root, Path) else root
        self.module = module.resolve() if isinstance(module, Path) else module
        self.searched: Searched = {}
        """Where operations tables were looked for (`reader/search.py`)."""
        self.files = files_of(root)
        if overlay:
            self.files = Overlaid(self.files, overlay)
        self._module: Files | None = files_of(module) if module is not None else None
        self._cache: dict[str, SourceFile | None] = {}
        self._signatures: dict[str, Signature] = {}
        self._listing: dict[str, tuple[str, ...]] = {}
        self._included: dict[str, tuple[SourceFile, ...]] = {}
        self._closure: dict[str, tuple[SourceFile, ...]] = {}
        if not self.files.size("Makefile") or self.files.listing("fs", ()) is None:
            raise InputError(f"{root}: no kernel tree (it has no Makefile with a version, or no fs/)")

    @property
    def places(self) -> tuple[Files, ...]:
        """Where a path is looked for, first to last: in the module, in the tree."""
        return (self.files,) if self._module is None else (self._module, self.files)

    def afresh(self) -> Tree:
        """The same tree, that has been asked for nothing yet; what was read is shared."""
        other = copy.copy(self)
        other._cache, other._signatures, other._listing = {}, {}, {}
        other._included, other._closure = {}, {}
        return other

    def overlaid(self, texts: Mapping[str, str | None]) -> Tree:
        """The tree with the files at these paths replaced or added, or gone where the text is None. It has
        been asked for nothing yet."""
        other = self.afresh()
        other.files = Overlaid(self.files, texts)
        other.searched = dict(self.searched)
        return other

    def forget(self, paths: Iterable[str]) -> None:
        """Drop the text of files that nobody else will ask for, in this tree and those made of it."""
        for path in paths:
            for files in self.places:
                files.forget(path)

    @property
    def consulted(self) -> Consulted:
        """All that was asked for so far."""
        return Consulted(
            {p: content(f) for p, f in self._cache.items()},
            {k: names_hash(names) for k, names in self._listing.items()},
            dict(self._signatures),
        )

    @cached_property
    def version(self) -> str:
        """The kernel version that the top Makefile states (``6.12.117``); InputError if it states none."""
        makefile = self.files.read("Makefile")[0]
        text = makefile.text[:4096] if makefile is not None else ""
        found: dict[str, str] = dict(_VERSION.findall(text))
        if not found.get("VERSION", "").isdigit() or not found.get("PATCHLEVEL", "").isdigit():
            raise InputError(f"{self.root}: the Makefile states no VERSION and PATCHLEVEL; no kernel tree")
        version = f"{found['VERSION']}.{found['PATCHLEVEL']}"
        if found.get("SUBLEVEL", "").isdigit() and int(found["SUBLEVEL"]):
            version += "." + found["SUBLEVEL"]
        return version + str(found.get("EXTRAVERSION", ""))

    def file(self, path: str) -> SourceFile | None:
        """The file at `path`, or None if there is none. A file that cannot be read as C source (too large,
        unreadable) has its `problem` set and no text."""
        if path not in self._cache:
            self._cache[path], known = _first(path, self.places)
            if known is not None:
                self._signatures[path] = known
        return self._cache[path]

    def list(
        self,
        folder: str,
        suffixes: tuple[str, ...] = (".c", ".h"),
        deep: bool = False,
        module: bool = False,
    ) -> tuple[str, ...]:
        """Paths of the files in `folder` of the tree, or of the module (and below it, if `deep`), that end
        in one of `suffixes`, sorted."""
        where, depth = "module" if module else "tree", "deep" if deep else "flat"
        return self.list_of(f"{where}|{depth}|{','.join(suffixes)}|{folder}")

    def list_of(self, key: str) -> tuple[str, ...]:
        """The same by the key that it has in `Consulted.listings`."""
        if key not in self._listing:
            self._listing[key] = self.listed(key)
        return self._listing[key]

    def listed(self, key: str) -> tuple[str, ...]:
        """The listing that `key` of `Consulted.listings` names, as it is now."""
        where, depth, suffixes, folder = key.split("|", 3)
        files = self._module if where == "module" else self.files
        ends = tuple(suffixes.split(","))
        return () if files is None else tuple(sorted(files.names(folder, ends, depth == "deep")))

    @property
    def module_files(self) -> tuple[str, ...]:
        """Paths of the module's C files and headers, but for what kbuild generates."""
        if self.module is None:
            return ()
        return tuple(p for p in self.list(".", deep=True, module=True) if not p.endswith(".mod.c"))

    def include(self, name: str, quoted: bool, user: str) -> SourceFile | None:
        """The header that ``#include`` of `name` in file `user` means.

        An out-of-tree module names its own folders of headers in its Makefile, which is not read: what
        neither the module's include/ nor the tree has is the module's only header whose path ends so.
        """
        if quoted:
            local = _normal(str(Path(user).parent / name))
            if local and (found := self.file(local)):
                return found
        if name.startswith("asm/"):
            return self.file("include/asm-generic/" + name[4:])
        found = self.file("include/" + name) or self.file("include/uapi/" + name)
        if found is None and self.module is not None:
            headers = self.list(".", (".h",), deep=True, module=True)
            ends = [p for p in headers if p == name or p.endswith("/" + name)]
            return self.file(ends[0]) if len(ends) == 1 else None
        return found

    def _included_by(self, file: SourceFile) -> tuple[SourceFile, ...]:
        """The headers that `file` itself includes."""
        if file.path not in self._included:
            found = (self.include(name, quoted, file.path) for name, quoted in file.includes)
            self._included[file.path] = tuple(f for f in found if f)
        return self._included[file.path]

    def headers(self, path: str) -> tuple[SourceFile, ...]:
        """Every header that `path` includes, directly or not, nearest first."""
        if path not in self._closure:
            start = self.file(path)
            queue, seen = [start] if start else [], {path}
            for current in queue:
                for header in self._included_by(current):
                    if header.path not in seen:
                        seen.add(header.path)
                        queue.append(header)
            self._closure[path] = tuple(queue[1:])
        return self._closure[path]


def _first(path: str, places: Iterable[Files]) -> tuple[SourceFile | None, Signature | None]:
    """The file at `path` in the first of `places` that has one."""
    return next((found for files in places if (found := files.read(path))[0] is not None), (None, None))


def _normal(path: str) -> str:
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if not parts:
                return ""
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def is_static(file: SourceFile, definition: Definition) -> bool:
    """Whether a function or variable can be named in its own file alone."""
    return re.search(r"\bstatic\b", file.code[definition.start : definition.body]) is not None


_Found = tuple[tuple[SourceFile, Definition], ...]


def _defined(name: str, kind: str, files: Iterable[SourceFile]) -> _Found:
    """The definitions of `name` in the first of `files` that has any. Those that stand under the same
    conditions exclude each other: the source is broken."""
    for file in files:
        if name in file.candidates:
            found = [d for d in file.definitions.get(name, ()) if d.kind == kind]
            if found:
                conditions = [d.condition for d in found]
                twice = kind == "function" and any(conditions.count(c) > 1 for c in conditions)
                return tuple((file, replace(d, broken="it is defined twice") if twice else d) for d in found)
    return ()


def _conditions(found: _Found) -> list[str]:
    """Under what each of the definitions stands; empty for one that stands under nothing."""
    return [" && ".join(f"({c})" for c in d.condition) for _, d in found]


def _built(found: _Found, under: str = "") -> _Found:
    """Definitions in several files, one of which is built: each but the last under a condition for that."""
    if len({f.path for f, _ in found}) <= 1 and not under:
        return found
    last = None if under else found[-1][0].path
    several = len({f.path for f, _ in found}) > 1
    return tuple(
        (
            f,
            d
            if f.path == last
            else replace(
                d,
                condition=(
                    *d.condition,
                    *((under,) if under else ()),
                    *((f"built({f.path})",) if several else ()),
                ),
            ),
        )
        for f, d in found
    )


class Scope:
    """Where a filesystem's names are looked up: the file itself, the filesystem's own files, the headers
    that they include, and the kernel files whose helpers filesystems share."""

    SHARED = (
        "fs/libfs.c",
        "fs/dcache.c",
        "fs/inode.c",
        "fs/super.c",
        "fs/posix_acl.c",
        "fs/namei.c",
        "fs/stat.c",
        "fs/fs_context.c",
        "fs/pnode.c",
        "fs/attr.c",
        "fs/xattr.c",
        "fs/filesystems.c",
        "fs/nls/nls_base.c",
        "fs/stack.c",
        "fs/fs_types.c",
        "fs/ramfs/inode.c",
        "fs/unicode/utf8-core.c",
        "fs/file.c",
        "fs/unicode/utf8-core.c",
        "fs/ramfs/inode.c",
    )

    def __init__(self, tree: Tree, files: tuple[str, ...]) -> None:
        self.tree = tree
        self.paths = files
        self.used: dict[str, SourceFile] = {}
        self.entry: str | None = None
        self._near: dict[tuple[str, str | None], dict[SourceFile, int]] = {}
        self._may_own: dict[str, bool] = {}
        self._work: dict[str, str | None] = {}
        self._near_own: dict[tuple[str, str | None], list[SourceFile]] = {}
        self._naming: dict[str, list[SourceFile]] = {}
        self._indexed: set[SourceFile] = set()
        self._found: dict[tuple[str, str, str, str | None], tuple[tuple[SourceFile, Definition], ...]] = {}
        self._macros: dict[tuple[str, str, str | None], tuple[tuple[SourceFile, Macro], ...]] = {}

    @cached_property
    def own(self) -> tuple[SourceFile, ...]:
        """The filesystem's own files."""
        return tuple(f for p in self.paths if (f := self.tree.file(p)))

    @cached_property
    def _own(self) -> frozenset[SourceFile]:
        return frozenset(self.own)

    def owns(self, file: SourceFile) -> bool:
        """Whether `file` is one of the filesystem's own, or the text of a macro called in one."""
        return file in self._own

    @cached_property
    def shared(self) -> tuple[SourceFile, ...]:
        """The kernel's files of helpers for filesystems."""
        return tuple(f for p in self.SHARED if p not in self.paths and (f := self.tree.file(p)))

    @cached_property
    def beside(self) -> tuple[SourceFile, ...]:
        """The other files of the out-of-tree module that the filesystem is in, if it is in one."""
        module = self.tree.module_files
        if not set(module).intersection(self.paths):
            return ()
        return tuple(f for p in module if p not in self.paths and (f := self.tree.file(p)))

    def use(self, file: SourceFile) -> SourceFile:
        """Remember that a fact came from `file`."""
        self.used[file.path] = file.whole
        return file

    def _headers(self, user: SourceFile) -> dict[SourceFile, int]:
        """The headers that `user`, and the file whose method is followed, include, then the filesystem's
        own, each with its place among them; a C file that is included counts as one."""
        key = (user.path, self.entry)
        if key not in self._near:
            around = [*self.tree.headers(user.path)]
            if self.entry and self.entry != user.path:
                entry = self.tree.file(self.entry)
                around += [*((entry,) if entry else ()), *self.tree.headers(self.entry)]
            own = [f for f in self.own if f.path.endswith(".h")]
            mine = [f for f in around if self.owns(f)]
            near = {f.path: f for f in (*mine, *own, *around) if f is not user}.values()
            self._near[key] = {f: i for i, f in enumerate(near)}
            for file in near:
                if file not in self._indexed:
                    self._indexed.add(file)
                    for name in file.candidates:
                        self._naming.setdefault(name, []).append(file)
        return self._near[key]

    def _nearest(self, name: str, user: SourceFile) -> list[SourceFile]:
        """Those of the headers of `user` that may define `name`, nearest first."""
        near = self._headers(user)
        found = [f for f in self._naming.get(name, ()) if f in near]
        return sorted(found, key=near.__getitem__) if len(found) > 1 else found

    @cached_property
    def _sources_naming(self) -> dict[str, list[SourceFile]]:
        """The filesystem's own C files by the names that they may define."""
        found: dict[str, list[SourceFile]] = {}
        for file in self.own:
            if file.path.endswith(".c"):
                for name in file.candidates:
                    found.setdefault(name, []).append(file)
        return found

    def find(self, name: str, kind: str, user: SourceFile) -> tuple[tuple[SourceFile, Definition], ...]:
        """The definitions of `name` (``function`` or ``type``) that `user` can mean, each with the conditions
        under which it is the one that is meant, but the last: that is meant under all others.

        What the file itself defines comes before what it includes, that before what its filesystem links
        with, that before the kernel's shared files. Where a header has the name for some configurations
        alone, what is linked has it for the others; of several files that define it one is built.
        """
        key = (name, kind, user.path if user.whole is user else f"expanded in {user.path}", self.entry)
        if key not in self._found:
            self._found[key] = self._find(name, kind, user)
        return self._found[key]

    def _find(self, name: str, kind: str, user: SourceFile) -> tuple[tuple[SourceFile, Definition], ...]:
        found = _defined(name, kind, (user, user.whole))
        if not found:
            found = _defined(name, kind, self._nearest(name, user))
            if found and (kind == "type" or not all(_conditions(found))):
                return found
            linked = self.linked(name, kind, user)
            if found and not linked:
                linked = tuple(x for x in _defined(name, kind, self.shared) if not is_static(*x))
            if found and linked:
                without = " && ".join(f"!({c})" for c in _conditions(found))
                found = (*_built(linked, without), *found)
            elif linked:
                found = _built(linked)
        return found or _defined(name, kind, self.shared) or self._generated(name, kind, user)

    def _generated(self, name: str, kind: str, user: SourceFile) -> tuple[tuple[SourceFile, Definition], ...]:
        """The functions of that name that macros define: in `user`, or in the filesystem's own headers. The
        kernel's, hundreds of them, are not searched."""
        if kind != "function":
            return ()
        key = (user.path, self.entry)
        if key not in self._near_own:
            self._near_own[key] = [f for f in self._headers(user) if self.owns(f) and f.invocations]
        return self._generator.find(name, (user.whole, *self._near_own[key]))

    @cached_property
    def _generator(self) -> Generated:
        from .generated import Generated  # It needs the parser, which a run from the cache does without.

        return Generated(self.macro)

    def may_own(self, name: str) -> bool:
        """Whether the filesystem's own files may define `name`; errs by yes."""
        known = self._may_own.get(name)
        if known is None:
            known = name in self._own_names or not self._own_words.isdisjoint(parts(name))
            self._may_own[name] = known
        return known

    @cached_property
    def _own_names(self) -> frozenset[str]:
        return frozenset(name for f in self.own for name in f.candidates)

    @cached_property
    def _own_words(self) -> frozenset[str]:
        """What calls of macros at the top level of the filesystem's own files are given: parts of names."""
        return frozenset[str]().union(*(f.given_words for f in self.own))

    def linked(self, name: str, kind: str, user: SourceFile) -> tuple[tuple[SourceFile, Definition], ...]:
        """The definitions in other C files of the filesystem, and of its module, that `user` is linked
        with."""
        found: tuple[tuple[SourceFile, Definition], ...] = ()
        for files in (self._sources_naming.get(name, ()), self.beside):
            for file in files:
                if file is not user and file.path.endswith(".c") and name in file.candidates:
                    found += tuple(
                        (file, d)
                        for d in file.definitions.get(name, ())
                        if d.kind == kind and (kind == "type" or not is_static(file, d))
                    )
            if found:
                break
        return found

    def macro(self, name: str, user: SourceFile) -> tuple[tuple[SourceFile, Macro], ...]:
        """The ``#define``s of `name` that `user` can mean, from the nearest file that has any."""
        key = (name, user.path, self.entry)
        if key not in self._macros:
            places = (f for files in ((user.whole,), self._nearest(name, user), self.shared) for f in files)
            self._macros[key] = next(
                (
                    tuple((f, m) for m in f.macros[name])
                    for f in places
                    if name in f.candidates and name in f.macros
                ),
                (),
            )
        return self._macros[key]

    def work_function(self, member: str) -> str | None:
        """The function of the work item that the filesystem keeps in `member`, from its initialisation."""
        if member not in self._work:
            pattern = re.compile(
                rf"(?:INIT_(?:DELAYED_|RCU_)?WORK|DECLARE_(?:DELAYED_)?WORK|timer_setup|setup_timer)\s*\(\s*[^,]*?\b{re.escape(member)}\s*,\s*(\w+)\s*[,)]"
            )
            told = (f for f in self.own if "_WORK" in f.text or "_timer" in f.text or "timer_" in f.text)
            found = next((m for f in told if (m := pattern.search(f.code)) is not None), None)
            self._work[member] = found.group(1) if found else None
        return self._work[member]

    def assigned(self, member: str) -> tuple[tuple[SourceFile, str], ...]:
        """Names that the filesystem's own files store in `member` by an initialiser or an assignment."""
        found = self._assigned.get(member, {})
        return tuple((file, name) for name, file in sorted(found.items(), key=lambda item: item[0]))

    @cached_property
    def _assigned(self) -> dict[str, dict[str, SourceFile]]:
        """By member, the names stored in it, and the first file that stores each."""
        found: dict[str, dict[str, SourceFile]] = {}
        for file in self.own:
            for a, one, b, other in _STORED.findall(file.code):
                name = one or other
                if not name.isdigit() and name not in ("NULL", "true", "false"):
                    found.setdefault(a or b, {}).setdefault(name, file)
        return found
