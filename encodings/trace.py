"""Bounded traces as formulas: one integer clock a step, and named constraints in difference logic.

The semantics is that of `scenario.py`. Step a comes before step b iff ``(clock, position in the scenario)``
of a is less than that of b, so that the executed steps are totally ordered without a constraint that says
so. Clocks of steps that are not executed constrain nothing: whatever mentions them is guarded by
`Encoding.executed`, or (program order, start) holds of some clocks whatever the others are.

Every constraint bears a name and words, so that an unsat core can be told. Constraints of a core are
facts of the scenario (program order, locks, grace periods), never of a filesystem.

Source: clocks per event in integer difference logic as in Wang et al., "Predicting Concurrency Failures
in the Generalized Execution Traces of x86 Executables", RV 2011, and Alglave, Kroening, Tautschnig,
"Partial Orders for Efficient Bounded Model Checking of Concurrent Software", CAV 2013.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from pysmt.environment import Environment
from pysmt.fnode import FNode

from ..spec.program import Guard
from .scenario import Scenario, Step, Thread
from .terms import Terms
from .wellformed import check
from .words import Words

Kind = Literal["program-order", "start", "lock", "grace-period", "value", "initial", "guard"]
Cell = tuple[str, str]
Copy = tuple[str, str, str]
"""A cell, and the view of it."""


@dataclass(frozen=True)
class Constraint:
    """One fact that every trace of a scenario obeys.

    name   stable id, made of the ids of the steps concerned
    text   the fact in words
    kind   which rule of `scenario.py` it instantiates
    broad  says much at once (the whole of a thread's order); a core does without it where it can
    """

    name: str
    text: str
    formula: FNode
    kind: Kind
    broad: bool = False


class Encoding:
    """The traces of one scenario as formulas of one pySMT environment.

    `titles` gives words for callbacks ("d_manage" -> "autofs_d_manage()"). InternalError where the
    scenario is not well formed.
    """

    def __init__(
        self, scenario: Scenario, env: Environment | None = None, *, titles: Mapping[str, str] | None = None
    ) -> None:
        check(scenario)
        self.scenario = scenario
        self.env: Environment = env if env is not None else Environment()
        self.terms = Terms(self.env)
        self.words = Words(scenario, titles or {})
        self.steps: dict[str, Step] = {s.id: s for s in scenario.steps}
        self.threads: dict[str, Thread] = {s.id: t for t in scenario.threads for s in t.steps}
        self._index = {s.id: i for i, s in enumerate(scenario.steps)}
        self._place = {s.id: i for t in scenario.threads for i, s in enumerate(t.steps)}
        self._clocks = {s: self.terms.clock(f"clock:{s}") for s in self.steps}
        self._atoms = {a.name: a for a in scenario.atoms}
        self._writes: dict[Copy, list[Step]] = {}
        for step in scenario.steps:
            if step.kind == "write":
                self._writes.setdefault(_copy(step), []).append(step)
        self._executed: dict[str, FNode] = {}
        self._before: dict[tuple[str, str], FNode] = {}
        self._guards: dict[tuple[str, str, object], tuple[FNode, list[Step]]] = {}
        self._constraints: tuple[Constraint, ...] | None = None

    # -- what formulas may speak of

    def executed(self, step: str) -> FNode:
        """That `step` is executed: its thread has started, its guard is true, its `via` step is executed."""
        known = self._executed.get(step)
        if known is None:
            known = self._executed[step] = self._execution(self.steps[step])
        return known

    def _execution(self, step: Step) -> FNode:
        if not any(self._consistent(cube) for cube in step.guard):
            return self.terms.false
        thread = self.threads[step.id]
        needs = [n for n in (thread.after, step.via) if n is not None]
        return self.terms.all([*map(self.executed, needs), self._guard(step)])

    def _consistent(self, cube: tuple[tuple[str, bool], ...]) -> bool:
        return not any((name, not polarity) in cube for name, polarity in cube)

    def _guard(self, step: Step) -> FNode:
        """A symbol for the guard, shared by the steps of one callback; `_guard_constraints` defines it."""
        if () in step.guard:
            return self.terms.true
        key = (self.threads[step.id].name, step.callback, frozenset(step.guard))
        if key not in self._guards:
            self._guards[key] = self.terms.flag(f"guard:{step.id}"), []
        symbol, steps = self._guards[key]
        steps.append(step)
        return symbol

    def clock(self, step: str) -> FNode:
        """The integer symbol that is the clock of `step`."""
        return self._clocks[step]

    def position(self, step: str) -> int:
        """Where `step` stands in the scenario: what decides between equal clocks."""
        return self._index[step]

    def before(self, first: str, second: str) -> FNode:
        """That `first` comes before `second` (strictly); constant for steps of one ordered thread."""
        known = self._before.get((first, second))
        if known is not None:
            return known
        thread = self.threads[first]
        if thread is self.threads[second] and thread.ordered:
            known = self.terms.true if self._index[first] < self._index[second] else self.terms.false
        elif self._index[first] < self._index[second]:
            known = self.terms.manager.LE(self._clocks[first], self._clocks[second])
        else:
            known = self.terms.no(self.before(second, first))
        self._before[first, second] = known
        return known

    def yields(self, read: str, value: str) -> FNode:
        """That the read step `read` is executed and yields `value`: ``initial``, ``null`` or ``other``."""
        return self.terms.all((self.executed(read), self._value(self.steps[read], value)))

    def _value(self, read: Step, value: str) -> FNode:
        cell = (read.object, read.field)
        writes = self._writes.get(_copy(read))
        if value == "initial":
            return self.terms.all(
                (self.terms.no(self._value(read, "null")), self.terms.no(self._value(read, "other")))
            )
        if not writes:
            return self.initially_null(cell) if value == "null" else self.terms.false
        if value == "other" and all(w.value in ("null", "initial") for w in writes):
            return self.terms.false
        return self.terms.flag(f"{value}:{read.id}")

    def reach(self, step: str, kind: str) -> FNode:
        """That `step`, if executed, reaches ``initial`` | ``null`` | ``other``; ``any`` is always true."""
        if kind == "any":
            return self.terms.true
        via = self.steps[step].via
        if via is None:
            return self.terms.true if kind == "initial" else self.terms.false
        return self.yields(via, kind)

    def atom(self, name: str) -> FNode:
        """The truth of atom `name`; stable atoms with one key share it."""
        atom = self._atoms[name]
        return self.terms.flag(f"stable:{atom.key}" if atom.kind == "stable" and atom.key else f"atom:{name}")

    def initially_null(self, cell: Cell) -> FNode:
        """That the initial value of `cell` is ``null`` (else it is ``initial``)."""
        return self.terms.flag(f"initially-null:{cell[0]}->{cell[1]}")

    def cells(self) -> tuple[Cell, ...]:
        """The cells whose initial value matters or is pinned, sorted."""
        read = {(s.object, s.field) for s in self.scenario.steps if s.kind == "read"}
        return tuple(sorted(read | {cell for cell, _ in self.scenario.initial}))

    # -- the rules

    def constraints(self) -> tuple[Constraint, ...]:
        """Every fact that makes a choice of clocks, atoms and values a trace of the scenario."""
        if self._constraints is None:
            found = (
                *self._order(),
                *self._orders(),
                *self._starts(),
                *self._locks(),
                *self._grace_periods(),
                *self._values(),
                *self._atom_values(),
                *self._pinned(),
                *self._guard_constraints(),
            )
            self._constraints = tuple(c for c in found if c.formula is not self.terms.true)
        return self._constraints

    def _order(self) -> Iterator[Constraint]:
        le = self.terms.manager.LE
        for thread in self.scenario.threads:
            if not thread.ordered:
                continue
            clocks = [self._clocks[s.id] for s in thread.steps]
            yield Constraint(
                f"order:{thread.name}",
                self.words.order(thread),
                self.terms.all(map(le, clocks, clocks[1:])),
                "program-order",
                broad=True,
            )

    def _orders(self) -> Iterator[Constraint]:
        parts: dict[str, list[FNode]] = {}
        for order in self.scenario.orders:
            if not any(self._never(self.steps[s]) for s in order.steps):
                absent = [self._absent(self.steps[s]) for s in order.steps]
                formula = self.terms.any((*absent, *(self.before(a, b) for a, b in order.pairs)))
                parts.setdefault(order.part, []).append(formula)
        for part, formulas in parts.items():
            yield Constraint(f"order:{part}", part, self.terms.all(formulas), "program-order", broad=True)

    def _starts(self) -> Iterator[Constraint]:
        for thread in self.scenario.threads:
            if thread.after is not None and thread.steps:
                first = thread.steps[:1] if thread.ordered else thread.steps
                formula = self.terms.all(self.before(thread.after, s.id) for s in first)
                yield Constraint(f"start:{thread.name}", self.words.start(thread), formula, "start")

    def _locks(self) -> Iterator[Constraint]:
        taken = [s for s in self.scenario.steps if s.kind == "lock" and not self._never(s)]
        for i, a in enumerate(taken):
            for b in taken[i + 1 :]:
                if (
                    (a.object, a.field) == (b.object, b.field)
                    and "exclusive" in (a.value, b.value)
                    and self.threads[a.id] is not self.threads[b.id]
                ):
                    formula = self.terms.any(
                        (self._absent(a), self._absent(b), self._dropped(a, b), self._dropped(b, a))
                    )
                    yield Constraint(f"lock:{a.id}:{b.id}", self.words.exclusion(a, b), formula, "lock")

    def _dropped(self, lock: Step, other: Step) -> FNode:
        """That the hold which `lock` begins has ended before `other`."""
        unlocks = (
            s
            for s in self._following(lock)
            if s.kind == "unlock" and (s.object, s.field) == (lock.object, lock.field)
        )
        return self.terms.any(
            self.terms.all((self.executed(u.id), self.before(u.id, other.id))) for u in unlocks
        )

    def _grace_periods(self) -> Iterator[Constraint]:
        sections = []
        for enter in self.scenario.steps:
            if enter.kind == "enter" and not self._never(enter):
                leaves = self._leaves(enter)
                sections.append((enter, leaves))
                left = self.terms.any((self._absent(enter), *(c for _, c in leaves)))
                yield Constraint(f"left:{enter.id}", self.words.left(enter), left, "grace-period")
                yield from self._inside(enter, leaves)
        for end in self.scenario.steps:
            if end.kind != "gp-end" or self._never(end):
                continue
            for start in self._gp_starts(end):
                for enter, leaves in sections:
                    if enter.field == start.field:
                        over = self.terms.any(
                            self.terms.all((c, self.before(leave.id, end.id))) for leave, c in leaves
                        )
                        formula = self.terms.any(
                            (
                                self._absent(start),
                                self._absent(end),
                                self._absent(enter),
                                self.before(start.id, enter.id),
                                over,
                            )
                        )
                        yield Constraint(
                            f"gp:{start.id}:{end.id}:{enter.id}",
                            self.words.grace_period(start, enter),
                            formula,
                            "grace-period",
                        )

    def _leaves(self, enter: Step) -> list[tuple[Step, FNode]]:
        """The steps that may end the section begun by `enter`, each with the condition that it does.

        Sections of one domain nest in a thread, so this follows the depth through the guards.
        """
        terms = self.terms
        depth = {1: terms.true}
        found = []
        for step in self._following(enter):
            if step.field != enter.field or step.kind not in ("enter", "leave") or self._never(step):
                continue
            done = self.executed(step.id)
            change = 1 if step.kind == "enter" else -1
            moved: dict[int, list[FNode]] = {}
            for level, condition in depth.items():
                moved.setdefault(level, []).append(terms.all((condition, terms.no(done))))
                moved.setdefault(level + change, []).append(terms.all((condition, done)))
            depth = {level: terms.any(conditions) for level, conditions in moved.items()}
            ended = depth.pop(0, terms.false)
            if ended is not terms.false:
                found.append((step, ended))
            depth = {level: c for level, c in depth.items() if c is not terms.false}
        return found

    def _inside(self, enter: Step, leaves: list[tuple[Step, FNode]]) -> Iterator[Constraint]:
        """Parts of the program order, said for each callback that runs within one plain section.

        They follow from the order of the thread; a core that needs no more than one of them can say so.
        """
        if len(leaves) != 1 or not self.threads[enter.id].ordered:
            return
        leave = leaves[0][0]
        first, last = self._clocks[enter.id], self._clocks[leave.id]
        groups: dict[str, list[Step]] = {}
        for step in self._following(enter):
            if step is leave:
                break
            if not self._never(step) and step.kind not in ("enter", "leave"):
                groups.setdefault(self.words.who(step), []).append(step)
        le = self.terms.manager.LE
        for who, steps in groups.items():
            clocks = [self._clocks[s.id] for s in steps]
            formula = self.terms.all([le(first, c) for c in clocks] + [le(c, last) for c in clocks])
            yield Constraint(
                f"inside:{enter.id}:{steps[0].id}", self.words.inside(who, enter), formula, "program-order"
            )

    def _gp_starts(self, end: Step) -> Iterator[Step]:
        """The steps that may have begun the grace period that `end` ends.

        That is the latest executed ``gp-start`` of the thread and domain before `end`. What an earlier one
        asks for, the latest or an earlier ``gp-end`` asks for too, so that it need not be shut out.
        """
        between: list[Step] = []
        for step in reversed(self._preceding(end)):
            if step.kind in ("gp-start", "gp-end") and step.field == end.field and not self._never(step):
                if step.kind == "gp-start" and not self._excluded(step, end, between):
                    yield step
                between.append(step)

    def _excluded(self, start: Step, end: Step, between: list[Step]) -> bool:
        """Whether a step between is plainly executed whenever `start` or `end` is."""
        needed = {self.terms.true, self.executed(start.id), self.executed(end.id)}
        return any(self.executed(s.id) in needed for s in between)

    def _values(self) -> Iterator[Constraint]:
        for read in self.scenario.steps:
            if read.kind != "read" or self._never(read):
                continue
            cell = (read.object, read.field)
            writes = [w for w in self._writes.get(_copy(read), ()) if not self._never(w)]
            sources = [(w.value, self._read_from(w, read, writes)) for w in writes]
            untouched = self.terms.all(
                self.terms.any((self._absent(w), self.before(read.id, w.id))) for w in writes
            )
            null = self.terms.any(
                [f for value, f in sources if value == "null"]
                + [self.terms.all((untouched, self.initially_null(cell)))]
            )
            other = self.terms.any(f for value, f in sources if value in ("new", "other"))
            defined = [
                self.terms.iff(symbol, formula)
                for value, formula in (("null", null), ("other", other))
                if (symbol := self._value(read, value)) is not formula
            ]
            yield Constraint(f"value:{read.id}", self.words.value(read), self.terms.all(defined), "value")

    def _read_from(self, write: Step, read: Step, writes: list[Step]) -> FNode:
        """That `write` is the last executed one to its cell before `read`."""
        others = (
            self.terms.any((self._absent(w), self.before(w.id, write.id), self.before(read.id, w.id)))
            for w in writes
            if w is not write
        )
        return self.terms.all((self.before(write.id, read.id), self.executed(write.id), *others))

    def _atom_values(self) -> Iterator[Constraint]:
        for atom in self.scenario.atoms:
            if atom.kind == "nonnull" and atom.step is not None:
                value = self.terms.all(
                    (self.executed(atom.step), self.terms.no(self._value(self.steps[atom.step], "null")))
                )
                yield Constraint(
                    f"atom:{atom.name}",
                    self.words.nonnull(atom, self.steps[atom.step]),
                    self.terms.iff(self.atom(atom.name), value),
                    "value",
                )
            elif atom.kind == "defined":
                yield Constraint(
                    f"atom:{atom.name}",
                    self.words.defined(atom),
                    self.terms.iff(self.atom(atom.name), self._formula(atom.definition)),
                    "guard",
                )

    def _pinned(self) -> Iterator[Constraint]:
        for cell, value in self.scenario.initial:
            symbol = self.initially_null(cell)
            yield Constraint(
                f"initial:{cell[0]}->{cell[1]}",
                self.words.pinned(cell, value),
                symbol if value == "null" else self.terms.no(symbol),
                "initial",
            )

    def _guard_constraints(self) -> Iterator[Constraint]:
        for step in self.steps:
            self.executed(step)
        for symbol, steps in self._guards.values():
            yield Constraint(
                f"guard:{steps[0].id}",
                self.words.guard(steps),
                self.terms.iff(symbol, self._formula(steps[0].guard)),
                "guard",
            )

    def _formula(self, guard: Guard) -> FNode:
        return self.terms.any(
            self.terms.all(
                self.atom(name) if polarity else self.terms.no(self.atom(name)) for name, polarity in cube
            )
            for cube in guard
        )

    # -- small helpers

    def _following(self, step: Step) -> tuple[Step, ...]:
        return self.threads[step.id].steps[self._place[step.id] + 1 :]

    def _preceding(self, step: Step) -> tuple[Step, ...]:
        return self.threads[step.id].steps[: self._place[step.id]]

    def _absent(self, step: Step) -> FNode:
        return self.terms.no(self.executed(step.id))

    def _never(self, step: Step) -> bool:
        return self.executed(step.id) is self.terms.false


def _copy(step: Step) -> Copy:
    return step.object, step.field, step.view
