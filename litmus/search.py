"""All candidate executions of a litmus test, pruned early, and what a memory model says of them.

The axioms of both models forbid more the more ``rf`` and ``co`` relate. So an execution whose reads and
writes are placed location by location is given up as soon as what is placed breaks one.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from ..encodings.execution import Event, EventStructure, Execution, Kind, Tag, Value
from ..encodings.models import Broken, Judge, MemoryModel
from ..encodings.relations import Relation
from .placing import Accesses, Placing, Way, Ways
from .syntax import (
    TRUE,
    And,
    Condition,
    Constant,
    Equal,
    Not,
    Of,
    Test,
)
from .syntax import UnsupportedError as Unsupported
from .threads import Trace
from .values import possible_traces


class OutOfTimeError(Exception):
    """The time that a test may take is over."""


Decided = bool | None
Final = Mapping[Of, Value]


def decide(condition: Condition, known: Final) -> Decided:
    """Whether the condition holds, as far as the known final values tell."""
    if isinstance(condition, Equal):
        left = known.get(condition.left)
        right = condition.right.value if isinstance(condition.right, Constant) else known.get(condition.right)
        return None if left is None or right is None else left == right
    if isinstance(condition, Not):
        inner = decide(condition.of, known)
        return None if inner is None else not inner
    all_, found = isinstance(condition, And), False
    for part in condition.parts:
        said = decide(part, known)
        if said is None:
            found = True
        elif said is not all_:
            return said
    return None if found else all_


def mentioned(condition: Condition) -> Iterator[Of]:
    """The final values that a condition asks for."""
    if isinstance(condition, Equal):
        yield condition.left
        if isinstance(condition.right, Of):
            yield condition.right
    elif isinstance(condition, Not):
        yield from mentioned(condition.of)
    else:
        for part in condition.parts:
            yield from mentioned(part)


@dataclass(frozen=True, slots=True)
class _Thread:
    """A trace with what the search asks of it: the registers that a condition mentions, what it reads and
    writes (sets of numbers of location and value), and its accesses by location."""

    trace: Trace
    final: dict[Of, Value]
    needs: int
    gives: int
    accesses: dict[str, tuple[Accesses, tuple[int, ...]]]


class Search:
    """The executions of one test that a model allows."""

    def __init__(self, test: Test, model: MemoryModel, deadline: float) -> None:
        self.test, self.model, self.deadline = test, model, deadline
        self.asked = sorted(
            {*mentioned(test.condition), *mentioned(test.filter)}, key=lambda o: (o.thread or -1, o.name)
        )
        self.initial: dict[str, Value] = dict(test.initial)
        for o in self.asked:
            if o.thread is None:
                self.initial.setdefault(o.name, 0)
            elif o.thread >= len(test.threads):
                raise Unsupported(f"the condition speaks of P{o.thread}, which is not there")
        self._numbers: dict[tuple[str, Value], int] = {}
        self._known_ways: dict[tuple[Value, tuple[Accesses, ...]], Ways] = {}
        self.threads = [
            [self._thread(i, t) for t in each]
            for i, each in enumerate(possible_traces(test, self.initial, self._in_time))
        ]
        self.refused: tuple[Execution, Broken] | None = None
        """A candidate that met the condition and that the model forbids."""

    # ------------------------------------------------------------------------------- what threads can do

    def _thread(self, number: int, trace: Trace) -> _Thread:
        final = {o: trace.registers.get(o.name, 0) for o in self.asked if o.thread == number}
        needs = gives = 0
        where: dict[str, list[int]] = {}
        for i, e in enumerate(trace.events):
            if e.kind is Kind.READ:
                needs |= self._bit(e.location, e.value)
            elif e.kind is Kind.WRITE:
                gives |= self._bit(e.location, e.value)
            else:
                continue
            where.setdefault(e.location, []).append(i)
        partner = {w: r for r, w in trace.rmw}
        accesses = {}
        for location, indices in where.items():
            said = []
            for i in indices:
                e = trace.events[i]
                of = indices.index(partner[i]) if i in partner else -1
                said.append((e.kind is Kind.WRITE, e.value, of))
            accesses[location] = (tuple(said), tuple(indices))
        return _Thread(trace, final, needs, gives, accesses)

    def _bit(self, location: str, value: Value) -> int:
        return 1 << self._numbers.setdefault((location, value), len(self._numbers))

    def _in_time(self) -> None:
        if time.monotonic() > self.deadline:
            raise OutOfTimeError

    # ------------------------------------------------------------------------------------- the executions

    def executions(self, condition: Condition = TRUE) -> Iterator[tuple[Execution, Judge]]:
        """Every execution that the model allows and whose final values meet `condition`.

        TooManyError, OutOfTimeError; Unsupported if one of them goes wrong in a way that has no meaning.
        """
        given = 0
        for location, value in self.initial.items():
            given |= self._bit(location, value)
        left = [[t for t in each if decide(condition, t.final) is not False] for each in self.threads]
        # A trace that reads what nobody writes is in no execution.
        while True:
            everywhere = given
            for each in left:
                for t in each:
                    everywhere |= t.gives
            kept = [[t for t in each if not t.needs & ~everywhere] for each in left]
            if [len(each) for each in kept] == [len(each) for each in left]:
                break
            left = kept
        if not all(left):
            return
        later = [0]
        for each in reversed(left):
            more = later[-1]
            for t in each:
                more |= t.gives
            later.append(more)
        later.reverse()
        # After which thread all accesses to a location are known.
        last: dict[str, int] = {}
        for i, each in enumerate(left):
            for t in each:
                for location in t.accesses:
                    last[location] = i
        ended = [[location for location, at in last.items() if at == i] for i in range(len(left))]
        yield from self._choose(_Plan(condition, left, later, ended), [], {}, given, 0)

    def _choose(
        self, plan: _Plan, chosen: list[_Thread], known: dict[Of, Value], given: int, needed: int
    ) -> Iterator[tuple[Execution, Judge]]:
        at = len(chosen)
        if at == len(plan.left):
            yield from self._placed(plan.condition, chosen, known)
            return
        self._in_time()
        later = plan.later[at + 1]
        for t in plan.left[at]:
            now_given, now_needed = given | t.gives, needed | t.needs
            if now_needed & ~(now_given | later):
                continue
            now_known = {**known, **t.final} if t.final else known
            if t.final and decide(plan.condition, now_known) is False:
                continue
            now = [*chosen, t]
            if all(self._ways_of(location, now).first(1) for location in plan.ended[at]):
                yield from self._choose(plan, now, now_known, now_given, now_needed)

    def _ways_of(self, location: str, chosen: Sequence[_Thread]) -> Ways:
        """The ways in which a location's accesses can be placed; known from before if they were the same."""
        accesses = tuple(t.accesses[location][0] for t in chosen if location in t.accesses)
        key = (self.initial.get(location, 0), accesses)
        found = self._known_ways.get(key)
        if found is None:
            found = self._known_ways[key] = Ways(Placing(*key, self._in_time).ways())
        return found

    def _placed(
        self, condition: Condition, chosen: list[_Thread], known: dict[Of, Value]
    ) -> Iterator[tuple[Execution, Judge]]:
        structure, initial, starts = _structure(self.initial, [t.trace for t in chosen])
        judge = self.model.over(structure)
        places = []
        for location, first in initial.items():
            ways = self._ways_of(location, chosen)
            if Of(location) in self.asked:
                ways = Ways(_meeting(condition, known, location, ways))
            if not ways.first(1):
                return
            events = [first]
            for t, start in zip(chosen, starts, strict=True):
                if location in t.accesses:
                    events += [start + i for i in t.accesses[location][1]]
            places.append(_Place(location, events, ways))
        places.sort(key=lambda p: len(p.ways.first(_FEW)))
        n = len(structure)
        fault = next((t.trace.fault for t in chosen if t.trace.fault), "")
        none = Relation.empty(n)
        for rf, co in self._combined(condition, places, 0, known, (structure, judge), none, none):
            if fault:
                raise Unsupported(fault)
            yield Execution(structure, rf, co), judge

    def _allowed(self, on: tuple[EventStructure, Judge], rf: Relation, co: Relation) -> bool:
        broken = on[1].broken(rf, co)
        if broken is not None and self.refused is None:
            self.refused = Execution(on[0], rf, co), broken
        return broken is None

    def _combined(
        self,
        condition: Condition,
        places: Sequence[_Place],
        at: int,
        known: dict[Of, Value],
        on: tuple[EventStructure, Judge],
        rf: Relation,
        co: Relation,
    ) -> Iterator[tuple[Relation, Relation]]:
        """The ways of all locations together that the model allows."""
        forced = at
        while forced < len(places) and len(places[forced].ways.first(2)) == 1:
            forced += 1
        if forced > at or at == len(places):
            rows = list(rf.rows), list(co.rows)
            known = dict(known)
            for place in places[at:forced]:
                (only,) = place.ways.first(1)
                place.add(only, *rows)
                known[Of(place.location)] = only.final
            rf, co = Relation(rows[0]), Relation(rows[1])
            if decide(condition, known) is False or not self._allowed(on, rf, co):
                return
            at = forced
        if at == len(places):
            yield rf, co
            return
        place = places[at]
        for way in place.ways:
            self._in_time()
            now_known = {**known, Of(place.location): way.final}
            if decide(condition, now_known) is False:
                continue
            rows = list(rf.rows), list(co.rows)
            place.add(way, *rows)
            now_rf, now_co = Relation(rows[0]), Relation(rows[1])
            if not self._allowed(on, now_rf, now_co):
                continue
            if at + 1 == len(places):
                yield now_rf, now_co
            else:
                yield from self._combined(condition, places, at + 1, now_known, on, now_rf, now_co)

    @cached_property
    def flags_vary(self) -> bool:
        """Whether what a model flags can be more in one execution than in another: some access is plain and
        the model has races, or some trace misuses a lock or a section."""
        found = [t.trace for each in self.threads for t in each if not t.trace.fault]
        return (self.model.races and any(map(_unmarked, found))) or not all(map(_balanced, found))


