"""From a scenario to the one whose traces are the executions that the kernel's memory model allows.

The Linux kernel memory model (tools/memory-model/linux-kernel.cat of the kernel; Alglave, Maranget, McKenney,
Parri, Stern, "Frightening Small Children and Disconcerting Grown-ups: Concurrency in the Linux Kernel",
ASPLOS 2018) is taken in the operational form that its explanation.txt describes: a step is executed at some
moment, and what a store wrote reaches each other thread at a moment of its own. So threads lose their
program order but for what the model preserves, and every store to a cell that another thread reads becomes
two steps or more: the store, which its own thread sees, and for each reading thread the step by which it
arrives there, in that thread's view of the cell. What is kept:

*   locks: nothing moves out of a critical section; what was stored, or seen, before an unlock has arrived
    wherever the lock is taken next (acquire, release);
*   read-side sections: nothing moves out of one;
*   grace periods: nothing moves across the start or the end of one, and what was stored, or seen, before has
    arrived everywhere (a strong fence); a section that ends before a grace period does has its stores arrive
    before that;
*   ``call_rcu()``, ``kfree_rcu()``, ``queue_work()``: what comes before is done before, and has arrived
    wherever the callback's own fences say. The model leaves them out. They are taken as a store-release that
    the thread of the callback reads with an acquire, followed (for RCU) by a ``synchronize_rcu()`` there.
    Source: the memory-barrier guarantees in Documentation/RCU/Design/Requirements; workqueue.h on
    ``queue_work()``;
*   ``smp_mb()``: no access moves across it, and what was stored, or seen, before has arrived everywhere (the
    model's ``mb``, a strong fence); ``smp_rmb()``: no load moves across it with another (``rmb``);
    ``smp_wmb()``: no store does, and those before it arrive before those after it (``wmb``);
*   an acquire comes before what follows it (``acq-po``), a release after what comes before it (``po-rel``),
    and arrives after what its thread stored, or saw, before it (``cumul-fence``);
*   address dependencies: what is reached through a pointer is touched after the pointer was read;
*   one cell: a thread's own accesses to it keep their order, but for two reads, of which the second does
    not see an older value than the first (coherence).

A thread has seen a store if it arrived there before a marked load of its cell, and was itself marked.

A plain access is taken as one access of the machine that the compiler moves across no barrier and whose value
it does not guess: a dependency holds of a plain load, and a fence orders plain accesses as it does marked
ones. That is what the model says of plain accesses that do not race; of those that do it says nothing.

What is left out makes more executions, never fewer: control dependencies (a guard may say what no branch of
the source does: that a pointer which is followed is not NULL), that stores of different threads to one cell
reach everyone in one order, that a lock taken after an unlock in one thread orders what lies before and
after the two, that a section's end tells what its thread saw, and dependencies on or through a store of the
same thread. So a proof is a proof under the model; a violation that is one only here may rest on what was
left out.

A scenario of one thread is left alone: a thread sees its own steps in program order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from .scenario import Order, Scenario, Step, Thread

Cell = tuple[str, str]

GRACE = frozenset({"gp-start", "gp-end"})
ACCESSES = frozenset({"read", "write"})
ORDERED = ACCESSES | {"free", "call", "alloc", "lock", "unlock"}
"""What is, or has, accesses to memory: what full barriers, acquire and release order."""
ACROSS = {"mb": ORDERED, "rmb": frozenset({"read"}), "wmb": frozenset({"write", "unlock"})}
"""The steps that do not move across a fence."""
Seen = tuple[Step, tuple[tuple[str, str], ...]]
"""A store, and pairs of steps of which one is in its order unless the store was seen (see `Order`)."""


def sc(scenario: Scenario) -> Scenario:
    """Sequential consistency: threads keep their program order and see every store at once."""
    return scenario


def lkmm(scenario: Scenario) -> Scenario:
    """The same threads under the kernel's memory model; `scenario` is one with ordered threads and no
    views."""
    return _Weak(scenario).result() if len(scenario.threads) > 1 else scenario


MEMORY_MODELS: dict[str, Callable[[Scenario], Scenario]] = {"lkmm": lkmm, "sc": sc}
"""What turns a scenario, as it is written, into one whose traces are the executions of a memory model."""


class _Weak:
    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.number = {t.name: str(i) for i, t in enumerate(scenario.threads)}
        self.home = {s.id: t for t in scenario.threads for s in t.steps}
        self.place = {s.id: i for t in scenario.threads for i, s in enumerate(t.steps)}
        self.readers: dict[Cell, list[Thread]] = {}
        self.writers: dict[Cell, list[Step]] = {}
        for thread in scenario.threads:
            for step in thread.steps:
                if step.kind == "read" and thread not in self.readers.setdefault(_cell(step), []):
                    self.readers[_cell(step)].append(thread)
                if step.kind == "write":
                    self.writers.setdefault(_cell(step), []).append(step)
        self.shared = {c for c, writes in self.writers.items() for w in writes if self.arrives_in(w)}
        self.orders: dict[tuple[tuple[str, str], ...], Order] = {}

    def arrives_in(self, write: Step) -> list[Thread]:
        """The other threads that read the cell that `write` is of."""
        return [t for t in self.readers.get(_cell(write), ()) if t is not self.home[write.id]]

    def arrival(self, write: Step, at: Thread) -> str:
        """The id of the step by which `write` reaches thread `at`."""
        return f"{write.id}@{self.number[at.name]}"

    def result(self) -> Scenario:
        threads = [
            replace(t, steps=tuple(map(self.viewed, t.steps)), ordered=False) for t in self.scenario.threads
        ]
        for write in self.scenario.steps:
            if write.kind == "write":
                threads += [self.arriving(write, t) for t in self.arrives_in(write)]
        for thread in self.scenario.threads:
            self.program_order(thread)
            self.fenced(thread)
            self.told(thread)
            self.coherent(thread)
        return replace(self.scenario, threads=tuple(threads), orders=tuple(self.orders.values()))

    def viewed(self, step: Step) -> Step:
        if step.kind in ACCESSES and _cell(step) in self.shared:
            return replace(step, view=self.number[self.home[step.id].name])
        return step

    def arriving(self, write: Step, at: Thread) -> Thread:
        home = self.home[write.id]
        step = replace(
            write,
            id=self.arrival(write, at),
            view=self.number[at.name],
            guard=((),),
            via=None,
            callback="",
            labels=frozenset(),
            note=f"the store to {write.object}->{write.field} reaches {at.name}",
        )
        return Thread(f"store {write.id} to {at.name}", (step,), home.cpu, write.id)

    # -- what is kept

    def order(self, part: str, *pairs: tuple[str, str]) -> None:
        name = " or ".join(f"{a}<{b}" for a, b in pairs)
        self.orders.setdefault(pairs, Order(name, pairs, part))

    def program_order(self, thread: Thread) -> None:
        """The pairs of steps of one thread that keep their order."""
        for i, first in enumerate(thread.steps):
            entered = first.id.endswith(":entry")
            for second in thread.steps[i + 1 :]:
                if entered:
                    entered = not second.id.endswith(":entry") and second.callback == first.callback
                part = self.kept(first, second)
                if part is None and entered:
                    part = "starts with its call"
                if part is not None:
                    self.order(f"{thread.name} {part}", (first.id, second.id))

    def kept(self, first: Step, second: Step) -> str | None:
        """Why two steps of a thread, `second` after `first`, keep their order; None if they need not."""
        if {first.kind, second.kind} & GRACE:
            return "has a full barrier where it waits for a grace period"
        if first.kind == "enter" or second.kind == "leave":
            return "stays within its read-side section"
        if first.kind == "lock" or second.kind == "unlock" or _one_lock(first, second):
            return "stays within its critical sections"
        if part := self.across(first, second):
            return part
        if second.kind == "defer":
            return "queues a callback after what comes before that"
        if second.via == first.id and not self.forwarded(first) and not self.stands_in(second):
            return "follows a pointer after it has read it"
        if (
            {first.kind, second.kind} <= ACCESSES
            and "write" in (first.kind, second.kind)
            and _cell(first) == _cell(second)
        ):
            return "keeps the order of its accesses to one member"
        return None

    def earlier(self, thread: Thread, place: int) -> Iterator[Step]:
        """The steps before `place` of `thread`, and of those that started it, before they did."""
        yield from thread.steps[:place]
        if thread.after is not None:
            yield from self.earlier(self.home[thread.after], self.place[thread.after])

    def across(self, first: Step, second: Step) -> str | None:
        """What barriers of the source say of the order of two steps, `second` after `first`."""
        for fence, other in ((first, second), (second, first)):
            if fence.kind == "fence" and other.kind in ACROSS[fence.value]:
                if fence.value == "rmb" and (
                    self.forwarded(other) if other is first else self.stands_in(other)
                ):
                    return None
                return {
                    "mb": "does nothing across smp_mb()",
                    "rmb": "loads nothing across smp_rmb()",
                    "wmb": "stores nothing across smp_wmb()",
                }[fence.value]
        if first.order == "acquire" and second.kind in ORDERED and not self.forwarded(first):
            return "loads what it acquires before what follows"
        if second.order == "release" and first.kind in ORDERED:
            return "stores what it releases after what comes before"
        return None

    def forwarded(self, read: Step) -> bool:
        """Whether a load may yield what its own thread stored: it may do so before that store is executed,
        and what comes after the load need not come after the store. (The model has no ``rfi`` in ``hb``.)"""
        return any(map(self.same_cell(read), self.home[read.id].steps[: self.place[read.id]]))

    def stands_in(self, step: Step) -> bool:
        """Whether an access is plain and its own thread stores there later. The model has no plain accesses
        in ``hb``, so that what comes before this one need not come before that store."""
        later = self.home[step.id].steps[self.place[step.id] + 1 :]
        return step.kind in ACCESSES and not _marked(step) and any(map(self.same_cell(step), later))

    def same_cell(self, step: Step) -> Callable[[Step], bool]:
        return lambda other: other.kind == "write" and _cell(other) == _cell(step)

    def known(self, thread: Thread, place: int, past: frozenset[str] = frozenset()) -> Iterator[Seen]:
        """The stores that come before `place` of `thread`, and those that it, or what started it, saw: by a
        load, or by taking a lock that who saw them had dropped. What threads in `past` (by name) saw is not
        asked: it is for them that somebody else is."""
        for step in self.earlier(thread, place):
            here = self.home[step.id]
            others = past | {thread.name, here.name}
            if step.kind == "write":
                yield step, ()
            elif step.kind == "read" and _marked(step):
                for write in self.writers.get(_cell(step), ()):
                    if _marked(write) and self.home[write.id].name not in others:
                        unless = self.unseen(write, step)
                        yield write, unless
                        for sooner, more in self.sooner(write, others):
                            yield sooner, (*unless, *more)
            elif step.kind == "lock":
                for unlock in self.unlocks(step):
                    home = self.home[unlock.id]
                    if home.name not in others:
                        for write, more in self.known(home, self.place[unlock.id], others):
                            yield write, ((step.id, unlock.id), *more)

    def unseen(self, write: Step, read: Step) -> tuple[tuple[str, str], ...]:
        """One of these is in its order if `read`, of another thread, does not yield what `write` stored: that
        came later, the thread of `write` stored something else by then, or that of `read` did."""
        at, home, arrival = self.home[read.id], self.home[write.id], self.arrival(write, self.home[read.id])
        again = filter(self.same_cell(write), home.steps[self.place[write.id] + 1 :])
        own = filter(self.same_cell(write), at.steps[: self.place[read.id]])
        over = ((self.arrival(s, at), read.id) for s in again)
        return ((read.id, arrival), *over, *((arrival, s.id) for s in own))

    def unlocks(self, lock: Step) -> Iterator[Step]:
        """Where another thread drops the lock that `lock` takes, one of the two holds being exclusive."""
        for thread in self.scenario.threads:
            exclusive = lock.value == "exclusive"
            for step in thread.steps if thread is not self.home[lock.id] else ():
                if _cell(step) == _cell(lock) and step.kind in ("lock", "unlock"):
                    exclusive |= step.value == "exclusive"
                    if step.kind == "unlock" and exclusive:
                        yield step

    def sooner(self, write: Step, past: frozenset[str] = frozenset()) -> Iterator[Seen]:
        """The stores that are seen by whoever sees `write` (``cumul-fence``)."""
        thread, place = self.home[write.id], self.place[write.id]
        if write.order == "release":
            yield from self.known(thread, place, past)
            return
        for i, fence in enumerate(thread.steps[:place]):
            if fence.kind == "fence" and fence.value == "wmb":
                for first in thread.steps[:i]:
                    if first.kind == "write":
                        sure = () in fence.guard or fence.guard in (first.guard, write.guard)
                        unless = () if sure else ((fence.id, first.id),)
                        yield first, unless
                        for sooner, more in self.sooner(first, past) if first.order == "release" else ():
                            yield sooner, (*unless, *more)

    def told(self, thread: Thread) -> None:
        """What has reached `thread` by when it sees a store, or takes a lock."""
        for step in thread.steps:
            if step.kind == "read":
                for write in self.writers.get(_cell(step), ()):
                    if self.home[write.id] is not thread:
                        name = self.home[write.id].name
                        part = (
                            f"a store-release of {name} is seen after what comes before it"
                            if write.order == "release"
                            else f"stores of {name} are seen in their order across smp_wmb()"
                        )
                        self.by(step, self.sooner(write), part, self.unseen(write, step))
            elif step.kind == "lock":
                for unlock in self.unlocks(step):
                    home = self.home[unlock.id]
                    part = f"stores of {home.name} under a lock are seen by whoever takes it next"
                    self.by(step, self.known(home, self.place[unlock.id]), part, ((step.id, unlock.id),))

    def by(
        self, step: Step, stores: Iterator[Seen], part: str, unless: tuple[tuple[str, str], ...] = ()
    ) -> None:
        """That `stores` have reached the thread of `step` by then, but for the pairs `unless`."""
        at = self.home[step.id]
        for write, more in stores:
            if at in self.arrives_in(write):
                self.order(part, *unless, *more, (self.arrival(write, at), step.id))

    def fenced(self, thread: Thread) -> None:
        """By when stores have arrived."""
        for i, step in enumerate(thread.steps):
            if step.kind in GRACE:
                part = (
                    f"stores that come before the grace period of {thread.name} are seen everywhere by then"
                )
            elif step.kind == "fence" and step.value == "mb":
                part = f"stores that come before smp_mb() in {thread.name} are seen everywhere by then"
            elif step.kind == "read" and thread.after is not None:
                part = f"{thread.name} sees the stores that come before it was queued"
                self.by(step, self.known(thread, i), part)
                continue
            else:
                if step.kind == "leave":
                    self.section_stores(thread, i)
                continue
            for write, unless in self.known(thread, i):
                for at in self.arrives_in(write):
                    self.order(part, *unless, (self.arrival(write, at), step.id))

    def section_stores(self, thread: Thread, place: int) -> None:
        leave = thread.steps[place]
        ends = [s for s in self.scenario.steps if s.kind == "gp-end" and s.field == leave.field]
        for write in thread.steps[:place]:
            for at in self.arrives_in(write) if write.kind == "write" else ():
                for end in ends:
                    if self.home[end.id] is not thread:
                        self.order(
                            f"a grace period that outlasts the section of {thread.name} shows its stores",
                            (end.id, leave.id),
                            (self.arrival(write, at), end.id),
                        )

    def coherent(self, thread: Thread) -> None:
        """No thread sees an older value of a cell after a newer one; stores of one thread arrive in order."""
        reads = [s for s in thread.steps if s.kind == "read" and _cell(s) in self.shared]
        for i, first in enumerate(reads):
            for second in reads[i + 1 :]:
                for write in self.writers[_cell(first)] if _cell(first) == _cell(second) else ():
                    if self.home[write.id] is not thread:
                        arrival = self.arrival(write, thread)
                        self.order(
                            f"{thread.name} sees no older value after a newer one",
                            (first.id, arrival),
                            (arrival, second.id),
                        )
        writes = [s for s in thread.steps if s.kind == "write"]
        for i, first in enumerate(writes):
            for second in writes[i + 1 :]:
                for at in self.arrives_in(first) if _cell(first) == _cell(second) else ():
                    self.order(
                        f"stores of {thread.name} to one member arrive in their order",
                        (self.arrival(first, at), self.arrival(second, at)),
                    )


def _cell(step: Step) -> Cell:
    return step.object, step.field


def _marked(step: Step) -> bool:
    return bool(step.order)


def _one_lock(first: Step, second: Step) -> bool:
    return {first.kind, second.kind} <= {"lock", "unlock"} and _cell(first) == _cell(second)


__all__ = ["MEMORY_MODELS", "lkmm", "sc"]
