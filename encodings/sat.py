"""The propositional route: a SAT solver, cycle lemmas as they are needed, and a proof that others can check.

An answer "satisfiable" of the clauses alone may order steps in a circle. Then the circle becomes a lemma (not all
of its edges are true) and the solver is asked again. Each lemma holds whatever the scenario: whoever doubts it
walks its circle. What is unsatisfiable with lemmas comes with a proof in DRUP (Heule, Hunt, Wetzler, "Trimming
while Checking Clausal Proofs", FMCAD 2013) by glucose.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InternalError
from ..spec.logic import Formula
from .clauses import Clause
from .orders import Orders
from .scenario import Scenario, Trace

SOLVER = "glucose4"
_SLICE = 20_000
"""Conflicts between two looks at the clock."""

Edge = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Lemma:
    """That the edges of a circle are not all true. Each leads from a step to one of another thread that is said
    to come after it; from where it arrives the thread leads on, in program order, to where the next begins."""

    edges: tuple[Edge, ...]


@dataclass(frozen=True, slots=True)
class Refutation:
    """Why there is no trace: clauses, lemmas, and the steps of a proof that both together are unsatisfiable.

    variables  names by number; index 0 is not used
    """

    variables: tuple[tuple[str, ...], ...]
    clauses: tuple[Clause, ...]
    lemmas: tuple[Lemma, ...]
    proof: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class SatAnswer:
    """``sat`` with a trace, ``unsat`` with the constraints that suffice, or ``unknown`` with a reason."""

    status: str
    reason: str = ""
    trace: Trace | None = None
    core: tuple[str, ...] = ()


class Question:
    """Whether a scenario has a trace of which `formula` holds and in which all steps of `executed` are executed.

    Context manager; frees the solver at the end.
    """

    def __init__(
        self,
        scenario: Scenario,
        formula: Formula,
        executed: Iterable[str] = (),
        *,
        deadline: float | None = None,
        name: str = "goal",
    ) -> None:
        from pysat.solvers import Solver

        self.orders = Orders(scenario)
        self.orders.facts()
        self.orders.clauses.fact(name, [self.orders.holds(formula)], "")
        for step in executed:
            self.orders.clauses.fact(f"executed:{step}", [self.orders.executed(step)], "")
        self.clauses = tuple(self.orders.clauses.all())
        self.deadline = deadline
        self.lemmas: list[Lemma] = []
        names = self.orders.clauses.names
        used = sorted({abs(x) for c in self.clauses for x in c.literals})
        self._pairs = [(n, names[n][1], names[n][2]) for n in used if names[n][0] == "before"]
        self._groups: dict[object, int] = {}
        self._fresh = len(names)
        self._empty = any(not c.literals for c in self.clauses)
        self._solver: Any = Solver(name=SOLVER)
        for clause in self.clauses:
            self._add(clause.literals, clause.of)

    def __enter__(self) -> Question:
        return self

    def __exit__(self, *_: object) -> None:
        self._solver.delete()

    def answer(self, core: bool = False) -> SatAnswer:
        """Decide; where there is no trace and `core` is set, say which constraints suffice for that."""
        if self._empty:
            return SatAnswer("unsat")
        while (found := self._solve(list(self._groups.values()))) is True:
            model = {abs(x) for x in self._solver.get_model() if x > 0}
            order, lemmas = self._arrange(model)
            if not lemmas:
                return SatAnswer("sat", trace=self._trace(order, model))
            for lemma in lemmas:
                self.lemmas.append(lemma)
                self._add(self._literals(lemma), lemma)
        if found is None:
            return SatAnswer("unknown", "sat: out of time")
        return SatAnswer("unsat", core=self._core() if core else ())

    def refutation(self) -> Refutation:
        """The proof, once `answer` was ``unsat``. InternalError if a second run contradicts the first."""
        from pysat.solvers import Solver

        names = tuple(self.orders.clauses.names)
        if self._empty:
            return Refutation(names, self.clauses, (), ())
        lemmas = tuple(x for x in self._shrunk() if isinstance(x, Lemma))
        with Solver(name=SOLVER, with_proof=True) as solver:
            for literals in [c.literals for c in self.clauses] + [self._literals(x) for x in lemmas]:
                solver.add_clause(list(literals))
            if solver.solve() is not False:
                raise InternalError("sat: what was unsatisfiable is not")
            lines = solver.get_proof()
        # Without deletions a proof is longer to check and no less right.
        steps = tuple(tuple(map(int, line.split()))[:-1] for line in lines if not line.startswith("d"))
        return Refutation(names, self.clauses, lemmas, steps)

    # -- deciding

    def _add(self, literals: Iterable[int], group: object) -> None:
        """Add a clause that holds where its group is assumed; without a group, always."""
        if group and group not in self._groups:
            self._groups[group] = self._fresh
            self._fresh += 1
        self._solver.add_clause([*literals, *([-self._groups[group]] if group else [])])

    def _solve(self, assumptions: list[int]) -> bool | None:
        while self.deadline is None or time.monotonic() < self.deadline:
            self._solver.conf_budget(_SLICE)
            found = self._solver.solve_limited(assumptions=assumptions)
            if found is not None:
                return bool(found)
        return None

    def _shrunk(self, least: bool = False) -> list[object]:
        """Groups, constraints and lemmas, that suffice for a refutation; with `least`, none of them in vain."""

        def refuted(groups: Iterable[object]) -> list[object] | None:
            if self._solve([self._groups[g] for g in groups]) is not False:
                return None
            used = set(self._solver.get_core() or ())
            return [g for g, number in self._groups.items() if number in used]

        found = refuted(self._groups)
        if found is None:  # out of time
            return list(self._groups)
        for group in list(found) if least else ():
            if group in found:
                found = next(
                    (x for x in [refuted(g for g in found if g != group)] if x is not None), found
                )
        return found

    def _core(self) -> tuple[str, ...]:
        core = self._shrunk(least=True)
        lemmas = [x for x in core if isinstance(x, Lemma)]
        threads = {self.orders.threads[b].name for x in lemmas for b, a in _gaps(x) if a != b}
        return (*sorted(f"order:{name}" for name in threads), *(x for x in core if isinstance(x, str)))

    # -- order

    def _literals(self, lemma: Lemma) -> tuple[int, ...]:
        return tuple(-self.orders.before(a, b) for a, b in lemma.edges)

    def _arrange(self, model: set[int]) -> tuple[list[str], list[Lemma]]:
        """All steps in an order that `model` allows; or circles that keep it from being one."""
        sources: dict[str, list[str]] = {}
        for number, a, b in self._pairs:
            first, second = (a, b) if number in model else (b, a)
            sources.setdefault(second, []).append(first)
        threads = [[s.id for s in t.steps] for t in self.orders.scenario.threads]
        home = {s: i for i, steps in enumerate(threads) for s in steps}
        place = {s: i for steps in threads for i, s in enumerate(steps)}
        at = [0] * len(threads)
        order: list[str] = []
        found: dict[Lemma, None] = {}

        def waits_for(thread: int) -> Edge | None:
            """The edge that keeps the next step of a thread back: from the first step not taken yet."""
            step = threads[thread][at[thread]]
            waiting = [a for a in sources.get(step, ()) if place[a] >= at[home[a]]]
            return (min(waiting, key=lambda a: (place[a] - at[home[a]], home[a])), step) if waiting else None

        while len(order) < len(place):
            open_ = [i for i, steps in enumerate(threads) if at[i] < len(steps)]
            edges = {i: waits_for(i) for i in open_}
            ready = next((i for i in open_ if edges[i] is None), None)
            if ready is None:
                circle = _circle({i: e for i, e in edges.items() if e is not None}, home)
                found[circle] = None
                ready = home[circle.edges[0][1]]
            order.append(threads[ready][at[ready]])
            at[ready] += 1
        return order, list(found)

    def _trace(self, order: Sequence[str], model: set[int]) -> Trace:
        """What `model` says, told in the order found."""
        orders = self.orders
        place = {s: i for i, s in enumerate(order)}
        for s in orders.steps:
            if orders.steps[s].kind == "read":
                orders.null(s), orders.other(s), orders.executed(s)
        base = [n in model for n in range(len(orders.clauses.names))]
        for number, name in enumerate(orders.clauses.names):
            if name and name[0] == "before":
                base[number] = place[name[1]] < place[name[2]]
        values = orders.clauses.values(base)

        def true(literal: int) -> bool:
            return values[abs(literal)] == (literal > 0)

        taken = [s for s in order if true(orders.executed(s))]
        cells = {(s.object, s.field) for s in orders.steps.values() if s.kind == "read"}
        cells |= {cell for cell, _ in orders.scenario.initial}
        return Trace(
            order=tuple(taken),
            atoms=tuple((a.name, true(orders.atom(a.name))) for a in orders.scenario.atoms),
            initial=tuple(
                (cell, "null" if true(orders.initially_null(cell)) else "initial") for cell in sorted(cells)
            ),
            values=tuple(
                (s, "null" if true(orders.null(s)) else "other" if true(orders.other(s)) else "initial")
                for s in taken
                if orders.steps[s].kind == "read"
            ),
        )


def _circle(edges: Mapping[int, Edge], home: Mapping[str, int]) -> Lemma:
    """A circle among threads each of which waits for a step of another that is still to come."""
    thread, seen = min(edges), dict[int, None]()
    while thread not in seen:
        seen[thread] = None
        thread = home[edges[thread][0]]
    members = list(seen)[list(seen).index(thread) :]
    # Each edge arrives where its thread stands; the edge of the thread that waits for this one begins there or
    # further on.
    return Lemma(tuple(edges[i] for i in reversed(members)))


def _gaps(lemma: Lemma) -> Iterator[Edge]:
    """From where each edge arrives to where the next begins."""
    yield from ((lemma.edges[i - 1][1], lemma.edges[i][0]) for i in range(len(lemma.edges)))


__all__ = ["Edge", "Lemma", "Question", "Refutation", "SatAnswer"]
