"""Obligations of the rcu-delay clauses: what a teardown destroys against what a lockless method reaches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from ..spec.contract import Clause
from ..spec.program import Event, Model, Program
from ..spec.vfs import Vfs, VfsStep
from .obligation import (
    TOUCHING,
    Obligation,
    Question,
    assumptions,
    cells_of,
    choices_of,
    freed_events,
    gaps,
    last_put,
    missing,
    plain,
    plain_path,
    programs_of,
    teardown_of,
)
from .scenarios import FOUND, PARENT_ROLE, ROOT, SELF_ROLE, Builder, Label, Part, renamed, root
from .verdict import Result, Verdict

_KINDS = {
    "rcu-delay-dentry": ("dentry", ("d_prune", "d_iput", "d_release"), "dentry-teardown"),
    "rcu-delay-inode": ("inode", ("evict_inode", "destroy_inode", "free_inode"), "inode-teardown"),
    "rcu-delay-super": ("super", ("put_super", "kill_sb"), "super-teardown"),
}


def _vague(program: Program) -> list[Event]:
    """Calls that were not followed and are handed something that hangs off a root."""
    return [e for e in program.events if e.kind == "opaque" and "->" in e.object and not e.debug]


class _Same:
    """Whether an event may act on the target object: one with the same access path, or one of the same
    structure type, wherever it is reached: an object may be in several lists and behind several pointers.

    What two dentries, or two inodes, have under one member is two objects. With `late`, dentries and inodes
    went before, and took what they have in lists out of those. An object that is freed when its last counted
    reference goes is only taken to be the target under the target's own path: whoever reaches it otherwise
    holds a reference of its own.
    """

    def __init__(self, path: str, type_: str, vfs: Vfs, counted: bool = False, late: bool = False) -> None:
        self.path, self.type, self.shared = path, type_, vfs.shared_types
        self.counted, self.late = counted, late

    def __call__(self, event: Event) -> bool:
        if event.object == self.path:
            return True
        if root(event.object) != root(self.path) and _kind_path(event.object) == _kind_path(self.path):
            return False
        if self.counted:
            return False
        if (list_ := _list_of(self.path)) and list_ == _list_of(event.object):
            return not (self.type and event.type) or self.type == event.type
        if not self.type or self.type in self.shared or event.type != self.type:
            return False
        elements = not (plain_path(event.object) and plain_path(self.path))
        if elements and self.late and root(event.object) != root(self.path):
            return False
        return event.object not in ROOT.values() and not event.object.startswith("call:")

    @property
    def assumption(self) -> str:
        """What the answer leans on, in words."""
        if self.counted:
            return (
                f"whoever reaches struct {self.type or '?'} other than as {self.path} "
                "holds a counted reference of its own"
            )
        return ""


def _list_of(path: str) -> tuple[str, str] | None:
    """The first list or tree that `path` leads through, and where it leads from the last element of one."""
    if "->[" not in path:
        return None
    return path.partition("]")[0], path.rpartition("]")[2]


def _kind_path(path: str) -> str:
    """`path` from any dentry, or any inode: two of these from different roots are different objects."""
    return renamed(path, {"parent": "dentry", "child": "dentry", "dir": "inode", "child-inode": "inode"})


def _reaches(event: Event, path: str, same: _Same) -> bool:
    """Whether a call that was not followed may act on the target: it is handed its address, or (a function
    of the filesystem itself) that of something that leads to it. An address inside an object is not the
    object's own."""
    whose, _, names = event.value.partition(":")
    if not event.object or (event.field and whose != "own"):
        return False
    if names and same.type not in names.split(",") and "." + path.rsplit("->", 1)[-1] not in names.split(","):
        return False
    return same(event) or (whose == "own" and path.startswith(event.object + "->"))


_WALK = frozenset({"enter", "leave", "call", "lock", "unlock"})
"""The steps of a lockless walk that matter, beside the read that finds the victim."""

_ALIVE = "while a dentry or an inode is torn down its superblock is alive and holds references of its own"


