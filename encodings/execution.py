"""Candidate executions: what threads did, and which write each read saw.

An `EventStructure` is what the threads did by themselves: events in program order, with the dependencies
between them. An `Execution` adds what memory did: reads-from (``rf``) and the order of the writes to each
location, coherence (``co``). A memory model (`models.py`) says which executions there can be.

Events and relations are those that ``linux-kernel.bell``, ``linux-kernel.cat`` and ``lock.cat`` of a kernel's
tools/memory-model speak of; ``Documentation/herd-representation.txt`` there says which events each primitive
is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from .relations import Relation, bits, members

Value = int | str
"""What memory holds: a number, or the address of a location, written as ``&`` and its name."""


class Kind(StrEnum):
    READ = "R"
    WRITE = "W"
    FENCE = "F"
    SRCU = "SRCU"
    """synchronize_srcu(): no access, but about one location, its domain."""


class Tag(StrEnum):
    """What an event is annotated with. A read or write without any of the first block is plain."""

    ONCE = "once"
    ACQUIRE = "acquire"
    RELEASE = "release"
    NORETURN = "noreturn"
    """The read of an atomic operation that returns nothing."""
    RMW = "rmw"
    """Part of an atomic read-modify-write operation, or the read of one that failed."""
    INIT = "init"
    """The write of a location's initial value; it is in no thread."""

    LKR = "LKR"
    LKW = "LKW"
    UL = "UL"
    LF = "LF"
    RL = "RL"
    RU = "RU"
    """Lock-read and lock-write of spin_lock(), unlock, failed trylock, spin_is_locked() that said yes, or
    no."""

    SRCU_LOCK = "srcu-lock"
    SRCU_UNLOCK = "srcu-unlock"
    SYNC_SRCU = "sync-srcu"

    MB = "mb"
    RMB = "rmb"
    WMB = "wmb"
    BARRIER = "barrier"
    BEFORE_ATOMIC = "before-atomic"
    AFTER_ATOMIC = "after-atomic"
    AFTER_SPINLOCK = "after-spinlock"
    AFTER_UNLOCK_LOCK = "after-unlock-lock"
    AFTER_SRCU_READ_UNLOCK = "after-srcu-read-unlock"
    RCU_LOCK = "rcu-lock"
    RCU_UNLOCK = "rcu-unlock"
    SYNC_RCU = "sync-rcu"


UNLOCKED, LOCKED = 0, 1
"""The values of a spinlock."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `thread` is None for initial writes; fences have no location and no value. `text` is what a
    reader is told of it and means nothing."""

    kind: Kind
    thread: int | None
    tags: frozenset[Tag] = frozenset()
    location: str = ""
    value: Value = 0
    text: str = ""

    def __str__(self) -> str:
        tags = ",".join(sorted(t for t in self.tags if t is not Tag.RMW))
        name = f"{self.kind}[{tags}]" if tags else f"{self.kind}[plain]"
        if self.kind is Kind.FENCE:
            return name
        return f"{name} {self.location}" + ("" if self.kind is Kind.SRCU else f"={self.value}")


class EventStructure:
    """What the threads did: `events`, and over their indices program order (transitive), address, data and
    control dependencies, and the pairs of read-modify-write operations.

    ``addr``, ``data`` and ``ctrl`` lead from a read to what depends on it; ``rmw`` from the read to the write
    of one operation.
    """

    def __init__(
        self,
        events: Sequence[Event],
        po: Relation,
        addr: Relation,
        data: Relation,
        ctrl: Relation,
        rmw: Relation,
    ) -> None:
        self.events = tuple(events)
        self.po, self.addr, self.data, self.ctrl, self.rmw = po, addr, data, ctrl, rmw

    def __len__(self) -> int:
        return len(self.events)

    def tagged(self, *tags: Tag) -> int:
        """The set of events that bear one of these tags."""
        found = 0
        for tag in tags:
            found |= self._tagged.get(tag, 0)
        return found

    @cached_property
    def _tagged(self) -> dict[Tag, int]:
        found: dict[Tag, int] = {}
        for i, e in enumerate(self.events):
            for tag in e.tags:
                found[tag] = found.get(tag, 0) | 1 << i
        return found

    def kind(self, *kinds: Kind) -> int:
        """The set of events of these kinds."""
        return members(i for i, e in enumerate(self.events) if e.kind in kinds)

    @cached_property
    def same_location(self) -> Relation:
        """``loc``: pairs of events about one location."""
        where: dict[str, int] = {}
        for i, e in enumerate(self.events):
            if e.location:
                where[e.location] = where.get(e.location, 0) | 1 << i
        return Relation(where.get(e.location, 0) for e in self.events)

    @cached_property
    def internal(self) -> Relation:
        """``int``: pairs of events in one thread."""
        where: dict[int, int] = {}
        for i, e in enumerate(self.events):
            if e.thread is not None:
                where[e.thread] = where.get(e.thread, 0) | 1 << i
        return Relation(1 << i if e.thread is None else where[e.thread] for i, e in enumerate(self.events))

    @cached_property
    def external(self) -> Relation:
        """``ext``: pairs of events in different threads. Initial writes are in no thread."""
        everything = (1 << len(self.events)) - 1
        return Relation(everything & ~row for row in self.internal.rows)


