"""Obligations of null-inode: a lockless method against d_inode turning NULL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..spec.contract import Clause
from ..spec.program import Cube, Event, Guard, Model, Program
from ..spec.vfs import Vfs
from .obligation import (
    TOUCHING,
    Obligation,
    Question,
    assumptions,
    gaps,
    missing,
    programs_of,
)
from .scenarios import PARENT_ROLE, SELF_ROLE, Builder, Label, Part, renamed


def null_inode(model: Model, clause: Clause, vfs: Vfs) -> Iterator[Question]:
    walkers = [p for p in programs_of(model, clause.binds) if p.mode in ("rcu", "")]
    if not any((c := vfs.callback(p.method)) and c.of == "dentry_operations" for p in walkers):
        yield missing(model, clause, vfs.lockless("dentry_operations"))
        return
    yield from gaps(model, clause, walkers)
    for walker in walkers:
        done = False
        for target, roles, cell in (
            ("inode", SELF_ROLE, ("dentry", "d_inode")),
            ("dir", PARENT_ROLE, ("dentry", "d_inode")),
        ):
            events = [replace(e, object=renamed(e.object, roles)) for e in walker.events]
            reads = {i for i, e in enumerate(events) if e.kind == "read" and (e.object, e.field) == cell}
            nulls = _nulls(walker, reads)
            uses = [e for e in events if (e.via in reads and e.kind in TOUCHING) or e in nulls]
            if reads or (not done and target == "dir") or nulls:
                done = True
                plain = [e for e in uses if not e.debug and e.kind != "opaque"]
                yield _null_scenario(model, clause, vfs, walker, target, roles, cell, reads, debug=False)
                if [e for e in uses if e.debug]:
                    yield _null_scenario(model, clause, vfs, walker, target, roles, cell, reads, debug=True)
                if not plain and any(e.kind == "opaque" for e in uses):
                    yield _null_scenario(
                        model, clause, vfs, walker, target, roles, cell, reads, debug=False, opaque=True
                    )


def _nulls(walker: Program, reads: set[int]) -> frozenset[Event]:
    """The accesses through NULL that an inode gone is the reason of: made where a fetch of d_inode (one of
    the events `reads`) yielded NULL; or, in a method that is handed no dentry, where nothing did."""
    definitions = {a.name: a.definition for a in walker.atoms if a.kind == "defined"}
    pointers = {a.name: a.event for a in walker.atoms if a.kind == "nonnull"}
    known: dict[str, frozenset[tuple[str, bool]]] = {}

    def literals(guard: Guard) -> frozenset[tuple[str, bool]]:
        found: set[tuple[str, bool]] = set()
        for name, positive in {literal for cube in guard for literal in cube}:
            if name in definitions:
                if name not in known:
                    known[name] = literals(definitions[name])
                found |= {(n, p == positive) for n, p in known[name]}
            elif name in pointers:
                found.add((name, positive))
        return frozenset(found)

    def absent(cube: Cube) -> set[int | None]:
        sure = {name for name, positive in cube if positive}
        return {pointers[n] for n, positive in literals((cube,)) if not positive and n not in sure}

    def blamed(event: Event) -> bool:
        gone = [absent(cube) for cube in event.guard]
        return any(g & reads for g in gone) or (walker.method == "get_link" and not any(gone))

    return frozenset(e for e in walker.events if e.object == "NULL" and blamed(e))


def _null_scenario(
    model: Model,
    clause: Clause,
    vfs: Vfs,
    walker: Program,
    target: str,
    roles: dict[str, str],
    cell: tuple[str, str],
    reads: set[int],
    *,
    debug: bool,
    opaque: bool = False,
) -> Obligation:
    nulls = _nulls(walker, reads)

    def uses(event: Event) -> bool:
        return (event.via in reads and event.kind in TOUCHING) or event in nulls

    def labels(event: Event, _: str) -> Iterator[Label]:
        if uses(event) and event.debug == debug and (event.kind == "opaque") == opaque:
            yield ("null_access(o)", "any" if event in nulls else "null")
        if event.kind == "read" and (event.object, event.field) == cell:
            yield "fetch(o)", "any"

    builder = Builder(vfs, {cell})
    builder.run(
        "rcu-walk",
        0,
        {
            "*": [
                Part(
                    walker,
                    roles,
                    lambda e: uses(e) or e.kind in ("lock", "unlock") or (e.object, e.field) == cell,
                    labels,
                    walker.method,
                )
            ]
        },
        victim="",
        features=frozenset(),
        found=False,
    )
    builder.run(
        "unlink",
        1,
        {},
        keep=lambda s: s.verb in ("lock", "unlock") or (s.object, s.field) == cell,
        labels=lambda s: [("cleared(o)", "any")] if (s.object, s.field) == cell else [],
    )
    initial = [(cell, "initial")] if target == "dir" else []
    doubt = (
        ", ".join(sorted({e.note + "()" for e in walker.events if e.via in reads and e.kind == "opaque"}))
        if opaque
        else ""
    )
    name = "parent->d_inode" if target == "dir" else "dentry->d_inode"
    return Obligation(
        model,
        clause,
        (walker.method,),
        name,
        builder.scenario(initial),
        clause.formula,
        (walker.function,),
        assumptions([walker]),
        debug,
        doubt,
    )
