"""The interpreter that a violated verdict answers to: runs a trace and evaluates a formula, solver-free.

It shares with the encodings nothing but `encodings/scenario.py`, whose rules it checks one by one, so that
an error in an encoding shows as a trace that does not replay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..encodings.scenario import Scenario, ScenarioAtom, Step, Thread, Trace
from ..errors import InternalError
from ..spec.logic import Formula

Cell = tuple[str, str]
Copy = tuple[str, str, str]
"""A cell, and the view of it."""


@dataclass(frozen=True, slots=True)
class Hold:
    """A lock that `thread` holds; `mode` is ``exclusive`` or ``shared``. References are holds of refcount."""

    thread: str
    object: str
    field: str
    mode: str


@dataclass(frozen=True, slots=True)
class Position:
    """One executed step, and how things stand just after it.

    value     what a read step yields, else ""
    reach     what the step acts on: ``initial`` (the scenario's object), ``null`` or ``other``
    holds     every lock held, by any thread
    sections  the open read-side sections: thread and domain, outermost first
    waiting   grace periods under way: thread and domain
    """

    number: int
    thread: Thread
    step: Step
    value: str
    reach: str
    holds: tuple[Hold, ...]
    sections: tuple[tuple[str, str], ...]
    waiting: tuple[tuple[str, str], ...]


def replay(scenario: Scenario, trace: Trace) -> list[Position]:
    """The positions of `trace`, run in order under the rules of `scenario`.

    InternalError, with the step and the rule, where `trace` is no trace of `scenario`.
    """
    return _Machine(scenario, trace).run()


def evaluate(formula: Formula, scenario: Scenario, trace: Trace) -> bool:
    """Whether `formula` holds of `trace` (at its first position), by the semantics of `spec/logic.py`.

    Of the empty trace: predicates and existential operators are false, universal ones true. The trace is
    not checked; `replay` does that. InternalError for an operator that does not exist.
    """
    steps = {s.id: s for s in scenario.steps}
    values = dict(trace.values)
    held = [_predicates(steps[s], values) for s in trace.order]
    if not held:
        return _empty(formula)
    return _table(formula, held)[0]


# -- evaluation


def _predicates(step: Step, values: dict[str, str]) -> frozenset[str]:
    reach = "initial" if step.via is None else values[step.via]
    return frozenset("".join(text.split()) for text, wanted in step.labels if wanted in ("any", reach))


def _empty(f: Formula) -> bool:
    match f.op:
        case "not":
            return not _empty(f.args[0])
        case "and":
            return all(map(_empty, f.args))
        case "or":
            return any(map(_empty, f.args))
        case "implies":
            return not _empty(f.args[0]) or _empty(f.args[1])
        case _:
            return f.op in ("true", "always", "historically")


def _table(f: Formula, held: Sequence[frozenset[str]]) -> list[bool]:
    """The truth of `f` at every position; the temporal operators by their fixed-point equations."""
    size = len(held)
    if f.op == "pred":
        name = "".join(str(f).split())
        return [name in predicates for predicates in held]
    if f.op == "true":
        return [True] * size
    args = [_table(a, held) for a in f.args]
    column = list(zip(*args, strict=True))
    forward, backward = range(size), range(size - 1, -1, -1)
    match f.op:
        case "not":
            return [not a for (a,) in column]
        case "and":
            return [all(row) for row in column]
        case "or":
            return [any(row) for row in column]
        case "implies":
            return [not a or b for a, b in column]
        case "previously":
            return [False, *args[0][:-1]]
        case "next":
            return [*args[0][1:], False]
        case "once":
            return _fold(forward, False, lambda i, last: args[0][i] or last)
        case "historically":
            return _fold(forward, True, lambda i, last: args[0][i] and last)
        case "eventually":
            return _fold(backward, False, lambda i, last: args[0][i] or last)
        case "always":
            return _fold(backward, True, lambda i, last: args[0][i] and last)
        case "since":
            return _fold(forward, False, lambda i, last: args[1][i] or (args[0][i] and last))
        case "until":
            return _fold(backward, False, lambda i, last: args[1][i] or (args[0][i] and last))
        case _:
            raise InternalError(f"temporal formula: unknown operator {f.op!r}")


def _fold(positions: range, start: bool, step: Callable[[int, bool], bool]) -> list[bool]:
    result = [start] * len(positions)
    last = start
    for i in positions:
        last = result[i] = step(i, last)
    return result


# -- replay


class _Machine:
    """The state of one replay, and one method a rule."""

    def __init__(self, scenario: Scenario, trace: Trace) -> None:
        self.scenario, self.trace = scenario, trace
        self.steps = {s.id: s for s in scenario.steps}
        self.home = {s.id: t for t in scenario.threads for s in t.steps}
        self.values = dict(trace.values)
        self.atoms = dict(trace.atoms)
        self.cells: dict[Cell, str] = dict(trace.initial)
        self.copies: dict[Copy, str] = {}  # what was written
        self.done: dict[str, int] = {}  # and as the how manieth
        self.last: dict[str, int] = {}
        self.holds: list[Hold] = []
        self.open: list[tuple[str, str, str]] = []  # thread, domain, id of the enter step
        self.ends = _ends(scenario, set(trace.order))
        self.waiting: dict[tuple[str, str], frozenset[str]] = {}

    def run(self) -> list[Position]:
        self.check_choices()
        positions = [self.take(n, name) for n, name in enumerate(self.trace.order)]
        for step in self.scenario.steps:
            if step.id not in self.done and self.due(step):
                self.fail(step.id, "is missing: its thread has started and its guard is true")
        for step_id in self.values:
            if step_id not in self.done:
                self.fail(step_id, "is given a value, but is not executed")
        for thread, _, enter in self.open:
            self.fail(enter, f"enters a read-side section that {thread} never leaves")
        self.check_nonnull()
        self.check_orders()
        return positions

    def fail(self, step: str, why: str) -> None:
        raise InternalError(f"replay: step {step}: {why}")

    # rules 5 and 7: choices

    def check_choices(self) -> None:
        names = {a.name for a in self.scenario.atoms}
        if names != set(self.atoms) or len(self.atoms) != len(self.trace.atoms):
            raise InternalError("replay: the trace does not give each atom of the scenario one value")
        keys: dict[str, ScenarioAtom] = {}
        for atom in self.scenario.atoms:
            if atom.kind == "stable" and atom.key:
                other = keys.setdefault(atom.key, atom)
                if self.atoms[other.name] != self.atoms[atom.name]:
                    raise InternalError(f"replay: stable atoms {other.name} and {atom.name} differ")
            elif atom.kind == "defined":
                truth = any(all(self.atoms[n] == p for n, p in cube) for cube in atom.definition)
                if truth != self.atoms[atom.name]:
                    raise InternalError(f"replay: atom {atom.name} is not what it is defined to be")
        for cell, value in self.trace.initial:
            if value not in ("initial", "null"):
                raise InternalError(f"replay: {cell[0]}->{cell[1]} is {value!r} at first")
        for cell, value in self.scenario.initial:
            if self.cells.get(cell) != value:
                raise InternalError(f"replay: {cell[0]}->{cell[1]} is not {value} at first")

    def check_nonnull(self) -> None:
        for atom in self.scenario.atoms:
            if atom.kind == "nonnull":
                truth = atom.step in self.done and self.values[atom.step] != "null"
                if truth != self.atoms[atom.name]:
                    raise InternalError(f"replay: atom {atom.name} is not what read {atom.step} yields")

    def check_orders(self) -> None:
        for order in self.scenario.orders:
            if all(s in self.done for s in order.steps) and not any(
                self.done[a] < self.done[b] for a, b in order.pairs
            ):
                raise InternalError(f"replay: of the order {order.name} no pair is kept")

    # rules 1, 2 and 6: execution

    def due(self, step: Step) -> bool:
        """Whether `step` is to be executed, as far as the steps taken until now tell."""
        after = self.home[step.id].after
        return (
            (after is None or after in self.done)
            and any(all(self.atoms[n] == p for n, p in cube) for cube in step.guard)
            and (step.via is None or step.via in self.values)
        )

    def take(self, number: int, name: str) -> Position:
        if name not in self.steps:
            self.fail(name, "is no step of the scenario")
        step, thread = self.steps[name], self.home[name]
        if name in self.done:
            self.fail(name, "is taken twice")
        if not self.due(step):
            self.fail(name, "is taken although its thread has not started or its guard is false")
        place = thread.steps.index(step)
        if thread.ordered and place < self.last.get(thread.name, -1):
            self.fail(name, "is taken out of program order")
        self.act(step, thread.name)
        if (step.kind == "read") != (name in self.values):
            self.fail(name, "is a read without a value, or has a value and is no read")
        self.done[name] = number
        self.last[thread.name] = place
        return Position(
            number,
            thread,
            step,
            self.values.get(name, ""),
            "initial" if step.via is None else self.values[step.via],
            tuple(self.holds),
            tuple((t, d) for t, d, _ in self.open),
            tuple(self.waiting),
        )

    def act(self, step: Step, thread: str) -> None:
        match step.kind:
            case "read":
                self.read(step)
            case "write":
                stored = "other" if step.value == "new" else step.value
                self.copies[step.object, step.field, step.view] = stored
            case "lock":
                self.lock(step, thread)
            case "unlock":
                self.holds = [
                    h
                    for h in self.holds
                    if (h.thread, h.object, h.field) != (thread, step.object, step.field)
                ]
            case "enter":
                self.open.append((thread, step.field, step.id))
            case "leave":
                entered = self.ends.get(step.id)
                if entered is not None:
                    if entered not in self.done:
                        self.fail(step.id, f"leaves the section that {entered} has not entered yet")
                    self.open.remove((thread, step.field, entered))
            case "gp-start":
                self.waiting[thread, step.field] = frozenset(e for _, d, e in self.open if d == step.field)
            case "gp-end":
                self.end_grace_period(step, thread)

    # rule 5: values

    def read(self, step: Step) -> None:
        cell = (step.object, step.field)
        if cell not in self.cells:
            self.fail(step.id, f"reads {step.object}->{step.field}, which has no initial value")
        held = self.copies.get((*cell, step.view), self.cells[cell])
        if self.values.get(step.id) != held:
            self.fail(step.id, f"yields {self.values.get(step.id)}, but the cell holds {held}")

    # rule 3: locks

    def lock(self, step: Step, thread: str) -> None:
        for hold in self.holds:
            if (
                (hold.object, hold.field) == (step.object, step.field)
                and hold.thread != thread
                and "exclusive" in (hold.mode, step.value)
            ):
                self.fail(step.id, f"takes {step.object}->{step.field}, held {hold.mode} by {hold.thread}")
        self.holds.append(Hold(thread, step.object, step.field, step.value))

    # rule 4: grace periods

    def end_grace_period(self, step: Step, thread: str) -> None:
        before = self.waiting.pop((thread, step.field), frozenset())
        for other, _, enter in self.open:
            if enter in before:
                self.fail(step.id, f"ends a grace period while {other} is in the section entered at {enter}")


def _ends(scenario: Scenario, executed: set[str]) -> dict[str, str]:
    """For each executed ``leave``, the ``enter`` of the section that it ends: sections of one domain nest in
    program order."""
    found: dict[str, str] = {}
    for thread in scenario.threads:
        entered: dict[str, list[str]] = {}
        for step in thread.steps:
            if step.id in executed and step.kind == "enter":
                entered.setdefault(step.field, []).append(step.id)
            elif step.id in executed and step.kind == "leave" and entered.get(step.field):
                found[step.id] = entered[step.field].pop()
    return found
