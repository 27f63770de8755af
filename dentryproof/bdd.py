"""Path conditions as reduced ordered binary decision diagrams.

Small and of our own: every statement of a followed function needs a conjunction, a negation and an
emptiness test of its path condition, and a canonical form makes the last one a comparison. Packages that
do this (dd, pyeda) bring either a C build or ten times the start-up time of the whole reader.

Source: Bryant, "Graph-Based Algorithms for Boolean Function Manipulation", 1986; sums of products by
Minato, "Fast generation of prime-irredundant covers", 1992.
"""

from __future__ import annotations

from collections.abc import Callable

FALSE = 0
TRUE = 1


class TooLarge(Exception):
    """All conditions together grew past `Bdd.limit` nodes."""


class _OverBudget(Exception):
    pass


Literal = tuple[int, bool]
"""A variable and its polarity."""


def _refuse(_a: int, _b: int, _conjunction: bool) -> int:
    raise _OverBudget


class Bdd:
    """A manager of conditions over variables 0, 1, 2, ...; a condition is an int.

    A conjunction (or disjunction) that needs more than `budget` new nodes is replaced by what
    ``instead(a, b, conjunction)`` returns, with that budget lifted: a condition that is true whenever it is.
    With a budget of `limit` no condition is replaced.
    """

    def __init__(
        self,
        instead: Callable[[int, int, bool], int] = _refuse,
        limit: int = 1_200_000,
        budget: int = 100,
    ) -> None:
        self.limit = limit
        self.budget = budget
        self.instead = instead
        self._until = limit
        self._nodes: list[tuple[int, int, int]] = [(1 << 30, 0, 0), (1 << 30, 1, 1)]
        self._unique: dict[tuple[int, int, int], int] = {}
        self._and: dict[tuple[int, int], int] = {}
        self._or: dict[tuple[int, int], int] = {}
        self._not: dict[int, int] = {FALSE: TRUE, TRUE: FALSE}
        self._implied: dict[int, frozenset[Literal]] = {TRUE: frozenset()}

    def _node(self, var: int, low: int, high: int) -> int:
        if low == high:
            return low
        key = (var, low, high)
        found = self._unique.get(key)
        if found is None:
            if len(self._nodes) >= self._until:
                raise TooLarge if self._until >= self.limit else _OverBudget
            found = len(self._nodes)
            self._nodes.append(key)
            self._unique[key] = found
        return found

    def variable(self, var: int) -> int:
        """The condition that variable `var` is true."""
        return self._node(var, FALSE, TRUE)

    def top(self, a: int) -> int:
        """The first variable that `a`, which is no constant, tests."""
        return self._nodes[a][0]

    def split(self, a: int) -> tuple[int, int, int]:
        """The first variable that `a`, which is no constant, tests, and what is left where it is false and
        where it is true."""
        return self._nodes[a]

    def negate(self, a: int) -> int:
        """not a."""
        found = self._not.get(a)
        if found is None:
            var, low, high = self._nodes[a]
            found = self._node(var, self.negate(low), self.negate(high))
            self._not[a] = found
            self._not[found] = a
        return found

    def conjoin(self, a: int, b: int) -> int:
        """a and b."""
        return self._bounded(a, b, self._and, FALSE, TRUE)

    def disjoin(self, a: int, b: int) -> int:
        """a or b."""
        return self._bounded(a, b, self._or, TRUE, FALSE)

    def _bounded(self, a: int, b: int, memo: dict[tuple[int, int], int], zero: int, unit: int) -> int:
        if a == b or b == unit:
            return a
        if a == unit:
            return b
        if a == zero or b == zero:
            return zero
        if self._not.get(a) == b:
            return zero
        found = memo.get((a, b) if a < b else (b, a))
        if found is not None:
            return found
        self._until = min(self.limit, len(self._nodes) + self.budget)
        try:
            return self._apply(a, b, memo, zero, unit)
        except _OverBudget:
            self._until = self.limit
            budget, self.budget = self.budget, self.limit
            try:
                found = memo[(a, b) if a < b else (b, a)] = self.instead(a, b, memo is self._and)
            finally:
                self.budget = budget
            return found
        finally:
            self._until = self.limit

    def _apply(self, a: int, b: int, memo: dict[tuple[int, int], int], zero: int, unit: int) -> int:
        """`a` and `b`, or `a` or `b`; they differ, and neither is a constant."""
        key = (a, b) if a < b else (b, a)
        found = memo.get(key)
        if found is not None:
            return found
        # Here most of the reader's time goes: constants are told before the call, nodes made in place.
        va, la, ha = self._nodes[a]
        vb, lb, hb = self._nodes[b]
        if va < vb:
            var, lb, hb = va, b, b
        elif vb < va:
            var, la, ha = vb, a, a
        else:
            var = va
        if la == lb or lb == unit:
            low = la
        elif la == unit:
            low = lb
        elif la == zero or lb == zero:
            low = zero
        else:
            low = self._apply(la, lb, memo, zero, unit)
        if ha == hb or hb == unit:
            high = ha
        elif ha == unit:
            high = hb
        elif ha == zero or hb == zero:
            high = zero
        else:
            high = self._apply(ha, hb, memo, zero, unit)
        if low == high:
            found = low
        else:
            node = (var, low, high)
            found = self._unique.get(node)
            if found is None:
                found = self._node(var, low, high)
        memo[key] = found
        return found

    def without(self, a: int, b: int) -> int:
        """a and not b."""
        return self.conjoin(a, self.negate(b))

    def is_large(self, a: int, limit: int) -> bool:
        """Whether `a` has more than `limit` nodes."""
        seen, todo = {FALSE, TRUE}, [a]
        while todo:
            current = todo.pop()
            if current not in seen:
                seen.add(current)
                if len(seen) > limit + 2:
                    return True
                todo.extend(self._nodes[current][1:])
        return False

    def support(self, a: int) -> set[int]:
        """The variables that `a` depends on."""
        seen, todo, variables = {FALSE, TRUE}, [a], set[int]()
        while todo:
            current = todo.pop()
            if current not in seen:
                seen.add(current)
                variables.add(self._nodes[current][0])
                todo.extend(self._nodes[current][1:])
        return variables

    def exists(self, a: int, variables: frozenset[int]) -> int:
        """That `a` can be made true by some choice of `variables`."""
        memo: dict[int, int] = {FALSE: FALSE, TRUE: TRUE}

        def without(a: int) -> int:
            found = memo.get(a)
            if found is None:
                var, low, high = self._nodes[a]
                below, above = without(low), without(high)
                if var in variables:
                    found = self.disjoin(below, above)
                elif below == low and above == high:
                    found = a
                else:
                    v = self.variable(var)
                    found = self.disjoin(self.conjoin(self.negate(v), below), self.conjoin(v, above))
                memo[a] = found
            return found

        return without(a)

    def where(self, a: int, var: int, value: bool) -> int:
        """`a` once `var` has that value."""
        v = self.variable(var)
        return self.exists(self.conjoin(a, v if value else self.negate(v)), frozenset({var}))

    def implied(self, a: int) -> list[tuple[int, bool]]:
        """The literals that `a` implies, by variable; none for FALSE."""
        return sorted(self._implied_by(a)) if a != FALSE else []

    def _implied_by(self, a: int) -> frozenset[Literal]:
        found = self._implied.get(a)
        if found is None:
            var, low, high = self._nodes[a]
            if low == FALSE:
                found = self._implied_by(high) | {(var, True)}
            elif high == FALSE:
                found = self._implied_by(low) | {(var, False)}
            else:
                found = self._implied_by(low) & self._implied_by(high)
            self._implied[a] = found
        return found

    def gathered(
        self,
        a: int,
        literal: Callable[[int, bool], frozenset[Literal]],
        memo: dict[int, frozenset[Literal]],
    ) -> frozenset[Literal]:
        """What every path through `a` implies, where taking variable `v` with polarity `p` implies
        ``literal(v, p)``; nothing for FALSE. `memo` keeps answers for one `literal` and holds TRUE's."""
        if a == FALSE:
            return frozenset()
        found = memo.get(a)
        if found is None:
            var, low, high = self._nodes[a]
            if low == FALSE:
                found = self.gathered(high, literal, memo) | literal(var, True)
            elif high == FALSE:
                found = self.gathered(low, literal, memo) | literal(var, False)
            else:
                below, above = self.gathered(low, literal, memo), self.gathered(high, literal, memo)
                left, right = literal(var, False), literal(var, True)
                if not left and not right:
                    found = below if below == above else below & above
                else:
                    found = (below | left) & (above | right)
            memo[a] = found
        return found

    def products(self, a: int, most: int = 1 << 30) -> tuple[tuple[Literal, ...], ...] | None:
        """An irredundant sum of products of `a`: cubes of (variable, polarity), sorted. None where it has
        more than `most` cubes, or work on it outgrows the budget for that many."""
        budget, self.budget = self.budget, min(self.limit, 64 * most)
        instead, self.instead = self.instead, _refuse
        try:
            cubes, _ = self._products(a, a, {}, most)
        except _OverBudget:
            return None
        finally:
            self.budget, self.instead = budget, instead
        return tuple(sorted(cubes))

    def _products(
        self,
        lower: int,
        upper: int,
        memo: dict[tuple[int, int], tuple[list[tuple[tuple[int, bool], ...]], int]],
        most: int,
    ) -> tuple[list[tuple[tuple[int, bool], ...]], int]:
        if lower == FALSE:
            return [], FALSE
        if upper == TRUE:
            return [()], TRUE
        key = (lower, upper)
        if key in memo:
            return memo[key]
        vl, ll, hl = self._nodes[lower]
        vu, lu, hu = self._nodes[upper]
        var = min(vl, vu)
        l0, l1 = (ll, hl) if vl == var else (lower, lower)
        u0, u1 = (lu, hu) if vu == var else (upper, upper)
        c0, f0 = self._products(self.without(l0, u1), u0, memo, most)
        c1, f1 = self._products(self.without(l1, u0), u1, memo, most)
        rest = self.disjoin(self.without(l0, f0), self.without(l1, f1))
        c2, f2 = self._products(rest, self.conjoin(u0, u1), memo, most)
        if len(c0) + len(c1) + len(c2) > most:
            raise _OverBudget
        cubes = [((var, False), *c) for c in c0] + [((var, True), *c) for c in c1] + c2
        v = self.variable(var)
        cover = self.disjoin(f2, self.disjoin(self.conjoin(self.negate(v), f0), self.conjoin(v, f1)))
        memo[key] = (cubes, cover)
        return memo[key]