def _roles(program: Program, kind: str, path: str) -> list[dict[str, str]]:
    """The renamings under which a walker may have the victim in its hands: as its own, or as the parent."""
    found = [SELF_ROLE]
    roots = {root(e.object) for e in program.events}
    if kind in ("dentry", "inode") and roots & {"parent", "dir"}:
        found.append(PARENT_ROLE)
    return found


def delay(model: Model, clause: Clause, vfs: Vfs) -> Iterator[Question]:
    kind, methods, _ = _KINDS[clause.id]
    own = [m for m, _ in model.slots]
    walkers = [p for p in programs_of(model, vfs.lockless()) if p.mode in ("rcu", "")]
    if kind == "dentry":
        walkers = [
            p for p in walkers if (callback := vfs.callback(p.method)) and callback.of == "dentry_operations"
        ]
    if not walkers:
        yield missing(
            model,
            clause,
            list(vfs.lockless("dentry_operations")) if kind == "dentry" else vfs.lockless(),
        )
        return
    del own
    teardown = teardown_of(model, methods)
    yield from gaps(model, clause, [*teardown, *walkers])
    targets: dict[tuple[str, str, str, bool], Event] = {}
    for program in teardown:
        for event in [*freed_events(program), *_vague(program)]:
            if (
                kind != "super"
                and root(event.object) == "sb"
                and (event.kind == "opaque" or last_put(program, event))
            ):
                continue
            if root(event.object) in ("dentry", "inode", "sb", "parent", "dir") and (
                event.object not in ROOT.values()
                or (kind == "inode" and event.object == "inode" and event.kind == "free")
            ):
                targets.setdefault(
                    (program.method, event.object, event.type, last_put(program, event)), event
                )
    yield from _unidentified(model, clause, kind, teardown, walkers, vfs)
    yield from _counted(model, clause, kind, teardown, walkers, vfs)
    for walker in walkers:
        met = False
        for method, path, type_, counted in targets:
            same = _Same(path, type_, vfs, counted, kind == "super")
            for roles in _roles(walker, kind, path):
                for chosen in choices_of(teardown):
                    question = _delay_one(model, clause, vfs, kind, chosen, method, same, walker, roles)
                    if question is not None:
                        met = True
                        yield from question
        for chosen in choices_of(teardown):
            yield from _cleared(model, clause, vfs, kind, chosen, walker)
        if not met:
            yield _delay_baseline(model, clause, vfs, kind, teardown, walker)


_BEARS = {"dentry": ("dentry", "parent"), "inode": ("inode", "dir"), "super": ("sb",)}
"""Where the paths begin of what the victims of each kind hold counted references to: a walker that gets to it
from another object relies on that one's own (`_Same`)."""


def _unidentified(
    model: Model, clause: Clause, kind: str, teardown: list[Program], walkers: list[Program], vfs: Vfs
) -> Iterator[Result]:
    """Unknown for what a teardown frees at once and the reader cannot name, if it may be a walker's."""
    roots = ("sb",) if kind == "super" else ("dentry", "parent", "inode", "dir")
    touched = [
        e
        for w in walkers
        for e in w.events
        if e.kind in TOUCHING and (("->" in e.object and root(e.object) in roots) or _is_nameless(e.object))
    ]
    types = {e.type for e in touched if e.type and e.type not in vfs.shared_types}
    lost = {e.type for e in touched if _is_nameless(e.object)} & types
    named = [e for e in touched if not _is_nameless(e.object)]
    members = {_member(e.object) for e in named}
    untyped = any(not e.type or e.type in vfs.shared_types for e in named)
    known = _Types(model)

    def doubtful(event: Event) -> bool:
        if event.object == "?":
            able = (e for e in touched if e.object != "?" or not event.type)
            return any(known.may_be(event.type, e) for e in able) or (
                bool(touched) and any(known.related(event.type, t) for t in _VICTIMS)
            )
        if not _is_nameless(event.object):
            return event.type in lost
        if event.type:
            return event.type in types
        if event.object.count("->") > 1:
            return False
        return _member(event.object) in members if "->" in event.object else untyped

    for program in teardown:
        if program.method == "free_inode":
            # It runs from an RCU callback: what it frees is delayed, whatever it is.
            continue
        told: set[str] = set()
        for event in program.events:
            if (
                event.kind == "free"
                and event.source.function not in told
                and doubtful(event)
                and not last_put(program, event)
            ):
                told.add(event.source.function)
                what = "what the reader cannot identify"
                if not _is_nameless(event.object):
                    what = (
                        f"a struct {event.type}, and walkers read such a one that the reader cannot identify,"
                    )
                yield plain(
                    model,
                    clause,
                    Verdict.UNKNOWN,
                    f"{program.function}() frees {what} with {event.note} in {event.source.function}() "
                    f"({event.source})",
                    (program.method,),
                )