@dataclass(frozen=True)
class Execution:
    """A candidate execution. ``co`` is transitive and total over the writes to each location, an initial
    write first; ``rf`` leads to each read from one write of the same location and value."""

    structure: EventStructure
    rf: Relation
    co: Relation

    @property
    def events(self) -> tuple[Event, ...]:
        return self.structure.events

    @cached_property
    def fr(self) -> Relation:
        """From-reads: from a read to the writes that come in ``co`` after the one that it read."""
        return self.rf.inverse() @ self.co

    @cached_property
    def final(self) -> dict[str, Value]:
        """The last value of each location that is written or initialised."""
        rows = self.co.rows
        return {
            e.location: e.value for i, e in enumerate(self.events) if e.kind is Kind.WRITE and not rows[i]
        }

    def faults(self) -> tuple[str, ...]:
        """Why this is no candidate execution, one line a reason; empty if it is one."""
        said = []
        events, loc = self.events, self.structure.same_location
        writes = self.structure.kind(Kind.WRITE)
        back = self.rf.inverse().rows
        for i, e in enumerate(events):
            sources = list(bits(back[i]))
            if e.kind is not Kind.READ:
                if sources:
                    said.append(f"event {i} reads, but is no read")
            elif len(sources) != 1:
                said.append(f"read {i} has {len(sources)} writes to read from")
            else:
                w = events[sources[0]]
                if w.kind is not Kind.WRITE or w.location != e.location or w.value != e.value:
                    said.append(f"read {i} cannot read from event {sources[0]}")
        for a, b in self.co:
            if not (writes >> a & writes >> b & 1) or (a, b) not in loc:
                said.append(f"co relates events {a} and {b}, which are no writes of one location")
            elif Tag.INIT in events[b].tags:
                said.append(f"co has event {a} before the initial write {b}")
        if not self.co.irreflexive() or (self.co @ self.co) - self.co:
            said.append("co is no order")
        for i in bits(writes):
            missing = loc.rows[i] & writes & ~(1 << i) & ~self.co.rows[i]
            said += [
                f"co does not say which of {i} and {j} comes first"
                for j in bits(missing)
                if j > i and (j, i) not in self.co
            ]
        return tuple(said)


