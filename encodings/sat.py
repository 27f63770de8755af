"""The propositional route: a SAT solver, cycle lemmas as they are needed, and a proof that others can check.

An answer "satisfiable" of the clauses alone may order steps in a circle. Then the circle becomes a lemma (not
all of its edges are true) and the solver is asked again. Each lemma holds of every order: whoever doubts it
walks its circle. What is unsatisfiable with lemmas comes with a proof in DRUP (Heule, Hunt, Wetzler,
"Trimming while Checking Clausal Proofs", FMCAD 2013) by glucose.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

from ..errors import InternalError
from ..spec.logic import Formula
from .clauses import Clause
from .orders import Orders
from .scenario import Scenario, Trace

SOLVER = "glucose4"
_SLICE = 20_000
"""Conflicts between two looks at the clock."""
SHRINKING = 2.0
"""Seconds that are spent, at most, on constraints that a core has in vain."""
_SHORT_SLICE = 500
"""Conflicts between two looks at the clock where an answer can be done without."""

Edge = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Lemma:
    """That the edges of a circle are not all true. Each leads from a step to another that is said to come
    after it; from where it arrives, the order of an ordered thread leads on to where the next begins."""

    edges: tuple[Edge, ...]


Group = str | Lemma
"""What clauses are assumed together: a constraint by its id, or one lemma."""


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

    status: Literal["sat", "unsat", "unknown"]
    reason: str = ""
    trace: Trace | None = None
    core: tuple[str, ...] = ()


class Question:
    """Whether a scenario has a trace of which `formula` holds (or, with `holds` false, does not) and in which
    all steps of `executed` are executed.

    `deadline` is a time of `time.monotonic()`, `name` that of the clause that demands this of the formula.
    With `transitive`, that before is an order is demanded at the start, of all triples of steps, and not by
    lemmas. Context manager; frees the solver at the end.
    """

    def __init__(
        self,
        scenario: Scenario,
        formula: Formula,
        executed: Iterable[str] = (),
        *,
        holds: bool = True,
        deadline: float | None = None,
        name: str = "contract",
        transitive: bool = False,
    ) -> None:
        from pysat.solvers import Solver

        self.orders = Orders(scenario)
        self.orders.facts()
        goal = self.orders.holds(formula)
        self.orders.clauses.fact(name, [goal if holds else -goal], "")
        for step in executed:
            self.orders.clauses.fact(f"executed:{step}", [self.orders.executed(step)], "")
        if transitive:
            self._close()
        self.clauses, self.variables = _dense(self.orders.clauses.all(), self.orders.clauses.names)
        self.deadline = deadline
        self.lemmas: list[Lemma] = []
        self._numbers = {name: n for n, name in enumerate(self.variables) if n}
        self._names = tuple(self.orders.steps)
        number_of = self.orders.position
        self._pairs = [
            (n, number_of[v[1]], number_of[v[2]])
            for n, v in enumerate(self.variables)
            if v[:1] == ("before",)
        ]
        self._chains = [[number_of[s] for s in steps] for steps in _chains(scenario)]
        self._home = {s: i for i, steps in enumerate(self._chains) for s in steps}
        self._executions = [self._literal(self.orders.executed(s)) for s in self._names]
        self._groups: dict[Group, int] = {}
        self._fresh = len(self.variables)
        self._empty = any(not c.literals for c in self.clauses)
        self._solver: Any = Solver(name=SOLVER)
        for clause in self.clauses:
            self._add(clause.literals, clause.of)

    def _close(self) -> None:
        """Demand that no three steps of which an order is asked come in a circle."""
        clauses, before = self.orders.clauses, self.orders.before
        asked = {s for c in clauses.all() for x in c.literals for s in _ordered(clauses.names[abs(x)])}
        steps = [s for s in self.orders.steps if s in asked]
        for a, b, c in combinations(steps, 3):
            ab, bc, ca = before(a, b), before(b, c), before(c, a)
            clauses.fact(f"transitive:{a}:{b}:{c}", [-ab, -bc, -ca], "")
            clauses.fact(f"transitive:{c}:{b}:{a}", [ab, bc, ca], "")

    def _literal(self, literal: int) -> int:
        """A literal of `orders` as the solver numbers it; 0 if nothing is asked of that variable."""
        number = self._numbers.get(self.orders.clauses.names[abs(literal)], 0)
        return number if literal > 0 else -number

    def __enter__(self) -> Question:
        return self

    def __exit__(self, *_: object) -> None:
        self._solver.delete()

    def answer(self, core: bool = False) -> SatAnswer:
        """Decide; where there is no trace and `core` is set, say which constraints suffice for that."""
        if self._empty:
            return SatAnswer("unsat", core=tuple(c.of for c in self.clauses if c.of and not c.literals))
        while (found := self._solve(list(self._groups.values()))) is True:
            model = self._solver.get_model()
            order, lemmas = self._arrange(model)
            if not lemmas:
                return SatAnswer("sat", trace=self._trace(order, model))
            for lemma in lemmas:
                self.lemmas.append(lemma)
                self._add(self._literals(lemma), lemma)
        if found is None:
            return SatAnswer("unknown", "out of time")
        return SatAnswer("unsat", core=self._core() if core else ())

    def refutation(self) -> Refutation:
        """The proof, once `answer` was ``unsat``. InternalError if a second run contradicts the first."""
        from pysat.solvers import Solver

        if self._empty:
            return Refutation(self.variables, self.clauses, (), ())
        lemmas = tuple(x for x in self._shrunk() if isinstance(x, Lemma))
        with Solver(name=SOLVER, with_proof=True) as solver:
            for literals in [c.literals for c in self.clauses] + [self._literals(x) for x in lemmas]:
                solver.add_clause(list(literals))
            if solver.solve() is not False:
                raise InternalError("sat: what was unsatisfiable is not")
            lines = solver.get_proof()
        # Without deletions a proof is longer to check and no less right.
        steps = [tuple(map(int, line.split()))[:-1] for line in lines if not line.startswith("d")]
        # What propagation alone refutes while clauses are added leaves no last step.
        end = steps.index(()) if () in steps else len(steps)
        return Refutation(self.variables, self.clauses, lemmas, (*steps[:end], ()))

    # -- deciding

    def _add(self, literals: Iterable[int], group: Group) -> None:
        """Add a clause that holds where its group is assumed; without a group, always."""
        if group and group not in self._groups:
            self._groups[group] = self._fresh
            self._fresh += 1
        self._solver.add_clause([*literals, *([-self._groups[group]] if group else [])])

    def _solve(self, assumptions: list[int], until: float | None = None) -> bool | None:
        deadline = self.deadline if until is None else min(until, self.deadline or until)
        while deadline is None or time.monotonic() < deadline:
            self._solver.conf_budget(_SLICE if until is None else _SHORT_SLICE)
            found = self._solver.solve_limited(assumptions=assumptions)
            if found is not None:
                return bool(found)
        return None

    def _shrunk(self, least: bool = False) -> list[Group]:
        """Groups (constraints and lemmas) that suffice for a refutation; with `least`, none in vain, as far
        as `SHRINKING` seconds tell."""

        def refuted(groups: Iterable[Group], until: float | None = None) -> list[Group] | None:
            if self._solve([self._groups[g] for g in groups], until) is not False:
                return None
            used = set(self._solver.get_core() or ())
            return [g for g, number in self._groups.items() if number in used]

        found = refuted(self._groups)
        if found is None:  # out of time
            return list(self._groups)
        until = time.monotonic() + SHRINKING
        for group in list(found) if least else ():
            if group in found:
                less = refuted((g for g in found if g != group), until)
                found = found if less is None else less
        return found

    def _core(self) -> tuple[str, ...]:
        core = self._shrunk(least=True)
        lemmas = [x for x in core if isinstance(x, Lemma)]
        threads = {self.orders.threads[b].name for x in lemmas for b, a in _gaps(x) if a != b}
        return (*sorted(f"order:{name}" for name in threads), *(x for x in core if isinstance(x, str)))

    # -- order

    def _literals(self, lemma: Lemma) -> tuple[int, ...]:
        position = self.orders.position
        return tuple(
            -self._numbers["before", a, b] if position[a] < position[b] else self._numbers["before", b, a]
            for a, b in lemma.edges
        )

    def _arrange(self, model: Sequence[int]) -> tuple[list[str], list[Lemma]]:
        """All steps in an order in which those that `model` executes stand as it says; or circles of these.

        Sets of steps are the bits of an integer."""
        taken = self._taken(model)
        needs = [0] * len(self._names)
        for number, a, b in self._pairs:
            if taken >> a & taken >> b & 1:
                if model[number - 1] > 0:
                    needs[b] |= 1 << a
                else:
                    needs[a] |= 1 << b
        chains, home, names = self._chains, self._home, self._names
        at = [0] * len(chains)
        order: list[str] = []
        done = 0
        found: dict[Lemma, None] = {}
        open_chains = list(range(len(chains)))
        while open_chains:
            waiting: dict[int, tuple[int, int]] = {}
            before = len(order)
            for chain in open_chains:
                steps = chains[chain]
                while at[chain] < len(steps):
                    step = steps[at[chain]]
                    if missing := needs[step] & ~done:
                        waiting[chain] = (missing & -missing).bit_length() - 1, step
                        break
                    done |= 1 << step
                    order.append(names[step])
                    at[chain] += 1
            open_chains = list(waiting)
            if waiting and len(order) == before:
                circle = _circle(waiting, home)
                found[Lemma(tuple((names[a], names[b]) for a, b in circle))] = None
                needs[circle[0][1]] &= done
        return order, list(found)

    def _holds(self, model: Sequence[int], name: tuple[str, ...]) -> bool:
        number = self._numbers.get(name)
        return number is not None and model[number - 1] > 0

    def _taken(self, model: Sequence[int]) -> int:
        """The steps that `model` executes, and those of which it does not say."""
        taken = 0
        for step, number in enumerate(self._executions):
            if number == 0 or (model[abs(number) - 1] > 0) == (number > 0):
                taken |= 1 << step
        return taken

    def _trace(self, order: Sequence[str], model: Sequence[int]) -> Trace:
        """What `model` says, told in the order found."""
        orders = self.orders
        place = {s: i for i, s in enumerate(order)}
        for s in orders.steps:
            if orders.steps[s].kind == "read":
                orders.null(s), orders.other(s), orders.executed(s)
        base = [
            place[name[1]] < place[name[2]] if name[:1] == ("before",) else self._holds(model, name)
            for name in orders.clauses.names
        ]
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


def _dense(
    clauses: Iterable[Clause], names: Sequence[tuple[str, ...]]
) -> tuple[tuple[Clause, ...], tuple[tuple[str, ...], ...]]:
    """`clauses` with variables numbered anew, from 1 on, and the names of these (index 0 is not used)."""
    numbers: dict[int, int] = {}
    found = []
    for name, literals, of in clauses:
        for x in literals:
            if x not in numbers:
                number = len(numbers) // 2 + 1
                numbers[abs(x)], numbers[-abs(x)] = number, -number
        found.append(Clause(name, tuple([numbers[x] for x in literals]), of))
    return tuple(found), ((), *(names[x] for x in numbers if x > 0))


def _circle(edges: Mapping[int, tuple[int, int]], home: Mapping[int, int]) -> list[tuple[int, int]]:
    """A circle among chains each of which waits for a step of another that is still to come."""
    chain, seen = min(edges), dict[int, None]()
    while chain not in seen:
        seen[chain] = None
        chain = home[edges[chain][0]]
    members = list(seen)[list(seen).index(chain) :]
    # Each edge arrives where its chain stands; that of the chain waiting for it begins there or further on.
    return [edges[i] for i in reversed(members)]


def _ordered(name: tuple[str, ...]) -> tuple[str, ...]:
    """The steps whose order a variable is."""
    return name[1:] if name[:1] == ("before",) else ()


def _chains(scenario: Scenario) -> Iterator[list[str]]:
    """The steps, in lists whose order is known: an ordered thread each, a step of any other."""
    for thread in scenario.threads:
        steps = [s.id for s in thread.steps]
        yield from [steps] if thread.ordered else ([s] for s in steps)


def _gaps(lemma: Lemma) -> Iterator[Edge]:
    """From where each edge arrives to where the next begins."""
    yield from ((lemma.edges[i - 1][1], lemma.edges[i][0]) for i in range(len(lemma.edges)))


__all__ = ["Edge", "Lemma", "Question", "Refutation", "SatAnswer"]
