"""Which values reads may find: the domains of a test's locations."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..encodings.execution import Kind, Value
from .primitives import Form
from .syntax import Call, Condition, Constant, Equal, Expression, If, Not, Operation, Statement, Test
from .threads import Trace, traces, written


def possible_traces(test: Test, initial: dict[str, Value], tick: Callable[[], None]) -> list[list[Trace]]:
    """The traces of each thread, for every value that its reads can find. Locations that are met on the way
    are added to `initial`. `tick` is called now and then, and may raise what ends the search.
    TooManyError."""
    domains: dict[str, list[Value]] = {name: [value] for name, value in initial.items()}
    found = _closed(test, domains, initial, tick)
    circular = Influence(test).circular()
    if not circular:
        return found
    # Such a value may have come from nowhere: reads see it because it was written, and it was written because
    # they saw it. Any value can; here, those that the test speaks of and one that it does not.
    spoken = constants(test)
    numbers = sorted(v for v in spoken if isinstance(v, int))
    addresses = sorted(v for v in spoken if isinstance(v, str))
    for location in circular:
        domain = domains.setdefault(location, [initial.setdefault(location, 0)])
        pointer = any(isinstance(v, str) for v in domain)
        more: list[Value] = [*addresses] if pointer else [*numbers, numbers[-1] + 1]
        domain += [v for v in more if v not in domain]
    return _closed(test, domains, initial, tick)


def _closed(
    test: Test, domains: dict[str, list[Value]], initial: dict[str, Value], tick: Callable[[], None]
) -> list[list[Trace]]:
    """The traces of each thread, once `domains` have every value that one of them writes."""
    rounds = 0
    while True:
        tick()
        found = [traces(t, domains) for t in test.threads]
        grown = False
        # A value is made by a chain of writes, each of them once.
        longest = sum(max(_writes(t) for t in each) for each in found)
        for each in found:
            for location, value in written(each):
                domain = domains.setdefault(location, [initial.setdefault(location, 0)])
                if value not in domain:
                    domain.append(value)
                    grown = True
        rounds += 1
        if not grown or rounds > longest + 1:
            return found


def _writes(trace: Trace) -> int:
    return sum(e.kind is Kind.WRITE for e in trace.events)


class Influence:
    """Which locations' values can depend on which, told from the text: also in branches that no value found
    so far leads to."""

    def __init__(self, test: Test) -> None:
        # What an address that is calculated may be.
        self.addresses = {v[1:] for v in constants(test) if isinstance(v, str)}
        self.leads: dict[str, set[str]] = {}
        for thread in test.threads:
            self.seen: set[str] = set()
            self._block(thread.body, False)

    def circular(self) -> set[str]:
        """The locations whose values can depend on themselves.

        A circle through one location alone is incoherent: each write in it comes after the one that was read.
        """
        found = set()
        for start in self.leads:
            reached: set[str] = set()
            front = self.leads[start] - {start}
            while front:
                reached |= front
                front = {b for a in front for b in self.leads.get(a, ())} - reached
            if start in reached:
                found.add(start)
        return found

    def _block(self, body: Sequence[Statement], inside: bool) -> None:
        for s in body:
            if isinstance(s, If):
                self._expression(s.condition, inside)
                self._block(s.then, True)
                self._block(s.otherwise, True)
            else:
                self._expression(s.value, inside)

    def _expression(self, e: Expression, inside: bool) -> None:
        if isinstance(e, Operation):
            for part in e.operands:
                self._expression(part, inside)
        if not isinstance(e, Call):
            return
        for part in e.arguments:
            self._expression(part, inside)
        p = e.primitive
        at = (
            e.arguments[-1 if p.form in (Form.MODIFY, Form.RETURN, Form.FETCH) else 0]
            if e.arguments
            else None
        )
        if at is None or p.form in _FIXED:
            return
        fixed = isinstance(at, Constant) and isinstance(at.value, str)
        where = {str(at.value)[1:]} if isinstance(at, Constant) and fixed else self.addresses
        if p.form is not Form.STORE:
            self.seen |= where
        if p.form is Form.LOAD:
            return
        plain = p.form in (Form.STORE, Form.EXCHANGE) and isinstance(e.arguments[-1], Constant)
        if inside or not fixed or not plain:
            for location in self.seen:
                self.leads.setdefault(location, set()).update(where)


_FIXED = (Form.LOCK, Form.UNLOCK, Form.TRYLOCK, Form.IS_LOCKED, Form.SRCU_SYNC)
"""What stores nothing that a thread could have chosen."""


def constants(test: Test) -> set[Value]:
    """Every value that the test mentions."""
    found: set[Value] = {0, *test.initial.values()}

    def expression(e: Expression) -> None:
        if isinstance(e, Constant):
            found.add(e.value)
        elif isinstance(e, Operation):
            for part in e.operands:
                expression(part)
        elif isinstance(e, Call):
            for part in e.arguments:
                expression(part)

    def block(body: Sequence[Statement]) -> None:
        for s in body:
            if isinstance(s, If):
                expression(s.condition)
                block(s.then)
                block(s.otherwise)
            else:
                expression(s.value)

    def condition(c: Condition) -> None:
        if isinstance(c, Equal):
            if isinstance(c.right, Constant):
                found.add(c.right.value)
        elif isinstance(c, Not):
            condition(c.of)
        else:
            for part in c.parts:
                condition(part)

    for t in test.threads:
        found.update(t.registers.values())
        block(t.body)
    condition(test.condition)
    condition(test.filter)
    return found