@dataclass
class Builder:
    """Puts an execution together, an event at a time; events of one thread are in program order as they come.

    Each method returns the event's index. Every location has an initial write; `initial` says what value,
    0 if it does not.
    """

    initial: Mapping[str, Value] = field(default_factory=dict)
    _events: list[Event] = field(default_factory=list, init=False)
    _init: dict[str, int] = field(default_factory=dict, init=False)
    _pairs: dict[str, list[tuple[int, int]]] = field(default_factory=dict, init=False)
    _rf: list[tuple[int, int]] = field(default_factory=list, init=False)
    _co: dict[str, list[int]] = field(default_factory=dict, init=False)
    _deferred: int = field(default=0, init=False)

    def event(
        self,
        kind: Kind,
        thread: int,
        tags: Iterable[Tag] = (),
        location: str = "",
        value: Value = 0,
        text: str = "",
    ) -> int:
        """Any event."""
        if location:
            self.init(location)
        return self._add(Event(kind, thread, frozenset(tags), location, value, text))

    def _add(self, event: Event) -> int:
        self._events.append(event)
        return len(self._events) - 1

    def init(self, location: str) -> int:
        """The initial write of a location."""
        if location not in self._init:
            value = self.initial.get(location, 0)
            made = self._add(Event(Kind.WRITE, None, frozenset({Tag.INIT}), location, value))
            self._init[location] = made
            self._co[location] = [made]
        return self._init[location]

    def read(self, thread: int, location: str, value: Value = 0, *tags: Tag, text: str = "") -> int:
        """A read: ``Tag.ONCE``, ``Tag.ACQUIRE``, or plain without a tag."""
        return self.event(Kind.READ, thread, tags, location, value, text)

    def write(self, thread: int, location: str, value: Value, *tags: Tag, text: str = "") -> int:
        """A write: ``Tag.ONCE``, ``Tag.RELEASE``, or plain without a tag."""
        return self.event(Kind.WRITE, thread, tags, location, value, text)

    def fence(self, thread: int, tag: Tag, text: str = "") -> int:
        """A fence, rcu_read_lock(), rcu_read_unlock() or synchronize_rcu()."""
        return self.event(Kind.FENCE, thread, (tag,), text=text)

    def lock(self, thread: int, lock: str, text: str = "") -> tuple[int, int]:
        """spin_lock(): its read and its write."""
        r = self.event(Kind.READ, thread, (Tag.LKR, Tag.RMW), lock, UNLOCKED, text)
        w = self.event(Kind.WRITE, thread, (Tag.LKW, Tag.RMW), lock, LOCKED, text)
        self.relate("rmw", r, w)
        return r, w

    def unlock(self, thread: int, lock: str, text: str = "") -> int:
        """spin_unlock()."""
        return self.event(Kind.WRITE, thread, (Tag.UL,), lock, UNLOCKED, text)

    def srcu_lock(self, thread: int, domain: str, text: str = "") -> int:
        """srcu_read_lock(): a read of the domain."""
        return self.event(Kind.READ, thread, (Tag.SRCU_LOCK,), domain, 0, text)

    def srcu_unlock(self, thread: int, domain: str, lock: int, text: str = "") -> int:
        """srcu_read_unlock(): a write of what `lock`, the srcu_read_lock(), returned."""
        made = self.event(Kind.WRITE, thread, (Tag.SRCU_UNLOCK,), domain, 0, text)
        self.relate("data", lock, made)
        return made

    def sync_srcu(self, thread: int, domain: str, text: str = "") -> int:
        """synchronize_srcu()."""
        return self.event(Kind.SRCU, thread, (Tag.SYNC_SRCU,), domain, 0, text)

    def call_rcu(self, thread: int, callback: int, text: str = "") -> tuple[int, int]:
        """call_rcu(), kfree_rcu(): thread `callback` runs what was handed over. Returns the events of the
        call and of the grace period. The callback's thread must have no event yet: its first ones are made
        here.

        The kernel's memory model leaves callbacks out. The axiom is that of "What is RCU?"
        (Documentation/RCU/whatisRCU.rst, call_rcu() as an asynchronous synchronize_rcu()) and of the
        Grace-Period Guarantee (Documentation/RCU/Design/Requirements): a callback runs after a grace period
        that starts after call_rcu() was called, and sees what came before the call. So the call is a
        store-release that a load-acquire of the callback's thread reads; after it comes the grace period,
        then the callback. What comes after the call in its thread is ordered with none of these: call_rcu()
        returns at once.
        """
        if any(e.thread == callback for e in self._events):
            raise ValueError(f"thread {callback} did something before its callback was queued")
        self._deferred += 1
        cell = f"call_rcu#{self._deferred}"
        called = self.write(thread, cell, 1, Tag.RELEASE, text=text or "call_rcu()")
        taken = self.read(callback, cell, 1, Tag.ACQUIRE, text="callback queued")
        waited = self.fence(callback, Tag.SYNC_RCU, text="grace period of the callback")
        self.coherence(cell, [called])
        self.reads_from(called, taken)
        return called, waited

    def relate(self, name: str, first: int, second: int) -> None:
        """``addr``, ``data``, ``ctrl`` or ``rmw``."""
        self._pairs.setdefault(name, []).append((first, second))

    def reads_from(self, write: int, read: int) -> None:
        self._rf.append((write, read))

    def coherence(self, location: str, writes: Sequence[int]) -> None:
        """The writes of a location in their order, without the initial one."""
        self._co[location] = [self.init(location), *writes]

    def structure(self) -> EventStructure:
        """What the threads did so far."""
        n = len(self._events)
        before: dict[int, list[int]] = {}
        po = []
        for i, e in enumerate(self._events):
            if e.thread is not None:
                seen = before.setdefault(e.thread, [])
                po += [(a, i) for a in seen]
                seen.append(i)
        named = {
            name: Relation.pairs(n, self._pairs.get(name, ())) for name in ("addr", "data", "ctrl", "rmw")
        }
        return EventStructure(self._events, Relation.pairs(n, po), **named)

    def build(self) -> Execution:
        """The execution; a read that was not told where from reads the initial write. ValueError, with the
        reasons, if that is none."""
        structure = self.structure()
        n = len(structure)
        told = {r for _, r in self._rf}
        rf = list(self._rf)
        for i, e in enumerate(self._events):
            if e.kind is Kind.READ and i not in told:
                rf.append((self._init[e.location], i))
        co = []
        for order in self._co.values():
            co += [(a, b) for k, a in enumerate(order) for b in order[k + 1 :]]
        made = Execution(structure, Relation.pairs(n, rf), Relation.pairs(n, co))
        if faults := made.faults():
            raise ValueError("; ".join(faults))
        return made