def _is_nameless(path: str) -> bool:
    """Whether the reader cannot say where an object hangs: a call yielded it, or it is reached from a global
    variable."""
    return path == "?" or path.startswith("call:") or (path.startswith("static:") and "->" in path)


_VICTIMS = ("dentry", "inode", "super_block")
"""The structures that the VFS's objects are."""


class _Types:
    """Which structures hold which by value, as the reader found them (`Model.facts`)."""

    def __init__(self, model: Model) -> None:
        facts = dict(model.facts)
        self._held = {n[6:]: set(t.split()) for n, t in facts.items() if n.startswith("holds:")}
        self._texts = {n.removeprefix("text:") for n in facts if n.startswith("text:")}

    def related(self, freed: str, other: str) -> bool:
        """Whether freeing a ``struct freed``, alone or in a larger structure, may free a ``struct other``."""
        if not freed or freed not in self._held:
            return True
        return freed == other or other in self._held[freed] or freed in self._held.get(other, ())

    def may_be(self, freed: str, event: Event) -> bool:
        """Whether what is freed through a pointer to ``struct freed`` may be what `event` touches."""
        if not event.type:
            return not freed or freed not in self._held or event.object not in self._texts
        if event.type not in self._held:
            return True
        return self.related(freed, event.type)


def _lost(program: Program) -> tuple[str, ...]:
    """What a proof assumes of objects that `program` frees and whose names were lost."""
    tags = sorted({e.type for e in freed_events(program) if e.object == "?" and e.type})
    if not tags:
        return ()
    return (
        f"what {program.function}() frees through pointers to struct {', '.join(tags)} is one of these, or "
        "one that holds one: no walker touches these, nor what they hold",
    )


def _counted(
    model: Model, clause: Clause, kind: str, teardown: list[Program], walkers: list[Program], vfs: Vfs
) -> Iterator[Result]:
    """Unknown for what a walker reaches, where the teardown may drop the last count of such an object and
    none of its events says of which: elements taken off one list and put on another lose their name, and so
    does what a function that is not followed takes out of its place and returns."""
    freed = [_Same(e.object, e.type, vfs, last_put(p, e)) for p in teardown for e in freed_events(p)]

    def named(event: Event) -> bool:
        roles = (SELF_ROLE, PARENT_ROLE)
        return any(same(replace(event, object=renamed(event.object, r))) for same in freed for r in roles)

    roots = _BEARS[kind]
    dropped: dict[str, tuple[str, str]] = {}
    for name, function in model.facts:
        fact, _, rest = name.partition(":")
        method, _, what = rest.partition(":")
        if fact == "drops" and method in {p.method for p in teardown}:
            dropped.setdefault(what, (method, function))
    for walker in walkers:
        told: set[str] = set()
        for event in walker.events:
            if event.kind not in TOUCHING or event.debug:
                continue
            if root(event.object) not in roots or "->" not in event.object or named(event):
                continue
            whats, lost = {event.type} - vfs.shared_types, "which such object that is"
            if _below_element(event.object):
                whats.add("." + _member(event.object))
                lost = "off which element of which list it hangs"
            for what in sorted(whats & dropped.keys() - told):
                told.add(what)
                method, function = dropped[what]
                yield plain(
                    model,
                    clause,
                    Verdict.UNKNOWN,
                    f"{function}() may drop the last count of {event.object}, which {walker.function}() "
                    f"reads ({event.source}), and {lost} is not followed",
                    (method, walker.method),
                )


def _below_element(path: str) -> bool:
    """Whether `path` goes on, through a pointer, from an element of a list or tree."""
    parts = path.split("->")
    return any("[" in p or p.rsplit(".", 1)[-1] in ("next", "prev", "rb_node") for p in parts[:-1])


