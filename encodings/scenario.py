"""Scenarios: threads that may overlap, and the rules that every trace of them obeys.

A scenario is what an encoding, the replay interpreter and the explicit-state explorer all read. It knows
no filesystem and no clause. Its semantics (sequentially consistent interleaving):

1.  *Execution.* A step is executed iff its guard is true under the scenario's atoms **and** its thread has
    started. A trace is a total order of the executed steps. Steps of one thread are executed in the order
    in which the thread lists them.
2.  *Start.* A thread with ``after=s`` starts only if step s is executed, and its steps come after s.
3.  *Locks.* ``lock`` on (object, field) with value ``exclusive`` or ``shared``; a thread holds the lock from
    that step until its next executed ``unlock`` of it, or for ever if there is none. An exclusive hold
    excludes every other thread's hold of that lock; shared holds exclude exclusive ones only. A counted
    reference is a shared hold of ``(object, "refcount")``; marking the lockref dead is an exclusive hold
    of it that is never released.
4.  *Grace periods.* ``enter``/``leave`` delimit a read-side critical section of the domain in ``field``
    ("" is RCU). ``gp-start`` and ``gp-end`` with the same domain delimit a grace period (they pair up in
    thread order). If a section is entered before a grace period starts, it is left before that grace
    period ends. (Documentation/RCU/Design/Requirements, "Grace-Period Guarantee".) Every section that is
    entered is left.
5.  *Cells.* A ``read`` of (object, field) yields what the last executed ``write`` to that cell before it
    stored, else the cell's initial value. Values: ``initial`` (pointer to the object that the scenario is
    about), ``null``, ``other`` (some other object; a write of ``new`` is read as ``other``). The initial
    value of a cell is ``initial`` or ``null``, chosen per trace, unless `Scenario.initial` pins it.
    An atom of kind ``nonnull`` is true iff its read step is executed and yields no ``null``.
6.  *Reach.* A step with ``via=r`` acts on the scenario's object iff read step r yields ``initial``. If r
    yields ``other`` it acts on something else, if ``null`` it dereferences NULL. A step whose `via` step is
    not executed has undefined reach and is never executed: its guard must imply that of the read.
7.  *Atoms.* ``free`` and ``stable`` atoms are chosen per trace (stable atoms with one key are one atom). An
    atom of kind ``defined`` is true iff its definition is, a guard over atoms listed before it.
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


@dataclass(frozen=True, slots=True)
class Thread:
    """Steps in program order. `after` names the step (of another thread) that starts this one."""

    name: str
    steps: tuple[Step, ...]
    cpu: int = 0
    after: str | None = None


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
    """Threads, atoms, and the pinned initial values of cells: ``{(object, field): "initial" | "null"}``."""

    threads: tuple[Thread, ...]
    atoms: tuple[ScenarioAtom, ...] = ()
    initial: tuple[tuple[tuple[str, str], str], ...] = ()

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


__all__ = ["Atom", "Scenario", "ScenarioAtom", "Step", "Thread", "Trace"]
