"""A scenario in which things can be switched on and off: for which settings is there a trace?

A switch is an atom of kind ``stable``, so that it has one truth in the whole of a trace. One solver is asked
about all settings, under assumptions, and keeps what it learnt (Eén, Sörensson, "Temporal Induction by
Incremental SAT Solving", 2003).
"""

from __future__ import annotations

from collections.abc import Iterable

from pysmt.fnode import FNode

from ..spec.logic import Formula
from .scenario import Scenario
from .solver import Outcome, Questions
from .temporal import holds
from .trace import Encoding


class Switchboard:
    """The traces of one scenario that break `formula`, by which `switches` (names of its atoms) are on.

    Context manager. A switch that the scenario lacks is one that makes no difference to it.
    """

    def __init__(self, scenario: Scenario, formula: Formula, switches: Iterable[str]) -> None:
        self.encoding = Encoding(scenario)
        keys = {a.key: a.name for a in scenario.atoms if a.kind == "stable"}
        self.terms: dict[str, FNode] = {s: self.encoding.atom(keys[s]) for s in switches if s in keys}
        broken = self.encoding.terms.no(holds(self.encoding, formula))
        self._broken = Questions(self.encoding.constraints(), broken, self.encoding.env)
        self._any = Questions(self.encoding.constraints(), self.encoding.terms.true, self.encoding.env)

    def __enter__(self) -> Switchboard:
        return self

    def __exit__(self, *_: object) -> None:
        self._broken.__exit__()
        self._any.__exit__()

    def breaks(
        self, on: Iterable[str], off: Iterable[str], timeout: float | None = None
    ) -> tuple[Outcome, frozenset[str]]:
        """Whether a trace breaks the formula with these switches on and these off, whatever the others are;
        and if so, all switches that are on in the trace that was found."""
        outcome = self._broken.ask(self._literals(on, off), timeout)
        found = frozenset(on)
        if outcome.model is not None:
            model = outcome.model
            found |= {s for s, term in self.terms.items() if model.true(term)}
        return outcome, found

    def happens(
        self,
        label: str,
        on: Iterable[str],
        off: Iterable[str],
        timeout: float | None = None,
        *,
        reached: bool = True,
    ) -> bool:
        """Whether in some trace, be it one that breaks the formula or not, a step bears this predicate.

        Without `reached`, whether a step that may bear it is taken at all, whatever it reaches.
        """
        encoding = self.encoding
        return any(
            self._any.ask(
                [
                    *self._literals(on, off),
                    encoding.executed(step.id),
                    encoding.reach(step.id, reach if reached else "any"),
                ],
                timeout,
            ).status
            == "sat"
            for step in encoding.scenario.steps
            for text, reach in sorted(step.labels)
            if text == label
        )

    def _literals(self, on: Iterable[str], off: Iterable[str]) -> list[FNode]:
        no = self.encoding.terms.no
        return [
            *(self.terms[s] for s in on if s in self.terms),
            *(no(self.terms[s]) for s in off if s in self.terms),
        ]