def _member(path: str) -> str:
    return path.rsplit("->", 1)[-1].rsplit(".", 1)[-1]


def _delay_one(
    model: Model,
    clause: Clause,
    vfs: Vfs,
    kind: str,
    teardown: list[Program],
    method: str,
    same: _Same,
    walker: Program,
    roles: dict[str, str],
) -> list[Question] | None:
    path = same.path

    def touches(event: Event) -> bool:
        return event.kind in TOUCHING and (
            same(event) if event.kind != "opaque" else _reaches(event, path, same)
        )

    accesses = [e for e in (replace(e, object=renamed(e.object, roles)) for e in walker.events) if touches(e)]
    if not accesses:
        return None
    sure = [e for e in accesses if e.kind != "opaque" and not e.debug]
    doubtful = [e for e in accesses if e.kind == "opaque" and not e.debug]
    debug = [e for e in accesses if e.debug]
    frees = [e for p in teardown if p.method == method for e in freed_events(p) if same(e)]
    vague = [e for p in teardown if p.method == method for e in _vague(p) if _reaches(e, path, same)]
    found: list[Question] = []
    for debugging in (False, True):
        for taken in _taken(teardown, method, frees) if (debug if debugging else sure) else ():
            found.append(
                _delay_scenario(
                    model,
                    clause,
                    vfs,
                    kind,
                    teardown,
                    method,
                    path,
                    same,
                    walker,
                    roles,
                    touches,
                    sure=True,
                    debug=debugging,
                    taken=taken,
                )
            )
    if (vague and (sure or doubtful)) or (doubtful and frees):
        names = sorted({e.note for e in [*vague, *doubtful]})
        found.append(
            _delay_scenario(
                model,
                clause,
                vfs,
                kind,
                teardown,
                method,
                path,
                same,
                walker,
                roles,
                touches,
                sure=False,
                doubt=", ".join(n + "()" for n in names),
            )
        )
    return found or None


def _removes(event: Event) -> bool:
    return event.kind == "write" and event.value == "removed"


def _taken(teardown: list[Program], method: str, frees: list[Event]) -> list[frozenset[int]]:
    """The reads that yield what is freed, each by itself if what it yielded was taken out of its list or tree
    before: then it can be found there no more, whatever became of other elements. Those of all others are
    together in the empty set."""
    out = {e.via for p in teardown if p.method == method for e in p.events if _removes(e)}
    vias = (e.via if e.via in out else None for e in frees)
    return list(dict.fromkeys(frozenset[int]() if via is None else frozenset({via}) for via in vias))


def _delay_scenario(
    model: Model,
    clause: Clause,
    vfs: Vfs,
    kind: str,
    teardown: list[Program],
    method: str,
    path: str,
    same: _Same,
    walker: Program,
    roles: dict[str, str],
    touches: Callable[[Event], bool],
    *,
    sure: bool,
    debug: bool = False,
    doubt: str = "",
    taken: frozenset[int] | None = None,
) -> Obligation:
    def destroys(event: Event) -> bool:
        return (event.kind == "free" and same(event) and frees(event)) or (
            not sure and event.kind == "opaque" and _reaches(event, path, same)
        )

    out = {e.via for p in teardown if p.method == method for e in p.events if _removes(e)}
    heads = {
        (e.object, e.field)
        for p in teardown
        if p.method == method
        for e in p.events
        if taken and _removes(e) and e.via in taken
    }

    def frees(event: Event) -> bool:
        return taken is None or (event.via in taken if taken else event.via not in out)

    def of_teardown(event: Event, _: str) -> Iterator[Label]:
        if destroys(event):
            yield "destroyed(o)", "initial"

    def of_walker(event: Event, _: str) -> Iterator[Label]:
        if touches(event) and event.debug == debug and (event.kind != "opaque" or not sure):
            yield "access(o)", "initial"

    paths = {path} | {
        renamed(e.object, roles)
        for e in walker.events
        if touches(replace(e, object=renamed(e.object, roles)))
    }
    live = {FOUND[kind], ("dentry", "d_inode")}.union(*map(cells_of, paths)) - heads
    builder = Builder(vfs, live | heads)

    def teardown_wants(event: Event) -> bool:
        return (
            destroys(event)
            or event.kind == "wait"
            or (event.kind == "defer" and any(destroys(t) for t in _all_then(event)))
            or (
                event.kind == "write"
                and (event.object, event.field) in live
                and event.value in ("null", "new", "other")
            )
            or (_removes(event) and event.via in (taken or ()))
            or event.kind in ("lock", "unlock")
        )

    def walker_wants(event: Event) -> bool:
        return (
            touches(event)
            or event.kind in ("lock", "unlock")
            or (event.kind in ("enter", "leave") and bool(event.field))
        )

    return _overlap(
        model,
        clause,
        kind,
        _Side(method, teardown, teardown_wants, of_teardown),
        _Side(walker.method, [walker], walker_wants, of_walker, roles),
        path,
        builder,
        debug=debug,
        doubt=doubt,
        assumed=(
            *(text for p in teardown if p.method != "free_inode" for text in _lost(p)),
            *filter(None, [same.assumption]),
        ),
    )


