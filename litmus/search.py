"""All candidate executions of a litmus test, pruned early, and what a memory model says of them.

The axioms of both models forbid more the more ``rf`` and ``co`` relate. So an execution whose reads and writes are
placed location by location is given up as soon as what is placed breaks one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..encodings.execution import Event, EventStructure, Execution, Kind, Tag, Value
from ..encodings.models import Broken, Judge, MemoryModel
from ..encodings.relations import Relation
from .syntax import TRUE, And, Condition, Constant, Equal, Not, Of, Test
from .threads import TooManyError, Trace, traces, written
from .syntax import UnsupportedError as Unsupported


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
    """A trace with what the search asks of it."""

    trace: Trace
    final: dict[Of, Value]
    needs: frozenset[tuple[str, Value]]
    gives: frozenset[tuple[str, Value]]


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
        self.threads = self._traces()
        self.candidates = 0
        self.structures = 0

    # ------------------------------------------------------------------------------- what threads can do

    def _traces(self) -> list[list[_Thread]]:
        domains: dict[str, list[Value]] = {name: [value] for name, value in self.initial.items()}
        while True:
            self._in_time()
            found = [traces(t, domains) for t in self.test.threads]
            grown = False
            # A value is made by a chain of writes, each of them once.
            longest = sum(max(_writes(t) for t in each) for each in found)
            for each in found:
                for location, value in written(each):
                    domain = domains.setdefault(location, [self.initial.setdefault(location, 0)])
                    if value not in domain:
                        domain.append(value)
                        grown = True
            self.rounds = getattr(self, "rounds", 0) + 1
            if not grown or self.rounds > longest + 1:
                break
        return [[self._thread(i, t) for t in each] for i, each in enumerate(found)]

    def _thread(self, number: int, trace: Trace) -> _Thread:
        final = {
            o: trace.registers.get(o.name, 0) for o in self.asked if o.thread == number
        }
        needs, gives = set(), set()
        for e in trace.events:
            if e.kind is Kind.READ:
                needs.add((e.location, e.value))
            elif e.kind is Kind.WRITE:
                gives.add((e.location, e.value))
        return _Thread(trace, final, frozenset(needs), frozenset(gives))

    def _in_time(self) -> None:
        if time.monotonic() > self.deadline:
            raise OutOfTimeError

    # ------------------------------------------------------------------------------------- the executions

    def executions(self, condition: Condition = TRUE) -> Iterator[tuple[Execution, Judge]]:
        """Every execution that the model allows and whose final values meet `condition`.

        TooManyError, OutOfTimeError; Unsupported if one of them goes wrong in a way that has no meaning.
        """
        given = frozenset(self.initial.items())
        left = []
        for each in self.threads:
            left.append([t for t in each if decide(condition, t.final) is not False])
        # A trace that reads what nobody writes is in no execution.
        while True:
            everywhere = given.union(*(t.gives for each in left for t in each))
            kept = [[t for t in each if t.needs <= everywhere] for each in left]
            if kept == left:
                break
            left = kept
        if not all(left):
            return
        offers: list[frozenset[tuple[str, Value]]] = [given]
        for each in reversed(left):
            offers.append(offers[-1].union(*(t.gives for t in each)))
        offers.reverse()
        yield from self._choose(condition, left, offers, [], {}, given, frozenset())

    def _choose(
        self,
        condition: Condition,
        left: list[list[_Thread]],
        offers: list[frozenset[tuple[str, Value]]],
        chosen: list[_Thread],
        known: dict[Of, Value],
        given: frozenset[tuple[str, Value]],
        needed: frozenset[tuple[str, Value]],
    ) -> Iterator[tuple[Execution, Judge]]:
        at = len(chosen)
        if at == len(left):
            self._in_time()
            yield from self._placed(condition, chosen, known)
            return
        for t in left[at]:
            now_known = {**known, **t.final}
            if t.final and decide(condition, now_known) is False:
                continue
            now_given, now_needed = given | t.gives, needed | t.needs
            if now_needed <= now_given | offers[at + 1]:
                yield from self._choose(
                    condition, left, offers, [*chosen, t], now_known, now_given, now_needed
                )

    def _placed(
        self, condition: Condition, chosen: list[_Thread], known: dict[Of, Value]
    ) -> Iterator[tuple[Execution, Judge]]:
        self.structures += 1
        structure = _structure(self.initial, [t.trace for t in chosen])
        judge = self.model.over(structure)
        places = []
        for location in _Location.all(structure):
            ways = list(location.ways(self._in_time))
            if Of(location.name) in self.asked:
                ways = [
                    w for w in ways if decide(condition, {**known, Of(location.name): w.final}) is not False
                ]
            if not ways:
                return
            places.append((location.name, ways))
        places.sort(key=lambda p: len(p[1]))
        n = len(structure)
        fault = next((t.trace.fault for t in chosen if t.trace.fault), "")
        for rf, co in self._ways(condition, places, 0, known, judge, Relation.empty(n), Relation.empty(n)):
            if fault:
                raise Unsupported(fault)
            yield Execution(structure, rf, co), judge

    def _ways(
        self,
        condition: Condition,
        places: Sequence[tuple[str, list[_Way]]],
        at: int,
        known: dict[Of, Value],
        judge: Judge,
        rf: Relation,
        co: Relation,
    ) -> Iterator[tuple[Relation, Relation]]:
        forced = at
        while forced < len(places) and len(places[forced][1]) == 1:
            name, (way,) = places[forced]
            rf, co = rf | way.rf, co | way.co
            known = {**known, Of(name): way.final}
            forced += 1
        if forced > at or at == len(places):
            self.candidates += 1
            if decide(condition, known) is False or judge.broken(rf, co) is not None:
                return
            at = forced
        if at == len(places):
            yield rf, co
            return
        name, ways = places[at]
        for way in ways:
            self._in_time()
            now_rf, now_co = rf | way.rf, co | way.co
            now_known = {**known, Of(name): way.final}
            if decide(condition, now_known) is False:
                continue
            self.candidates += 1
            if judge.broken(now_rf, now_co) is not None:
                continue
            if at + 1 == len(places):
                yield now_rf, now_co
            else:
                yield from self._ways(condition, places, at + 1, now_known, judge, now_rf, now_co)

    def forbidden(self, condition: Condition) -> tuple[Execution, Broken] | None:
        """One candidate execution that meets the condition and that the model forbids, and why."""
        return None


def _writes(trace: Trace) -> int:
    return sum(e.kind is Kind.WRITE for e in trace.events)


def _structure(initial: Mapping[str, Value], chosen: Sequence[Trace]) -> EventStructure:
    """The event structure of one trace a thread, the initial writes of what they access first."""
    touched = {e.location for t in chosen for e in t.events if e.location}
    touched.update(initial)
    events = [
        Event(Kind.WRITE, None, frozenset({Tag.INIT}), name, initial.get(name, 0)) for name in sorted(touched)
    ]
    po: list[int] = [0] * len(events)
    named: dict[str, list[tuple[int, int]]] = {"addr": [], "data": [], "ctrl": [], "rmw": []}
    for trace in chosen:
        start, end = len(events), len(events) + len(trace.events)
        events += trace.events
        po += [(1 << end) - (2 << i) for i in range(start, end)]
        for name, pairs in named.items():
            pairs += [(a + start, b + start) for a, b in getattr(trace, name)]
    n = len(events)
    return EventStructure(events, Relation(po), **{k: Relation.pairs(n, v) for k, v in named.items()})


@dataclass(frozen=True, slots=True)
class _Way:
    """One way in which the accesses to a location may be placed, and the value that is left there."""

    rf: Relation
    co: Relation
    final: Value


class _Location:
    """The accesses to one location: in which orders its writes can come, and what its reads can read, so that
    the location by itself is coherent and read-modify-writes are atomic."""

    def __init__(self, name: str, structure: EventStructure, accesses: list[int]) -> None:
        self.name, self.structure = name, structure
        events = structure.events
        self.events = events
        self.start = next(i for i in accesses if events[i].thread is None)
        self.writes = [i for i in accesses if events[i].kind is Kind.WRITE and events[i].thread is not None]
        self.reads = [i for i in accesses if events[i].kind is Kind.READ]
        self.threads: dict[int, list[int]] = {}
        for i in accesses:
            thread = events[i].thread
            if thread is not None:
                self.threads.setdefault(thread, []).append(i)
        self.read_of = {w: r for r, w in structure.rmw}

    @classmethod
    def all(cls, structure: EventStructure) -> list[_Location]:
        where: dict[str, list[int]] = {}
        for i, e in enumerate(structure.events):
            if e.kind in (Kind.READ, Kind.WRITE):
                where.setdefault(e.location, []).append(i)
        return [cls(name, structure, accesses) for name, accesses in where.items()]

    def ways(self, tick: object) -> Iterator[_Way]:
        n = len(self.events)
        for order in self._orders([self.start], self.writes):
            rank = {w: i for i, w in enumerate(order)}
            co = [0] * n
            later = 0
            for w in reversed(order):
                co[w] = later
                later |= 1 << w
            final = self.events[order[-1]].value
            for pairs in self._reads(order, rank, list(self.threads.values()), {}):
                rf = [0] * n
                for r, w in pairs.items():
                    rf[w] |= 1 << r
                yield _Way(Relation(rf), Relation(co), final)

    def _orders(self, placed: list[int], left: list[int]) -> Iterator[list[int]]:
        """The orders of the writes that agree with program order and in which read-modify-writes follow what
        they read."""
        if not left:
            yield placed
            return
        po = self.structure.po
        value = self.events[placed[-1]].value
        for w in left:
            if any((other, w) in po for other in left):
                continue
            r = self.read_of.get(w)
            if r is not None and self.events[r].value != value:
                continue
            yield from self._orders([*placed, w], [x for x in left if x != w])

    def _reads(
        self, order: list[int], rank: dict[int, int], threads: list[list[int]], found: dict[int, int]
    ) -> Iterator[dict[int, int]]:
        if not threads:
            yield found
            return
        for more in self._thread(order, rank, threads[0], 0, 0, {}):
            yield from self._reads(order, rank, threads[1:], {**found, **more})

    def _thread(
        self, order: list[int], rank: dict[int, int], accesses: list[int], at: int, least: int, found: dict[int, int]
    ) -> Iterator[dict[int, int]]:
        """Where the reads of one thread can read from, each at or after `least` in the order of writes."""
        while at < len(accesses) and accesses[at] in rank:
            place = rank[accesses[at]]
            if place < least:
                return
            least = place
            at += 1
        if at == len(accesses):
            yield found
            return
        r = accesses[at]
        value = self.events[r].value
        # It sees nothing that its own thread writes later.
        limit = min((rank[x] for x in accesses[at + 1 :] if x in rank), default=len(order))
        partner = next((w for w, x in self.read_of.items() if x == r), None)
        for place in range(least, limit):
            w = order[place]
            if self.events[w].value != value:
                continue
            if partner is not None and rank[partner] != place + 1:
                # What comes between is another thread's, or its own and then in the wrong order.
                if any(self.events[x].thread != self.events[r].thread for x in order[place + 1 : rank[partner]]):
                    continue
            yield from self._thread(order, rank, accesses, at + 1, place, {**found, r: w})


__all__ = ["OutOfTimeError", "Search", "TooManyError", "decide"]
