"""Every trace of a small scenario, by running it: the ground truth for encodings. No solver, no formula.

The atoms and the initial values are chosen first, which settles the steps that each thread executes; then
all interleavings are run. A read that contradicts the choice of an atom ends the run, as does a
deadlock: neither is a trace. Exponential, so only for scenarios of some ten steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice, product

from ..encodings.scenario import Scenario, Step, Trace

Cell = tuple[str, str]
Copy = tuple[str, str, str]
"""A cell, and the view of it."""


def explore(scenario: Scenario, limit: int | None = None) -> Iterator[Trace]:
    """All traces of `scenario`, each once, in an order that depends on nothing else.

    At most `limit` of them if that is given; who needs to know whether there are more asks for one more.
    """
    return islice(_all(scenario), limit)


@dataclass(frozen=True, slots=True)
class _State:
    """One state of a run.

    at        for each thread, which of its executed steps are behind it, by their places
    order     what was executed
    held      for each hold: thread, lock, exclusive
    cells     values at first
    copies    values that were written
    values    what reads yielded
    sections  for each open section: thread, domain, its enter step
    periods   for each grace period under way: thread, domain, the sections that it waits for
    """

    at: tuple[frozenset[int], ...]
    order: tuple[str, ...]
    held: frozenset[tuple[int, Cell, bool]]
    cells: tuple[tuple[Cell, str], ...]
    copies: tuple[tuple[Copy, str], ...]
    values: tuple[tuple[str, str], ...]
    sections: tuple[tuple[int, str, str], ...]
    periods: tuple[tuple[int, str, frozenset[str]], ...]


def _all(scenario: Scenario) -> Iterator[Trace]:
    pinned = dict(scenario.initial)
    cells = sorted({(s.object, s.field) for s in scenario.steps if s.kind == "read"} | set(pinned))
    for atoms in _atom_choices(scenario):
        threads = _executed(scenario, atoms)
        names = {s.id for steps in threads for s in steps}
        wanted = {a.step: atoms[a.name] for a in scenario.atoms if a.kind == "nonnull"}
        if any(atoms[a.name] and a.step not in names for a in scenario.atoms if a.kind == "nonnull"):
            continue
        if any(atoms[a.name] != wanted[a.step] for a in scenario.atoms if a.kind == "nonnull"):
            continue
        for initial in product(*((pinned[c],) if c in pinned else ("initial", "null") for c in cells)):
            start = tuple(zip(cells, initial, strict=True))
            run = _Run(scenario, threads, wanted)
            nothing = (frozenset[int](),) * len(threads)
            for end in run.complete(_State(nothing, (), frozenset(), start, (), (), (), ())):
                yield Trace(end.order, tuple(atoms.items()), start, end.values)


def _atom_choices(scenario: Scenario) -> Iterator[dict[str, bool]]:
    groups = {
        a.name: f"key {a.key}" if a.kind == "stable" and a.key else f"atom {a.name}"
        for a in scenario.atoms
        if a.kind != "defined"
    }
    distinct = list(dict.fromkeys(groups.values()))
    for truth in product((False, True), repeat=len(distinct)):
        chosen = dict(zip(distinct, truth, strict=True))
        atoms = {name: chosen[group] for name, group in groups.items()}
        for atom in scenario.atoms:
            if atom.kind == "defined":
                atoms[atom.name] = any(all(atoms[n] == p for n, p in cube) for cube in atom.definition)
        yield {a.name: atoms[a.name] for a in scenario.atoms}


def _executed(scenario: Scenario, atoms: dict[str, bool]) -> list[list[Step]]:
    """The steps of each thread that are executed under `atoms`: a least fixed point over start and via."""
    chosen: set[str] = set()
    while True:
        more = {
            s.id
            for t in scenario.threads
            if t.after is None or t.after in chosen
            for s in t.steps
            if any(all(atoms[n] == p for n, p in cube) for cube in s.guard)
            and (s.via is None or s.via in chosen)
        }
        if more == chosen:
            return [[s for s in t.steps if s.id in chosen] for t in scenario.threads]
        chosen = more


class _Run:
    """All complete runs of threads whose executed steps are settled."""

    def __init__(self, scenario: Scenario, threads: list[list[Step]], wanted: dict[str | None, bool]) -> None:
        self.threads, self.wanted = threads, wanted
        self.scenario = scenario
        taken = {s.id for steps in threads for s in steps}
        self.orders = [o.pairs for o in scenario.orders if taken.issuperset(o.steps)]
        self.sections: dict[str, str] = {}
        for steps in threads:
            entered: dict[str, list[str]] = {}
            for step in steps:
                if step.kind == "enter":
                    entered.setdefault(step.field, []).append(step.id)
                elif step.kind == "leave" and entered.get(step.field):
                    self.sections[step.id] = entered[step.field].pop()

    def complete(self, state: _State) -> Iterator[_State]:
        if all(len(done) == len(steps) for done, steps in zip(state.at, self.threads, strict=True)):
            if not state.sections:
                yield state
            return
        for number, steps in enumerate(self.threads):
            thread, done = self.scenario.threads[number], state.at[number]
            if thread.after is not None and thread.after not in state.order:
                continue
            for place in (len(done),) if thread.ordered else range(len(steps)):
                if place < len(steps) and place not in done and self.may(state, steps[place].id):
                    moved = self.act(state, number, steps[place])
                    if moved is not None:
                        at = tuple(d | {place} if i == number else d for i, d in enumerate(state.at))
                        order = (*state.order, steps[place].id)
                        yield from self.complete(replace(moved, at=at, order=order))

    def may(self, state: _State, step: str) -> bool:
        """Whether every order is or can still be kept if `step` is next."""
        for pairs in self.orders:
            if any(b == step for _, b in pairs) and not any(
                a in state.order if b == step else (a in state.order or b not in state.order)
                for a, b in pairs
            ):
                return False
        return True

    def act(self, state: _State, thread: int, step: Step) -> _State | None:
        """The state after `step`; None where `step` must wait or contradicts the choice of an atom."""
        lock: Cell = (step.object, step.field)
        match step.kind:
            case "read":
                value = dict(state.copies).get((*lock, step.view), dict(state.cells)[lock])
                if step.id in self.wanted and self.wanted[step.id] != (value != "null"):
                    return None
                return replace(state, values=(*state.values, (step.id, value)))
            case "write":
                copy = (*lock, step.view)
                stored = {**dict(state.copies), copy: "other" if step.value == "new" else step.value}
                return replace(state, copies=tuple(stored.items()))
            case "lock":
                exclusive = step.value == "exclusive"
                if any(
                    by != thread and what == lock and (exclusive or other) for by, what, other in state.held
                ):
                    return None
                return replace(state, held=state.held | {(thread, lock, exclusive)})
            case "unlock":
                return replace(state, held=frozenset(h for h in state.held if h[:2] != (thread, lock)))
            case "enter":
                return replace(state, sections=(*state.sections, (thread, step.field, step.id)))
            case "leave":
                entered = self.sections.get(step.id)
                if entered is not None and entered not in {s[2] for s in state.sections}:
                    return None
                return replace(state, sections=tuple(s for s in state.sections if s[2] != entered))
            case "gp-start" | "gp-end":
                return self.grace_period(state, thread, step)
            case _:
                return state

    def grace_period(self, state: _State, thread: int, step: Step) -> _State | None:
        opened = frozenset(entry for _, domain, entry in state.sections if domain == step.field)
        others = tuple(p for p in state.periods if p[:2] != (thread, step.field))
        if step.kind == "gp-start":
            return replace(state, periods=(*others, (thread, step.field, opened)))
        waits = [p[2] for p in state.periods if p[:2] == (thread, step.field)]
        if any(w & opened for w in waits):
            return None
        return replace(state, periods=others)
