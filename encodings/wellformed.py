"""What a scenario must be before anything can be said of its traces. No solver here."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import InternalError
from ..spec.program import FENCES, ORDERS
from .scenario import Scenario, Step, Thread

STORED = frozenset({"null", "new", "other", "initial"})
"""What a write may store. ``initial`` puts the scenario's object back; ``new`` is read as ``other``."""
INITIAL = frozenset({"initial", "null"})
MODES = frozenset({"exclusive", "shared"})
ATOM_KINDS = frozenset({"nonnull", "stable", "free", "defined"})


def check(scenario: Scenario) -> None:
    """Raise InternalError, naming the step or thread, where `scenario` has no meaning.

    It has one iff ids are unique, every reference (`via`, `after`, the atoms of guards, the reads of
    atoms) leads somewhere, no step needs itself to be executed, and values come from the known sets.
    """
    steps = {s.id: s for s in scenario.steps}
    _unique("step", (s.id for s in scenario.steps))
    _unique("thread", (t.name for t in scenario.threads))
    _unique("atom", (a.name for a in scenario.atoms))
    _unique("pinned cell", (f"{o}->{f}" for (o, f), _ in scenario.initial))
    for (obj, name), value in scenario.initial:
        _demand(value in INITIAL, f"{obj}->{name}: {value!r} is no initial value")
    before: set[str] = set()
    for atom in scenario.atoms:
        for name in (n for cube in atom.definition for n, _ in cube):
            _demand(
                name in before,
                f"atom {atom.name}: its definition speaks of {name!r}, which does not come before it",
            )
        before.add(atom.name)
        _demand(atom.kind in ATOM_KINDS, f"atom {atom.name}: unknown kind {atom.kind!r}")
        if atom.kind == "nonnull":
            read = steps.get(atom.step or "")
            _demand(read is not None and read.kind == "read", f"atom {atom.name}: {atom.step!r} is no read")
    atoms = {a.name for a in scenario.atoms}
    for step in scenario.steps:
        _check_step(step, steps, atoms)
    for thread in scenario.threads:
        _demand(
            thread.after is None or thread.after in steps,
            f"thread {thread.name}: started by {thread.after!r}, which is no step",
        )
    _unique("order", (o.name for o in scenario.orders))
    for order in scenario.orders:
        _demand(bool(order.pairs), f"order {order.name}: has no pair")
        for name in order.steps:
            _demand(name in steps, f"order {order.name}: {name!r} is no step")
        for first, second in order.pairs:
            _demand(first != second, f"order {order.name}: {first} cannot come before itself")
    for thread in scenario.threads:
        if not thread.ordered:
            _check_brackets(thread, {o.pairs for o in scenario.orders})
    _check_needs(scenario, steps)


def _check_step(step: Step, steps: dict[str, Step], atoms: set[str]) -> None:
    for cube in step.guard:
        for name, _ in cube:
            _demand(name in atoms, f"step {step.id}: its guard speaks of {name!r}, which is no atom")
    if step.via is not None:
        _demand(
            step.via in steps and steps[step.via].kind == "read",
            f"step {step.id}: reached via {step.via!r}, which is no read",
        )
    if step.kind == "write":
        _demand(step.value in STORED, f"step {step.id}: writes {step.value!r}")
    if step.kind == "fence":
        _demand(step.value in FENCES, f"step {step.id}: no fence {step.value!r}")
    _demand(
        step.order in ORDERS.get(step.kind, ("",)), f"step {step.id}: a {step.kind} with order {step.order!r}"
    )
    if step.kind == "lock":
        _demand(step.value in MODES, f"step {step.id}: locks in mode {step.value!r}")
    for text, reach in step.labels:
        _demand(reach in ("initial", "null", "any"), f"step {step.id}: label {text} has reach {reach!r}")


def _check_brackets(thread: Thread, orders: set[tuple[tuple[str, str], ...]]) -> None:
    """What begins and what ends something must keep its order, or it is not said what lies between them."""
    for i, first in enumerate(thread.steps):
        for second in thread.steps[i + 1 :]:
            if second.field == first.field and (
                ({first.kind, second.kind} <= {"lock", "unlock"} and first.object == second.object)
                or {first.kind, second.kind} <= {"gp-start", "gp-end"}
                or (first.kind, second.kind) == ("enter", "leave")
            ):
                _demand(
                    ((first.id, second.id),) in orders,
                    f"thread {thread.name}: {first.id} and {second.id} must keep their order",
                )


def _check_needs(scenario: Scenario, steps: dict[str, Step]) -> None:
    """No step may need, through `via` and the start of its thread, that it is itself executed."""
    home: dict[str, Thread] = {s.id: t for t in scenario.threads for s in t.steps}
    done: set[str] = set()
    for root in steps:
        path: dict[str, None] = {}
        pending = [(root, False)]
        while pending:
            current, left = pending.pop()
            if left:
                del path[current]
                done.add(current)
                continue
            _demand(current not in path, f"step {current}: is executed only if it is executed")
            if current in done:
                continue
            path[current] = None
            pending.append((current, True))
            pending += [(n, False) for n in (home[current].after, steps[current].via) if n is not None]


def _unique(what: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        _demand(name not in seen, f"two {what}s are named {name!r}")
        seen.add(name)


def _demand(holds: bool, message: str) -> None:
    if not holds:
        raise InternalError(f"scenario: {message}")
