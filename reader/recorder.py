"""What an abstract execution writes down: events under path conditions, the atoms of those, and gaps."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from ..spec.program import FALSE as NEVER
from ..spec.program import Atom, Event, Gap, Guard, Source
from .bdd import FALSE, TRUE, Bdd

MAX_CUBES = 64
MAX_NODES = 12
MAX_DEFINED = 150
MAX_LITERALS = 16
MAX_EVENTS = 40_000


LAST_REFERENCE = "drops the last reference"


class Abandon(Exception):
    """The execution grew past a stated limit; the program's gap says which."""


@dataclass
class Pending:
    """An event with its guard still a path condition."""

    event: Event
    condition: int


@dataclass
class Recorder:
    """Collects the events of one program. `condition` is the path condition under which execution is now."""

    bdd: Bdd = field(init=False)
    condition: int = TRUE
    events: list[Pending] = field(default_factory=list)
    atoms: list[Atom] = field(default_factory=list)
    gaps: list[tuple[str, Source, int]] = field(default_factory=list)
    assumptions: dict[str, None] = field(default_factory=dict)
    debug: int = 0
    sink: list[Pending] | None = None
    _variables: dict[tuple[object, ...], int] = field(default_factory=dict)
    _defined: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.bdd = Bdd(lambda: self.fresh("a condition too large to follow"))

    def emit(self, event: Event, condition: int | None = None) -> int:
        """Append `event` under the current condition (and `condition`); its index."""
        under = self.widen(
            self.condition if condition is None else self.bdd.conjoin(self.condition, condition)
        )
        target = self.events if self.sink is None else self.sink
        if len(target) >= MAX_EVENTS:
            self.gap(f"more than {MAX_EVENTS} events", event.source)
            raise Abandon
        target.append(Pending(event, under))
        return len(target) - 1

    def atom(self, kind: str, key: tuple[object, ...], text: str, event: int | None = None) -> int:
        """The condition that the atom identified by `key` is true; made at first use.

        Inside a deferred function's own events, reads belong to another list: their atoms are arbitrary.
        """
        if self.sink is not None and kind == "nonnull":
            kind, event = "free", None
            key = ("deferred", id(self.sink), *key)
        if key not in self._variables:
            index = len(self.atoms)
            name = f"{kind[0]}{index}"
            self.atoms.append(Atom(name, kind, text, event, str(key[-1]) if kind == "stable" else ""))  # type: ignore[arg-type]
            self._variables[key] = self.bdd.variable(index)
        return self._variables[key]

    def fresh(self, text: str) -> int:
        """A new arbitrary condition."""
        return self.atom("free", ("fresh", len(self.atoms)), text)

    def widen(self, condition: int) -> int:
        """`condition`, or if it has grown large, a new atom that is defined to be it, with the literals that
        it implies.

        The diagrams then know nothing else of it, but the program keeps the definition. Only where that is
        too long to write down is the atom arbitrary: every real execution is still there, it is the one in
        which the atom is true exactly where the old condition was.
        """
        if not self.bdd.is_large(condition, MAX_NODES):
            return condition
        if condition not in self._defined:
            cubes = self.bdd.products(condition)
            if len(cubes) <= MAX_CUBES:
                result = self._define(self._cubes(cubes))
            else:
                result = self.fresh("an earlier condition")
            literals = self.bdd.implied(condition)
            literals.sort(key=lambda known: (self.atoms[known[0]].kind == "free", -known[0]))
            for var, positive in literals[:MAX_LITERALS]:
                literal = self.bdd.variable(var)
                result = self.bdd.conjoin(result, literal if positive else self.bdd.negate(literal))
            self._defined[condition] = result
        return self._defined[condition]

    def _define(self, definition: Guard) -> int:
        index = len(self.atoms)
        self.atoms.append(Atom(f"d{index}", "defined", "", definition=definition))
        return self.bdd.variable(index)

    def _cubes(self, cubes: tuple[tuple[tuple[int, bool], ...], ...]) -> Guard:
        return tuple(tuple((self.atoms[v].name, positive) for v, positive in cube) for cube in cubes)

    def gap(self, reason: str, source: Source) -> None:
        """Note that something under the current condition was not understood."""
        self.gaps.append((reason, source, self.condition))

    def guard(self, condition: int) -> Guard:
        """A path condition as the guard of an event; one too large becomes an arbitrary condition."""
        if condition == FALSE:
            return NEVER
        return self._cubes(self.bdd.products(self.widen(condition)))

    def summarise(self) -> None:
        """Give every event under a defined condition a shorter guard: the tests for NULL, of configuration
        and of last references that the condition implies, and one arbitrary atom that stands for the rest.

        For programs so long that their path conditions fill more room than anyone reads. Events under one
        condition still happen together; two conditions that excluded each other may hold together.
        """
        telling = [a.kind in ("nonnull", "stable") or a.text.endswith(LAST_REFERENCE) for a in self.atoms]
        numbers = {a.name: i for i, a in enumerate(self.atoms)}
        implied: list[frozenset[tuple[int, bool]]] = []
        for index, atom in enumerate(self.atoms):
            own = frozenset({(index, True)}) if telling[index] else frozenset[tuple[int, bool]]()
            cubes = [
                self._literals(((numbers[n], p) for n, p in cube), implied, telling)
                for cube in atom.definition
            ]
            implied.append(own.union(frozenset.intersection(*cubes)) if cubes else own)
        short: dict[int, int] = {}
        for pending in self.events:
            condition = pending.condition
            if condition not in short:
                literals = self._literals(self.bdd.implied(condition), implied, telling)
                result = (
                    TRUE
                    if all(telling[v] for v in self.bdd.support(condition))
                    and not self.bdd.is_large(condition, MAX_NODES)
                    else self.fresh("an earlier condition")
                )
                if result == TRUE:
                    result = condition
                else:
                    for var, positive in sorted(literals, key=self._rank)[:MAX_LITERALS]:
                        literal = self.bdd.variable(var)
                        result = self.bdd.conjoin(result, literal if positive else self.bdd.negate(literal))
                short[condition] = result if condition != FALSE else FALSE
            pending.condition = short[condition]

    def _rank(self, literal: tuple[int, bool]) -> tuple[bool, int]:
        """Last references first: they are what a summary is read for."""
        return self.atoms[literal[0]].kind != "free", literal[0]

    def _literals(
        self,
        literals: Iterable[tuple[int, bool]],
        implied: list[frozenset[tuple[int, bool]]],
        telling: list[bool],
    ) -> frozenset[tuple[int, bool]]:
        found: set[tuple[int, bool]] = set()
        for var, positive in literals:
            if telling[var]:
                found.add((var, positive))
            if positive and var < len(implied):
                found |= implied[var]
        return frozenset(found)

    def _kept(self, matters: Callable[[Event], bool]) -> list[int]:
        """Indices of the events that can happen and matter, with those that they depend on; less reads that
        an earlier one stands for: of the same object, under the same condition, with nothing but reads
        between, and that nothing refers to."""
        numbers = {a.name: i for i, a in enumerate(self.atoms)}
        todo = [i for i, p in enumerate(self.events) if p.condition != FALSE and matters(p.event)]
        needed: set[int] = set()
        tested: set[int] = set()
        referred: set[int | None] = set()
        while todo:
            index = todo.pop()
            if index in needed:
                continue
            needed.add(index)
            pending = self.events[index]
            referred.add(pending.event.via)
            if pending.event.via is not None:
                todo.append(pending.event.via)
            atoms = [*self.bdd.support(pending.condition), *(numbers[n] for n in _names(pending.event))]
            while atoms:
                atom = atoms.pop()
                if atom in tested:
                    continue
                tested.add(atom)
                use = self.atoms[atom].event
                if use is not None:
                    referred.add(use)
                    todo.append(use)
                atoms.extend(numbers[n] for cube in self.atoms[atom].definition for n, _ in cube)
        keep: list[int] = []
        seen: set[tuple[object, ...]] = set()
        for index in sorted(needed):
            pending = self.events[index]
            event = pending.event
            if event.kind != "read":
                seen.clear()
            elif index not in referred:
                same = (event.object, event.via, pending.condition, event.debug)
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
                guard=self.guard(self.events[i].condition),
                via=_renumbered(self.events[i].event.via, number),
            )
            for i in keep
        )
        gaps = tuple(
            Gap(reason, source, self.guard(condition))
            for reason, source, condition in self.gaps
            if condition != FALSE
        )
        named = {name for e in events for name in _names(e)} | {
            n for g in gaps for cube in g.guard for n, _ in cube
        }
        for atom in reversed(self.atoms):
            if atom.name in named:
                named |= {n for cube in atom.definition for n, _ in cube}
        atoms = tuple(
            a if a.event is None or a.event in number else Atom(a.name, "free", a.text)
            for a in self.atoms
            if a.name in named
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
