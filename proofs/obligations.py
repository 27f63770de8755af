"""Which questions a clause asks of one operations table: obligations, each a scenario and a formula.

A clause binds callbacks; an obligation is the clause for one pair of them (or one) and one object. What no
scenario can be built for is answered here at once: not applicable, with what is missing, or unknown, with
what was not understood.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from ..encodings.scenario import Scenario
from ..spec.contract import Clause
from ..spec.logic import Formula
from ..spec.program import FALSE, Event, Gap, Model, Program, Source
from ..spec.vfs import Vfs, VfsStep
from .scenarios import FOUND, PARENT_ROLE, ROOT, SELF_ROLE, Builder, Label, Part, renamed, root
from .verdict import Result, Verdict

LOOPS = "loops unrolled twice, loops inside loops once"
IMPRECISE = ("an earlier condition", "a condition too large", "an earlier test")
_TOUCHING = frozenset({"read", "write", "lock", "unlock", "opaque"})


@dataclass(frozen=True, slots=True)
class Obligation:
    """One question. `witness` are two predicates that a meaningful trace has steps of; `doubt` names calls
    that were not followed and that a counterexample would rest on."""

    model: Model
    clause: Clause
    callbacks: tuple[str, ...]
    object: str
    scenario: Scenario
    formula: Formula
    functions: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    debug: bool = False
    doubt: str = ""
    witness: tuple[str, str] = ("", "")
    fix: str = ""
    summary: str = ""


Question = Obligation | Result


def questions(model: Model, clause: Clause, vfs: Vfs) -> Iterator[Question]:
    """Every obligation of `clause` for `model`, and what can be said without one."""
    maker = _MAKERS.get(clause.id)
    if maker is None or not clause.kernels.holds(model.kernel):
        yield _plain(model, clause, Verdict.NOT_APPLICABLE, f"the clause holds for kernels {clause.kernels}, not {model.kernel}")
        return
    yield from maker(model, clause, vfs)


def _plain(model: Model, clause: Clause, verdict: Verdict, reason: str, callbacks: tuple[str, ...] = (), object: str = "") -> Result:
    return Result(model.filesystem, model.table, clause.id, callbacks, object, verdict, reason=reason)


def _missing(model: Model, clause: Clause, methods: Iterable[str]) -> Result:
    names = [f"->{m}()" for m in methods]
    listed = names[0] if len(names) == 1 else ", ".join(names[:-1]) + " or " + names[-1]
    return _plain(model, clause, Verdict.NOT_APPLICABLE, f"the table has no {listed}")


def _programs(model: Model, methods: Iterable[str], mode: str | None = None) -> list[Program]:
    return [p for m in methods for p in model.program(m, mode)]


def _teardown(model: Model, methods: Iterable[str]) -> list[Program]:
    """The teardown methods' programs; where one was read once more for its locks alone, not that."""
    return _programs(model, methods, "")


def _gaps(model: Model, clause: Clause, programs: Iterable[Program]) -> Iterator[Result]:
    """Unknown for what the reader did not understand on the way."""
    for program in programs:
        for reason, gap in {g.reason: g for g in program.gaps if g.guard != FALSE and not _bounded(g)}.items():
            yield _plain(model, clause, Verdict.UNKNOWN, f"{program.function}(): {reason} ({gap.source})", (program.method,))
    for gap in model.gaps:
        yield _plain(model, clause, Verdict.UNKNOWN, gap.reason)


def _bounded(gap: Gap) -> bool:
    return gap.reason.endswith("calls itself")


