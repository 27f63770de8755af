"""What an abstract execution writes down: events under path conditions, the atoms of those, and gaps."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from ..bdd import FALSE, TRUE, Bdd
from ..spec.program import FALSE as NEVER
from ..spec.program import Atom, Cube, Event, Gap, Guard, Source

MAX_CUBES = 8
MAX_SUM = 24
MAX_NODES = 12
MAX_PART = 4
MAX_DEFINED = 150
MAX_LITERALS = 16
MAX_EVENTS = 40_000


_ACROSS = {"mb": frozenset({"read", "write"}), "rmb": frozenset({"read"}), "wmb": frozenset({"write"})}
"""The kinds of events for which a fence is kept."""

LAST_REFERENCE = "drops the last reference"


class Abandon(Exception):
    """The execution grew past a stated limit; the program's gap says which."""


@dataclass
class Pending:
    """An event with its guard still a path condition: `local` to an activation entered under `base`."""

    event: Event
    base: int
    local: int


@dataclass
class Recorder:
    """Collects the events of one program.

    condition   the path condition under which execution is now, within the function activation that runs
    base        the path condition under which that activation was entered, from the program's start
    known       what `base` says of single atoms: tests of these are decided within the activation
    """

    bdd: Bdd = field(init=False)
    condition: int = TRUE
    base: int = TRUE
    known: dict[int, bool] = field(default_factory=dict)
    events: list[Pending] = field(default_factory=list)
    atoms: list[Atom] = field(default_factory=list)
    gaps: list[tuple[str, Source, int, int]] = field(default_factory=list)
    assumptions: dict[str, None] = field(default_factory=dict)
    debug: int = 0
    sink: list[Pending] | None = None
    deferred: int = 0
    """Which deferred function's events are recorded now, by number; 0 for the program's own."""
    _deferred: int = 0
    _variables: dict[tuple[object, ...], int] = field(default_factory=dict)
    _defined: dict[int, int] = field(default_factory=dict)
    _definitions: dict[int, int] = field(default_factory=dict)
    _guards: dict[int, Guard] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.bdd = Bdd(self._shortened)

    def _shortened(self, a: int, b: int, conjunction: bool) -> int:
        """Both of two conditions, or either, each as an atom that is defined to be it."""
        a, b = self.widen(a, MAX_PART), self.widen(b, MAX_PART)
        return self.bdd.conjoin(a, b) if conjunction else self.bdd.disjoin(a, b)

    def emit(self, event: Event, condition: int | None = None) -> int:
        """Append `event` under the current condition (and `condition`); its index."""
        under = self.condition if condition is None else self.bdd.conjoin(self.condition, condition)
        target = self.events if self.sink is None else self.sink
        if len(target) >= MAX_EVENTS:
            self.gap(f"more than {MAX_EVENTS} events", event.source)
            raise Abandon
        target.append(Pending(event, self.base, under))
        return len(target) - 1

    def mark(
        self, since: int, kind: str, how: Callable[[Event], str], only: Collection[int] | None = None
    ) -> None:
        """Say of the accesses of that kind, recorded from number `since` on, how the source orders them; with
        `only`, of these alone. What is deferred keeps none of it."""
        for index in range(since, len(self.events)) if self.sink is None else ():
            pending = self.events[index]
            if pending.event.kind == kind and (only is None or index in only):
                pending.event = replace(pending.event, order=how(pending.event))

    @contextmanager
    def apart(self) -> Iterator[list[Pending]]:
        """Collect the events of a deferred function by themselves."""
        saved = self.sink, self.deferred
        self._deferred += 1
        self.sink, self.deferred = [], self._deferred
        try:
            yield self.sink
        finally:
            self.sink, self.deferred = saved

    def atom(self, kind: str, key: tuple[object, ...], text: str, event: int | None = None) -> int:
        """The condition that the atom identified by `key` is true; made at first use.

        Inside a deferred function's own events, reads belong to another list: their atoms are arbitrary.
        """
        if self.sink is not None and kind == "nonnull":
            kind, event = "free", None
            key = ("deferred", self.deferred, *key)
        if key not in self._variables:
            index = len(self.atoms)
            name = f"{kind[0]}{index}"
            self.atoms.append(Atom(name, kind, text, event, str(key[-1]) if kind == "stable" else ""))  # type: ignore[arg-type]
            self._variables[key] = self.bdd.variable(index)
            return self._variables[key]
        found = self._variables[key]
        if self.known:
            fixed = self.known.get(self.bdd.top(found))
            if fixed is not None:
                return TRUE if fixed else FALSE
        return found

    def enter(self) -> tuple[int, int, dict[int, bool]]:
        """Begin an activation under the current condition; what `leave` wants back at its end."""
        saved = self.condition, self.base, self.known
        if self.condition != TRUE:
            self.base = self.widen(self.bdd.conjoin(self.base, self.condition))
            literals = self.bdd.implied(self.condition)
            if literals:
                self.known = self.known | dict(literals)
            self.condition = TRUE
        return saved

    def leave(self, saved: tuple[int, int, dict[int, bool]]) -> None:
        """End an activation: back under the condition that it was begun under."""
        self.condition, self.base, self.known = saved

    def whole(self, pending: Pending) -> int:
        """The path condition of an event, from the program's start."""
        return self.bdd.conjoin(pending.base, pending.local)

    def fresh(self, text: str) -> int:
        """A new arbitrary condition."""
        return self.atom("free", ("fresh", len(self.atoms)), text)

    def widen(self, condition: int, most: int = MAX_NODES) -> int:
        """`condition`, or if it has more than `most` nodes, a new atom that is defined to be it, with the
        literals that it implies.

        The diagrams then know nothing else of it, but the program keeps the definition.
        """
        if not self.bdd.is_large(condition, most):
            return condition
        if condition not in self._defined:
            index = len(self.atoms)
            self.atoms.append(Atom(f"d{index}", "defined"))
            self._definitions[index] = condition
            result = self.bdd.variable(index)
            literals = self.bdd.implied(condition)[::-1]
            telling = [known for known in literals if self.atoms[known[0]].kind != "free"]
            telling += [known for known in literals if self.atoms[known[0]].kind == "free"]
            for var, positive in telling[:MAX_LITERALS]:
                literal = self.bdd.variable(var)
                result = self.bdd.conjoin(result, literal if positive else self.bdd.negate(literal))
            self._defined[condition] = result
        return self._defined[condition]

    def _written(self, index: int, parts: dict[int, str]) -> list[Atom]:
        """Atom `index` with its definition written out, after those atoms that the definition needs: one for
        each inner part of a condition that is too long for one sum of products. `parts` remembers them."""
        if index not in self._definitions:
            return [self.atoms[index]]
        before: list[Atom] = []
        definition = self._definition(self._definitions[index], before, parts)
        return [*before, replace(self.atoms[index], definition=definition)]

    def _definition(self, condition: int, before: list[Atom], parts: dict[int, str]) -> Guard:
        if not self.bdd.is_large(condition, MAX_SUM):
            cubes = self.bdd.products(condition, MAX_CUBES)
            if cubes is not None:
                return self._cubes(cubes)
        var, low, high = self.bdd.split(condition)
        found: list[Cube] = []
        for side, positive in ((low, False), (high, True)):
            literal = (self.atoms[var].name, positive)
            if side == TRUE:
                found.append((literal,))
            elif side != FALSE:
                if side not in parts:
                    definition = self._definition(side, before, parts)
                    parts[side] = f"p{side}"
                    before.append(Atom(parts[side], "defined", definition=definition))
                found.append((literal, (parts[side], True)))
        return tuple(found)

    def _cubes(self, cubes: tuple[tuple[tuple[int, bool], ...], ...]) -> Guard:
        return tuple(tuple((self.atoms[v].name, positive) for v, positive in cube) for cube in cubes)

    def gap(self, reason: str, source: Source) -> None:
        """Note that something under the current condition was not understood."""
        self.gaps.append((reason, source, self.base, self.condition))

    def guard(self, condition: int) -> Guard:
        """A path condition as the guard of an event; one too large becomes an arbitrary condition."""
        if condition == FALSE:
            return NEVER
        if condition not in self._guards:
            self._guards[condition] = self._cubes(self.bdd.products(self.widen(condition)) or ())
        return self._guards[condition]

    def summarise(self) -> None:
        """Give every event under a defined condition a shorter guard: the tests for NULL, of configuration
        and of last references that the condition implies, and one arbitrary atom that stands for the rest.

        For programs so long that their path conditions fill more room than anyone reads. Events under one
        condition still happen together; two conditions that excluded each other may hold together.
        """
        telling = [a.kind in ("nonnull", "stable") or a.text.endswith(LAST_REFERENCE) for a in self.atoms]
        told: dict[int, frozenset[tuple[int, bool]]] = {TRUE: frozenset()}
        own = [frozenset({(v, False)}) if t else frozenset[tuple[int, bool]]() for v, t in enumerate(telling)]
        literals = own, list[frozenset[tuple[int, bool]]]()
        for index, tells in enumerate(telling):
            definition = self._definitions.get(index)
            # A definition speaks of earlier atoms alone.
            implied = frozenset() if definition is None else self.bdd.gathered(definition, literals, told)
            literals[1].append(implied | {(index, True)} if tells else implied)
        short: dict[int, int] = {}

        def summary(condition: int) -> int:
            if condition not in short:
                if all(telling[v] for v in self.bdd.support(condition)) and not self.bdd.is_large(
                    condition, MAX_NODES
                ):
                    short[condition] = condition
                else:
                    result = self.fresh("an earlier condition")
                    found = self.bdd.gathered(condition, literals, told)
                    for var, positive in sorted(found, key=self._rank)[:MAX_LITERALS]:
                        known = self.bdd.variable(var)
                        result = self.bdd.conjoin(result, known if positive else self.bdd.negate(known))
                    short[condition] = result if condition != FALSE else FALSE
            return short[condition]

        numbers = {a.name: i for i, a in enumerate(self.atoms)}

        written: dict[Guard, Guard] = {}

        def shorter(guard: Guard) -> Guard:
            """The same done to a guard that is written out already."""
            if guard not in written:
                found: set[Cube] = set()
                for cube in guard:
                    condition = TRUE
                    for name, positive in cube:
                        variable = self.bdd.variable(numbers[name])
                        condition = self.bdd.conjoin(
                            condition, variable if positive else self.bdd.negate(variable)
                        )
                    found |= set(self.guard(summary(condition)))
                written[guard] = tuple(sorted(found))
            return written[guard]

        def later(event: Event) -> Event:
            """A deferred event with a shorter guard."""
            return replace(event, guard=shorter(event.guard), then=tuple(map(later, event.then)))

        for pending in self.events:
            pending.base, pending.local = TRUE, summary(self.whole(pending))
            if pending.event.then:
                pending.event = replace(pending.event, then=tuple(map(later, pending.event.then)))
        self.gaps = [
            (reason, source, TRUE, summary(self.bdd.conjoin(base, local)))
            for reason, source, base, local in self.gaps
        ]

    def _rank(self, literal: tuple[int, bool]) -> tuple[bool, int]:
        """Last references first: they are what a summary is read for."""
        return self.atoms[literal[0]].kind != "free", literal[0]

    def _kept(self, matters: Callable[[Event], bool]) -> list[int]:
        """Indices of the events that can happen and matter, with those that they depend on; less reads that
        an earlier one stands for: of the same object, under the same condition, with nothing but reads
        between, and that nothing refers to."""
        able = [i for i, p in enumerate(self.events) if self.whole(p) != FALSE]
        todo = [i for i in able if self.events[i].event.kind != "fence" and matters(self.events[i].event)]
        needed: set[int] = set()
        tested: set[int] = set()
        referred: set[int | None] = set()
        self._need(todo, needed, tested, referred)
        # What a fence orders may stand on its other side in another method, or in the VFS.
        kinds = {self.events[i].event.kind for i in needed}
        todo += [
            i
            for i in able
            if self.events[i].event.kind == "fence" and kinds & _ACROSS[self.events[i].event.value]
        ]
        self._need(todo, needed, tested, referred)
        return self._without_repeated(needed, referred)

    def _need(self, todo: list[int], needed: set[int], tested: set[int], referred: set[int | None]) -> None:
        """Add the events `todo`, and what they depend on, to `needed`; `tested` are the atoms that were
        looked at, `referred` the reads that something depends on."""
        numbers = {a.name: i for i, a in enumerate(self.atoms)}
        while todo:
            index = todo.pop()
            if index in needed:
                continue
            needed.add(index)
            pending = self.events[index]
            referred.add(pending.event.via)
            if pending.event.via is not None:
                todo.append(pending.event.via)
            atoms = [*self.bdd.support(self.whole(pending)), *(numbers[n] for n in _names(pending.event))]
            while atoms:
                atom = atoms.pop()
                if atom in tested:
                    continue
                tested.add(atom)
                use = self.atoms[atom].event
                if use is not None:
                    referred.add(use)
                    todo.append(use)
                if atom in self._definitions:
                    atoms.extend(self.bdd.support(self._definitions[atom]))

    def _without_repeated(self, needed: set[int], referred: set[int | None]) -> list[int]:
        keep: list[int] = []
        seen: set[tuple[object, ...]] = set()
        for index in sorted(needed):
            pending = self.events[index]
            event = pending.event
            if event.kind != "read":
                seen.clear()
            elif index not in referred:
                same = (event.object, event.via, self.whole(pending), event.debug)
                if same in seen:
                    continue
                seen.add(same)
            keep.append(index)
        return keep

    def finished(
        self, matters: Callable[[Event], bool] = lambda _: True
    ) -> tuple[tuple[Event, ...], tuple[Atom, ...], tuple[Gap, ...]]:
        """The events with their guards, the atoms, and the gaps. Events that never happen are kept out;
        indices (`via`, atoms' events) are renumbered accordingly. Only events that `matters` accepts are
        kept, with those that they depend on, and only atoms that a guard names."""
        keep = self._kept(matters)
        number = {old: new for new, old in enumerate(keep)}
        events = tuple(
            replace(
                self.events[i].event,
                guard=self.guard(self.whole(self.events[i])),
                via=_renumbered(self.events[i].event.via, number),
            )
            for i in keep
        )
        gaps = tuple(
            Gap(reason, source, self.guard(condition))
            for reason, source, base, local in self.gaps
            if (condition := self.bdd.conjoin(base, local)) != FALSE
        )
        named = {name for e in events for name in _names(e)} | {
            n for g in gaps for cube in g.guard for n, _ in cube
        }
        needed: list[int] = []
        for index, atom in reversed(list(enumerate(self.atoms))):
            if atom.name in named:
                needed.append(index)
                if index in self._definitions:
                    named |= {self.atoms[v].name for v in self.bdd.support(self._definitions[index])}
        parts: dict[int, str] = {}
        atoms = tuple(
            a if a.event is None or a.event in number else Atom(a.name, "free", a.text)
            for index in reversed(needed)
            for a in self._written(index, parts)
        )
        atoms = tuple(replace(a, event=number[a.event]) if a.event is not None else a for a in atoms)
        return events, atoms, gaps


def _renumbered(via: int | None, number: dict[int, int]) -> int | None:
    return None if via is None else number.get(via)


def _names(event: Event) -> set[str]:
    """The atoms that the guard of `event`, or of what it defers, speaks of."""
    found = {name for cube in event.guard for name, _ in cube}
    for then in event.then:
        found |= _names(then)
    return found
