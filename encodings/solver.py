"""The one façade to solvers, through pySMT: sat with a model, unsat with an irredundant core, or unknown.

z3 is the one that gives cores. Each constraint is asserted under an assumption literal (Eén, Sörensson,
"Temporal Induction by Incremental SAT Solving", 2003), so that one solver both decides and shrinks its core
by deletion (Marques-Silva, "Minimal Unsatisfiability", ISMVL 2010). Other solvers, cvc5 first of all, give a
second opinion without a core.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from pysmt.environment import Environment
from pysmt.exceptions import InternalSolverError, NoSolverAvailableError, SolverReturnedUnknownResultError
from pysmt.fnode import FNode

from ..errors import InternalError, UsageError
from .scenario import Trace
from .trace import Constraint, Encoding
from .usual import KNOWN_SOLVERS, SOLVERS

LOGIC = "QF_IDL"
SHRINKING = 2.0
"""Seconds that a core is shrunk for at most: without one constraint it may be far harder to decide."""
Status = Literal["sat", "unsat", "unknown"]


class Model:
    """Values of symbols, and of what is built from them; symbols that were not asked about are false or 0."""

    def __init__(self, values: Mapping[FNode, bool | int]) -> None:
        self._values: dict[FNode, bool | int] = dict(values)

    def integer(self, symbol: FNode) -> int:
        """The value of an integer symbol."""
        return int(self._values.get(symbol, 0))

    def true(self, term: FNode) -> bool:
        """Whether the Boolean `term` holds. InternalError for an operator that encodings do not build."""
        known = self._values.get(term)
        if known is None:
            known = self._values[term] = self._evaluate(term)
        return bool(known)

    def _evaluate(self, term: FNode) -> bool:
        if term.is_symbol():
            return False
        if term.is_bool_constant():
            return bool(term.constant_value())
        if term.is_not():
            return not self.true(term.arg(0))
        if term.is_and():
            return all(map(self.true, term.args()))
        if term.is_or():
            return any(map(self.true, term.args()))
        if term.is_iff():
            return self.true(term.arg(0)) == self.true(term.arg(1))
        if term.is_le():
            return self.integer(term.arg(0)) <= self.integer(term.arg(1))
        raise InternalError(f"no value for the term {term}")


@dataclass(frozen=True)
class Outcome:
    """What a solver said.

    status   ``unknown`` is never to be read as ``unsat``; `reason` says why it is unknown
    model    where the status is ``sat``
    core     where it is ``unsat`` and the solver gives cores: constraints that refute the goal
    minimal  that no constraint of `core` can be left out (checked, not hoped)
    seconds  wall time, of the decision and of shrinking the core
    """

    status: Status
    reason: str = ""
    model: Model | None = None
    core: tuple[Constraint, ...] = ()
    minimal: bool = False
    seconds: float = 0.0


def solve(
    constraints: Sequence[Constraint],
    goal: FNode,
    env: Environment,
    *,
    solver: str = "z3",
    timeout: float | None = None,
) -> Outcome:
    """Whether some choice of clocks, atoms and values obeys all `constraints` and makes `goal` true.

    `timeout` is in seconds, over all; a core that it, or `SHRINKING`, cuts short is right but perhaps not
    minimal. Takes and returns terms of `env`. UsageError, with the known names, where `solver` is none or is
    missing.
    """
    started = time.monotonic()
    deadline = None if timeout is None else started + timeout
    with _Session(env, solver, deadline) as session:
        outcome = session.decide(constraints, goal)
    return Outcome(
        outcome.status,
        outcome.reason,
        outcome.model,
        outcome.core,
        outcome.minimal,
        time.monotonic() - started,
    )


class Questions:
    """One set of constraints and a goal, asked about under one set of assumptions after the other. Context
    manager; the solver is z3, which keeps what it learnt."""

    def __init__(self, constraints: Sequence[Constraint], goal: FNode, env: Environment) -> None:
        self._session = _Session(env, "z3", None)
        self._formulas = [goal, *(c.formula for c in constraints)]
        self._session.assume(self._formulas)

    def __enter__(self) -> Questions:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.__exit__()

    def ask(self, assumptions: Sequence[FNode], timeout: float | None = None) -> Outcome:
        """Whether there is such a trace in which all of these literals hold; `timeout` is in seconds."""
        started = time.monotonic()
        self._session.deadline = None if timeout is None else started + timeout
        return self._session.asked(self._formulas, assumptions)


def decode(encoding: Encoding, model: Model) -> Trace:
    """The trace that `model`, of all constraints of `encoding`, describes."""
    executed = [s for s in encoding.steps if model.true(encoding.executed(s))]
    order = sorted(executed, key=lambda s: (model.integer(encoding.clock(s)), encoding.position(s)))
    values = []
    for step in order:
        if encoding.steps[step].kind == "read":
            held = [v for v in ("null", "other", "initial") if model.true(encoding.yields(step, v))]
            if len(held) != 1:
                raise InternalError(f"the model lets read {step} yield {' and '.join(held) or 'nothing'}")
            values.append((step, held[0]))
    return Trace(
        order=tuple(order),
        atoms=tuple((a.name, model.true(encoding.atom(a.name))) for a in encoding.scenario.atoms),
        initial=tuple(
            (cell, "null" if model.true(encoding.initially_null(cell)) else "initial")
            for cell in encoding.cells()
        ),
        values=tuple(values),
    )


@cache
def _template() -> Any:
    """A solver factory, which looks for installed solvers once."""
    return Environment().factory


def _factory(env: Environment) -> Any:
    found = copy(_template())
    found.environment = env
    return found


class _Session:
    """One solver process for one question. Context manager; frees the solver at the end."""

    def __init__(self, env: Environment, name: str, deadline: float | None) -> None:
        if name not in KNOWN_SOLVERS:
            raise UsageError(f"unknown solver {name!r}; known are {', '.join(SOLVERS)}")
        self.env, self.name, self.deadline = env, name, deadline
        factory = _factory(env)
        try:
            self._solver: Any = factory.Solver(name=name, logic=LOGIC, solver_options=self._options())
        except NoSolverAvailableError:
            found = ", ".join(n for n in KNOWN_SOLVERS if n in factory.all_solvers())
            raise UsageError(f"solver {name!r} is not installed; installed are {found or 'none'}") from None
        # pySMT would check types again in its global environment, which takes half of the time and keeps
        # every term for ever; they were checked when the terms were built.
        self._solver._assert_is_boolean = lambda formula: None

    def __enter__(self) -> _Session:
        return self

    def __exit__(self, *_: object) -> None:
        self._solver.exit()

    def decide(self, constraints: Sequence[Constraint], goal: FNode) -> Outcome:
        """Decide, and find model or core."""
        manager = self.env.formula_manager
        cores = self.name == "z3"
        literals = {c.name: manager.Symbol(f"use:{c.name}") for c in constraints} if cores else {}
        self._solver.add_assertion(goal)
        for c in constraints:
            self._solver.add_assertion(manager.Implies(literals[c.name], c.formula) if cores else c.formula)
        status, reason = self._check([literals[c.name] for c in constraints] if cores else None)
        if status == "sat":
            return Outcome(status, model=self._model([goal, *(c.formula for c in constraints)]))
        if status == "unsat" and cores:
            until = time.monotonic() + SHRINKING
            self.deadline = until if self.deadline is None else min(self.deadline, until)
            core, minimal = self._shrink(constraints, literals)
            return Outcome(status, core=core, minimal=minimal)
        return Outcome(status, reason)

    def assume(self, formulas: Sequence[FNode]) -> None:
        """Assert what holds whatever is asked."""
        for formula in formulas:
            self._solver.add_assertion(formula)

    def asked(self, formulas: Sequence[FNode], assumptions: Sequence[FNode]) -> Outcome:
        """Decide what was asserted, and find a model of `formulas`, under assumptions."""
        status, reason = self._check(list(assumptions))
        model = self._model([*formulas, *assumptions]) if status == "sat" else None
        return Outcome(status, reason, model)

    def _options(self) -> dict[str, Any]:
        left = self._milliseconds()
        if left is None or self.name not in ("z3", "cvc5"):
            return {}
        return {"timeout": left} if self.name == "z3" else {"tlimit-per": left}

    def _milliseconds(self) -> int | None:
        return None if self.deadline is None else max(1, int(1000 * (self.deadline - time.monotonic())))

    def _over(self) -> bool:
        return self.deadline is not None and time.monotonic() >= self.deadline

    def _check(self, assumptions: list[FNode] | None) -> tuple[Status, str]:
        if self._over():
            return "unknown", f"{self.name}: out of time"
        if self.name == "z3" and (left := self._milliseconds()) is not None:
            self._solver.z3.set("timeout", left)
        try:
            return ("sat" if self._solver.solve(assumptions) else "unsat"), ""
        except SolverReturnedUnknownResultError:
            why = self._solver.z3.reason_unknown() if self.name == "z3" else "it gave up or ran out of time"
            return "unknown", f"{self.name}: {'out of time' if why in ('timeout', 'canceled') else why}"
        except InternalSolverError as error:
            return "unknown", f"{self.name}: {error}"

    def _model(self, formulas: Sequence[FNode]) -> Model:
        symbols = {s for f in formulas for s in self.env.fvo.get_free_variables(f)}
        if self.name != "z3":
            return Model({s: self._solver.get_py_value(s) for s in symbols})
        # The same values, without the way back through pySMT's terms that takes most of the time.
        found, terms = self._solver.z3.model(), self._solver.converter
        values: dict[FNode, Any] = {}
        for symbol in symbols:
            value = found.eval(terms.convert(symbol), model_completion=True)
            values[symbol] = (
                value.decl().name() == "true" if symbol.symbol_type().is_bool_type() else value.as_long()
            )
        return Model(values)

    def _core(self, candidates: Sequence[Constraint]) -> list[Constraint]:
        """Those of `candidates` that the last refutation used."""
        used = {str(literal.decl().name()) for literal in self._solver.z3.unsat_core()}
        return [c for c in candidates if f"use:{c.name}" in used]

    def _shrink(
        self, constraints: Sequence[Constraint], literals: Mapping[str, FNode]
    ) -> tuple[tuple[Constraint, ...], bool]:
        """An irredundant core, without broad constraints where it can do without; whether it is one."""
        decided = True

        def refuted(candidates: Sequence[Constraint]) -> bool:
            nonlocal decided
            status, _ = self._check([literals[c.name] for c in candidates])
            decided = decided and status != "unknown"
            return status == "unsat"

        core = self._core(constraints)
        whole = list(constraints)
        for broad in [c for c in constraints if c.broad]:
            rest = [c for c in whole if c is not broad]
            if broad not in core:
                whole = rest
            elif refuted(rest):
                whole, core = rest, self._core(rest)
        for candidate in sorted(core, key=lambda c: not c.broad):
            if candidate in core and refuted(rest := [c for c in core if c is not candidate]):
                core = self._core(rest)
        return tuple(core), decided
