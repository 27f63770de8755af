"""From a unit of a kernel tree to models: one for each of its dentry operations tables."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .. import __version__
from ..bdd import FALSE, TRUE, TooLarge
from ..spec.kernel_functions import table
from ..spec.program import Atom, Event, Gap, Model, Program, Source
from ..spec.vfs import Vfs, vfs
from .arguments import arguments, known
from .execute import Executor
from .frame import parameters
from .function_text import Texts
from .handover import Handover
from .limits import MAX_CALLS, MAX_FOLLOWED
from .methods import SUPER_METHODS, Job, Methods
from .pieces import pieces
from .recorder import MAX_DEFINED, Abandon, Pending
from .relevance import Relevance, wanted
from .source import Definition, SourceFile
from .tables import Table, places
from .tree import Scope, Tree
from .types import Types
from .units import Unit
from .unseen import Unseen
from .values import Multi

READER_VERSION = __version__

REF_DEPTH = 3
"""How deep the calls of a method are followed where it holds references: there only its locks are in
question, and functions below are taken to return with the locks that they were entered with, unless their
text says otherwise."""

SHORT = 1500
"""Statements of a ->d_release() that is followed whole."""

_LINK = re.compile(r"->\s*i_link\s*=(?!=)\s*([^;]+);")


def models(tree: Tree, unit: Unit, version: str) -> tuple[Model, ...]:
    """A model of each dentry operations table of `unit`, as kernel `version` calls it."""
    return tuple(_Extractor(tree, unit, version).models())


def freed_events(events: Iterable[Event]) -> Iterable[Event]:
    """What these events free, at once or later."""
    for event in events:
        if event.kind == "free":
            yield event
        yield from freed_events(event.then)


def _victim(job: Job) -> str:
    """What a teardown method may destroy, as `wanted` calls it."""
    victims = {"put_super": "super_block", "kill_sb": "super_block", "destroy_inode": "inode"}
    return victims.get(job.method, "")


def _is_teardown(job: Job) -> bool:
    return job.mode != "ref" and job.method in ("d_iput", "d_release", "kill_sb", *SUPER_METHODS)


def _matters(event: Event, job: Job) -> bool:
    """Whether a clause can speak of `event` of this method. Reads are accesses of lockless methods only; what
    others read matters where something else depends on it, and is then kept for that."""
    if job.mode == "rcu" or job.method in ("d_hash", "d_compare"):
        return True
    if job.mode == "ref":
        return event.kind in ("lock", "unlock", "enter", "leave", "return")
    if event.kind == "read":
        return False
    return event.kind != "write" or event.value != "other" or event.object == "dentry"


def _freed_cells(events: Iterable[Pending]) -> frozenset[tuple[str, str]]:
    """The members whose pointers lead to what a teardown frees: what is stored there tells which object."""
    paths = {e.object for p in events for e in (p.event, *p.event.then) if e.kind in ("free", "defer")}
    return frozenset((owner, member) for owner, arrow, member in (p.rpartition("->") for p in paths) if arrow)


class _Extractor:
    def __init__(self, tree: Tree, unit: Unit, version: str) -> None:
        self.tree = tree
        self.unit = unit
        self.version = version
        self.vfs: Vfs = vfs(version)
        self.scope: Scope = unit.scope
        self.types = Types(self.scope)
        self.functions = table(version)
        self.unseen = Unseen(self.scope, self.functions)
        self.handover = Handover(self.scope, self.functions)
        self.relevance: dict[str, Relevance] = {}
        self._executed: dict[tuple[str, str, str, SourceFile], Program] = {}

    def models(self) -> Iterable[Model]:
        found = self.unit.tables("dentry_operations")
        methods = Methods(self.unit, self.vfs)
        jobs = list(dict.fromkeys(job for own in found for job in methods.jobs(own)))
        done = {job: self.program(job) for job in jobs if not _is_teardown(job)}
        links = self._links()
        walkers = links + [
            p
            for p in done.values()
            if p is not None and (p.mode == "rcu" or p.method in ("d_hash", "d_compare"))
        ]
        texts = Texts()
        self.relevance = {
            victim: Relevance(
                self.scope, wanted(walkers, victim, self.unseen), self.functions, self.unseen, texts
            )
            for victim in ("super_block", "inode", "")
        }
        done |= {job: self.program(job) for job in jobs if _is_teardown(job)}
        for own in found:
            programs = (*(done[job] for job in methods.jobs(own)), *links)
            names = self.unit.names_of(own)
            yield Model(
                self.version,
                names[0],
                names,
                own.name,
                Source(own.file.path, own.line, own.name),
                programs,
                own.slots,
                methods.private_bdi(own),
                self._facts(own, methods, programs, walkers),
                tuple(sorted((f.path, f.sha256) for f in self._used(own))),
                READER_VERSION,
                tuple(methods.gaps(own)),
                places(self.scope, own),
            )

    def _drops(self, jobs: Iterable[Job]) -> Iterable[tuple[str, str]]:
        """What the text of each teardown method, with all that it calls, destroys when a count drops to zero:
        facts named ``drops:METHOD:WHAT``."""
        for job in jobs:
            if not _is_teardown(job):
                continue
            relevance = self.relevance[_victim(job)]
            for file, definition in self.scope.find(job.function, "function", job.file):
                if self.scope.owns(file):
                    for entry in relevance.drops(file, definition):
                        yield f"drops:{job.method}:{entry}", job.function

    def _facts(
        self, own: Table, methods: Methods, programs: Iterable[Program], walkers: Iterable[Program]
    ) -> tuple[tuple[str, str], ...]:
        drops = self._drops(methods.jobs(own))
        return tuple(sorted({*methods.facts(own), *drops, *self._types_of(programs, walkers)}))

    def _types_of(self, programs: Iterable[Program], walkers: Iterable[Program]) -> Iterable[tuple[str, str]]:
        """Where a program frees a pointer whose name was lost: facts ``holds:TAG``, the structures that one
        of that type, or of a type that walkers touch, holds by value; and ``text:PATH`` for paths that lead
        walkers to memory of an arithmetic type."""
        freed = {e.type for p in programs for e in freed_events(p.events) if e.object == "?" and e.type}
        if not freed:
            return
        events = [(p, e) for p in walkers for e in p.events]
        at = self.scope.own[0]
        for tag in sorted(freed | {e.type for _, e in events if e.type}):
            held = self.types.holds(tag, at)
            if held is not None:
                yield f"holds:{tag}", " ".join(sorted(held))
        for program, event in events:
            if "->" in event.object and not event.type and event.via is not None:
                led = program.events[event.via]
                member = event.object.rsplit("->", 1)[1]
                if member == led.field and self.types.points_to_text(led.type, member, at):
                    yield f"text:{event.object}", led.type

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

    # -- running one -------------------------------------------------------------------------------

    def program(self, job: Job) -> Program:
        """The callback program of one function in one mode. What a short ->d_release() does is followed
        whole; of a long one, as of the other teardowns, what can matter to a lockless walker."""
        self.scope.entry = job.file.path
        found = self.scope.find(job.function, "function", job.file)
        if not found or (job.function in self.functions and not self.scope.owns(found[0][0])):
            return self._undefined(job)
        if several := _built_apart(found):
            return self._gap(job, f"{job.function}() is defined in several files: {several}")
        # Where a table names it makes no difference from here on: several tables often name one function.
        same = job.method, job.function, job.mode, job.file
        if same not in self._executed:
            self._executed[same] = self._followed(job, *found[0])
        return self._executed[same]

    def _followed(self, job: Job, file: SourceFile, definition: Definition) -> Program:
        relevance = self.relevance.get(_victim(job)) if _is_teardown(job) else None
        if job.method == "d_release" and relevance is not None:
            whole = self._execute(job, file, definition, None, SHORT)
            if whole.statements < SHORT:
                return whole
        return self._execute(job, file, definition, relevance, MAX_FOLLOWED)

    def _executor(
        self, job: Job, relevance: Relevance | None = None, followed: int = MAX_FOLLOWED
    ) -> Executor:
        return Executor(
            self.scope,
            self.types,
            known(job.mode, self.vfs),
            REF_DEPTH if job.mode == "ref" else MAX_CALLS,
            relevance,
            followed,
            self.version,
            self.unseen,
            self.handover if job.mode == "ref" else None,
        )

    def _execute(
        self,
        job: Job,
        file: SourceFile,
        definition: Definition,
        relevance: Relevance | None,
        followed: int,
    ) -> Program:
        executor = self._executor(job, relevance, followed)
        piece = pieces(file, definition).ways[0][1]
        node = next((c for c in piece.root.named_children if c.type == "function_definition"), None)
        names = parameters(piece, node) if node is not None else []
        try:
            start = Source(file.path, file.line(definition.start), job.function)
            values = arguments(job.method, job.mode, names, executor, start)
            result = executor.run(job.function, job.file, values)
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
            freed = _freed_cells(executor.record.events) if _is_teardown(job) else frozenset()
            events, atoms, gaps = executor.record.finished(
                lambda e: _matters(e, job) or (e.kind == "write" and (e.object, e.field) in freed)
            )
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
        assumptions = tuple(executor.record.assumptions)
        executor.release()
        return Program(
            job.method,
            job.function,
            job.mode,
            Source(file.path, file.line(definition.start), job.function),
            events,
            atoms,
            gaps,
            assumptions,
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

    def _undefined(self, job: Job) -> Program:
        """A method that is not followed: the table of kernel functions says what it does, or nothing does."""
        effects = self.functions.get(job.function)
        if effects is None:
            return self._gap(job, f"{job.function}() is defined nowhere that the reader looks")
        executor = self._executor(job)
        source = Source(job.file.path, job.line, job.function)
        note = job.function + "()"
        for effect in effects.effects:
            if effect.operation == "teardown":
                executor.record.emit(Event("call", "sb", effect.arguments[0], source=source, note=note))
            elif effect.operation == "block":
                executor.record.emit(Event("block", source=source, note=f"{note} may sleep"))
            elif effect.operation == "free":
                executor.record.emit(Event("free", self._root(job), value="now", source=source, note=note))
        executor.record.emit(Event("return", source=source))
        events, atoms, gaps = executor.record.finished()
        assumed = (job.function,)
        return Program(job.method, job.function, job.mode, source, events, atoms, gaps, assumed=assumed)

    def _gap(self, job: Job, why: str) -> Program:
        """A method of which nothing is known; the gap is where its table names it."""
        executor = self._executor(job)
        source = Source(job.file.path, job.line, job.function)
        executor.record.gap(why, source)
        events, atoms, gaps = executor.record.finished()
        return Program(job.method, job.function, job.mode, source, events, atoms, gaps)

    def _root(self, job: Job) -> str:
        return {"d_hash": "parent"}.get(
            job.method,
            "inode"
            if job.method.endswith("_inode")
            else "sb"
            if job.method in ("put_super", "kill_sb")
            else "dentry",
        )


def _built_apart(found: tuple[tuple[SourceFile, Definition], ...]) -> str:
    """Where the function is defined, if in several C files of which one is built; else nothing."""
    paths = {f.path for f, _ in found if f.path.endswith(".c")}
    return ", ".join(f"{f.path}:{f.line(d.start)}" for f, d in found) if len(paths) > 1 else ""


__all__ = ["FALSE", "models"]
