"""From a scenario to the one whose traces are the executions that the kernel's memory model allows.

The Linux kernel memory model (tools/memory-model/linux-kernel.cat of the kernel; Alglave, Maranget, McKenney,
Parri, Stern, "Frightening Small Children and Disconcerting Grown-ups: Concurrency in the Linux Kernel",
ASPLOS 2018) is taken in the operational form that its explanation.txt describes: a step is executed at some
moment, and what a store wrote reaches each other thread at a moment of its own. So threads lose their
program order but for what the model preserves, and every store to a cell that another thread reads becomes
two steps or more: the store, which its own thread sees, and for each reading thread the step by which it
arrives there, in that thread's view of the cell. What is kept:

*   locks: nothing moves out of a critical section; what was stored before an unlock has arrived wherever
the lock
    is taken next (acquire, release);
*   read-side sections: nothing moves out of one;
*   grace periods: nothing moves across the start or the end of one, and what was stored before has arrived
    everywhere (a strong fence); a section that ends before a grace period does has its stores arrive before
    that;
*   ``call_rcu()``, ``kfree_rcu()``, ``queue_work()``: what comes before is done before, and has arrived
wherever the
    callback's own fences say. The model leaves them out. They are taken as a store-release that the thread
    of the callback reads with an acquire, followed (for RCU) by a ``synchronize_rcu()`` there. Source: the
    memory-barrier guarantees in Documentation/RCU/Design/Requirements; workqueue.h on ``queue_work()``;
*   address dependencies: what is reached through a pointer is touched after the pointer was read;
*   one cell: a thread's own accesses to it keep their order, but for two reads, of which the second does
not see an
    older value than the first (coherence).

What is left out makes more executions, never fewer: control dependencies, barriers in the filesystem's own
code (``smp_mb()``, ``READ_ONCE()``, ``smp_load_acquire()``, ``rcu_assign_pointer()``), that stores of
different threads to one cell reach everyone in one order, and that seeing a store means seeing what its
thread saw before (cumulativity), except through the queueing above. So a proof is a proof under the model;
a violation that is one only here may rest on what was left out. Compilers are taken not to guess values: a
dependency holds of a plain read, too.

A scenario of one thread is left alone: a thread sees its own steps in program order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from .scenario import Order, Scenario, Step, Thread

Cell = tuple[str, str]

FENCES = frozenset({"gp-start", "gp-end"})
ACCESSES = frozenset({"read", "write"})


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
        if {first.kind, second.kind} & FENCES:
            return "has a full barrier where it waits for a grace period"
        if first.kind == "enter" or second.kind == "leave":
            return "stays within its read-side section"
        if first.kind == "lock" or second.kind == "unlock" or _one_lock(first, second):
            return "stays within its critical sections"
        if second.kind == "defer":
            return "queues a callback after what comes before that"
        if second.via == first.id:
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

    def fenced(self, thread: Thread) -> None:
        """By when stores have arrived."""
        for i, step in enumerate(thread.steps):
            if step.kind in FENCES:
                part = (
                    f"stores that come before the grace period of {thread.name} are seen everywhere by then"
                )
            elif step.kind == "unlock":
                part = f"stores of {thread.name} under a lock are seen by whoever takes it next"
            elif step.kind == "read" and thread.after is not None:
                part = f"{thread.name} sees the stores that come before it was queued"
            else:
                if step.kind == "leave":
                    self.section_stores(thread, i)
                continue
            for write in self.earlier(thread, i):
                if write.kind != "write":
                    continue
                for at in self.arrives_in(write):
                    if step.kind != "read" or at is thread:
                        self.order(part, (self.arrival(write, at), step.id))

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


def _one_lock(first: Step, second: Step) -> bool:
    return {first.kind, second.kind} <= {"lock", "unlock"} and _cell(first) == _cell(second)


__all__ = ["MEMORY_MODELS", "lkmm", "sc"]
