"""From a unit of a kernel tree to models: one for each of its dentry operations tables."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from .. import __version__
from ..spec.contract import clauses
from ..spec.kernel_functions import table
from ..spec.program import Atom, Event, Gap, Model, Program, Source
from ..spec.vfs import Vfs, vfs
from .bdd import FALSE, TRUE, TooLarge
from .execute import MAX_CALLS, MAX_FOLLOWED, Executor, parameters
from .pieces import pieces
from .recorder import MAX_DEFINED, Abandon
from .relevance import Relevance, wanted
from .source import Definition, SourceFile
from .tables import Table, Unit, places
from .tree import Scope, Tree
from .types import Types
from .values import NULL, Const, CType, Multi, Ptr, Sym

READER_VERSION = __version__

REF_DEPTH = 3
"""How deep the calls of a method are followed where it holds references: there only its locks are in
question, and functions below are taken to return with the locks that they were entered with."""

SHORT = 1500
"""Statements of a ->d_release() that is followed whole."""

_DENTRY = Ptr("dentry", None, "", "dentry", CType("dentry"))
_PARENT = Ptr("parent", None, "", "dentry", CType("dentry"))
_INODE = Ptr("inode", None, "", "inode", CType("inode"))
_DIR = Ptr("dir", None, "", "inode", CType("inode"))
_SUPER = Ptr("sb", None, "", "super_block", CType("super_block"))
_PATH = Ptr("path", None, "", "path", CType("path"))

_BDI = re.compile(r"\bsuper_setup_bdi(?:_name)?\s*\(")
_BOUND = frozenset(m for c in clauses() for m in c.binds)
_LINK = re.compile(r"->\s*i_link\s*=(?!=)\s*([^;]+);")
_SUPER_METHODS = ("evict_inode", "destroy_inode", "free_inode", "put_super")


@dataclass(frozen=True)
class _Job:
    method: str
    function: str
    mode: str
    file: SourceFile


def models(tree: Tree, unit: Unit, version: str) -> tuple[Model, ...]:
    """A model of each dentry operations table of `unit`, as kernel `version` calls it."""
    return tuple(_Extractor(tree, unit, version).models())


def _is_teardown(job: _Job) -> bool:
    return job.mode != "ref" and job.method in ("d_iput", "d_release", "kill_sb", *_SUPER_METHODS)


def _matters(event: Event, job: _Job) -> bool:
    """Whether a clause can speak of `event` of this method. Reads are accesses of lockless methods only; what
    others read matters where something else depends on it, and is then kept for that."""
    if job.mode == "rcu" or job.method in ("d_hash", "d_compare"):
        return True
    if job.mode == "ref":
        return event.kind in ("lock", "unlock", "enter", "leave", "return")
    if event.kind == "read":
        return False
    return event.kind != "write" or event.value != "other" or event.object == "dentry"


class _Extractor:
    def __init__(self, tree: Tree, unit: Unit, version: str) -> None:
        self.tree = tree
        self.unit = unit
        self.version = version
        self.vfs: Vfs = vfs(version)
        self.scope = Scope(tree, unit.paths)
        self.types = Types(self.scope)
        self.relevance: dict[bool, Relevance] = {}

    def models(self) -> Iterable[Model]:
        found = self.unit.tables("dentry_operations")
        jobs = [job for own in found for job in self._table_jobs(own)]
        jobs = list(dict.fromkeys([*jobs, *self._shared_jobs()]))
        done = {job: self.program(job) for job in jobs if not _is_teardown(job)}
        links = self._links()
        walkers = links + [
            p
            for p in done.values()
            if p is not None and (p.mode == "rcu" or p.method in ("d_hash", "d_compare"))
        ]
        self.relevance = {whole: Relevance(self.scope, wanted(walkers, whole)) for whole in (False, True)}
        done |= {job: self.program(job) for job in jobs if _is_teardown(job)}
        shared = [*(done[job] for job in dict.fromkeys(self._shared_jobs())), *links]
        for own in found:
            programs = [done[job] for job in dict.fromkeys(self._table_jobs(own))]
            names = self.unit.names
            gaps = tuple(self._gaps(own))
            yield Model(
                self.version,
                names[0],
                names,
                own.name,
                Source(own.file.path, own.line, own.name),
                tuple(p for p in [*programs, *shared] if p is not None),
                own.slots,
                self._private_bdi(),
                tuple(sorted(self._facts())),
                tuple(sorted((f.path, f.sha256) for f in self._used(own))),
                READER_VERSION,
                gaps,
                places(self.scope, own),
            )

    def _gaps(self, table: Table) -> Iterable[Gap]:
        """What makes everything doubtful that is said of `table`: files that cannot be read, or whose top
        level is damaged, and a table that is."""
        files = {f.path: f for f in (*self.unit.files, *self.scope.used.values())}
        for file in files.values():
            if file.problem:
                yield Gap(f"{file.path}: {file.problem}", Source(file.path, 1))
            for damage in file.damage:
                line = file.line(damage.at)
                yield Gap(f"{file.path}:{line}: {damage.reason}", Source(file.path, line))
        for d in table.file.definitions.get(table.name, ()):
            if d.kind == "variable" and d.broken:
                source = Source(table.file.path, table.line, table.name)
                yield Gap(f"{table.name}: {d.broken} ({source})", source)

    def _used(self, table: Table) -> Iterable[SourceFile]:
        return {table.file.path: table.file, **self.scope.used}.values()

    def _links(self) -> list[Program]:
        """What lockless walk itself reads of a symbolic link whose text the filesystem keeps in i_link.

        The text is reached through i_link, or through the member that the filesystem set i_link from
        (fs/namei.c, pick_link(): READ_ONCE(inode->i_link), then the text).
        """
        for file in self.unit.files:
            found = _LINK.search(file.code)
            if found:
                at = Source("", 0, "pick_link")
                events = [
                    Event("read", "inode", "i_link", source=at, type="inode", note="inode->i_link"),
                    Event(
                        "read",
                        "inode->i_link",
                        "*",
                        source=at,
                        via=0,
                        note="the link's text",
                        guard=((("n0", True),),),
                    ),
                ]
                for match in (m for f in self.unit.files for m in _LINK.finditer(f.code)):
                    member = re.fullmatch(r"\w+\s*->\s*([\w.]+)", match.group(1).strip())
                    if member and member.group(1) != "i_link":
                        events.append(
                            Event("read", f"inode->{member.group(1)}", "*", source=at, note="the link's text")
                        )
                source = Source(file.path, file.line(found.start()), "")
                return [
                    Program(
                        "get_link",
                        "pick_link",
                        "rcu",
                        source,
                        tuple(dict.fromkeys(events)),
                        (Atom("n0", "nonnull", "i_link is set", 0),),
                    )
                ]
        return []

    def _private_bdi(self) -> Source | None:
        for file in self.unit.files:
            match = _BDI.search(file.code)
            if match:
                return Source(file.path, file.line(match.start()), "")
        return None

    def _facts(self) -> Iterable[tuple[str, str]]:
        for ctype in ("super_operations",):
            for own in self.unit.tables(ctype):
                for member in _SUPER_METHODS:
                    for function in own.functions(member):
                        yield f"{member}@{own.name}", function

    # -- which functions ---------------------------------------------------------------------------

    def _table_jobs(self, table: Table) -> Iterable[_Job]:
        for method in dict.fromkeys(m for m, _ in table.slots):
            callback = self.vfs.callback(method)
            if callback is None or method not in _BOUND:
                continue
            modes = ("rcu", "ref") if callback.lockless and callback.blocks == "ref-walk" else ("",)
            if method in ("d_iput", "d_release"):
                modes = ("", "ref")
            for function in table.functions(method):
                for mode in modes:
                    yield _Job(method, function, mode, table.file)

    def _shared_jobs(self) -> Iterable[_Job]:
        seen: set[tuple[str, str]] = set()
        for ctype, methods in (
            ("inode_operations", self.vfs.lockless("inode_operations")),
            ("super_operations", _SUPER_METHODS),
            ("file_system_type", ("kill_sb",)),
        ):
            for own in self.unit.tables(ctype):
                for method in methods:
                    for function in own.functions(method):
                        if (method, function) not in seen:
                            seen.add((method, function))
                            yield _Job(
                                method, function, "rcu" if ctype == "inode_operations" else "", own.file
                            )

    # -- running one -------------------------------------------------------------------------------

    def program(self, job: _Job) -> Program:
        """The callback program of one function in one mode. What a short ->d_release() does is followed
        whole; of a long one, as of the other teardowns, what can matter to a lockless walker."""
        relevance = self.relevance.get(job.method in ("put_super", "kill_sb")) if _is_teardown(job) else None
        if job.method == "d_release" and relevance is not None:
            whole = self._execute(job, None, SHORT)
            if whole.statements < SHORT:
                return whole
        return self._execute(job, relevance, MAX_FOLLOWED)

    def _execute(self, job: _Job, relevance: Relevance | None, followed: int) -> Program:
        executor = Executor(
            self.scope,
            self.types,
            self._known(job),
            REF_DEPTH if job.mode == "ref" else MAX_CALLS,
            relevance,
            followed,
        )
        found = self.scope.find(job.function, "function", job.file)
        if not found or (job.function in table() and found[0][0] not in self.scope.own):
            return self._undefined(executor, job)
        file, definition = found[0]
        piece = pieces(file, definition).ways[0][1]
        node = next((c for c in piece.root.named_children if c.type == "function_definition"), None)
        names = parameters(piece, node) if node is not None else []
        try:
            result = executor.run(job.function, job.file, self._arguments(job, names))
            self._ended(executor, file, definition, result)
        except (Abandon, TooLarge, RecursionError) as stop:
            executor.record.leave((TRUE, TRUE, {}))
            executor.record.gap(
                f"{job.function}() is too large to follow ({type(stop).__name__})",
                Source(file.path, file.line(definition.start), job.function),
            )
        try:
            if _is_teardown(job) and sum(a.kind == "defined" for a in executor.record.atoms) > MAX_DEFINED:
                executor.record.summarise()
            events, atoms, gaps = executor.record.finished(lambda e: _matters(e, job))
        except TooLarge:
            events, atoms, gaps = (
                (),
                (),
                (
                    Gap(
                        f"{job.function}() is too large to follow (TooLarge)",
                        Source(file.path, file.line(definition.start), job.function),
                    ),
                ),
            )
        return Program(
            job.method,
            job.function,
            job.mode,
            Source(file.path, file.line(definition.start), job.function),
            events,
            atoms,
            gaps,
            tuple(executor.record.assumptions),
            executor.statements,
            tuple(executor.followed),
            tuple(executor.assumed),
            tuple(executor.unfollowed),
        )

    def _ended(self, executor: Executor, file: SourceFile, definition: Definition, result: Multi) -> None:
        """The step at which the method returns; paths that the loop bound cuts off do not get there."""
        executor.record.condition = FALSE
        for condition, _ in result:
            executor.record.condition = executor.bdd.disjoin(executor.record.condition, condition)
        end = Source(file.path, file.line(definition.end - 1), definition.name)
        executor.record.emit(Event("return", source=end, note="returns"))

    def _undefined(self, executor: Executor, job: _Job) -> Program:
        known = table().get(job.function)
        source = Source(job.file.path, 0, job.function)
        if known is not None:
            for effect in known.effects:
                if effect.operation == "teardown":
                    executor.record.emit(
                        Event("call", "sb", effect.arguments[0], source=source, note=job.function + "()")
                    )
                elif effect.operation == "block":
                    executor.record.emit(Event("block", source=source, note=f"{job.function}() may sleep"))
                elif effect.operation == "free":
                    executor.record.emit(
                        Event("free", self._root(job), value="now", source=source, note=job.function + "()")
                    )
            executor.record.emit(Event("return", source=source))
        else:
            executor.record.gap(f"{job.function}() is defined nowhere that the reader looks", source)
        events, atoms, gaps = executor.record.finished()
        assumed = (job.function,) if known is not None else ()
        return Program(job.method, job.function, job.mode, source, events, atoms, gaps, assumed=assumed)

    def _root(self, job: _Job) -> str:
        return {"d_hash": "parent"}.get(
            job.method,
            "inode"
            if job.method.endswith("_inode")
            else "sb"
            if job.method in ("put_super", "kill_sb")
            else "dentry",
        )

    def _known(self, job: _Job) -> dict[tuple[object, ...], bool]:
        if job.mode == "rcu":
            mask: dict[tuple[object, ...], bool] = {
                ("&", ("c", name), ("param", "mask")): truth for name, truth in self.vfs.rcu_mask.items()
            }
            return {("&", ("c", "LOOKUP_RCU"), ("param", "flags")): True, **mask}
        if job.mode == "ref":
            return {
                ("&", ("c", "LOOKUP_RCU"), ("param", "flags")): False,
                ("&", ("c", "MAY_NOT_BLOCK"), ("param", "mask")): False,
            }
        return {}

    def _arguments(self, job: _Job, names: list[tuple[str, CType]]) -> list[Multi]:
        """What the VFS hands to the method: roles by type and place, as the prototypes order them."""
        values: list[Multi] = []
        dentries = sum(1 for _, t in names if t.tag == "dentry")
        inodes = 0
        for position, (_, ctype) in enumerate(names):
            value: Multi = [(TRUE, Sym(("param", position)))]
            if ctype.tag == "dentry" and ctype.depth == 1:
                role = _DENTRY
                if job.method == "d_hash" or (job.method == "d_compare" and dentries == 2 and position == 0):
                    role = _PARENT
                value = [(TRUE, NULL)] if job.method == "get_link" and job.mode == "rcu" else [(TRUE, role)]
            elif ctype.tag == "inode" and ctype.depth == 1:
                role = _INODE
                if job.method in ("d_revalidate", "d_hash") or (job.method == "d_compare" and inodes == 0):
                    role = _DIR
                inodes += 1
                value = [(TRUE, role)]
            elif ctype.tag == "super_block":
                value = [(TRUE, _SUPER)]
            elif ctype.tag == "path":
                value = [(TRUE, _PATH)]
            elif ctype.tag == "nameidata":
                value = [(TRUE, Ptr("static:nameidata", None, "", "nameidata", CType("nameidata")))]
            elif ctype.depth:
                value = [
                    (
                        TRUE,
                        Ptr(
                            f"static:argument{position}",
                            None,
                            "",
                            ctype.tag,
                            CType(ctype.tag) if ctype.tag else CType(),
                        ),
                    )
                ]
            elif job.method == "d_manage":
                value = [(TRUE, Const(int(job.mode == "rcu")))]
            elif job.method in ("get_acl", "get_inode_acl") and position == len(names) - 1:
                value = [(TRUE, Const(1))]
            elif job.method in ("d_revalidate", "d_weak_revalidate"):
                value = [(TRUE, Sym(("param", "flags")))]
            elif job.method == "permission":
                value = [(TRUE, Sym(("param", "mask")))]
            values.append(value)
        return values


__all__ = ["FALSE", "models"]
