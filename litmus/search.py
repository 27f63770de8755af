"""All candidate executions of a litmus test, pruned early, and what a memory model says of them.

The axioms of both models forbid more the more ``rf`` and ``co`` relate. So an execution whose reads and
writes are placed location by location is given up as soon as what is placed breaks one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice, product

from ..encodings.execution import Event, EventStructure, Execution, Kind, Tag, Value
from ..encodings.models import Judge, MemoryModel
from ..encodings.relations import Relation
from .syntax import (
    TRUE,
    And,
    Assign,
    Call,
    Condition,
    Constant,
    Equal,
    Expression,
    If,
    Not,
    Of,
    Operation,
    Statement,
    Test,
)
from .syntax import UnsupportedError as Unsupported
from .threads import TooManyError, Trace, traces, written


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
        self._known_ways: dict[tuple[Value, tuple[Accesses, ...]], _Ways] = {}
        self.threads = self._traces()
        self.candidates = 0
        self.structures = 0

    # ------------------------------------------------------------------------------- what threads can do

    def _traces(self) -> list[list[_Thread]]:
        domains: dict[str, list[Value]] = {name: [value] for name, value in self.initial.items()}
        found = self._closed(domains)
        circular = _circular(self.test, found)
        if circular:
            # Such a value may have come from nowhere: reads see it because they were written, and it was
            # written because they saw it. Any value can; those that the test speaks of, and one that it does
            # not.
            spoken = constants(self.test)
            numbers = sorted(v for v in spoken if isinstance(v, int))
            addresses = sorted(v for v in spoken if isinstance(v, str))
            for location in circular:
                domain = domains[location]
                pointer = any(isinstance(v, str) for v in domain)
                more: list[Value] = [*addresses] if pointer else [*numbers, numbers[-1] + 1]
                domain += [v for v in more if v not in domain]
            found = self._closed(domains)
        return [[self._thread(i, t) for t in each] for i, each in enumerate(found)]

    def _closed(self, domains: dict[str, list[Value]]) -> list[list[Trace]]:
        """The traces of each thread, once `domains` have every value that one of them writes."""
        rounds = 0
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
            rounds += 1
            if not grown or rounds > longest + 1:
                return found

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

    def _ways_of(self, location: str, chosen: Sequence[_Thread]) -> _Ways:
        """The ways in which a location's accesses can be placed; known from before if they were the same."""
        accesses = tuple(t.accesses[location][0] for t in chosen if location in t.accesses)
        key = (self.initial.get(location, 0), accesses)
        found = self._known_ways.get(key)
        if found is None:
            found = self._known_ways[key] = _Ways(_Placing(*key, self._in_time).ways())
        return found

    def _placed(
        self, condition: Condition, chosen: list[_Thread], known: dict[Of, Value]
    ) -> Iterator[tuple[Execution, Judge]]:
        self.structures += 1
        structure, initial, starts = _structure(self.initial, [t.trace for t in chosen])
        judge = self.model.over(structure)
        places = []
        for location, first in initial.items():
            ways = self._ways_of(location, chosen)
            if Of(location) in self.asked:
                ways = _Ways(_meeting(condition, known, location, ways))
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
        for rf, co in self._combined(
            condition, places, 0, known, judge, Relation.empty(n), Relation.empty(n)
        ):
            if fault:
                raise Unsupported(fault)
            yield Execution(structure, rf, co), judge

    def _combined(
        self,
        condition: Condition,
        places: Sequence[_Place],
        at: int,
        known: dict[Of, Value],
        judge: Judge,
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
            self.candidates += 1
            if decide(condition, known) is False or judge.broken(rf, co) is not None:
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
            self.candidates += 1
            if judge.broken(now_rf, now_co) is not None:
                continue
            if at + 1 == len(places):
                yield now_rf, now_co
            else:
                yield from self._combined(condition, places, at + 1, now_known, judge, now_rf, now_co)

    @property
    def plain(self) -> bool:
        """Whether some access is plain."""
        accesses = (Kind.READ, Kind.WRITE)
        return any(
            not e.tags and e.kind in accesses for ts in self.threads for t in ts for e in t.trace.events
        )


def _meeting(
    condition: Condition, known: Mapping[Of, Value], location: str, ways: Iterable[_Way]
) -> Iterator[_Way]:
    """The ways that leave in the location what the condition can be met with."""
    for way in ways:
        if decide(condition, {**known, Of(location): way.final}) is not False:
            yield way


def _circular(test: Test, found: Sequence[Sequence[Trace]]) -> set[str]:
    """The locations whose values can depend on each other in a circle, through memory.

    A circle through one location alone is incoherent: each write in it comes after the one that was read.
    """
    leads: dict[str, set[str]] = {}
    for thread, each in zip(test.threads, found, strict=True):
        hidden = _assigns_in_branch(thread.body)
        for trace in each:
            events = trace.events
            for r, w in (*trace.addr, *trace.data, *trace.ctrl):
                if events[w].kind is Kind.WRITE:
                    leads.setdefault(events[r].location, set()).add(events[w].location)
            if hidden:
                # A register that was set in one branch of two bears no dependency, but the value does.
                seen: set[str] = set()
                for e in events:
                    if e.kind is Kind.READ:
                        seen.add(e.location)
                    elif e.kind is Kind.WRITE:
                        for location in seen:
                            leads.setdefault(location, set()).add(e.location)
    for location, others in leads.items():
        others.discard(location)
    circular = set()
    for start in leads:
        reached: set[str] = set()
        front = set(leads[start])
        while front:
            reached |= front
            front = {b for a in front for b in leads.get(a, ())} - reached
        if start in reached:
            circular.add(start)
    return circular


def _assigns_in_branch(body: Sequence[Statement], inside: bool = False) -> bool:
    for s in body:
        if isinstance(s, If):
            if _assigns_in_branch(s.then, True) or _assigns_in_branch(s.otherwise, True):
                return True
        elif inside and isinstance(s, Assign):
            return True
    return False


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


def _writes(trace: Trace) -> int:
    return sum(e.kind is Kind.WRITE for e in trace.events)


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


Accesses = tuple[tuple[bool, Value, int], ...]
"""What one thread does to one location, in program order: whether it writes, which value, and for the write
of a read-modify-write operation which of them is its read (else -1)."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """What one search goes through: the condition, the traces of each thread, what later threads can write,
    and the locations that no later thread accesses."""

    condition: Condition
    left: list[list[_Thread]]
    later: list[int]
    ended: list[list[str]]


@dataclass(frozen=True, slots=True)
class _Way:
    """One way in which the accesses to a location may be placed: its writes in order and what each read
    reads, as positions among the location's accesses (0 is the initial write); and the value that is left
    there."""

    order: tuple[int, ...]
    reads: tuple[tuple[int, int], ...]
    final: Value


_FEW = 100
"""Ways of a location that are counted; those with more are all placed last."""


class _Ways:
    """Ways, made when they are asked for and kept: there can be very many, and mostly few are looked at."""

    def __init__(self, source: Iterator[_Way]) -> None:
        self._source = source
        self._made: list[_Way] = []

    def first(self, n: int) -> list[_Way]:
        """The first `n`, or as many as there are."""
        self._made += islice(self._source, max(0, n - len(self._made)))
        return self._made[:n]

    def __iter__(self) -> Iterator[_Way]:
        at = 0
        while True:
            if at == len(self._made):
                self._made += islice(self._source, 1)
                if at == len(self._made):
                    return
            yield self._made[at]
            at += 1


@dataclass(frozen=True, slots=True)
class _Place:
    """One location in one structure: the events that its accesses are, and its ways."""

    location: str
    events: list[int]
    ways: _Ways

    def add(self, way: _Way, rf: list[int], co: list[int]) -> None:
        """Add the pairs of `way` to the rows of two relations."""
        events = self.events
        later = 0
        for w in reversed(way.order):
            co[events[w]] |= later
            later |= 1 << events[w]
        for r, w in way.reads:
            rf[events[w]] |= 1 << events[r]


class _Placing:
    """The ways in which the accesses to one location can be placed so that it is coherent by itself and its
    read-modify-writes are atomic."""

    def __init__(self, initial: Value, threads: tuple[Accesses, ...], tick: Callable[[], None]) -> None:
        self.tick = tick
        self.value: list[Value] = [initial]
        self.thread = [-1]
        self.read_of: dict[int, int] = {}
        self.threads: list[list[int]] = []
        self.writes: list[list[int]] = []
        self.writing = {0}
        for number, accesses in enumerate(threads):
            start = len(self.value)
            self.threads.append(list(range(start, start + len(accesses))))
            for i, (writes, value, read) in enumerate(accesses):
                self.value.append(value)
                self.thread.append(number)
                if writes:
                    self.writing.add(start + i)
                if read >= 0:
                    self.read_of[start + i] = start + read
            self.writes.append([i for i in self.threads[-1] if i in self.writing])
        self.write_of = {r: w for w, r in self.read_of.items()}

    def ways(self) -> Iterator[_Way]:
        for order in self._orders([0], [0] * len(self.writes)):
            self.tick()
            rank = {w: i for i, w in enumerate(order)}
            each = [list(self._thread(order, rank, t, 0, 0, ())) for t in self.threads]
            for reads in product(*each):
                yield _Way(tuple(order), tuple(chain(*reads)), self.value[order[-1]])

    def _orders(self, placed: list[int], done: list[int]) -> Iterator[list[int]]:
        """The orders of the writes that agree with program order and in which the write of a
        read-modify-write follows one of the value that was read."""
        value = self.value[placed[-1]]
        ended = True
        for thread, writes in enumerate(self.writes):
            if done[thread] == len(writes):
                continue
            ended = False
            w = writes[done[thread]]
            r = self.read_of.get(w)
            if r is None or self.value[r] == value:
                now = list(done)
                now[thread] += 1
                yield from self._orders([*placed, w], now)
        if ended:
            yield placed

    def _thread(
        self,
        order: list[int],
        rank: dict[int, int],
        accesses: list[int],
        at: int,
        least: int,
        found: tuple[tuple[int, int], ...],
    ) -> Iterator[tuple[tuple[int, int], ...]]:
        """What the reads of one thread can read, each at or after `least` in the order of writes."""
        while at < len(accesses) and accesses[at] in self.writing:
            place = rank[accesses[at]]
            if place < least:
                return
            least = place
            at += 1
        if at == len(accesses):
            yield found
            return
        r = accesses[at]
        # It sees nothing that its own thread writes later.
        limit = min((rank[x] for x in accesses[at + 1 :] if x in self.writing), default=len(order))
        if r in self.write_of:
            # Another thread's write between the two halves would break atomicity, one of its own coherence.
            least = max(least, rank[self.write_of[r]] - 1)
        for place in range(least, limit):
            if self.value[order[place]] == self.value[r]:
                yield from self._thread(order, rank, accesses, at + 1, place, (*found, (r, order[place])))


__all__ = ["OutOfTimeError", "Search", "TooManyError", "decide"]
