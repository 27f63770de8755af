"""Scenarios: threads that may overlap, and the rules that every trace of them obeys.

A scenario is what an encoding, the replay interpreter and the explicit-state explorer all read. It knows
no filesystem and no clause. Its semantics:

1.  *Execution.* A step is executed iff its guard is true under the scenario's atoms **and** its thread has
    started. A trace is a total order of the executed steps. Steps of an ordered thread are executed in the
    order in which the thread lists them (its program order). Steps of a thread that is not ordered keep
    no order but what rule 8 says of them.
2.  *Start.* A thread with ``after=s`` starts only if step s is executed, and its steps come after s.
3.  *Locks.* ``lock`` on (object, field) with value ``exclusive`` or ``shared``; a thread holds the lock from
    that step until the next executed ``unlock`` of it in program order, or for ever if there is none. An
    exclusive hold excludes every other thread's hold of that lock; shared holds exclude exclusive ones
    only. A counted reference is a shared hold of ``(object, "refcount")``; marking the lockref dead is an
    exclusive hold of it that is never released.
4.  *Grace periods.* ``enter``/``leave`` delimit a read-side critical section of the domain in ``field``
    ("" is RCU). ``gp-start`` and ``gp-end`` with the same domain delimit a grace period (they pair up in
    program order). If a section is entered before a grace period starts, it is left before that grace
    period ends. (Documentation/RCU/Design/Requirements, "Grace-Period Guarantee".) Every section that is
    entered is left; in a thread, sections of one domain nest in program order.
5.  *Cells.* A ``read`` of (object, field) yields what the last executed ``write`` to that cell, with the same
    `view`, before it stored, else the cell's initial value. Values: ``initial`` (pointer to the object that
    the scenario is about), ``null``, ``other`` (some other object; a write of ``new`` is read as ``other``).
    The initial value of a cell, the same in all views, is ``initial`` or ``null``, chosen per trace, unless
    `Scenario.initial` pins it.
    An atom of kind ``nonnull`` is true iff its read step is executed and yields no ``null``.
6.  *Reach.* A step with ``via=r`` acts on the scenario's object iff read step r yields ``initial``. If r
    yields ``other`` it acts on something else, if ``null`` it dereferences NULL. A step whose `via` step is
    not executed has undefined reach and is never executed: its guard must imply that of the read.
7.  *Atoms.* ``free`` and ``stable`` atoms are chosen per trace (stable atoms with one key are one atom). An
    atom of kind ``defined`` is true iff its definition is, a guard over atoms listed before it.
8.  *Orders.* Of each `Order` whose steps are all executed, one of the pairs is in that order in the trace.
In a
    thread that is not ordered, steps of one lock, of one domain's grace periods, and what enters and what
    later leaves sections of one domain must be kept in order (`wellformed.py`).

Where all threads are ordered and there are no views, this is sequentially consistent interleaving (`sc`).
`weak.py` turns such a scenario into one whose traces are the executions that the kernel's memory model
allows.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from ..spec.program import TRUE, Atom, Guard, Source


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a thread of a scenario. `id` is unique in the scenario and names the step's clock.

    via       id of the read step through whose pointer the object is reached
    callback  the method that the step is part of ("" for the kernel's own steps)
    view      which copy of the cell a read or a write is of; "" where there is one for all
    order     what the source says of the order of a read or a write (``once``, ``acquire``, ``release``); no
              rule speaks of it, `weak.py` makes orders of it
    labels    the predicates of temporal formulas that hold at the step when it is executed, each as
              ``(predicate text, reach)``: with reach ``initial`` it holds only if the step acts on the
              scenario's object (always so for a step without `via`), with ``null`` only if the step
              dereferences NULL, with ``any`` whatever it reaches
    """

    id: str
    kind: str
    object: str = ""
    field: str = ""
    value: str = ""
    guard: Guard = TRUE
    via: str | None = None
    callback: str = ""
    source: Source = dataclasses.field(default_factory=Source)
    debug: bool = False
    note: str = ""
    labels: frozenset[tuple[str, str]] = frozenset()
    view: str = ""
    order: str = ""


@dataclass(frozen=True, slots=True)
class Thread:
    """Steps in program order. `after` names the step (of another thread) that starts this one; `ordered`
    says that they are executed in that order."""

    name: str
    steps: tuple[Step, ...]
    cpu: int = 0
    after: str | None = None
    ordered: bool = True


@dataclass(frozen=True, slots=True)
class Order:
    """A rule of order: of the pairs ``(a, b)``, one at least has a before b, if all steps named are executed.

    name   unique among the orders of a scenario
    part   what it is told as part of: orders with one text are told once (see `words.py`)
    """

    name: str
    pairs: tuple[tuple[str, str], ...]
    part: str = ""

    @property
    def steps(self) -> tuple[str, ...]:
        """The steps named, each once."""
        return tuple(dict.fromkeys(s for pair in self.pairs for s in pair))


@dataclass(frozen=True, slots=True)
class ScenarioAtom:
    """As `Atom`, with the read step's id for kind ``nonnull``."""

    name: str
    kind: str
    step: str | None = None
    key: str = ""
    text: str = ""
    definition: Guard = ()


@dataclass(frozen=True, slots=True)
class Scenario:
    """Threads, atoms, the pinned initial values of cells (``{(object, field): "initial" | "null"}``),
    orders."""

    threads: tuple[Thread, ...]
    atoms: tuple[ScenarioAtom, ...] = ()
    initial: tuple[tuple[tuple[str, str], str], ...] = ()
    orders: tuple[Order, ...] = ()

    @property
    def steps(self) -> tuple[Step, ...]:
        return tuple(s for t in self.threads for s in t.steps)


@dataclass(frozen=True, slots=True)
class Trace:
    """One total order of executed steps with the choices that make it: what a solver or explorer returns.

    values  what each executed read step yields: ``initial`` | ``null`` | ``other``
    """

    order: tuple[str, ...]
    atoms: tuple[tuple[str, bool], ...]
    initial: tuple[tuple[tuple[str, str], str], ...]
    values: tuple[tuple[str, str], ...]


__all__ = ["Atom", "Order", "Scenario", "ScenarioAtom", "Step", "Thread", "Trace"]
