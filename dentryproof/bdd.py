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


_BITS = 24
"""How many bits the number of a node takes, at most."""


Literal = tuple[int, bool]
"""A variable and its polarity."""


def _refuse(_a: int, _b: int, _conjunction: bool) -> int:
    raise _OverBudget


def _operation(
    bdd: Bdd,
    nodes: list[tuple[int, int, int]],
    unique: dict[tuple[int, int, int], int],
    memo: dict[int, int],
    zero: int,
    unit: int,
    negations: Callable[[int], int | None],
) -> Callable[[int, int], int]:
    """The conjunction of two conditions of `bdd`, or their disjunction: `zero` decides it, `unit` leaves it
    to the other."""
    get, known = memo.get, unique.get

    def apply(a: int, b: int, key: int) -> int:
        """For two that differ, neither a constant and not remembered under `key`."""
        # Here most of the reader's time goes: what is simple is told before the call, nodes made in place.
        va, la, ha = nodes[a]
        vb, lb, hb = nodes[b]
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
            inner = la << _BITS | lb if la < lb else lb << _BITS | la
            found = get(inner)
            low = apply(la, lb, inner) if found is None else found
        if ha == hb or hb == unit:
            high = ha
        elif ha == unit:
            high = hb
        elif ha == zero or hb == zero:
            high = zero
        else:
            inner = ha << _BITS | hb if ha < hb else hb << _BITS | ha
            found = get(inner)
            high = apply(ha, hb, inner) if found is None else found
        if low == high:
            memo[key] = low
            return low
        node = (var, low, high)
        found = known(node)
        if found is None:
            found = len(nodes)
            if found >= bdd.until:
                raise bdd.full()
            nodes.append(node)
            unique[node] = found
        memo[key] = found
        return found

    def operation(a: int, b: int) -> int:
        if a == b or b == unit:
            return a
        if a == unit:
            return b
        if a == zero or b == zero or negations(a) == b:
            return zero
        key = a << _BITS | b if a < b else b << _BITS | a
        found = get(key)
        if found is not None:
            return found
        bdd.until = min(bdd.limit, len(nodes) + bdd.budget)
        try:
            return apply(a, b, key)
        except _OverBudget:
            bdd.until = bdd.limit
            budget, bdd.budget = bdd.budget, bdd.limit
            try:
                found = memo[key] = bdd.instead(a, b, zero == FALSE)
            finally:
                bdd.budget = budget
            return found
        finally:
            bdd.until = bdd.limit

    return operation


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
        self.until = limit
        self._nodes: list[tuple[int, int, int]] = [(1 << 30, 0, 0), (1 << 30, 1, 1)]
        self._unique: dict[tuple[int, int, int], int] = {}
        self._not: dict[int, int] = {FALSE: TRUE, TRUE: FALSE}
        self._large: dict[tuple[int, int], bool] = {}
        self._both: dict[int, int] = {}
        self._either: dict[int, int] = {}
        self.conjoin = _operation(self, self._nodes, self._unique, self._both, FALSE, TRUE, self._not.get)
        """a and b."""
        self.disjoin = _operation(self, self._nodes, self._unique, self._either, TRUE, FALSE, self._not.get)
        """a or b."""
        self._implied: dict[int, frozenset[Literal]] = {TRUE: frozenset()}

    def _node(self, var: int, low: int, high: int) -> int:
        if low == high:
            return low
        key = (var, low, high)
        found = self._unique.get(key)
        if found is None:
            if len(self._nodes) >= self.until:
                raise self.full()
            found = len(self._nodes)
            self._nodes.append(key)
            self._unique[key] = found
        return found

    def release(self) -> None:
        """Let go of all conditions: what holds them refers to itself, and would be freed late."""
        self._nodes.clear()
        for table in (self._unique, self._both, self._either, self._not, self._large, self._implied):
            table.clear()

    def full(self) -> Exception:
        """What to raise where there are as many nodes as there may be."""
        return TooLarge() if self.until >= self.limit else _OverBudget()

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

    def without(self, a: int, b: int) -> int:
        """a and not b."""
        return self.conjoin(a, self.negate(b))

    def is_large(self, a: int, limit: int) -> bool:
        """Whether `a` has more than `limit` nodes."""
        known = self._large.get((a, limit))
        if known is None:
            known = self._large[a, limit] = self._is_large(a, limit)
        return known

    def _is_large(self, a: int, limit: int) -> bool:
        seen, todo, nodes = {FALSE, TRUE}, [a], self._nodes
        limit += 2
        while todo:
            current = todo.pop()
            if current not in seen:
                seen.add(current)
                if len(seen) > limit:
                    return True
                _, low, high = nodes[current]
                todo.append(low)
                todo.append(high)
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
        known, nodes = self._implied, self._nodes
        found = known.get(a)
        if found is not None:
            return found
        forced: list[Literal] = []
        at = a
        while found is None:
            var, low, high = nodes[at]
            if low == FALSE:
                forced.append((var, True))
                at = high
            elif high == FALSE:
                forced.append((var, False))
                at = low
            else:
                found = known[at] = self._implied_by(low) & self._implied_by(high)
                break
            found = known.get(at)
        if forced:
            found = known[a] = found.union(forced)
        return found

    def gathered(
        self,
        a: int,
        literals: tuple[list[frozenset[Literal]], list[frozenset[Literal]]],
        memo: dict[int, frozenset[Literal]],
    ) -> frozenset[Literal]:
        """What every path through `a` implies; nothing for FALSE. Taking variable `v` implies
        ``literals[0][v]`` where it is false, ``literals[1][v]`` where it is true. `memo` keeps answers and
        holds TRUE's."""
        if a == FALSE:
            return frozenset()
        found = memo.get(a)
        if found is not None:
            return found
        negative, positive = literals
        forced: list[frozenset[Literal]] = []
        at = a
        while found is None:
            var, low, high = self._nodes[at]
            if low == FALSE:
                forced.append(positive[var])
                at = high
            elif high == FALSE:
                forced.append(negative[var])
                at = low
            else:
                below, above = self.gathered(low, literals, memo), self.gathered(high, literals, memo)
                left, right = negative[var], positive[var]
                if not left and not right:
                    found = below if below == above else below & above
                else:
                    found = (below | left) & (above | right)
                memo[at] = found
                break
            found = memo.get(at)
        if forced:
            found = memo[a] = found.union(*forced)
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
