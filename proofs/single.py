"""Obligations about one callback, or one teardown, by itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from ..encodings.scenario import Scenario
from ..spec.contract import Clause
from ..spec.program import Atom, Event, Model, Program
from ..spec.vfs import Vfs, VfsStep
from .obligation import (
    Obligation,
    Question,
    assumptions,
    cell_of,
    cells_of,
    choices_of,
    destructions,
    gaps,
    last_put,
    missing,
    plain,
    plain_path,
    programs_of,
    teardown_of,
)
from .scenarios import FOUND, ROOT, SELF_ROLE, Builder, Label, Part
from .verdict import Result, Verdict


def _alone(
    vfs: Vfs,
    program: Program,
    wanted: Callable[[Event], bool],
    labels: Callable[[Event, str], Iterable[Label]],
) -> Scenario:
    """A scenario in which the method runs by itself, where the VFS runs it."""
    builder = Builder(vfs)
    place = (
        "dentry-teardown"
        if program.method in ("d_prune", "d_iput", "d_release")
        else "rcu-walk"
        if program.mode == "rcu"
        else "ref-walk"
    )
    key = program.method if place == "dentry-teardown" else "*"
    builder.run(
        place,
        0,
        {key: [Part(program, SELF_ROLE, wanted, labels, program.method)]},
        victim="",
        features=frozenset(),
        found=False,
        keep=lambda s: s.verb == "call",
    )
    return builder.scenario()


def _unfollowed(
    model: Model, clause: Clause, programs: Iterable[Program], handed: Callable[[str], bool]
) -> Iterator[Result]:
    """Unknown for calls that are not followed and are handed what the clause is about."""
    for program in programs:
        names = sorted(
            {e.note for e in program.events if e.kind == "opaque" and not e.debug and handed(e.object)}
        )
        if names:
            listed = ", ".join(n if n.endswith(")") else n + "()" for n in names)
            reason = f"{program.function}() hands {listed} what the clause is about, and that is not followed"
            yield plain(model, clause, Verdict.UNKNOWN, reason, (program.method,))


def _is_dentry(path: str) -> bool:
    return path == "dentry"


def no_blocking(model: Model, clause: Clause, vfs: Vfs) -> Iterator[Question]:
    programs = []
    for program in programs_of(model, clause.binds):
        callback = vfs.callback(program.method)
        if callback and (callback.blocks == "no" or program.mode == "rcu"):
            programs.append(program)
    if not programs:
        yield missing(model, clause, clause.binds)
        return
    yield from gaps(model, clause, programs)
    for program in programs:
        for doubt in (False, True):

            def labels(event: Event, _: str, doubt: bool = doubt) -> Iterator[Label]:
                if event.kind == ("opaque" if doubt else "block") and not event.object:
                    yield "blocks", "any"

            names = sorted({e.note + "()" for e in program.events if e.kind == "opaque" and not e.object})
            if doubt and not names:
                continue
            scenario = _alone(
                vfs, program, lambda e: e.kind in ("block", "opaque", "return") and not e.object, labels
            )
            yield Obligation(
                model,
                clause,
                (program.method,),
                "",
                scenario,
                clause.formula,
                (program.function,),
                program.assumptions,
                doubt=", ".join(names) if doubt else "",
            )


def prune(model: Model, clause: Clause, vfs: Vfs) -> Iterator[Question]:
    programs = model.program("d_prune")
    if not programs:
        yield missing(model, clause, ["d_prune"])
        return
    yield from gaps(model, clause, programs)
    yield from _unfollowed(model, clause, programs, _is_dentry)
    for program in programs:
        yield from {
            "prune-keeps-locks": _prune_locks,
            "prune-frees-nothing": _prune_frees,
            "prune-is-const": _prune_const,
        }[clause.id](model, clause, vfs, program)


def _prune_locks(model: Model, clause: Clause, vfs: Vfs, program: Program) -> Iterator[Question]:
    locks = sorted({(e.object, e.field) for e in program.events if e.kind == "unlock"}) or [("", "")]
    for lock in locks:

        def labels(event: Event, _: str, lock: tuple[str, str] = lock) -> Iterator[Label]:
            if event.kind == "entry":
                yield "entry(d_prune)", "any"
            if (event.object, event.field) == lock and lock[0] and event.kind in ("lock", "unlock"):
                yield ("own_lock(d_prune)" if event.kind == "lock" else "unlock(d_prune)"), "any"

        scenario = _alone(vfs, program, lambda e: e.kind in ("lock", "unlock", "return"), labels)
        yield Obligation(
            model,
            clause,
            ("d_prune",),
            "->".join(p for p in lock if p),
            scenario,
            clause.formula,
            (program.function,),
            assumptions([program]),
        )


_NAMELESS = ("call:", "static:", "?")
"""How the paths begin of objects that the reader lost sight of (an element of a list on the stack, what a
search found): they may hang off the dentry."""


def _prune_frees(model: Model, clause: Clause, vfs: Vfs, program: Program) -> Iterator[Question]:
    for doubt in (False, True):

        def destroys(event: Event, doubt: bool = doubt) -> bool:
            if event.kind in ("free", "defer"):
                return event.object.startswith(_NAMELESS if doubt else "dentry->")
            return (
                doubt and event.kind == "opaque" and event.object.startswith("dentry->") and not event.debug
            )

        def labels(event: Event, _: str, destroys: Callable[[Event], bool] = destroys) -> Iterator[Label]:
            if destroys(event):
                yield "destroys(d_prune)", "any"

        found = [e for e in program.events if destroys(e)]
        if doubt and not found:
            continue

        def wanted(event: Event, destroys: Callable[[Event], bool] = destroys) -> bool:
            return destroys(event) or event.kind == "return"

        scenario = _alone(vfs, program, wanted, labels)
        yield Obligation(
            model,
            clause,
            ("d_prune",),
            re.sub(r"^call:|\.\d+$", "", found[0].object) if found else "dentry",
            scenario,
            clause.formula,
            (program.function,),
            assumptions([program]),
            doubt=", ".join(sorted(set(map(_unknown, found)))) if doubt else "",
        )


def _unknown(event: Event) -> str:
    """What of an event is not known."""
    return f"{event.note}()" if event.kind == "opaque" else f"what {event.note} destroys"


def _prune_const(model: Model, clause: Clause, vfs: Vfs, program: Program) -> Iterator[Question]:
    def labels(event: Event, _: str) -> Iterator[Label]:
        if event.kind == "write" and event.object == "dentry":
            yield "stores(d_prune)", "any"

    scenario = _alone(
        vfs, program, lambda e: (e.kind == "write" and e.object == "dentry") or e.kind == "return", labels
    )
    yield Obligation(
        model,
        clause,
        ("d_prune",),
        "dentry",
        scenario,
        clause.formula,
        (program.function,),
        assumptions([program]),
    )


def dead(model: Model, clause: Clause, vfs: Vfs) -> Iterator[Question]:
    if not model.program("d_prune"):
        yield missing(model, clause, ["d_prune"])
        return
    teardown = teardown_of(model, clause.binds)
    yield from gaps(model, clause, teardown)
    yield from _unfollowed(model, clause, teardown, _is_dentry)

    def counts(event: Event) -> bool:
        return event.kind == "get" and event.object == "dentry" and event.value != "not-dead"

    def labels(event: Event, method: str) -> Iterator[Label]:
        if event.kind == "entry" and method == "d_prune":
            yield "pruned", "any"
        if counts(event):
            yield "counted", "any"

    walkers: list[Program | None] = [
        p for p in programs_of(model, vfs.lockless("dentry_operations")) if p.mode in ("rcu", "")
    ]
    for walker in [None, *walkers]:
        builder = Builder(vfs, {FOUND["dentry"]})
        parts: dict[str, list[Part]] = {}
        for program in teardown:
            parts.setdefault(program.method, []).append(
                Part(program, SELF_ROLE, counts, labels, program.method)
            )
        builder.run(
            "dentry-teardown",
            1,
            parts,
            victim="dentry",
            found=False,
            keep=lambda s: s.verb in ("lock", "unlock", "call") or (s.object, s.field) == FOUND["dentry"],
        )
        if walker is None:
            builder.run("ref-walk", 0, {}, labels=lambda s: [("counted", "any")] if s.verb == "get" else [])
        else:
            builder.run(
                "rcu-walk",
                0,
                {"*": [Part(walker, SELF_ROLE, counts, labels, walker.method)]},
                victim="dentry",
                features=frozenset({"dentry"}),
                keep=lambda s: s.verb in ("enter", "leave", "call") or (s.object, s.field) == FOUND["dentry"],
            )
        yield Obligation(
            model,
            clause,
            ("d_prune", walker.method) if walker else ("d_prune",),
            "dentry",
            builder.scenario(),
            clause.formula,
            tuple(p.function for p in teardown) + ((walker.function,) if walker else ()),
            assumptions(teardown),
        )


def double_free(model: Model, clause: Clause, vfs: Vfs) -> Iterator[Question]:
    found = False
    teardown = teardown_of(model, ("d_prune", "d_iput", "d_release"))
    if teardown:
        found = True
        yield from gaps(model, clause, teardown)
        for programs in choices_of(teardown):
            counts = _freed_paths("dentry", programs)
            yield from _unfollowed(model, clause, programs, lambda path, counts=counts: path in counts)  # type: ignore[misc]
            for path in sorted(counts) or ["dentry"]:
                yield _twice(model, clause, vfs, "dentry", programs, path)
    for kind in ("inode", "super"):
        for programs in _teardowns(model, kind):
            for path, frees in _freed_paths(kind, programs).items():
                if len(frees) > 1:
                    found = True
                    doubt = _unsure(frees) or _unpaired(model, frees)
                    yield _twice(model, clause, vfs, kind, programs, path, doubt)
    if not found:
        yield missing(model, clause, clause.binds[:3])


_Free = tuple[Program, Event, Event]
"""An event of a program, and what it frees: itself, or what it defers."""


def _freed_paths(kind: str, programs: Iterable[Program]) -> dict[str, list[_Free]]:
    """What the programs free, by access path: what hangs off the victim and is reached through members alone.
    Of an inode or a superblock, not what goes when its last counted reference goes: several may hold one."""
    found: dict[str, list[_Free]] = {}
    for program in programs:
        for event in program.events:
            for free in destructions(event):
                if not free.object.startswith(ROOT[kind] + "->") or "[" in free.object:
                    continue
                if kind != "dentry" and (
                    not plain_path(free.object) or last_put(program, event) or last_put(program, free)
                ):
                    continue
                found.setdefault(free.object, []).append((program, event, free))
    return found


def _teardowns(model: Model, kind: str) -> Iterator[list[Program]]:
    """The programs of one teardown of an inode or a superblock: those of one superblock operations table, and
    one ->kill_sb()."""
    tables: dict[str, set[tuple[str, str]]] = {}
    for name, function in model.facts:
        method, at, table = name.partition("@")
        if at:
            tables.setdefault(table, set()).add((method, function))
    if kind == "inode":
        for own in tables.values():
            yield [
                p
                for p in teardown_of(model, ("evict_inode", "destroy_inode", "free_inode"))
                if (p.method, p.function) in own
            ]
        return
    for kill in teardown_of(model, ("kill_sb",)):
        for own in tables.values() or [set[tuple[str, str]]()]:
            yield [p for p in teardown_of(model, ("put_super",)) if (p.method, p.function) in own] + [kill]


def _unpaired(model: Model, frees: list[_Free]) -> str:
    """Why methods that free the same need not be those of one superblock: "" if they are."""
    methods = {p.method for p, _, _ in frees}
    if methods == {"put_super", "kill_sb"} and len(teardown_of(model, ("kill_sb",))) > 1:
        return "which ->kill_sb() goes with which ->put_super()"
    return ""


def _unsure(frees: list[_Free]) -> str:
    """Why a trace that frees something twice need not be one of the filesystem's: "" if it is."""
    if len({event.source for _, event, _ in frees}) < len(frees):
        return "a loop, whose rounds may free different objects,"
    if any(event.kind == "defer" and event.object != free.object for _, event, free in frees):
        return "what is freed later, and whether its pointer was NULL then,"
    conditions = [_conditions(*free) for free in frees]
    for i, one in enumerate(conditions):
        for other in conditions[:i]:
            if one - other and other - one:
                return f"whether one of {frees[i][1].source.function}()'s conditions excludes the other"
    return ""


