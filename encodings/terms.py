"""pySMT terms with constants folded while they are built, so that what is statically true costs nothing."""

from __future__ import annotations

from collections.abc import Iterable

from pysmt.environment import Environment
from pysmt.fnode import FNode
from pysmt.typing import BOOL, INT


class Terms:
    """Builds Boolean terms and integer clocks in one environment; no state beyond that environment."""

    def __init__(self, env: Environment) -> None:
        self.env = env
        self.manager = env.formula_manager
        self.true: FNode = self.manager.TRUE()
        self.false: FNode = self.manager.FALSE()

    def flag(self, name: str) -> FNode:
        """The Boolean symbol `name`."""
        return self.manager.Symbol(name, BOOL)

    def clock(self, name: str) -> FNode:
        """The integer symbol `name`."""
        return self.manager.Symbol(name, INT)

    def all(self, terms: Iterable[FNode]) -> FNode:
        """The conjunction of `terms`; stops reading them at the first that is false."""
        kept: dict[FNode, None] = {}
        for term in terms:
            if term is self.false:
                return self.false
            if term is not self.true:
                kept[term] = None
        return self._join(self.manager.And, kept, self.true)

    def any(self, terms: Iterable[FNode]) -> FNode:
        """The disjunction of `terms`; stops reading them at the first that is true."""
        kept: dict[FNode, None] = {}
        for term in terms:
            if term is self.true:
                return self.true
            if term is not self.false:
                kept[term] = None
        return self._join(self.manager.Or, kept, self.false)

    def _join(self, operator: object, terms: dict[FNode, None], empty: FNode) -> FNode:
        if not terms:
            return empty
        return next(iter(terms)) if len(terms) == 1 else operator(tuple(terms))  # type: ignore[operator]

    def no(self, term: FNode) -> FNode:
        """The negation of `term`."""
        if term is self.true:
            return self.false
        if term is self.false:
            return self.true
        return term.arg(0) if term.is_not() else self.manager.Not(term)

    def implies(self, left: FNode, right: FNode) -> FNode:
        """`left` implies `right`, as a clause."""
        return self.any((self.no(left), right))

    def iff(self, left: FNode, right: FNode) -> FNode:
        """`left` if and only if `right`."""
        if right is self.true:
            return left
        if right is self.false:
            return self.no(left)
        return self.manager.Iff(left, right)
