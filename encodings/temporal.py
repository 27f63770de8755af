"""Temporal formulas over an encoding: first-order expansion over executed steps and their clocks.

``once f`` at step e is: some executed e' is e or comes before it, and f holds at e'. The other operators
likewise. Source: Kamp's translation of temporal logic into first-order logic of order, as in Gabbay,
Pnueli, Shelah, Stavi, "On the Temporal Analysis of Fairness", POPL 1980.

The semantics is that of `spec/logic.py`. Of the empty trace a predicate, ``once``, ``eventually``,
``next``, ``previously``, ``since`` and ``until`` are false, ``always`` and ``historically`` true, and the
connectives mean what they mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pysmt.fnode import FNode

from ..errors import InternalError
from ..spec.logic import Formula
from .trace import Encoding


def holds(encoding: Encoding, formula: Formula) -> FNode:
    """The term that is true of exactly those traces of which `formula` holds (at the first position)."""
    return Translator(encoding).holds(formula)


def predicate_key(text: str) -> str:
    """The text of a predicate without blanks: by it a formula's predicates and steps' labels compare."""
    return "".join(text.split())


class Translator:
    """Translates formulas over one encoding; remembers what it said of each node at each step."""

    def __init__(self, encoding: Encoding) -> None:
        self.encoding = encoding
        self.terms = encoding.terms
        self._steps = [s for s in encoding.steps if encoding.executed(s) is not self.terms.false]
        self._labels: dict[str, dict[str, list[str]]] = {}
        for step in self._steps:
            for text, reach in sorted(encoding.steps[step].labels):
                self._labels.setdefault(predicate_key(text), {}).setdefault(step, []).append(reach)
        self._known: dict[tuple[int, str], FNode] = {}
        self._roots: list[Formula] = []
        self._next: dict[tuple[str, str], FNode] = {}
        self._operators: dict[str, Callable[[Formula, str], FNode]] = {
            "pred": self._predicate,
            "true": lambda f, e: self.terms.true,
            "not": lambda f, e: self.terms.no(self.at(f.args[0], e)),
            "and": lambda f, e: self.terms.all(self.at(a, e) for a in f.args),
            "or": lambda f, e: self.terms.any(self.at(a, e) for a in f.args),
            "implies": lambda f, e: self.terms.implies(self.at(f.args[0], e), self.at(f.args[1], e)),
            "once": lambda f, e: self.terms.any(self._somewhere(f.args[0], e, self._up_to)),
            "eventually": lambda f, e: self.terms.any(self._somewhere(f.args[0], e, self._from)),
            "historically": lambda f, e: self.terms.all(self._everywhere(f.args[0], e, self._up_to)),
            "always": lambda f, e: self.terms.all(self._everywhere(f.args[0], e, self._from)),
            "previously": lambda f, e: self.terms.any(self._somewhere(f.args[0], e, self._just_before)),
            "next": lambda f, e: self.terms.any(self._somewhere(f.args[0], e, self._just_after)),
            "since": lambda f, e: self.terms.any(self._binary(f, e, self._up_to, self._after_up_to)),
            "until": lambda f, e: self.terms.any(self._binary(f, e, self._from, self._before_from)),
        }

    def holds(self, formula: Formula) -> FNode:
        """`formula` at the first executed step, or of the empty trace if there is none."""
        self._roots.append(formula)  # keeps ids of nodes, by which `_known` is keyed, from being reused
        return self._first(formula)

    def at(self, formula: Formula, step: str) -> FNode:
        """`formula` at `step`, given that `step` is executed. InternalError for an unknown operator."""
        key = (id(formula), step)
        known = self._known.get(key)
        if known is None:
            if formula.op not in self._operators:
                raise InternalError(f"temporal formula: unknown operator {formula.op!r}")
            known = self._known[key] = self._operators[formula.op](formula, step)
        return known

    # -- at the first position

    def _first(self, formula: Formula) -> FNode:
        terms, executed = self.terms, self.encoding.executed
        match formula.op:
            case "not":
                return terms.no(self._first(formula.args[0]))
            case "and":
                return terms.all(self._first(a) for a in formula.args)
            case "or":
                return terms.any(self._first(a) for a in formula.args)
            case "implies":
                return terms.implies(self._first(formula.args[0]), self._first(formula.args[1]))
            case "true":
                return terms.true
            case "always":
                return terms.all(terms.implies(executed(e), self.at(formula.args[0], e)) for e in self._steps)
            case "eventually":
                return terms.any(terms.all((executed(e), self.at(formula.args[0], e))) for e in self._steps)
            case "historically":
                return terms.implies(self._nonempty(), self._first(formula.args[0]))
            case "once":
                return terms.all((self._nonempty(), self._first(formula.args[0])))
            case "since":
                return terms.all((self._nonempty(), self._first(formula.args[1])))
            case "previously":
                return terms.false
            case _:
                return terms.any(terms.all((self.at(formula, e), self._is_first(e))) for e in self._steps)

    def _nonempty(self) -> FNode:
        return self.terms.any(map(self.encoding.executed, self._steps))

    def _is_first(self, step: str) -> FNode:
        executed, before = self.encoding.executed, self.encoding.before
        return self.terms.all(
            (
                executed(step),
                *(
                    self.terms.any((self.terms.no(executed(e)), before(step, e)))
                    for e in self._steps
                    if e != step
                ),
            )
        )

    # -- at a step

    def _predicate(self, formula: Formula, step: str) -> FNode:
        reaches = self._labels.get(predicate_key(str(formula)), {}).get(step, ())
        return self.terms.any(self.encoding.reach(step, reach) for reach in reaches)

    def _up_to(self, e: str, other: str) -> FNode:
        return self.terms.true if other == e else self.encoding.before(other, e)

    def _from(self, e: str, other: str) -> FNode:
        return self.terms.true if other == e else self.encoding.before(e, other)

    def _just_before(self, e: str, other: str) -> FNode:
        return self._adjacent(other, e)

    def _just_after(self, e: str, other: str) -> FNode:
        return self._adjacent(e, other)

    def _adjacent(self, first: str, second: str) -> FNode:
        """That `first` comes before `second` and no executed step lies between."""
        key = (first, second)
        if key not in self._next:
            executed, before = self.encoding.executed, self.encoding.before
            self._next[key] = (
                self.terms.all(
                    (
                        before(first, second),
                        *(
                            self.terms.any((self.terms.no(executed(e)), before(e, first), before(second, e)))
                            for e in self._steps
                            if e not in key
                        ),
                    )
                )
                if first != second
                else self.terms.false
            )
        return self._next[key]

    def _somewhere(self, inner: Formula, e: str, where: Callable[[str, str], FNode]) -> Iterator[FNode]:
        for other in self._steps:
            if (value := self.at(inner, other)) is not self.terms.false:
                executed = self.terms.true if other == e else self.encoding.executed(other)
                yield self.terms.all((value, executed, where(e, other)))

    def _everywhere(self, inner: Formula, e: str, where: Callable[[str, str], FNode]) -> Iterator[FNode]:
        for other in self._steps:
            if (value := self.at(inner, other)) is not self.terms.true:
                executed = self.terms.true if other == e else self.encoding.executed(other)
                yield self.terms.any((value, self.terms.no(executed), self.terms.no(where(e, other))))

    def _binary(
        self,
        formula: Formula,
        e: str,
        where: Callable[[str, str], FNode],
        between: Callable[[str, str, str], FNode],
    ) -> Iterator[FNode]:
        """``since`` or ``until`` at `e`: the right side somewhere in `where`, the left side `between`."""
        left, right = formula.args
        for goal in self._steps:
            if (value := self.at(right, goal)) is self.terms.false:
                continue
            executed = self.terms.true if goal == e else self.encoding.executed(goal)
            here = self.terms.all((value, executed, where(e, goal)))
            if here is not self.terms.false:
                yield self.terms.all((here, *(self._unless(left, e, goal, k, between) for k in self._steps)))

    def _unless(
        self, left: Formula, e: str, goal: str, k: str, between: Callable[[str, str, str], FNode]
    ) -> FNode:
        if (value := self.at(left, k)) is self.terms.true:
            return value
        executed = self.terms.true if k == e else self.encoding.executed(k)
        return self.terms.any((value, self.terms.no(executed), self.terms.no(between(e, goal, k))))

    def _after_up_to(self, e: str, goal: str, k: str) -> FNode:
        """goal < k <= e"""
        return self.terms.false if k == goal else self.terms.all((self._from(goal, k), self._up_to(e, k)))

    def _before_from(self, e: str, goal: str, k: str) -> FNode:
        """e <= k < goal"""
        return self.terms.false if k == goal else self.terms.all((self._from(e, k), self._up_to(goal, k)))