def _assumptions(programs: Iterable[Program]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for program in programs:
        for text in program.assumptions:
            found[text] = None
        for gap in program.gaps:
            if _bounded(gap):
                found[f"recursion is followed once: {gap.reason}"] = None
        handed = sorted({e.object.removeprefix("call:").split("@")[0] for e in _frees(program) if e.object.startswith("call:")})
        if handed:
            found[f"what {program.function}() frees below what these hand out is not what a walker holds: " + ", ".join(h + "()" for h in handed)] = None
        names = sorted({e.note for e in program.events if e.kind == "opaque" and not e.debug})
        if names:
            found[f"functions that {program.function}() reaches and that are not followed touch only what they are handed: "
                  + ", ".join(n if n.endswith(")") else n + "()" for n in names)] = None
    return tuple(found)


# -- delayed destruction -------------------------------------------------------------------------------

_KINDS = {
    "rcu-delay-dentry": ("dentry", ("d_prune", "d_iput", "d_release"), "dentry-teardown"),
    "rcu-delay-inode": ("inode", ("evict_inode", "destroy_inode", "free_inode"), "inode-teardown"),
    "rcu-delay-super": ("super", ("put_super", "kill_sb"), "super-teardown"),
}


def _destructions(event: Event) -> Iterator[Event]:
    if event.kind == "free":
        yield event
    for then in event.then:
        yield from _destructions(then)


def _frees(program: Program) -> Iterator[Event]:
    for event in program.events:
        yield from _destructions(event)


def _vague(program: Program) -> list[Event]:
    """Calls that were not followed and are handed something that hangs off a root."""
    return [e for e in program.events if e.kind == "opaque" and "->" in e.object and not e.debug]


class _Same:
    """Whether an event may act on the target object: one with the same access path, or one of the same
    structure type that is reached through members alone.

    Elements of lists and trees are told apart by the list: two lists of one type are taken to hold
    different elements; what two dentries, or two inodes, have under one member is two objects. An object that is freed when its last counted reference goes is only taken to be
    the target under the target's own path: whoever reaches it otherwise holds a reference of its own.
    """

    def __init__(self, path: str, type_: str, vfs: Vfs, counted: bool = False) -> None:
        self.path, self.type, self.shared, self.counted = path, type_, vfs.shared_types, counted

    def __call__(self, event: Event) -> bool:
        if event.object == self.path:
            return True
        if root(event.object) != root(self.path) and _kind_path(event.object) == _kind_path(self.path):
            return False
        if self.counted or not self.type or self.type in self.shared or event.type != self.type:
            return False
        return event.object not in ROOT.values() and _plain_path(event.object) and _plain_path(self.path)

    @property
    def assumption(self) -> str:
        """What the answer leans on, in words."""
        if self.counted:
            return f"whoever reaches struct {self.type or '?'} other than as {self.path} holds a counted reference of its own"
        return ""


def _kind_path(path: str) -> str:
    """`path` from any dentry, or any inode: two of these from different roots are different objects."""
    return renamed(path, {"parent": "dentry", "child": "dentry", "dir": "inode", "child-inode": "inode"})


def _plain_path(path: str) -> bool:
    return "[" not in path and not path.startswith(("call:", "*")) and ".next" not in path


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


def _counted(program: Program, event: Event) -> bool:
    """Whether `event` happens only where a count dropped to zero."""
    last = {a.name for a in program.atoms if a.text.endswith("drops the last reference")}
    defined = {a.name: a.definition for a in program.atoms if a.kind == "defined"}

    def requires(name: str) -> bool:
        return name in last or (name in defined and bool(defined[name]) and all(any(p and requires(n) for n, p in cube) for cube in defined[name]))

    return bool(event.guard) and all(any(p and requires(n) for n, p in cube) for cube in event.guard)


_ALIVE = "while a dentry or an inode is torn down its superblock is alive and holds references of its own"


def _roles(program: Program, kind: str, path: str) -> list[dict[str, str]]:
    """The renamings under which a walker may have the victim in its hands: as its own, or as the parent."""
    found = [SELF_ROLE]
    roots = {root(e.object) for e in program.events}
    if kind in ("dentry", "inode") and roots & {"parent", "dir"}:
        found.append(PARENT_ROLE)
    return found


def _delay(model: Model, clause: Clause, vfs: Vfs) -> Iterator[Question]:
    kind, methods, _ = _KINDS[clause.id]
    own = [m for m, _ in model.slots]
    walkers = [p for p in _programs(model, vfs.lockless()) if p.mode in ("rcu", "")]
    if kind == "dentry":
        walkers = [p for p in walkers if (callback := vfs.callback(p.method)) and callback.of == "dentry_operations"]
    if not walkers:
        yield _missing(model, clause, [m for m in vfs.lockless("dentry_operations")] if kind == "dentry" else vfs.lockless())
        return
    del own
    teardown = _teardown(model, methods)
    yield from _gaps(model, clause, [*teardown, *walkers])
    targets: dict[tuple[str, str, str, bool], Event] = {}
    for program in teardown:
        for event in [*_frees(program), *_vague(program)]:
            if kind != "super" and root(event.object) == "sb" and (event.kind == "opaque" or _counted(program, event)):
                continue
            if root(event.object) in ("dentry", "inode", "sb", "parent", "dir") and (event.object not in ROOT.values() or kind == "inode" and event.object == "inode" and event.kind == "free"):
                targets.setdefault((program.method, event.object, event.type, _counted(program, event)), event)
    yield from _unidentified(model, clause, kind, teardown, walkers, vfs)
    for walker in walkers:
        met = False
        for method, path, type_, counted in targets:
            for roles in _roles(walker, kind, path):
                question = _delay_one(model, clause, vfs, kind, teardown, method, _Same(path, type_, vfs, counted), walker, roles)
                if question is not None:
                    met = True
                    yield from question
        if not met:
            yield _delay_baseline(model, clause, vfs, kind, teardown, walker)


def _unidentified(model: Model, clause: Clause, kind: str, teardown: list[Program], walkers: list[Program], vfs: Vfs) -> Iterator[Result]:
    """Unknown for what a teardown frees at once and the reader cannot tell what it is, if it may be a walker's."""
    roots = ("sb",) if kind == "super" else ("dentry", "parent", "inode", "dir")
    touched = [e for w in walkers for e in w.events if "->" in e.object and e.kind in _TOUCHING and root(e.object) in roots]
    types = {e.type for e in touched if e.type and e.type not in vfs.shared_types and _plain_path(e.object)}
    members = {_member(e.object) for e in touched}
    untyped = any(not e.type or e.type in vfs.shared_types for e in touched)

    def doubtful(event: Event) -> bool:
        if event.object == "?":
            return bool(touched)
        if not event.object.startswith("call:") or event.object.count("->") > 1:
            return False
        if event.type:
            return event.type in types
        return _member(event.object) in members if "->" in event.object else untyped

    for program in teardown:
        told: set[str] = set()
        for event in program.events:
            if event.kind == "free" and event.source.function not in told and doubtful(event) and not _counted(program, event):
                told.add(event.source.function)
                yield _plain(model, clause, Verdict.UNKNOWN, f"{program.function}() frees what the reader cannot identify with {event.note} "
                             f"in {event.source.function}() ({event.source})", (program.method,))


def _member(path: str) -> str:
    return path.rsplit("->", 1)[-1].rsplit(".", 1)[-1]


def _delay_one(model: Model, clause: Clause, vfs: Vfs, kind: str, teardown: list[Program], method: str, same: _Same,
               walker: Program, roles: dict[str, str]) -> list[Question] | None:
    path = same.path

    def touches(event: Event) -> bool:
        return event.kind in _TOUCHING and (same(event) if event.kind != "opaque" else _reaches(event, path, same))

    accesses = [e for e in (replace(e, object=renamed(e.object, roles)) for e in walker.events) if touches(e)]
    if not accesses:
        return None
    sure = [e for e in accesses if e.kind != "opaque" and not e.debug]
    doubtful = [e for e in accesses if e.kind == "opaque" and not e.debug]
    debug = [e for e in accesses if e.debug]
    frees = [e for p in teardown if p.method == method for e in _frees(p) if same(e)]
    vague = [e for p in teardown if p.method == method for e in _vague(p) if _reaches(e, path, same)]
    found: list[Question] = []
    if frees and sure:
        found.append(_delay_scenario(model, clause, vfs, kind, teardown, method, path, same, walker, roles, touches, sure=True))
    if frees and debug:
        found.append(_delay_scenario(model, clause, vfs, kind, teardown, method, path, same, walker, roles, touches, sure=True, debug=True))
    if not found and (sure or doubtful) and (vague or frees):
        names = sorted({e.note for e in [*vague, *(doubtful if frees else ())]})
        found.append(_delay_scenario(model, clause, vfs, kind, teardown, method, path, same, walker, roles, touches, sure=False, doubt=", ".join(n + "()" for n in names)))
    return found or None


def _delay_scenario(model: Model, clause: Clause, vfs: Vfs, kind: str, teardown: list[Program], method: str, path: str,
                    same: _Same, walker: Program, roles: dict[str, str], touches: Callable[[Event], bool],
                    *, sure: bool, debug: bool = False, doubt: str = "") -> Obligation:
    def destroys(event: Event) -> bool:
        return (event.kind == "free" and same(event)) or (not sure and event.kind == "opaque" and _reaches(event, path, same))

    def of_teardown(event: Event, _: str) -> Iterator[Label]:
        if destroys(event):
            yield "destroyed(o)", "initial"

    def of_walker(event: Event, _: str) -> Iterator[Label]:
        if touches(event) and event.debug == debug and (event.kind != "opaque" or not sure):
            yield "access(o)", "initial"

    paths = {path} | {renamed(e.object, roles) for e in walker.events if touches(replace(e, object=renamed(e.object, roles)))}
    live = {FOUND[kind], ("dentry", "d_inode")}.union(*map(_cells, paths))
    builder = Builder(vfs, live)

    def teardown_wants(event: Event) -> bool:
        return destroys(event) or event.kind == "wait" or (event.kind == "defer" and any(destroys(t) for t in _all_then(event))) \
            or (event.kind == "write" and (event.object, event.field) in live and event.value in ("null", "new", "other")) or event.kind in ("lock", "unlock")

    def walker_wants(event: Event) -> bool:
        return touches(event) or event.kind in ("lock", "unlock") or (event.kind in ("enter", "leave") and bool(event.field))

    parts: dict[str, list[Part]] = {}
    for program in teardown:
        slot = "free_inode" if program.method == "free_inode" else program.method
        parts.setdefault(slot, []).append(Part(program, SELF_ROLE, teardown_wants, of_teardown, program.method))
    sequence = _KINDS[clause.id][2]
    features = _features(model, kind)
    cells = live

    def keep(step: VfsStep) -> bool:
        return step.verb in ("lock", "unlock", "gp") or (step.verb == "write" and (step.object, step.field) in cells) or step.verb == "call"

    builder.run(sequence, 1, parts, victim=kind, features=features, found=False, keep=keep)
    builder.run("rcu-walk", 0, {"*": [Part(walker, roles, walker_wants, of_walker, walker.method)]}, victim=kind,
                features=frozenset({kind}), keep=lambda s: s.verb in ("enter", "leave", "call") or (s.object, s.field) == FOUND[kind])
    functions = tuple(dict.fromkeys(p.function for p in teardown if p.method == method)) + (walker.function,)
    return Obligation(model, clause, (method, walker.method), path, builder.scenario(), clause.formula, functions,
                      (*((_ALIVE,) if kind != "super" else ()), *_assumptions([walker, *[p for p in teardown if p.method == method]]), *filter(None, [same.assumption])), debug, doubt,
                      ("access(o)", "destroyed(o)"))


def _all_then(event: Event) -> Iterator[Event]:
    for then in event.then:
        yield then
        yield from _all_then(then)


def _cells(path: str) -> frozenset[tuple[str, str]]:
    """The cells whose pointers lead to the object at `path`, one after the other."""
    found: set[tuple[str, str]] = set()
    while (cell := _cell(path)) is not None:
        found.add(cell)
        path = cell[0]
    return frozenset(found)


def _cell(path: str) -> tuple[str, str] | None:
    """The cell whose pointer leads to the object at `path`."""
    if "->" not in path:
        return None
    object_, member = path.rsplit("->", 1)
    return object_, member


def _features(model: Model, kind: str) -> frozenset[str]:
    features: set[str] = set()
    if kind == "inode" and (not model.program("destroy_inode") or model.program("free_inode")):
        features.add("default")
    if kind == "super" and model.private_bdi is not None:
        features.add("bdi")
    return frozenset(features)


def _delay_baseline(model: Model, clause: Clause, vfs: Vfs, kind: str, teardown: list[Program], walker: Program) -> Question:
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
        parts.setdefault(program.method, []).append(Part(program, SELF_ROLE, wants, of_teardown, program.method))
    features = _features(model, kind) - {"bdi"}
    builder.run(_KINDS[clause.id][2], 1, parts, victim=kind, features=features, labels=of_step, found=False,
                keep=lambda s: s.verb == "defer" or (s.object, s.field) == FOUND[kind])
    builder.run("rcu-walk", 0, {"*": [Part(walker, SELF_ROLE, lambda e: False, lambda e, m: (), walker.method)]}, victim=kind,
                features=frozenset({kind}), labels=of_step)
    method = next((p.method for p in teardown), _KINDS[clause.id][1][-1])
    return Obligation(model, clause, (method, walker.method), target, builder.scenario(), clause.formula, (walker.function,),
                      _assumptions([walker]), witness=("access(o)", "destroyed(o)"))


# -- d_inode turning NULL ------------------------------------------------------------------------------

def _null_inode(model: Model, clause: Clause, vfs: Vfs) -> Iterator[Question]:
    walkers = [p for p in _programs(model, clause.binds) if p.mode in ("rcu", "")]
    if not any((c := vfs.callback(p.method)) and c.of == "dentry_operations" for p in walkers):
        yield _missing(model, clause, vfs.lockless("dentry_operations"))
        return
    yield from _gaps(model, clause, walkers)
    for walker in walkers:
        done = False
        for target, roles, cell in (("inode", SELF_ROLE, ("dentry", "d_inode")), ("dir", PARENT_ROLE, ("dentry", "d_inode"))):
            events = [replace(e, object=renamed(e.object, roles)) for e in walker.events]
            reads = {i for i, e in enumerate(events) if e.kind == "read" and (e.object, e.field) == cell}
            uses = [e for e in events if e.via in reads and e.kind in _TOUCHING or e.object == "NULL"]
            if reads or (not done and target == "dir") or any(e.object == "NULL" for e in uses):
                done = True
                plain = [e for e in uses if not e.debug and e.kind != "opaque"]
                yield _null_scenario(model, clause, vfs, walker, target, roles, cell, reads, debug=False)
                if [e for e in uses if e.debug]:
                    yield _null_scenario(model, clause, vfs, walker, target, roles, cell, reads, debug=True)
                if not plain and any(e.kind == "opaque" for e in uses):
                    yield _null_scenario(model, clause, vfs, walker, target, roles, cell, reads, debug=False, opaque=True)


def _null_scenario(model: Model, clause: Clause, vfs: Vfs, walker: Program, target: str, roles: dict[str, str],
                   cell: tuple[str, str], reads: set[int], *, debug: bool, opaque: bool = False) -> Obligation:
    def uses(event: Event) -> bool:
        return (event.via in reads and event.kind in _TOUCHING) or event.object == "NULL"

    def labels(event: Event, _: str) -> Iterator[Label]:
        if uses(event) and event.debug == debug and (event.kind == "opaque") == opaque:
            yield ("null_access(o)", "any" if event.object == "NULL" else "null")
        if event.kind == "read" and (event.object, event.field) == cell:
            yield "fetch(o)", "any"

    builder = Builder(vfs, {cell})
    builder.run("rcu-walk", 0, {"*": [Part(walker, roles, lambda e: uses(e) or e.kind in ("lock", "unlock") or (e.object, e.field) == cell, labels, walker.method)]},
                victim="", features=frozenset(), found=False)
    builder.run("unlink", 1, {}, keep=lambda s: s.verb in ("lock", "unlock") or (s.object, s.field) == cell,
                labels=lambda s: [("cleared(o)", "any")] if (s.object, s.field) == cell else [])
    initial = [(cell, "initial")] if target == "dir" else []
    doubt = ", ".join(sorted({e.note + "()" for e in walker.events if e.via in reads and e.kind == "opaque"})) if opaque else ""
    name = "parent->d_inode" if target == "dir" else "dentry->d_inode"
    return Obligation(model, clause, (walker.method,), name, builder.scenario(initial), clause.formula, (walker.function,),
                      _assumptions([walker]), debug, doubt, ("fetch(o)", "cleared(o)"))


# -- single programs -----------------------------------------------------------------------------------

def _alone(vfs: Vfs, program: Program, wanted: Callable[[Event], bool], labels: Callable[[Event, str], Iterable[Label]]) -> Scenario:
    """A scenario in which the method runs by itself, where the VFS runs it."""
    builder = Builder(vfs)
    place = "dentry-teardown" if program.method in ("d_prune", "d_iput", "d_release") else "rcu-walk" if program.mode == "rcu" else "ref-walk"
    key = program.method if place == "dentry-teardown" else "*"
    builder.run(place, 0, {key: [Part(program, SELF_ROLE, wanted, labels, program.method)]}, victim="", features=frozenset(), found=False,
                keep=lambda s: s.verb == "call")
    return builder.scenario()


def _no_blocking(model: Model, clause: Clause, vfs: Vfs) -> Iterator[Question]:
    programs = []
    for program in _programs(model, clause.binds):
        callback = vfs.callback(program.method)
        if callback and (callback.blocks == "no" or program.mode == "rcu"):
            programs.append(program)
    if not any((c := vfs.callback(p.method)) and c.of == "dentry_operations" for p in programs):
        yield _missing(model, clause, clause.binds[:6])
        return
    yield from _gaps(model, clause, programs)
    for program in programs:
        for doubt in (False, True):
            def labels(event: Event, _: str, doubt: bool = doubt) -> Iterator[Label]:
                if event.kind == ("opaque" if doubt else "block") and not event.object:
                    yield "blocks", "any"

            names = sorted({e.note + "()" for e in program.events if e.kind == "opaque" and not e.object})
            if doubt and not names:
                continue
            scenario = _alone(vfs, program, lambda e: e.kind in ("block", "opaque", "return") and not e.object, labels)
            yield Obligation(model, clause, (program.method,), "", scenario, clause.formula, (program.function,),
                             program.assumptions, doubt=", ".join(names) if doubt else "")


def _prune(model: Model, clause: Clause, vfs: Vfs) -> Iterator[Question]:
    programs = model.program("d_prune")
    if not programs:
        yield _missing(model, clause, ["d_prune"])
        return
    yield from _gaps(model, clause, programs)
    for program in programs:
        yield from {"prune-keeps-locks": _prune_locks, "prune-frees-nothing": _prune_frees, "prune-is-const": _prune_const}[clause.id](model, clause, vfs, program)


def _prune_locks(model: Model, clause: Clause, vfs: Vfs, program: Program) -> Iterator[Question]:
    locks = sorted({(e.object, e.field) for e in program.events if e.kind == "unlock"}) or [("", "")]
    for lock in locks:
        def labels(event: Event, _: str, lock: tuple[str, str] = lock) -> Iterator[Label]:
            if event.kind == "entry":
                yield "entry(d_prune)", "any"
            if (event.object, event.field) == lock and lock[0] and event.kind in ("lock", "unlock"):
                yield ("own_lock(d_prune)" if event.kind == "lock" else "unlock(d_prune)"), "any"

        scenario = _alone(vfs, program, lambda e: e.kind in ("lock", "unlock", "return"), labels)
        yield Obligation(model, clause, ("d_prune",), "->".join(p for p in lock if p), scenario, clause.formula, (program.function,), _assumptions([program]))


def _prune_frees(model: Model, clause: Clause, vfs: Vfs, program: Program) -> Iterator[Question]:
    for doubt in (False, True):
        def destroys(event: Event, doubt: bool = doubt) -> bool:
            if doubt:
                return event.kind == "opaque" and event.object.startswith("dentry->") and not event.debug
            return event.kind in ("free", "defer") and event.object.startswith("dentry->")

        def labels(event: Event, _: str, destroys: Callable[[Event], bool] = destroys) -> Iterator[Label]:
            if destroys(event):
                yield "destroys(d_prune)", "any"

        found = [e for e in program.events if destroys(e)]
        if doubt and not found:
            continue
        scenario = _alone(vfs, program, lambda e, destroys=destroys: destroys(e) or e.kind == "return", labels)  # type: ignore[misc]
        yield Obligation(model, clause, ("d_prune",), found[0].object if found else "dentry", scenario, clause.formula, (program.function,),
                         _assumptions([program]), doubt=", ".join(sorted({e.note + "()" for e in found})) if doubt else "")


def _prune_const(model: Model, clause: Clause, vfs: Vfs, program: Program) -> Iterator[Question]:
    def labels(event: Event, _: str) -> Iterator[Label]:
        if event.kind == "write" and event.object == "dentry":
            yield "stores(d_prune)", "any"

    scenario = _alone(vfs, program, lambda e: (e.kind == "write" and e.object == "dentry") or e.kind == "return", labels)
    yield Obligation(model, clause, ("d_prune",), "dentry", scenario, clause.formula, (program.function,), _assumptions([program]))


def _dead(model: Model, clause: Clause, vfs: Vfs) -> Iterator[Question]:
    if not model.program("d_prune"):
        yield _missing(model, clause, ["d_prune"])
        return
    teardown = _teardown(model, clause.binds)
    yield from _gaps(model, clause, teardown)

    def counts(event: Event) -> bool:
        return event.kind == "get" and event.object == "dentry" and event.value != "not-dead"

    def labels(event: Event, method: str) -> Iterator[Label]:
        if event.kind == "entry" and method == "d_prune":
            yield "pruned", "any"
        if counts(event):
            yield "counted", "any"

    walkers: list[Program | None] = [p for p in _programs(model, vfs.lockless("dentry_operations")) if p.mode in ("rcu", "")]
    for walker in [None, *walkers]:
        builder = Builder(vfs, {FOUND["dentry"]})
        parts: dict[str, list[Part]] = {}
        for program in teardown:
            parts.setdefault(program.method, []).append(Part(program, SELF_ROLE, counts, labels, program.method))
        builder.run("dentry-teardown", 1, parts, victim="dentry", found=False,
                    keep=lambda s: s.verb in ("lock", "unlock", "call") or (s.object, s.field) == FOUND["dentry"])
        if walker is None:
            builder.run("ref-walk", 0, {}, labels=lambda s: [("counted", "any")] if s.verb == "get" else [])
        else:
            builder.run("rcu-walk", 0, {"*": [Part(walker, SELF_ROLE, counts, labels, walker.method)]}, victim="dentry", features=frozenset({"dentry"}),
                        keep=lambda s: s.verb in ("enter", "leave", "call") or (s.object, s.field) == FOUND["dentry"])
        yield Obligation(model, clause, ("d_prune", walker.method) if walker else ("d_prune",), "dentry", builder.scenario(), clause.formula,
                         tuple(p.function for p in teardown) + ((walker.function,) if walker else ()),
                         _assumptions(teardown), witness=("pruned", "counted") if walker is None else ("", ""))


def _double_free(model: Model, clause: Clause, vfs: Vfs) -> Iterator[Question]:
    kinds = [("dentry", ("d_prune", "d_iput", "d_release"), "dentry-teardown")]
    teardown = _teardown(model, kinds[0][1])
    if not teardown:
        yield _missing(model, clause, kinds[0][1])
        return
    yield from _gaps(model, clause, teardown)
    frees = [(p, e) for p in teardown for e in _frees(p) if e.object.startswith("dentry->") and "[" not in e.object]
    counts: dict[str, int] = {}
    for _, event in frees:
        counts[event.object] = counts.get(event.object, 0) + 1
    for path in sorted(counts) or ["dentry"]:
        cell = _cell(path)
        live = {cell} if cell else set()

        def destroys(event: Event, path: str = path) -> bool:
            return any(e.object == path for e in _destructions(event))

        def labels(event: Event, _: str, path: str = path) -> Iterator[Label]:
            if event.kind == "free" and event.object == path:
                yield "destroyed(o)", "initial"

        def of_step(step: VfsStep, path: str = path) -> Iterator[Label]:
            if step.verb == "free" and step.object == path:
                yield "destroyed(o)", "initial"

        builder = Builder(vfs, live)
        parts: dict[str, list[Part]] = {}
        for program in teardown:
            parts.setdefault(program.method, []).append(Part(
                program, SELF_ROLE, lambda e, d=destroys, live=live: d(e) or (e.kind == "write" and (e.object, e.field) in live), labels, program.method))  # type: ignore[misc]
        builder.run("dentry-teardown", 0, parts, victim="dentry", found=False, labels=of_step, keep=lambda s: s.verb in ("call", "defer"))
        yield Obligation(model, clause, tuple(dict.fromkeys(p.method for p in teardown)), path, builder.scenario(), clause.formula,
                         tuple(p.function for p in teardown), _assumptions(teardown), witness=("destroyed(o)", ""))


_TAKES = frozenset({"lock", "enter"})
_DROPS = frozenset({"unlock", "leave"})


def _lock(event: Event) -> tuple[str, str]:
    """What names a lock, or a read-side section."""
    return ("a read-side critical section", event.field) if event.kind in ("enter", "leave") else (event.object, event.field)


def _balanced(model: Model, clause: Clause, vfs: Vfs) -> Iterator[Question]:
    programs = [p for p in _programs(model, clause.binds) if (c := vfs.callback(p.method)) and c.of == "dentry_operations"
                and (p.method != "d_iput" or p.mode == "ref")]
    if not programs:
        yield _missing(model, clause, clause.binds[:8])
        return
    yield from _gaps(model, clause, programs)
    for program in programs:
        locks = sorted({_lock(e) for e in program.events if e.kind in _TAKES or e.kind in _DROPS})
        for lock in locks or [("", "")]:
            def labels(event: Event, _: str, lock: tuple[str, str] = lock) -> Iterator[Label]:
                if event.kind == "entry":
                    yield "entry(o)", "any"
                if event.kind == "return":
                    yield "exit(o)", "any"
                if event.kind in _TAKES | _DROPS and _lock(event) == lock and lock[0]:
                    yield ("acquires(o)" if event.kind in _TAKES else "releases(o)"), "any"

            scenario = _alone(vfs, program, lambda e, lock=lock: (e.kind in _TAKES | _DROPS and _lock(e) == lock) or e.kind == "return", labels)  # type: ignore[misc]
            yield Obligation(model, clause, (program.label,), "->".join(p for p in lock if p), scenario, clause.formula, (program.function,),
                             _assumptions([program]))


_RECHECKED = frozenset({"d_inode", "d_parent", "d_flags", "d_hash"})


def _rcu_store(model: Model, clause: Clause, vfs: Vfs) -> Iterator[Question]:
    programs = model.program("d_revalidate", "rcu")
    if not programs:
        yield _missing(model, clause, ["d_revalidate"])
        return
    yield from _gaps(model, clause, programs)

    def labels(event: Event, _: str) -> Iterator[Label]:
        if event.kind == "write" and event.object == "dentry" and event.field != "d_time":
            yield "stores(d_revalidate)", "any"
        if event.kind in ("lock", "unlock") and (event.object, event.field) == ("dentry", "d_lock"):
            yield ("acquires(d_lock)" if event.kind == "lock" else "releases(d_lock)"), "any"
        if event.kind == "read" and event.object == "dentry" and event.field in _RECHECKED:
            yield "rechecks", "any"

    for program in programs:
        scenario = _alone(vfs, program, lambda e: bool(list(labels(e, ""))) or e.kind == "return", labels)
        yield Obligation(model, clause, ("d_revalidate",), "dentry", scenario, clause.formula, (program.function,), _assumptions([program]))


_Maker = Callable[[Model, Clause, Vfs], Iterator[Question]]

_MAKERS: dict[str, _Maker] = {
    "prune-keeps-locks": _prune,
    "prune-frees-nothing": _prune,
    "prune-is-const": _prune,
    "dead-stays-dead": _dead,
    "rcu-delay-dentry": _delay,
    "rcu-delay-inode": _delay,
    "rcu-delay-super": _delay,
    "null-inode": _null_inode,
    "no-blocking": _no_blocking,
    "no-double-free": _double_free,
    "balanced-locks": _balanced,
    "rcu-no-store": _rcu_store,
}

__all__ = ["LOOPS", "Obligation", "Question", "Source", "questions"]