def _unmarked(trace: Trace) -> bool:
    return any(not e.tags and e.kind in (Kind.READ, Kind.WRITE) for e in trace.events)


def _balanced(trace: Trace) -> bool:
    """Whether each section and lock that a thread leaves is one that it entered, and each section that it
    enters is left. No model flags a lock that is kept."""
    depth = 0
    held: set[str] = set()
    srcu: dict[str, int] = {}
    for e in trace.events:
        depth += (Tag.RCU_LOCK in e.tags) - (Tag.RCU_UNLOCK in e.tags)
        if Tag.LKW in e.tags:
            held.add(e.location)
        if Tag.SRCU_LOCK in e.tags or Tag.SRCU_UNLOCK in e.tags:
            srcu[e.location] = srcu.get(e.location, 0) + (1 if Tag.SRCU_LOCK in e.tags else -1)
        if depth < 0 or (Tag.SYNC_SRCU in e.tags and depth) or (Tag.UL in e.tags and e.location not in held):
            return False
        if Tag.UL in e.tags:
            held.discard(e.location)
    return not depth and not any(srcu.values())


def _meeting(
    condition: Condition, known: Mapping[Of, Value], location: str, ways: Iterable[Way]
) -> Iterator[Way]:
    """The ways that leave in the location what the condition can be met with."""
    for way in ways:
        if decide(condition, {**known, Of(location): way.final}) is not False:
            yield way


