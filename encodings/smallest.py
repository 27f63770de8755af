"""Smallest sets first: sets of numbers by weight, without those that were found not to do.

Implicit hitting sets (Moreno-Centeno, Karp, "The Implicit Hitting Set Approach to Solve Combinatorial
Optimization Problems", 2013) by MaxSAT: RC2 of python-sat (Ignatiev, Morgado, Marques-Silva, 2019).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


class Smallest:
    """Proposes sets of the keys of `weights`, those of least weight first. Context manager."""

    def __init__(self, weights: Mapping[int, int]) -> None:
        from pysat.examples.rc2 import RC2
        from pysat.formula import WCNF

        self._variables = {key: i for i, key in enumerate(weights, 1)}
        self._keys = {i: key for key, i in self._variables.items()}
        formula = WCNF()
        for key, variable in self._variables.items():
            formula.append([-variable], weight=weights[key])
        self._solver: Any = RC2(formula)

    def __enter__(self) -> Smallest:
        return self

    def __exit__(self, *_: object) -> None:
        self._solver.delete()

    def next(self) -> frozenset[int] | None:
        """The next set; None if there is none left."""
        found = self._solver.compute()
        if found is None:
            return None
        return frozenset(self._keys[v] for v in found if v in self._keys)

    def demand(self, some_of: Iterable[int], none_of: Iterable[int] = ()) -> bool:
        """From now on only sets that have one of `some_of` or lack one of `none_of`; False if no set does."""
        clause = [self._variables[k] for k in some_of] + [-self._variables[k] for k in none_of]
        if clause:
            self._solver.add_clause(clause)
        return bool(clause)

    def exclude(self, chosen: frozenset[int]) -> bool:
        """From now on not this set; its supersets may still come."""
        return self.demand((k for k in self._variables if k not in chosen), chosen)