def _conditions(program: Program, event: Event, free: Event) -> frozenset[tuple[str, str]]:
    """The arbitrary conditions of `program` that a free depends on: all but configuration and whether the
    pointers are NULL that lead to what is freed."""
    cells = cells_of(free.object)

    def arbitrary(atom: Atom) -> bool:
        if atom.kind != "nonnull" or atom.event is None:
            return atom.kind == "free"
        read = program.events[atom.event]
        return (read.object, read.field) not in cells

    atoms = {a.name: a for a in program.atoms}
    todo = [n for guard in (event.guard, free.guard) for cube in guard for n, _ in cube]
    seen: set[str] = set()
    while todo:
        name = todo.pop()
        if name in atoms and name not in seen:
            seen.add(name)
            todo += [n for cube in atoms[name].definition for n, _ in cube]
    return frozenset((program.label, n) for n in seen if arbitrary(atoms[n]))


def _twice(
    model: Model,
    clause: Clause,
    vfs: Vfs,
    kind: str,
    teardown: list[Program],
    path: str,
    unsure: str = "",
) -> Obligation:
    """The obligation that one teardown does not free the object at `path` twice."""
    live = cells_of(path) if kind != "dentry" else {c for c in [cell_of(path)] if c}
    queued = {e for p in teardown for e in p.events if e.kind == "defer" and e.object == path}
    later = {f for e in queued for f in destructions(e) if f.object == path}

    def labels(event: Event, _: str) -> Iterator[Label]:
        # Which object it is, is settled where it is queued.
        if (event.kind == "free" and event.object == path and event not in later) or (
            event in queued and any(f.object == path for f in destructions(event))
        ):
            yield "destroyed(o)", "initial"

    def of_step(step: VfsStep) -> Iterator[Label]:
        if step.verb == "free" and step.object == path:
            yield "destroyed(o)", "initial"

    def wanted(event: Event) -> bool:
        return any(e.object == path for e in destructions(event)) or (
            event.kind == "write" and (event.object, event.field) in live
        )

    builder = Builder(vfs, live)
    parts: dict[str, list[Part]] = {}
    for program in teardown:
        parts.setdefault(program.method, []).append(Part(program, SELF_ROLE, wanted, labels, program.method))
    builder.run(
        f"{kind}-teardown",
        0,
        parts,
        victim=kind,
        features=frozenset({"default"} if any(p.method == "free_inode" for p in teardown) else ()),
        found=False,
        labels=of_step,
        keep=lambda s: s.verb in ("call", "defer"),
    )
    return Obligation(
        model,
        clause,
        tuple(dict.fromkeys(p.method for p in teardown)),
        path,
        builder.scenario(),
        clause.formula,
        tuple(p.function for p in teardown),
        assumptions(teardown),
        doubt=unsure,
    )