def _structure(
    initial: Mapping[str, Value], chosen: Sequence[Trace]
) -> tuple[EventStructure, dict[str, int], list[int]]:
    """The event structure of one trace a thread; by location its initial write; and where each trace
    starts."""
    touched = {e.location for t in chosen for e in t.events if e.location}
    touched.update(initial)
    first = {name: i for i, name in enumerate(sorted(touched))}
    tag = frozenset({Tag.INIT})
    events = [Event(Kind.WRITE, None, tag, name, initial.get(name, 0)) for name in first]
    po: list[int] = [0] * len(events)
    named: dict[str, list[tuple[int, int]]] = {"addr": [], "data": [], "ctrl": [], "rmw": []}
    starts = []
    for trace in chosen:
        start, end = len(events), len(events) + len(trace.events)
        starts.append(start)
        events += trace.events
        po += [(1 << end) - (2 << i) for i in range(start, end)]
        for name, pairs in named.items():
            pairs += [(a + start, b + start) for a, b in getattr(trace, name)]
    n = len(events)
    related = {name: Relation.pairs(n, pairs) for name, pairs in named.items()}
    return EventStructure(events, Relation(po), **related), first, starts


@dataclass(frozen=True, slots=True)
class _Plan:
    """What one search goes through: the condition, the traces of each thread, what later threads can write,
    and the locations that no later thread accesses."""

    condition: Condition
    left: list[list[_Thread]]
    later: list[int]
    ended: list[list[str]]


_FEW = 100
"""Ways of a location that are counted; those with more are all placed last."""


@dataclass(frozen=True, slots=True)
class _Place:
    """One location in one structure: the events that its accesses are, and its ways."""

    location: str
    events: list[int]
    ways: Ways

    def add(self, way: Way, rf: list[int], co: list[int]) -> None:
        """Add the pairs of `way` to the rows of two relations."""
        events = self.events
        later = 0
        for w in reversed(way.order):
            co[events[w]] |= later
            later |= 1 << events[w]
        for r, w in way.reads:
            rf[events[w]] |= 1 << events[r]
