"""Ways to decide whether a scenario has a trace: clocks in difference logic, or order variables in clauses.

Both answer the same question about the same scenario and formula, with a trace or with the constraints that
exclude one; nothing is shared between them but `scenario.py` and `spec/logic.py`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..spec.logic import Formula
from .scenario import Scenario, Trace
from .usual import SAT, SOLVER, TRANSITIVE
from .words import Words

if TYPE_CHECKING:
    from .solver import Status
    from .trace import Encoding


@dataclass(frozen=True)
class Found:
    """What a route says. `core` are the texts of the constraints that exclude a trace, where it tells them;
    `told` says whether it does."""

    status: Status
    reason: str = ""
    trace: Trace | None = None
    core: tuple[str, ...] = ()
    told: bool = False


class Ways:
    """The ways of one scenario. `titles` gives words for callbacks, as for `Encoding`."""

    def __init__(self, scenario: Scenario, titles: Mapping[str, str] | None = None) -> None:
        self.scenario, self.titles = scenario, dict(titles or {})

    @cached_property
    def encoding(self) -> Encoding:
        """The scenario with clocks."""
        from .trace import Encoding

        return Encoding(self.scenario, titles=self.titles)

    @cached_property
    def texts(self) -> dict[str, str]:
        """Constraints in words, by name."""
        return Words(self.scenario, self.titles).texts()

    def forget(self) -> None:
        """Let go of the encoding, which is large; it is made again if it is needed."""
        self.__dict__.pop("encoding", None)

    def find(
        self,
        formula: Formula,
        executed: Iterable[str] = (),
        *,
        holds: bool = True,
        solver: str = SOLVER,
        timeout: float | None = None,
    ) -> Found:
        """A trace of which `formula` holds (with `holds` false: does not), with all steps of `executed`.

        UsageError, with the known names, where `solver` is none or is missing.
        """
        way = self._in_clauses if solver in (SAT, TRANSITIVE) else self._with_clocks
        return way(formula, tuple(executed), holds, solver, timeout)

    def goal(self, formula: Formula, executed: Iterable[str], wanted: bool) -> Any:
        """The term that the encoding with clocks is to make true."""
        from .temporal import holds

        terms = self.encoding.terms
        term = holds(self.encoding, formula)
        return terms.all([term if wanted else terms.no(term), *map(self.encoding.executed, executed)])

    def _with_clocks(
        self, formula: Formula, executed: tuple[str, ...], wanted: bool, solver: str, timeout: float | None
    ) -> Found:
        from .solver import decode, solve

        encoding = self.encoding
        outcome = solve(
            encoding.constraints(),
            self.goal(formula, executed, wanted),
            encoding.env,
            solver=solver,
            timeout=timeout,
        )
        trace = decode(encoding, outcome.model) if outcome.model is not None else None
        core = tuple(dict.fromkeys(c.text for c in outcome.core))
        return Found(outcome.status, outcome.reason, trace, core, solver == "z3")

    def _in_clauses(
        self, formula: Formula, executed: tuple[str, ...], wanted: bool, solver: str, timeout: float | None
    ) -> Found:
        from .sat import Question

        deadline = None if timeout is None else time.monotonic() + timeout
        closed = solver == TRANSITIVE
        with Question(
            self.scenario, formula, executed, holds=wanted, deadline=deadline, transitive=closed
        ) as question:
            answer = question.answer(core=True)
        core = tuple(dict.fromkeys(self.texts.get(name, name) for name in answer.core))
        return Found(answer.status, answer.reason, answer.trace, core, True)