_TAKES = frozenset({"lock", "enter"})
_DROPS = frozenset({"unlock", "leave"})


def _locks(program: Program) -> dict[int, tuple[str, str, str]]:
    """What names the lock that an event takes or drops, by the event's index: object, member, and for a
    read-side section the function that it is entered and left in. Sections nest, each function of its own;
    one that enters or leaves only is taken to do its half of another's."""
    both: dict[tuple[str, str], set[str]] = {}
    for event in program.events:
        if event.kind in ("enter", "leave"):
            both.setdefault((event.source.function, event.field), set()).add(event.kind)
    return {
        index: (
            ("a read-side critical section", event.field, _whose(event, both))
            if event.kind in ("enter", "leave")
            else (event.object, event.field, "")
        )
        for index, event in enumerate(program.events)
        if event.kind in _TAKES | _DROPS
    }


def _whose(event: Event, both: dict[tuple[str, str], set[str]]) -> str:
    return event.source.function if len(both[event.source.function, event.field]) == 2 else ""


PRIMITIVES = "locks are the kernel's own: a bit or a counter that is used as one is not seen"


def balanced(model: Model, clause: Clause, vfs: Vfs) -> Iterator[Question]:
    programs = [
        p
        for p in programs_of(model, clause.binds)
        if (c := vfs.callback(p.method))
        and c.of == "dentry_operations"
        and (p.mode != "" or not model.program(p.method, "ref"))
    ]
    if not programs:
        yield missing(model, clause, clause.binds[:8])
        return
    yield from gaps(model, clause, programs)
    for program in programs:
        named = _locks(program)
        for lock in sorted(set(named.values())) or [("", "", "")]:
            own = {program.events[i] for i, n in named.items() if n == lock}

            def labels(event: Event, _: str, own: set[Event] = own) -> Iterator[Label]:
                if event.kind == "entry":
                    yield "entry(o)", "any"
                if event.kind == "return":
                    yield "exit(o)", "any"
                if event in own:
                    yield ("acquires(o)" if event.kind in _TAKES else "releases(o)"), "any"

            def wanted(event: Event, own: set[Event] = own) -> bool:
                return event.kind == "return" or event in own

            scenario = _alone(vfs, program, wanted, labels)
            yield Obligation(
                model,
                clause,
                (program.label,),
                "->".join(p for p in lock[:2] if p),
                scenario,
                clause.formula,
                (program.function,),
                (*assumptions([program]), PRIMITIVES),
            )


_RECHECKED = frozenset({"d_inode", "d_parent", "d_flags", "d_hash"})


def rcu_store(model: Model, clause: Clause, vfs: Vfs) -> Iterator[Question]:
    programs = model.program("d_revalidate", "rcu")
    if not programs:
        yield missing(model, clause, ["d_revalidate"])
        return
    yield from gaps(model, clause, programs)
    yield from _unfollowed(model, clause, programs, _is_dentry)

    def labels(event: Event, _: str) -> Iterator[Label]:
        if event.kind == "write" and event.object == "dentry" and event.field != "d_time":
            yield "stores(d_revalidate)", "any"
        if event.kind in ("lock", "unlock") and (event.object, event.field) == ("dentry", "d_lock"):
            yield ("acquires(d_lock)" if event.kind == "lock" else "releases(d_lock)"), "any"
        if event.kind == "read" and event.object == "dentry" and event.field in _RECHECKED:
            yield "rechecks", "any"

    for program in programs:
        scenario = _alone(vfs, program, lambda e: bool(list(labels(e, ""))) or e.kind == "return", labels)
        yield Obligation(
            model,
            clause,
            ("d_revalidate",),
            "dentry",
            scenario,
            clause.formula,
            (program.function,),
            assumptions([program]),
        )