@dataclass(frozen=True)
class _Side:
    """What of one of two threads matters: the programs, which of their events, and the labels of these."""

    method: str
    programs: list[Program]
    wants: Callable[[Event], bool]
    labels: Callable[[Event, str], Iterator[Label]]
    roles: dict[str, str] = field(default_factory=dict)


def _overlap(
    model: Model,
    clause: Clause,
    kind: str,
    teardown: _Side,
    walk: _Side,
    target: str,
    builder: Builder,
    *,
    debug: bool = False,
    doubt: str = "",
    assumed: tuple[str, ...] = (),
    initial: Iterable[tuple[tuple[str, str], str]] = (),
) -> Obligation:
    """The obligation that nothing of the teardown's labelled ``destroyed(o)`` comes before a step of the walk
    labelled ``access(o)``."""
    parts: dict[str, list[Part]] = {}
    for program in teardown.programs:
        parts.setdefault(program.method, []).append(
            Part(program, SELF_ROLE, teardown.wants, teardown.labels, program.method)
        )

    def keep(step: VfsStep) -> bool:
        return (
            step.verb in ("lock", "unlock", "gp")
            or (step.verb == "write" and (step.object, step.field) in builder.live)
            or step.verb == "call"
            or (step.verb == "defer" and teardown.method == f"free_{step.object}")
        )

    sequence, features = _KINDS[clause.id][2], _features(model, kind)
    builder.run(sequence, 1, parts, victim=kind, features=features, found=False, keep=keep)
    (walker,) = walk.programs
    builder.run(
        "rcu-walk",
        0,
        {"*": [Part(walker, walk.roles, walk.wants, walk.labels, walker.method)]},
        victim=kind,
        features=frozenset({kind}),
        keep=lambda s: s.verb in _WALK or (s.object, s.field) == FOUND[kind],
    )
    destroyers = [p for p in teardown.programs if p.method == teardown.method]
    return Obligation(
        model,
        clause,
        (teardown.method, walker.method),
        target,
        builder.scenario(initial),
        clause.formula,
        (*dict.fromkeys(p.function for p in destroyers), walker.function),
        (*((_ALIVE,) if kind != "super" else ()), *assumptions([walker, *destroyers]), *assumed),
        debug,
        doubt,
    )


def _cleared(
    model: Model, clause: Clause, vfs: Vfs, kind: str, teardown: list[Program], walker: Program
) -> Iterator[Question]:
    """What a walker reaches through a pointer that the teardown sets to NULL with no delay: to one that does
    not test it, what it pointed to is as good as destroyed."""
    cells = dict.fromkeys(
        (program.method, event.object, event.field)
        for program in teardown
        if program.method != "free_inode"
        for event in program.events
        if event.kind == "write"
        and event.value == "null"
        and plain_path(event.object)
        and root(event.object) == ROOT[kind]
        and (event.object, event.field) != ("dentry", "d_inode")
    )
    for method, object_, member in cells:
        for roles in _roles(walker, kind, object_):
            for debug in (False, True):
                question = _cleared_one(
                    model, clause, vfs, kind, teardown, method, (object_, member), walker, roles, debug
                )
                if question is not None:
                    yield question


