"""Traces as propositional clauses: a variable `a before b` for each pair of steps of different threads.

The semantics is that of `scenario.py` and `spec/logic.py`, written down a second time: nothing here comes
from `trace.py` or `temporal.py`, which say the same with clocks. Which variables and clauses there are, and
how they are named, is stated in `docs/certificates.md`. That `before` is an order is left out: that is what
cycle lemmas are for (`sat.py`).

Source: ordering variables with lazily added transitivity as in Alglave, Kroening, Tautschnig, "Partial Orders
for Efficient Bounded Model Checking of Concurrent Software", CAV 2013; definitions as in Tseitin, "On the
Complexity of Derivation in Propositional Calculus", 1968.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..errors import InternalError
from ..spec.logic import Formula
from ..spec.program import Guard
from .clauses import FALSE, TRUE, Clauses
from .scenario import Scenario, Step, Thread
from .wellformed import check

Cell = tuple[str, str]
Copy = tuple[str, str, str]
"""A cell, and the view of it."""


class Orders:
    """What can be said of the traces of one scenario, as literals; `facts` demands the rules.

    InternalError where the scenario is not well formed.
    """

    def __init__(self, scenario: Scenario) -> None:
        check(scenario)
        self.scenario = scenario
        self.clauses = Clauses()
        self.steps: dict[str, Step] = {s.id: s for s in scenario.steps}
        self.threads: dict[str, Thread] = {s.id: t for t in scenario.threads for s in t.steps}
        self.position = {s.id: i for i, s in enumerate(scenario.steps)}
        self._place = {s.id: i for t in scenario.threads for i, s in enumerate(t.steps)}
        self._writes: dict[Copy, list[Step]] = {}
        self._first_with: dict[object, str] = {}
        for step in scenario.steps:
            self._first_with.setdefault(_key(step.guard), step.id)
            if step.kind == "write":
                self._writes.setdefault(_copy(step), []).append(step)
        self._formulas = 0
        self._executed: dict[str, int] = {}
        self._atoms: dict[str, int] = {}
        for atom in scenario.atoms:
            if atom.kind == "defined":
                self._atoms[atom.name] = self.clauses.define(
                    ("atom", atom.name), self._cubes(atom.definition), f"atom:{atom.name}"
                )
            elif atom.kind == "stable" and atom.key:
                self._atoms[atom.name] = self.clauses.variable(("stable", atom.key))
            else:
                self._atoms[atom.name] = self.clauses.variable(("atom", atom.name))

    # -- what there is to say

    def atom(self, name: str) -> int:
        """The truth of an atom."""
        return self._atoms[name]

    def _cubes(self, guard: Guard) -> list[list[int]]:
        return [[self._atoms[n] if positive else -self._atoms[n] for n, positive in cube] for cube in guard]

    def executed(self, step: str) -> int:
        """That a step is executed (rules 1, 2 and 6)."""
        known = self._executed.get(step)
        if known is None:
            this = self.steps[step]
            first = self._first_with[_key(this.guard)]
            guard = self.clauses.define(("guard", first), self._cubes(this.guard), f"guard:{first}")
            needs = [n for n in (self.threads[step].after, this.via) if n is not None]
            known = self._executed[step] = self.clauses.define(
                ("executed", step), [[guard, *map(self.executed, needs)]]
            )
        return known

    def before(self, first: str, second: str) -> int:
        """That `first` comes before `second`; known for steps of one ordered thread."""
        a, b = self.position[first], self.position[second]
        if self.threads[first] is self.threads[second] and self.threads[first].ordered:
            return TRUE if a < b else FALSE
        if a < b:
            return self.clauses.variable(("before", first, second))
        return -self.clauses.variable(("before", second, first))

    def amid(self, first: str, step: str, last: str, of: str = "") -> int:
        """That `step` is executed, after `first` and before `last`."""
        return self.clauses.define(
            ("amid", first, step, last),
            [[self.executed(step), self.before(first, step), self.before(step, last)]],
            of,
        )

    def earlier(self, step: str, than: str, of: str = "") -> int:
        """That `step` is executed before `than`."""
        return self.clauses.define(
            ("earlier", step, than), [[self.executed(step), self.before(step, than)]], of
        )

    def initially_null(self, cell: Cell) -> int:
        """That a cell holds NULL at first."""
        return self.clauses.variable(("initially-null", *cell))

    def null(self, read: str) -> int:
        """That NULL is what the cell of `read` holds there (rule 5)."""
        known = self.clauses.known(("null", read))
        if known is not None:
            return known
        step, of = self.steps[read], f"value:{read}"
        writes = self._writes.get(_copy(step), [])
        initially = self.initially_null((step.object, step.field))
        untouched = self.clauses.define(
            ("untouched", read), [[-self.earlier(w.id, read, of) for w in writes]], of
        )
        stored = [[self._last(w, read, writes, of)] for w in writes if w.value == "null"]
        return self.clauses.define(("null", read), [*stored, [untouched, initially]], of)

    def other(self, read: str) -> int:
        """That a pointer to some other object is what the cell of `read` holds there (rule 5)."""
        known = self.clauses.known(("other", read))
        if known is not None:
            return known
        step, of = self.steps[read], f"value:{read}"
        writes = self._writes.get(_copy(step), [])
        stored = [[self._last(w, read, writes, of)] for w in writes if w.value in ("new", "other")]
        return self.clauses.define(("other", read), stored, of)

    def _last(self, write: Step, read: str, writes: list[Step], of: str) -> int:
        """That `write` is the last to its cell before `read`."""
        others = [-self.amid(write.id, w.id, read, of) for w in writes if w is not write]
        return self.clauses.define(
            ("last", write.id, read), [[self.executed(write.id), self.before(write.id, read), *others]], of
        )

    # -- the rules

    def facts(self) -> None:
        """Demand all rules of the scenario."""
        self._orders()
        self._starts()
        self._locks()
        self._grace_periods()
        self._pointers()
        for cell, value in self.scenario.initial:
            symbol = self.initially_null(cell)
            self.clauses.fact(f"initial:{cell[0]}->{cell[1]}", [symbol if value == "null" else -symbol])

    def _orders(self) -> None:
        for order in self.scenario.orders:
            literals = [-self.executed(s) for s in order.steps]
            literals += [self.before(a, b) for a, b in order.pairs]
            self.clauses.fact(f"order:{order.name}", literals, f"order:{order.part}")

    def _starts(self) -> None:
        for thread in self.scenario.threads:
            if thread.after is None:
                continue
            of = f"start:{thread.name}"
            for step in thread.steps[:1] if thread.ordered else thread.steps:
                name = of if thread.ordered else f"{of}/{step.id}"
                self.clauses.fact(name, [self.before(thread.after, step.id)], of)

    def _locks(self) -> None:
        taken = [s for s in self.scenario.steps if s.kind == "lock"]
        for i, a in enumerate(taken):
            for b in taken[i + 1 :]:
                if (
                    (a.object, a.field) == (b.object, b.field)
                    and "exclusive" in (a.value, b.value)
                    and self.threads[a.id] is not self.threads[b.id]
                ):
                    absent = [-self.executed(a.id), -self.executed(b.id)]
                    self.clauses.fact(
                        f"lock:{a.id}:{b.id}", [*absent, self._dropped(a, b), self._dropped(b, a)]
                    )

    def _dropped(self, lock: Step, other: Step) -> int:
        """That the hold which `lock` begins has ended before `other`."""
        unlocks = [
            s
            for s in self._following(lock)
            if s.kind == "unlock" and (s.object, s.field) == (lock.object, lock.field)
        ]
        return self.clauses.define(
            ("dropped", lock.id, other.id),
            [[self.executed(u.id), self.before(u.id, other.id)] for u in unlocks],
        )

    def _grace_periods(self) -> None:
        sections = [(s, self._leaves(s)) for s in self.scenario.steps if s.kind == "enter"]
        for enter, leaves in sections:
            self.clauses.fact(f"left:{enter.id}", [-self.executed(enter.id), *leaves.values()])
        for end in (s for s in self.scenario.steps if s.kind == "gp-end"):
            for start in self._preceding(end):
                if start.kind != "gp-start" or start.field != end.field:
                    continue
                for enter, leaves in sections:
                    if enter.field == start.field:
                        over = self.clauses.define(
                            ("over", enter.id, end.id),
                            [[left, self.before(leave, end.id)] for leave, left in leaves.items()],
                        )
                        absent = [-self.executed(s.id) for s in (start, end, enter)]
                        self.clauses.fact(
                            f"gp:{start.id}:{end.id}:{enter.id}",
                            [*absent, self.before(start.id, enter.id), over],
                        )

    def _leaves(self, enter: Step) -> dict[str, int]:
        """The steps that may end the section begun by `enter`, each with the literal that it does."""
        define = self.clauses.define
        depth = {1: TRUE}
        found: dict[str, int] = {}
        for step in self._following(enter):
            if step.field != enter.field or step.kind not in ("enter", "leave"):
                continue
            done = self.executed(step.id)
            change = 1 if step.kind == "enter" else -1
            moved: dict[int, int] = {}
            for level in sorted({*depth, *(n + change for n in depth)}):
                stays, comes = depth.get(level, FALSE), depth.get(level - change, FALSE)
                name = ("depth", enter.id, str(level), step.id) if level else ("leaves", enter.id, step.id)
                literal = define(name, [[stays, -done], [comes, done]])
                if literal != FALSE:
                    moved[level] = literal
            if (ended := moved.pop(0, FALSE)) != FALSE:
                found[step.id] = ended
            depth = moved
        return found

    def _pointers(self) -> None:
        for atom in self.scenario.atoms:
            if atom.kind == "nonnull" and atom.step is not None:
                value = self.clauses.define(
                    ("nonnull", atom.step), [[self.executed(atom.step), -self.null(atom.step)]]
                )
                of, literal = f"atom:{atom.name}", self.atom(atom.name)
                self.clauses.fact(f"{of}/1", [-literal, value], of)
                self.clauses.fact(f"{of}/2", [literal, -value], of)

    # -- formulas

    def holds(self, formula: Formula) -> int:
        """That `formula` holds of the trace (at its first position)."""
        self._formulas += 1
        return _Holds(self).of_trace(formula, str(self._formulas - 1))

    def _following(self, step: Step) -> tuple[Step, ...]:
        return self.threads[step.id].steps[self._place[step.id] + 1 :]

    def _preceding(self, step: Step) -> tuple[Step, ...]:
        return self.threads[step.id].steps[: self._place[step.id]]


def _copy(step: Step) -> Copy:
    return step.object, step.field, step.view


def _key(guard: Guard) -> frozenset[frozenset[tuple[str, bool]]]:
    return frozenset(map(frozenset, guard))


class _Holds:
    """Literals for a formula at steps. A part of the formula is named by the way to it from the formula's
    number: "0.0.1" is the second argument of the first of formula 0. What is said of a step is said given
    that it is executed."""

    def __init__(self, orders: Orders) -> None:
        self.orders, self.define = orders, orders.clauses.define
        self.steps = [s for s in orders.steps if orders.executed(s) != FALSE]
        self.labels: dict[str, dict[str, list[str]]] = {}
        for step in self.steps:
            for text, reach in sorted(orders.steps[step].labels):
                self.labels.setdefault("".join(text.split()), {}).setdefault(step, []).append(reach)
        self.known: dict[tuple[str, str], int] = {}

    def of_trace(self, formula: Formula, number: str) -> int:
        """That `formula` holds at the first executed step, or of the empty trace if there is none."""
        executed, inner = self.orders.executed, f"{number}.0"
        if formula.op in ("not", "and", "or", "implies"):
            args = [self.of_trace(a, f"{number}.{i}") for i, a in enumerate(formula.args)]
            if formula.op in ("not", "implies"):
                args[0] = -args[0]
            terms = [args] if formula.op == "and" else [[a] for a in args]
            return self.define(("holds", number), terms)
        match formula.op:
            case "true":
                return TRUE
            case "always":
                terms = [[executed(e), -self.at(formula.args[0], inner, e)] for e in self.steps]
                return -self.define(("fails", number), terms)
            case "eventually":
                terms = [[executed(e), self.at(formula.args[0], inner, e)] for e in self.steps]
                return self.define(("holds", number), terms)
        starts = [[self._first(e), self.at(formula, number, e)] for e in self.steps]
        if _of_nothing(formula):
            starts.append([-executed(e) for e in self.steps])
        return self.define(("holds", number), starts)

    def _first(self, step: str) -> int:
        others = [-self.orders.earlier(o, step) for o in self.steps if o != step]
        return self.define(("first", step), [[self.orders.executed(step), *others]])

    def at(self, f: Formula, path: str, e: str) -> int:
        known = self.known.get((path, e))
        if known is None:
            known = self.known[path, e] = self._at(f, path, e)
        return known

    def _at(self, f: Formula, path: str, e: str) -> int:
        below = [f"{path}.{i}" for i in range(len(f.args))]
        name = ("holds", path, e)
        match f.op:
            case "true":
                return TRUE
            case "pred":
                return self._predicate(f, e)
            case "not":
                return -self.at(f.args[0], below[0], e)
            case "and":
                return self.define(name, [[self.at(a, p, e) for a, p in zip(f.args, below, strict=True)]])
            case "or":
                return self.define(name, [[self.at(a, p, e)] for a, p in zip(f.args, below, strict=True)])
            case "implies":
                left = self.at(f.args[0], below[0], e)
                return (
                    TRUE if left == FALSE else self.define(name, [[-left], [self.at(f.args[1], below[1], e)]])
                )
            case "once":
                return self.define(name, self._some(f.args[0], below[0], e, self._up_to))
            case "eventually":
                return self.define(name, self._some(f.args[0], below[0], e, self._from))
            case "historically":
                return -self.define(("fails", path, e), self._some(f.args[0], below[0], e, self._up_to, -1))
            case "always":
                return -self.define(("fails", path, e), self._some(f.args[0], below[0], e, self._from, -1))
            case "previously":
                return self.define(name, self._some(f.args[0], below[0], e, lambda e, o: self._next(o, e)))
            case "next":
                return self.define(name, self._some(f.args[0], below[0], e, self._next))
            case "since" | "until":
                return self.define(name, self._binary(f, path, below, e))
        raise InternalError(f"temporal formula: unknown operator {f.op!r}")

    def _predicate(self, f: Formula, e: str) -> int:
        via = self.orders.steps[e].via
        terms = []
        for reach in self.labels.get("".join(str(f).split()), {}).get(e, ()):
            if reach == "any" or (reach == "initial" and via is None):
                return TRUE
            if via is not None:
                null, other = self.orders.null(via), self.orders.other(via)
                terms.append([null] if reach == "null" else [-null, -other])
        return self.define(("predicate", str(f), e), terms)

    def _some(
        self, inner: Formula, path: str, e: str, where: Callable[[str, str], int], sign: int = 1
    ) -> Iterator[list[int]]:
        """The terms of: `inner` is true (or not) at some executed step that stands to `e` as `where` says."""
        for o in self.steps:
            value = sign * self.at(inner, path, o)
            if value != FALSE and (place := where(e, o)) != FALSE:
                yield [value, TRUE if o == e else self.orders.executed(o), place]

    def _up_to(self, e: str, other: str) -> int:
        return TRUE if other == e else self.orders.before(other, e)

    def _from(self, e: str, other: str) -> int:
        return TRUE if other == e else self.orders.before(e, other)

    def _next(self, first: str, second: str) -> int:
        """That `second` follows `first` with no executed step between them."""
        if first == second:
            return FALSE
        if (order := self.orders.before(first, second)) == FALSE:
            return FALSE
        between = [-self.orders.amid(first, k, second) for k in self.steps if k not in (first, second)]
        return self.define(("next", first, second), [[order, *between]])

    def _binary(self, f: Formula, path: str, below: list[str], e: str) -> Iterator[list[int]]:
        """One term for each step at which the right side may be true: from there to `e` (or from `e` to
        there) no executed step spoils the left side."""
        back = f.op == "since"
        for goal in self.steps:
            where = self._up_to(e, goal) if back else self._from(e, goal)
            right = self.at(f.args[1], below[1], goal)
            if FALSE in (where, right):
                continue
            executed = TRUE if goal == e else self.orders.executed(goal)
            spoils = []
            for k in self.steps:
                if k != goal:
                    after = self.orders.before(goal, k) if back else self._from(e, k)
                    until = self._up_to(e, k) if back else self.orders.before(k, goal)
                    happens = TRUE if k == e else self.orders.executed(k)
                    left = self.at(f.args[0], below[0], k)
                    spoils.append(
                        -self.define(("spoils", path, goal, k, e), [[-left, happens, after, until]])
                    )
            yield [right, executed, where, *spoils]


def _of_nothing(f: Formula) -> bool:
    """Whether `f` holds of the empty trace."""
    match f.op:
        case "not":
            return not _of_nothing(f.args[0])
        case "and":
            return all(map(_of_nothing, f.args))
        case "or":
            return any(map(_of_nothing, f.args))
        case "implies":
            return not _of_nothing(f.args[0]) or _of_nothing(f.args[1])
    return f.op in ("true", "always", "historically")
