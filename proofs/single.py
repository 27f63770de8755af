"""Obligations about one callback, or one teardown, by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from ..encodings.scenario import Scenario
from ..spec.contract import Clause
from ..spec.program import Event, Model, Program
from ..spec.vfs import Vfs, VfsStep
from .obligation import (
    Obligation,
    Question,
    assumptions,
    cell_of,
    choices_of,
    destructions,
    freed_events,
    gaps,
    missing,
    plain,
    programs_of,
    teardown_of,
)
from .scenarios import FOUND, SELF_ROLE, Builder, Label, Part
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

        def wanted(event: Event, destroys: Callable[[Event], bool] = destroys) -> bool:
            return destroys(event) or event.kind == "return"

        scenario = _alone(vfs, program, wanted, labels)
        yield Obligation(
            model,
            clause,
            ("d_prune",),
            found[0].object if found else "dentry",
            scenario,
            clause.formula,
            (program.function,),
            assumptions([program]),
            doubt=", ".join(sorted({e.note + "()" for e in found})) if doubt else "",
        )


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
    kinds = [("dentry", ("d_prune", "d_iput", "d_release"), "dentry-teardown")]
    teardown = teardown_of(model, kinds[0][1])
    if not teardown:
        yield missing(model, clause, kinds[0][1])
        return
    yield from gaps(model, clause, teardown)
    for chosen in choices_of(teardown):
        yield from _freed_twice(model, clause, vfs, chosen)


def _freed_twice(model: Model, clause: Clause, vfs: Vfs, teardown: list[Program]) -> Iterator[Question]:
    frees = [
        (p, e)
        for p in teardown
        for e in freed_events(p)
        if e.object.startswith("dentry->") and "[" not in e.object
    ]
    counts: dict[str, int] = {}
    for _, event in frees:
        counts[event.object] = counts.get(event.object, 0) + 1
    yield from _unfollowed(model, clause, teardown, lambda path: path in counts)
    for path in sorted(counts) or ["dentry"]:
        cell = cell_of(path)
        live = {cell} if cell else set()

        def destroys(event: Event, path: str = path) -> bool:
            return any(e.object == path for e in destructions(event))

        def labels(event: Event, _: str, path: str = path) -> Iterator[Label]:
            if event.kind == "free" and event.object == path:
                yield "destroyed(o)", "initial"

        def of_step(step: VfsStep, path: str = path) -> Iterator[Label]:
            if step.verb == "free" and step.object == path:
                yield "destroyed(o)", "initial"

        def wanted(
            event: Event,
            destroys: Callable[[Event], bool] = destroys,
            live: set[tuple[str, str]] = live,
        ) -> bool:
            return destroys(event) or (event.kind == "write" and (event.object, event.field) in live)

        builder = Builder(vfs, live)
        parts: dict[str, list[Part]] = {}
        for program in teardown:
            parts.setdefault(program.method, []).append(
                Part(
                    program,
                    SELF_ROLE,
                    wanted,
                    labels,
                    program.method,
                )
            )
        builder.run(
            "dentry-teardown",
            0,
            parts,
            victim="dentry",
            found=False,
            labels=of_step,
            keep=lambda s: s.verb in ("call", "defer"),
        )
        yield Obligation(
            model,
            clause,
            tuple(dict.fromkeys(p.method for p in teardown)),
            path,
            builder.scenario(),
            clause.formula,
            tuple(p.function for p in teardown),
            assumptions(teardown),
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
                assumptions([program]),
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