def _cleared_one(
    model: Model,
    clause: Clause,
    vfs: Vfs,
    kind: str,
    teardown: list[Program],
    method: str,
    cell: tuple[str, str],
    walker: Program,
    roles: dict[str, str],
    debug: bool,
) -> Obligation | None:
    events = [replace(e, object=renamed(e.object, roles)) for e in walker.events]
    reads = {i for i, e in enumerate(events) if e.kind == "read" and (e.object, e.field) == cell}

    def uses(event: Event) -> bool:
        return (
            event.via in reads and event.kind in TOUCHING and event.kind != "opaque" and event.debug == debug
        )

    if not any(map(uses, events)):
        return None

    def clears(event: Event) -> bool:
        return event.kind == "write" and event.value == "null" and (event.object, event.field) == cell

    def of_teardown(event: Event, at: str) -> Iterator[Label]:
        if clears(event) and at == method:
            yield "destroyed(o)", "any"

    def of_walker(event: Event, _: str) -> Iterator[Label]:
        if uses(event):
            yield "access(o)", "null"

    def teardown_wants(event: Event) -> bool:
        return clears(event) or event.kind in ("wait", "lock", "unlock")

    def walker_wants(event: Event) -> bool:
        return (
            uses(event)
            or event.kind in ("lock", "unlock")
            or (event.kind in ("enter", "leave") and bool(event.field))
        )

    live = {FOUND[kind], ("dentry", "d_inode"), cell} | cells_of(cell[0])
    return _overlap(
        model,
        clause,
        kind,
        _Side(method, teardown, teardown_wants, of_teardown),
        _Side(walker.method, [walker], walker_wants, of_walker, roles),
        "->".join(cell),
        Builder(vfs, live),
        debug=debug,
        initial=((cell, "initial"),),
    )


def _all_then(event: Event) -> Iterator[Event]:
    for then in event.then:
        yield then
        yield from _all_then(then)


def _features(model: Model, kind: str) -> frozenset[str]:
    features: set[str] = set()
    if kind == "inode" and (not model.program("destroy_inode") or model.program("free_inode")):
        features.add("default")
    if kind == "super" and model.private_bdi is not None:
        features.add("bdi")
    return frozenset(features)


def _delay_baseline(
    model: Model, clause: Clause, vfs: Vfs, kind: str, teardown: list[Program], walker: Program
) -> Question:
    """The method reaches nothing that the filesystem destroys: then the victim itself is what is at stake."""
    target = ROOT[kind]

    def of_step(step: VfsStep) -> Iterator[Label]:
        if step.verb == "free" and step.object == target:
            yield "destroyed(o)", "initial"
        if step.verb == "read" and step.object == target and (step.object, step.field) != FOUND[kind]:
            yield "access(o)", "initial"

    def of_teardown(event: Event, _: str) -> Iterator[Label]:
        if event.kind == "free" and event.object == target:
            yield "destroyed(o)", "initial"

    builder = Builder(vfs, {FOUND[kind]})
    parts: dict[str, list[Part]] = {}
    for program in teardown:
        wants = (lambda e: e.kind == "free" and e.object == target) if kind == "inode" else (lambda e: False)
        parts.setdefault(program.method, []).append(
            Part(program, SELF_ROLE, wants, of_teardown, program.method)
        )
    features = _features(model, kind) - {"bdi"}
    builder.run(
        _KINDS[clause.id][2],
        1,
        parts,
        victim=kind,
        features=features,
        labels=of_step,
        found=False,
        keep=lambda s: s.verb == "defer" or (s.object, s.field) == FOUND[kind],
    )
    builder.run(
        "rcu-walk",
        0,
        {"*": [Part(walker, SELF_ROLE, lambda e: False, lambda e, m: (), walker.method)]},
        victim=kind,
        features=frozenset({kind}),
        labels=of_step,
    )
    method = next((p.method for p in teardown), _KINDS[clause.id][1][-1])
    return Obligation(
        model,
        clause,
        (method, walker.method),
        target,
        builder.scenario(),
        clause.formula,
        (walker.function,),
        (*assumptions([walker]), *(text for p in teardown if p.method != "free_inode" for text in _lost(p))),
    )
