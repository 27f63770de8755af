"""The threads of a scenario as flowgraphs: what each may execute next, with the atoms settled beforehand.

A callback's guards speak of hundreds of atoms, and a model checker that chose them one by one would never
come to an end. But all that a thread's atoms do is say which of its steps are executed. So they are projected
away: a node of a thread's graph is a place in program order with what the steps that were executed, or passed
over, say of atoms that later guards need. Every path is a choice of executed steps that some truth of the
atoms yields, and the other way round. What two threads have to agree on stays: an atom that guards of both
speak of is a *choice* made at the start, and a read whose outcome matters to another thread, or to an earlier
step of its own, is *foretold*: its value is chosen at the start as well, and it waits for ever if it yields
another.

Steps that neither another thread nor the formula can notice are left out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from ..bdd import FALSE, TRUE, Bdd, TooLarge
from ..errors import Unsayable
from ..spec.program import Guard
from .scenario import Scenario, Step, Thread

Cell = tuple[str, str]
LIMIT = 1_000_000
"""Nodes of decision diagrams, at most."""
MOST_NODES = 20_000
"""Nodes of a flowgraph, at most, before equal ones are made one."""


@dataclass(frozen=True, slots=True)
class Edge:
    """What a thread may do at a node.

    step    the step that it executes; None where it comes to its end
    asked   what this needs of choices (by name) and of foretold reads (by id: that they yield no NULL)
    yields  what the step, a read, must yield: ``null``, ``set`` (no NULL), or "" for anything
    to      the node that it comes to
    """

    step: Step | None
    asked: tuple[tuple[str, bool], ...] = ()
    yields: str = ""
    to: int = 0


@dataclass(frozen=True, slots=True)
class Flow:
    """One thread: for each node what may happen there. Node 0 is the first."""

    thread: Thread
    nodes: tuple[tuple[Edge, ...], ...]


@dataclass(frozen=True, slots=True)
class Flows:
    """All threads that matter.

    choices   atoms (or keys of stable atoms) that several threads speak of, by their names in `Edge.asked`
    foretold  reads whose value is chosen at the start
    steps     the steps that are left, by id
    """

    threads: tuple[Flow, ...]
    choices: tuple[str, ...]
    foretold: tuple[str, ...]
    steps: dict[str, Step] = field(default_factory=dict)


def flows(scenario: Scenario, predicates: Collection[str], executed: Collection[str], every: bool) -> Flows:
    """The flowgraphs of `scenario`.

    predicates  those that are asked about, spaces removed; steps that bear another are not kept for it
    executed    ids of steps that are asked about
    every       whether every step is kept, because the formula counts them

    TooLarge (`dentryproof/bdd.py`) where the guards are too many for this. Unsayable where steps of a
    thread may change places: this is sequential consistency alone.
    """
    if scenario.orders or any(s.view for s in scenario.steps) or not all(t.ordered for t in scenario.threads):
        raise Unsayable("its threads keep only part of their order")
    return _Flows(scenario, frozenset(predicates), frozenset(executed), every).made()


_NESTING = ("enter", "leave")


class _Flows:
    """Which steps matter, what they depend on, and the graphs, in this order."""

    def __init__(
        self, scenario: Scenario, predicates: frozenset[str], executed: frozenset[str], every: bool
    ) -> None:
        self.scenario, self.predicates, self.asked, self.every = scenario, predicates, executed, every
        self.bdd = Bdd(limit=LIMIT, budget=LIMIT)
        self.steps = {s.id: s for s in scenario.steps}
        self.place = {s.id: (n, i) for n, t in enumerate(scenario.threads) for i, s in enumerate(t.steps)}
        self.names: list[str] = []  # of variables: atoms, keys of stable atoms, and reads
        self.variables: dict[str, int] = {}
        self.outcome: dict[int, str] = {}  # variables that say that a read yields no NULL: the read's id
        self.truth: dict[str, int] = {}
        for atom in scenario.atoms:
            if atom.kind == "defined":
                self.truth[atom.name] = self.condition(atom.definition)
                continue
            name = {"nonnull": f"read {atom.step}", "stable": f"key {atom.key}" if atom.key else ""}.get(
                atom.kind
            )
            variable = self.variables.setdefault(name or f"atom {atom.name}", len(self.names))
            if variable == len(self.names):
                self.names.append(name or f"atom {atom.name}")
            if atom.kind == "nonnull" and atom.step is not None:
                self.outcome[variable] = atom.step
            self.truth[atom.name] = self.bdd.variable(variable)
        self.whole: dict[str, int] = {}

    # -- conditions

    def condition(self, guard: Guard) -> int:
        any_of = FALSE
        for cube in guard:
            all_of = TRUE
            for name, polarity in cube:
                truth = self.truth[name]
                all_of = self.bdd.conjoin(all_of, truth if polarity else self.bdd.negate(truth))
            any_of = self.bdd.disjoin(any_of, all_of)
        return any_of

    def executes(self, step: Step) -> int:
        """When `step` is executed (rules 1, 2 and 6)."""
        found = self.whole.get(step.id)
        if found is None:
            found = self.bdd.conjoin(self.starts(step), self.condition(step.guard))
            if step.via is not None:
                found = self.bdd.conjoin(found, self.executes(self.steps[step.via]))
            self.whole[step.id] = found
        return found

    def starts(self, step: Step) -> int:
        after = self.scenario.threads[self.place[step.id][0]].after
        return TRUE if after is None else self.executes(self.steps[after])

    def given(self, step: Step) -> int:
        """When `step` is executed, its thread having started: what has settled that already is left out where
        it can be."""
        all_of, start = self.executes(step), self.starts(step)
        if start == TRUE:
            return all_of
        alone = self.bdd.exists(all_of, frozenset(self.bdd.support(start)))
        return alone if self.bdd.conjoin(start, alone) == all_of else all_of

    # -- which steps matter

    def kept(self) -> set[str]:
        able = [s for s in self.scenario.steps if self.executes(s) != FALSE]
        if self.every:
            return {s.id for s in able}
        kept = {s.id for s in able if s.id in self.asked or self.predicates & _predicates(s)}
        kept |= self.locking(able) | self.in_sections(able)
        while True:
            needed = {s.via for s in able if s.id in kept and s.via is not None and self.reaching(s)}
            needed |= {
                self.outcome[v]
                for s in able
                if s.id in kept
                for v in self.bdd.support(self.given(s))
                if v in self.outcome
            }
            for thread in self.scenario.threads:
                if thread.after is not None and any(s.id in kept for s in thread.steps):
                    needed.add(thread.after)
            read = {(s.object, s.field) for s in able if s.kind == "read" and s.id in kept | needed}
            needed |= {s.id for s in able if s.kind == "write" and (s.object, s.field) in read}
            nests = {(self.place[s.id][0], s.field) for s in able if s.id in kept and s.kind in _NESTING}
            needed |= {s.id for s in able if s.kind in _NESTING and (self.place[s.id][0], s.field) in nests}
            needed &= {s.id for s in able}
            if needed <= kept:
                return kept
            kept |= needed

    def reaching(self, step: Step) -> bool:
        """Whether what `step` acts on matters."""
        return any(reach != "any" and _plain(text) in self.predicates for text, reach in step.labels)

    def locking(self, able: list[Step]) -> set[str]:
        """The steps of locks that one thread can keep another from (rule 3)."""
        takers: dict[Cell, set[int]] = {}
        exclusive = {(s.object, s.field) for s in able if s.kind == "lock" and s.value == "exclusive"}
        for step in able:
            if step.kind == "lock":
                takers.setdefault((step.object, step.field), set()).add(self.place[step.id][0])
        contended = {lock for lock, who in takers.items() if len(who) > 1} & exclusive
        return {s.id for s in able if s.kind in ("lock", "unlock") and (s.object, s.field) in contended}

    def in_sections(self, able: list[Step]) -> set[str]:
        """The steps of sections and grace periods that wait for each other, or are not plainly left."""
        entered = {s.field for s in able if s.kind == "enter"}
        starts, ends = ({s.field for s in able if s.kind == kind} for kind in ("gp-start", "gp-end"))
        waited = starts & ends
        found = {
            s.id
            for s in able
            if s.field in entered & waited and s.kind in ("enter", "leave", "gp-start", "gp-end")
        }
        for number, _ in enumerate(self.scenario.threads):
            for domain in entered - waited:
                own = [
                    s
                    for s in able
                    if self.place[s.id][0] == number and s.field == domain and s.kind in _NESTING
                ]
                open_: list[int] = []
                for step in own:
                    if step.kind == "enter":
                        open_.append(self.executes(step))
                    elif open_ and open_[-1] == self.executes(step):
                        open_.pop()
                    else:
                        open_.append(FALSE)
                if open_:
                    found |= {s.id for s in own}
        return found

    # -- the graphs

    def made(self) -> Flows:
        kept = self.kept()
        threads = [(n, t, [s for s in t.steps if s.id in kept]) for n, t in enumerate(self.scenario.threads)]
        threads = [(n, t, own) for n, t, own in threads if own]
        conditions = {s.id: self.given(s) for _, _, own in threads for s in own}
        for variable in (v for v, read in self.outcome.items() if read not in kept):
            # Such a read is never executed, and yields nothing.
            conditions = {s: self.bdd.where(c, variable, False) for s, c in conditions.items()}
        users: dict[int, set[int]] = {}
        foretold: dict[str, None] = {}
        for number, _, own in threads:
            for step in own:
                for variable in self.bdd.support(conditions[step.id]):
                    users.setdefault(variable, set()).add(number)
                    read = self.outcome.get(variable)
                    if read is not None and not self.before(read, step):
                        foretold[read] = None
                if step.via is not None and self.reaching(step) and not self.before(step.via, step):
                    foretold[step.via] = None
        agreed = {v for v, who in users.items() if len(who) > 1} | {
            v for v in users if self.outcome.get(v) in foretold
        }
        made = tuple(
            Flow(t, _Graph(self, own, conditions, frozenset(agreed)).nodes()) for _, t, own in threads
        )
        choices = tuple(self.names[v] for v in sorted(agreed) if v not in self.outcome)
        return Flows(made, choices, tuple(foretold), {i: s for i, s in self.steps.items() if i in kept})

    def before(self, read: str, step: Step) -> bool:
        """Whether `read` comes before `step` in the program order of one thread."""
        (home, at), (own, place) = self.place[read], self.place[step.id]
        return home == own and at < place


class _Graph:
    """The flowgraph of one thread."""

    def __init__(
        self, flows: _Flows, steps: list[Step], conditions: dict[str, int], agreed: frozenset[int]
    ) -> None:
        self.flows, self.bdd, self.steps, self.agreed = flows, flows.bdd, steps, agreed
        self.when = [conditions[s.id] for s in steps]
        last: dict[int, int] = {}
        for i, condition in enumerate(self.when):
            for variable in self.bdd.support(condition):
                last[variable] = i
        at = {s.id: i for i, s in enumerate(steps)}
        self.tested: dict[int, int] = {}  # by place of a read, the variable of its outcome
        for variable, read in flows.outcome.items():
            if variable in last and variable not in agreed and read in at:
                self.tested[at[read]] = variable
        self.over = [frozenset(v for v, n in last.items() if n == i) for i in range(len(steps))]

    def nodes(self) -> tuple[tuple[Edge, ...], ...]:
        numbers: dict[tuple[int, int], int] = {(0, TRUE): 0}
        todo = [(0, TRUE)]
        found: dict[int, tuple[int, list[tuple[Edge, tuple[int, int] | None]]]] = {}
        while todo:
            node = todo.pop()
            edges = list(self.edges(*node))
            found[numbers[node]] = node[0], edges
            for _, to in edges:
                if to is not None and to not in numbers:
                    numbers[to] = len(numbers)
                    todo.append(to)
            if len(numbers) > MOST_NODES:
                raise TooLarge
        same: dict[tuple[Edge, ...], int] = {}
        number: dict[int, int] = {}
        for name in sorted(found, key=lambda n: -found[n][0]):
            renumbered = [
                Edge(e.step, e.asked, e.yields, -1 if to is None else number[numbers[to]])
                for e, to in found[name][1]
            ]
            number[name] = same.setdefault(tuple(_merged(renumbered)), len(same))
        final = list(same)
        order = {number[0]: 0}
        for n in reversed(range(len(final))):  # an edge leads to a node that was numbered before
            order.setdefault(n, len(order))
        placed = sorted(order, key=lambda n: order[n])
        return tuple(
            tuple(Edge(e.step, e.asked, e.yields, order[e.to] if e.to >= 0 else -1) for e in final[n])
            for n in placed
        )

    def edges(self, at: int, known: int) -> Iterator[tuple[Edge, tuple[int, int] | None]]:
        """What may happen from place `at` on, where `known` is what is known of the atoms."""
        todo: list[tuple[int, int, tuple[tuple[str, bool], ...]]] = [(at, known, ())]
        while todo:
            at, known, asked = todo.pop()
            if at == len(self.steps):
                yield Edge(None, asked), None
                continue
            variable = self.open_choice(at, known)
            if variable is not None:
                for value in (False, True):
                    more = self.bdd.conjoin(known, self.literal(variable, value))
                    todo.append((at, more, (*asked, (self.name(variable), value))))
                continue
            tested = self.tested.get(at)
            taken = self.bdd.conjoin(known, self.when[at])
            outcomes: Collection[bool | None] = (None,) if tested is None else (False, True)
            for outcome in outcomes:
                then = taken
                if outcome is not None and tested is not None:
                    then = self.bdd.conjoin(taken, self.literal(tested, outcome))
                if then != FALSE:
                    yields = {None: "", False: "null", True: "set"}[outcome]
                    yield Edge(self.steps[at], asked, yields), (at + 1, self.later(at, then))
            passed = self.bdd.without(known, self.when[at])
            if tested is not None:
                passed = self.bdd.conjoin(passed, self.literal(tested, False))
            if passed != FALSE:
                todo.append((at + 1, self.later(at, passed), asked))

    def literal(self, variable: int, value: bool) -> int:
        v = self.bdd.variable(variable)
        return v if value else self.bdd.negate(v)

    def name(self, variable: int) -> str:
        return self.flows.outcome.get(variable, self.flows.names[variable])

    def later(self, at: int, known: int) -> int:
        """What is known, of what guards after place `at` need."""
        over = self.over[at]
        tested = {v for i, v in self.tested.items() if i > at}
        return self.bdd.exists(known, over - tested)

    def open_choice(self, at: int, known: int) -> int | None:
        """The first variable of the step's guard that threads agree on and that is not known."""
        condition = self.when[at]
        for variable in sorted(self.bdd.support(condition) & self.agreed):
            for value in (False, True):
                if self.bdd.conjoin(known, self.literal(variable, value)) == FALSE:
                    condition = self.bdd.where(condition, variable, not value)
        left = sorted(self.bdd.support(condition) & self.agreed)
        return left[0] if left else None


def _merged(edges: list[Edge]) -> list[Edge]:
    """`edges` without what is asked, or yielded, where the answer makes no difference."""
    while True:
        seen: dict[Edge, Edge] = {}
        for edge in edges:
            wider = None
            for i, (name, value) in enumerate(edge.asked):
                other = Edge(
                    edge.step,
                    (*edge.asked[:i], (name, not value), *edge.asked[i + 1 :]),
                    edge.yields,
                    edge.to,
                )
                if other in seen:
                    wider = other, Edge(edge.step, edge.asked[:i] + edge.asked[i + 1 :], edge.yields, edge.to)
            flipped = {"null": "set", "set": "null"}.get(edge.yields)
            if wider is None and flipped is not None:
                other = Edge(edge.step, edge.asked, flipped, edge.to)
                if other in seen:
                    wider = other, Edge(edge.step, edge.asked, "", edge.to)
            if wider is not None:
                del seen[wider[0]]
                edge = wider[1]
            seen[edge] = edge
        if len(seen) == len(edges):
            return list(seen)
        edges = list(seen)


def _plain(text: str) -> str:
    return "".join(text.split())


def _predicates(step: Step) -> set[str]:
    return {_plain(text) for text, _ in step.labels}
