"""What the VFS of a tree does around the callbacks, as facts: sites with the locks held and the order so far.

fs/dcache.c, fs/namei.c, fs/super.c, fs/inode.c (and fs/posix_acl.c, fs/d_path.c) are read in three groups:
the life of a dentry, path walk, and the teardown of inodes and superblocks. In each, functions that lead to
a call of one of the group's methods are run from where nothing is held (`reader/paths.py`).
`proofs/vfs_check.py` sets the facts against `spec/vfs.toml`.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from .graph import graph
from .paths import Paths
from .pathstate import FLAGS, TABLES, WALK, State, Tracked
from .source import Definition, SourceFile
from .steps import Graph
from .tree import Tree
from .vfs_words import Site, VfsWords

DCACHE, NAMEI, SUPER, INODE = FILES = ("fs/dcache.c", "fs/namei.c", "fs/super.c", "fs/inode.c")
ELSEWHERE: dict[str, frozenset[str]] = {
    "fs/d_path.c": frozenset({"d_dname"}),
    "fs/posix_acl.c": frozenset({"get_acl", "get_inode_acl"}),
}
"""What newer kernels call in a file of its own, and older ones in the four above."""

HEADERS = ("include/linux/dcache.h", "include/linux/fs.h", "include/linux/fs/super_types.h")

_CALLED = re.compile(r"\b(\w+)\s*\(")
_STARTS = re.compile(r"\|\s*LOOKUP_RCU\s*[,)]")
_MODES = re.compile(r"\|\s*LOOKUP_RCU\s*[,)]|\brcu_read_lock\b")
_HANDED_OVER = re.compile(r"\bspin_release\s*\(")
"""A lock goes from one variable to another: such a function is taken to return with the locks that it was
called with."""

_LOCKING = re.compile(r"\bspin_(?:try)?lock\w*\s*\(|\bguard\s*\(|\brcu_read_lock\b")
_CALL_RCU = re.compile(r"\bcall_rcu\w*\s*\([^;]*?,\s*(\w+)\s*\)\s*;")
_SYSTEM_CALL = re.compile(r"(?:COMPAT_)?SYSCALL_DEFINE\d$")
_MEMBER = re.compile(r"\(\s*\*\s*(\w+)\s*\)\s*\(")


DCACHE_FLAGS = sum(bit for name, bit in FLAGS.items() if name.startswith("DCACHE_"))


class GroupOf(NamedTuple):
    """One part of the VFS: its files, the methods that it calls, and what makes a function without such a
    call matter all the same (by file)."""

    name: str
    files: tuple[str, ...]
    methods: frozenset[str]
    helpers: Mapping[str, re.Pattern[str]]
    tracked: Tracked


_DENTRY = re.compile(
    r"\bd_lock\b|\bi_lock\b|\brename_lock\b|\bd_hash\b|->d_inode\b|\blockref_|\bcall_rcu\b|\bkmem_cache_free\b"
    r"|\bd_child\b|\bd_sib\b|\bDCACHE_ENTRY_TYPE\b|\brcu_read_(?:un)?lock\b"
)
_WALK = re.compile(
    r"\bLOOKUP_RCU\b|\bMAY_NOT_BLOCK\b|\brcu_read_(?:un)?lock\b|\bvfsmount_lock\b|\b(?:un)?lock_rcu_walk\b"
)
_END = re.compile(r"\bcall_rcu\b|\bkfree_rcu\b|\bkfree\b|\bkmem_cache_free\b|\bi_lock\b|\bbdi_")

GROUPS = (
    GroupOf(
        "dentry",
        (DCACHE,),
        frozenset(
            {"d_delete", "d_init", "d_prune", "d_iput", "d_release", "d_unalias_trylock", "d_unalias_unlock"}
        ),
        {DCACHE: _DENTRY},
        Tracked(
            frozenset({"dentry", "inode"}), frozenset({"d_inode", "d_flags", "hashed", "root"}), DCACHE_FLAGS
        ),
    ),
    GroupOf(
        "walk",
        (NAMEI, DCACHE, *ELSEWHERE),
        frozenset(
            {"d_revalidate", "d_weak_revalidate", "d_hash", "d_compare", "d_manage", "d_automount", "d_dname"}
            | {"permission", "get_link", "follow_link", "get_acl", "get_inode_acl"}
        ),
        {NAMEI: _WALK},
        Tracked(frozenset({"nameidata", "file"}), frozenset({"flags", "f_mode"}), WALK, False),
    ),
    GroupOf(
        "end",
        (INODE, SUPER),
        frozenset({"evict_inode", "destroy_inode", "free_inode", "put_super", "kill_sb"}),
        {INODE: _END, SUPER: _END},
        Tracked(frozenset({"inode", "super_block"}), frozenset(), 0),
    ),
)


@dataclass(frozen=True)
class VfsSide:
    """What was read. `absent`: files that the tree does not have; `problems`: (group, file, line, what could
    not be followed); `members`: by table and member, file, line
    and the types of the arguments."""

    hashes: tuple[tuple[str, str], ...]
    absent: tuple[str, ...]
    sites: tuple[Site, ...]
    problems: tuple[tuple[str, str, int, str], ...]
    members: Mapping[str, Mapping[str, tuple[str, int, tuple[str, ...]]]]


def read(tree: Tree, victims: Mapping[str, int]) -> VfsSide:
    """The facts of a tree; `victims`: which argument of a method is the object that it is called for."""
    sites: dict[Site, None] = {}
    problems: dict[tuple[str, str, int, str], None] = {}
    used: dict[str, SourceFile] = {}
    for part in GROUPS:
        code = _Code(tuple(f for p in part.files if (f := tree.file(p)) is not None), part)
        used |= {f.path: f for f in code.files}
        words, paths = code.run(victims)
        sites |= words.sites
        problems |= {(part.name, *problem): None for problem in paths.problems}
        problems |= {(part.name, f.path, 1, f"{f.path}: {f.problem}"): None for f in code.files if f.problem}
    headers = [f for p in HEADERS if (f := tree.file(p)) is not None]
    used |= {f.path: f for f in headers}
    return VfsSide(
        tuple(sorted((path, f.sha256) for path, f in used.items())),
        tuple(p for p in FILES if p not in used),
        tuple(sites),
        tuple(problems),
        {table: dict(_members(headers, table)) for table in sorted(TABLES)},
    )


def _members(
    headers: Iterable[SourceFile], table: str
) -> Iterator[tuple[str, tuple[str, int, tuple[str, ...]]]]:
    """The methods that a structure of function pointers declares, with the types of their arguments."""
    for file in headers:
        body = re.search(rf"^struct {table} \{{$(.*?)^\}}", file.code, re.M | re.S)
        if body is None:
            continue
        for match in _MEMBER.finditer(body.group(1)):
            at = body.start(1) + match.end()
            end = file.code.find(")", at)
            types = tuple(" ".join(a.split()) for a in file.code[at:end].split(","))
            yield match.group(1), (file.path, file.line(at), types)


class _Code:
    """The functions of one group's files: who calls whom, and which of them matter."""

    def __init__(self, files: tuple[SourceFile, ...], part: GroupOf) -> None:
        self.files = files
        self.part = part
        self.entered: set[str] = set()
        self.skipped: dict[str, None] = {}
        self._graphs: dict[str, tuple[Graph, ...]] = {}
        self._local: dict[str, bool] = {}

    @cached_property
    def functions(self) -> dict[str, list[tuple[SourceFile, Definition]]]:
        """Every function of the files, by name; several under different conditions."""
        found: dict[str, list[tuple[SourceFile, Definition]]] = {}
        for file in self.files:
            for name, all_ in file.definitions.items():
                found.setdefault(name, []).extend((file, d) for d in all_ if d.kind == "function")
        return {name: all_ for name, all_ in found.items() if all_}

    @cached_property
    def calls(self) -> dict[str, set[str]]:
        """Which functions of the files each of them names before a parenthesis, or hands on."""
        found: dict[str, set[str]] = {name: set() for name in self.functions}
        for file in self.files:
            places = sorted((d.start, d.end, d.name) for all_ in file.definitions.values() for d in all_)
            starts = [p[0] for p in places]
            for match in _CALLED.finditer(file.code):
                index = bisect.bisect_right(starts, match.start()) - 1
                if index >= 0 and match.start() < places[index][1]:
                    caller, called = places[index][2], match.group(1)
                    if caller in found and called in found and called != caller:
                        found[caller].add(called)
        return found

    @cached_property
    def callers(self) -> dict[str, set[str]]:
        """The other way round."""
        found: dict[str, set[str]] = {name: set() for name in self.functions}
        for caller, all_ in self.calls.items():
            for called in all_:
                found[called].add(caller)
        return found

    def _with(self, pattern: re.Pattern[str], files: Iterable[SourceFile]) -> set[str]:
        """The functions in whose text `pattern` occurs."""
        wanted = {f.path for f in files}
        return {
            name
            for name, all_ in self.functions.items()
            for file, d in all_
            if file.path in wanted and pattern.search(file.code, d.start, d.end)
        }

    def _above(self, start: set[str]) -> set[str]:
        """`start` and everything that leads to it."""
        found, todo = set(start), list(start)
        while todo:
            for caller in self.callers.get(todo.pop(), ()):
                if caller not in found:
                    found.add(caller)
                    todo.append(caller)
        return found

    @cached_property
    def direct(self) -> set[str]:
        """The functions that call a method of the group themselves."""
        methods = "|".join(sorted(self.part.methods - {"d_hash"}))
        hashing = r"|\bd_op->\s*d_hash\b" if "d_hash" in self.part.methods else ""
        return self._with(re.compile(rf"->\s*(?:{methods})\b{hashing}"), self.files)

    @cached_property
    def reaching(self) -> set[str]:
        """The functions that lead to such a call."""
        return self._above(self.direct)

    @cached_property
    def helping(self) -> set[str]:
        """The functions that matter without one: they take locks, change modes, unhash, free."""
        found: set[str] = set()
        for path, pattern in self.part.helpers.items():
            found |= self._with(pattern, (f for f in self.files if f.path == path))
        return self._above(found - self._with(_HANDED_OVER, self.files))

    def _static(self, name: str) -> bool:
        if name not in self._local:
            self._local[name] = all(
                re.search(r"\bstatic\b", file.code[d.start : d.start + 160].split("(")[0])
                for file, d in self.functions[name]
            )
        return self._local[name]

    @cached_property
    def modes(self) -> set[str]:
        """The functions that start a walk in RCU mode themselves: above them nothing is held."""
        return self._with(_STARTS, self.files) & self.reaching

    def _roots(self, start: Iterable[str]) -> dict[str, None]:
        """From functions upward through static ones to what others call: there nothing is held."""
        found: dict[str, None] = {}
        seen: set[str] = set()
        todo = sorted(start)
        while todo:
            name = todo.pop(0)
            if name in seen or name not in self.functions or _SYSTEM_CALL.match(name):
                continue
            seen.add(name)
            if name in self.rcu_callbacks:
                continue
            callers = sorted(c for c in self.callers[name] if not _SYSTEM_CALL.match(c))
            if self._static(name) and callers and name not in self.modes:
                todo += callers
            else:
                found[name] = None
                todo += [c for c in callers if name in self.direct and c in self.locking]
        return found

    @cached_property
    def rcu_callbacks(self) -> dict[str, None]:
        """The functions that are handed to call_rcu()."""
        found = (m.group(1) for f in self.files for m in _CALL_RCU.finditer(f.code))
        return dict.fromkeys(name for name in found if name in self.functions)

    @cached_property
    def locking(self) -> set[str]:
        """The functions that take a lock themselves."""
        return self._with(_LOCKING, self.files)

    def matters(self, name: str) -> bool:
        """Whether a call of that name (a function or a method) can do something that is tracked."""
        if name in self.part.methods or name == "alloc_inode" or VfsWords.known(name):
            return True
        return name in self.followed

    @cached_property
    def followed(self) -> set[str]:
        """The functions that are followed."""
        return self.reaching | self.helping

    def graphs(self, name: str) -> tuple[Graph, ...]:
        """The graphs of a function: one for each definition of it."""
        if name not in self._graphs:
            self._graphs[name] = tuple(
                graph(file, d, self.matters) for file, d in self.functions.get(name, ())
            )
        return self._graphs[name]

    def find(self, name: str, state: State) -> tuple[Graph, ...]:
        """The graphs of a function that is to be followed when it is called in `state`.

        A function that others call as well, and that is entered with nothing held, is a root of its own.
        """
        if name not in self.functions or name not in self.followed:
            return ()
        if name in self.reaching and (name in self.modes or not self._static(name)):
            if not state.locks:
                self.skipped[name] = None
                return ()
            self.entered.add(name)
        return self.graphs(name)

    def run(self, victims: Mapping[str, int]) -> tuple[VfsWords, Paths]:
        """Run every root: first those that enter a mode, then the rest, then RCU callbacks."""
        words = VfsWords(victims)
        paths = Paths(self.find, words, self.part.methods | {"alloc_inode"}, self.part.tracked)
        modes = self._with(_MODES, self.files) & self.reaching
        done: set[str] = set()
        for names in (self._roots(modes), self._roots(self.direct)):
            todo = list(names)
            while todo:
                name = todo.pop(0)
                if name in done or (name in self.entered and name not in self.skipped):
                    continue
                done.add(name)
                self._root(words, paths, name)
                todo += [n for n in self.skipped if n not in done and n not in todo]
        words.entered = True
        paths.results.clear()
        for name in self.rcu_callbacks:
            self._root(words, paths, name)
        return words, paths

    def _root(self, words: VfsWords, paths: Paths, name: str) -> None:
        words.root = name
        for each in self.graphs(name):
            try:
                paths.root(each)
            except RecursionError:
                paths.problem(each, each.start, f"{name}() is nested too deeply to follow")
                paths.active.clear()
                paths.frames.clear()
