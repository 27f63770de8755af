"""Clauses with a name each, from definitions and facts over named variables. Knows no scenario.

A literal is an integer: a variable's number, or its negation. `TRUE` and `FALSE` are constants that no clause
has. `docs/certificates.md` says which clauses a definition and a fact become; `checker/` does the same anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

TRUE, FALSE = 1, -1

Name = tuple[str, ...]
"""A variable's name: what it says, and of which steps."""
Terms = tuple[tuple[int, ...], ...]


class Clause(NamedTuple):
    """A disjunction of literals. `of` is the constraint that it belongs to, "" for a mere abbreviation."""

    name: str
    literals: tuple[int, ...]
    of: str = ""


class Clauses:
    """Variables, what they are defined to be, and what is demanded of them."""

    def __init__(self) -> None:
        self.names: list[Name] = [(), ("true",)]
        self.definitions: dict[int, Terms] = {}
        self._numbers: dict[Name, int] = {}
        self._literals: dict[Name, int] = {}
        self._of: dict[int, str] = {}
        self._facts: list[Clause] = []

    def variable(self, name: Name) -> int:
        """The variable of this name, which may be true or false."""
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers[name] = len(self.names)
            self.names.append(name)
        return number

    def define(self, name: Name, terms: Iterable[Iterable[int]], of: str = "") -> int:
        """The literal that is true iff all literals of one of `terms` are; a new variable only if it must be.

        Who asks for a name again gets the literal that it was first defined to be.
        """
        known = self._literals.get(name)
        if known is None:
            known = self._literals[name] = self._define(name, _folded(terms), of)
        return known

    def known(self, name: Name) -> int | None:
        """What `name` was defined to be, if it was."""
        return self._literals.get(name)

    def _define(self, name: Name, terms: Terms, of: str) -> int:
        if not terms:
            return FALSE
        if () in terms:
            return TRUE
        if len(terms) == 1 and len(terms[0]) == 1:
            return terms[0][0]
        if len(terms) > 1:
            terms = tuple(
                t if len(t) == 1 else (self.define(("part", str(i), *name), [t], of),)
                for i, t in enumerate(terms, 1)
            )
        number = self.variable(name)
        self.definitions[number] = terms
        self._of[number] = of
        return number

    def fact(self, name: str, literals: Iterable[int], of: str | None = None) -> None:
        """Demand that one of `literals` is true; nothing, where one is for certain."""
        kept = _folded([[-literal for literal in literals]])
        if kept:
            self._facts.append(Clause(name, tuple(-x for x in kept[0]), name if of is None else of))

    def all(self) -> list[Clause]:
        """The facts, and the definitions of all that they speak of."""
        needed: set[int] = set()
        todo = [abs(x) for c in self._facts for x in c.literals]
        while todo:
            number = todo.pop()
            if number not in needed:
                needed.add(number)
                todo += [abs(x) for term in self.definitions.get(number, ()) for x in term]
        found = list(self._facts)
        for number, terms in self.definitions.items():
            if number in needed:
                found += self._defining(number, terms)
        return found

    def _defining(self, number: int, terms: Terms) -> Iterator[Clause]:
        title, of = ":".join(self.names[number]), self._of[number]
        conjunction = len(terms) == 1
        sign, parts = (1, terms[0]) if conjunction else (-1, [x for (x,) in terms])
        yield Clause(f"{title}/0", (sign * number, *[-sign * x for x in parts]), of)
        for i, x in enumerate(parts, 1):
            yield Clause(f"{title}/{i}", (-sign * number, sign * x), of)

    def values(self, base: Sequence[bool]) -> list[bool]:
        """The truth of every variable, given (by number) that of those which are not defined."""
        found = list(base) + [False] * (len(self.names) - len(base))
        found[TRUE] = True
        for number, terms in self.definitions.items():  # in this order: each speaks of earlier ones alone
            found[number] = any(all(found[abs(x)] == (x > 0) for x in term) for term in terms)
        return found


def _folded(terms: Iterable[Iterable[int]]) -> Terms:
    """`terms` without what is constant in them, without what contradicts itself, and each once."""
    kept: dict[frozenset[int], tuple[int, ...]] = {}
    for term in terms:
        literals = dict.fromkeys(term)
        literals.pop(TRUE, None)
        if FALSE not in literals and not any(-x in literals for x in literals):
            kept.setdefault(frozenset(literals), tuple(literals))
    return tuple(kept.values())
