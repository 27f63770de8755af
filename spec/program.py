"""Callback programs: the loop-free, guarded events of one method, and the model of one operations table.

This is the intermediate form between the reader (or a person who writes a model by hand) and everything
downstream. It knows no C, no clause and no solver. `spec/model.schema.json` is its file format.

Words
-----
object
    An access path from a VFS root: ``dentry`` (the dentry that the callback is about), ``parent`` (its
    parent), ``inode`` (the inode of ``dentry``), ``dir`` (the inode of ``parent``), ``sb``. A structure
    that embeds an inode is the object ``inode``: it lives and dies with it. ``dentry->d_fsdata`` is
    what that member points to.
cell
    One member of one object: ``(object, field)``.
guard
    A disjunction of conjunctions of atoms, as a tuple of cubes; a cube is a sorted tuple of
    ``(atom name, polarity)``. ``TRUE`` is one empty cube, ``FALSE`` no cube.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

EventKind = Literal[
    "read",
    "write",
    "free",
    "defer",
    "alloc",
    "lock",
    "unlock",
    "enter",
    "leave",
    "wait",
    "block",
    "get",
    "put",
    "opaque",
    "call",
    "return",
    "gp-start",
    "gp-end",
    "fence",
]
EVENT_KINDS: frozenset[str] = frozenset(EventKind.__args__)  # type: ignore[attr-defined]
FENCES = ("mb", "rmb", "wmb")
"""What a fence orders: smp_mb() all accesses, smp_rmb() loads, smp_wmb() stores."""
ORDERS: dict[str, tuple[str, ...]] = {"read": ("", "once", "acquire"), "write": ("", "once", "release")}
"""What the source adds to a load or a store, by the kind of the event; "" for a plain one."""

Cube = tuple[tuple[str, bool], ...]
Guard = tuple[Cube, ...]
TRUE: Guard = ((),)
FALSE: Guard = ()


@dataclass(frozen=True, slots=True)
class Source:
    """A position in the source: path relative to the tree, 1-based line, enclosing function."""

    file: str = ""
    line: int = 0
    function: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.file else self.function


@dataclass(frozen=True, slots=True)
class Atom:
    """One truth value that guards speak about.

    kind ``nonnull``: the pointer that read event `event` (an index into the program) yielded is not NULL.
    kind ``stable``: the same truth in every program that names the same `key` (kernel configuration).
    kind ``defined``: true iff `definition` is, a guard over atoms that come before it in the program.
    kind ``free``: arbitrary.
    """

    name: str
    kind: Literal["nonnull", "stable", "free", "defined"]
    text: str = ""
    event: int | None = None
    key: str = ""
    definition: Guard = ()


@dataclass(frozen=True, slots=True)
class Event:
    """One step of a callback program.

    kind     see `EventKind`
    object   what is acted on (access path); "" where there is none
    field    the member read or written, or the lock's name within the object
    value    write: ``null`` | ``new`` | ``other`` | ``removed`` (the head of a list or tree leads no more to
             the element that the read `via` yielded); free: how far the callback's own code delays it, always
             ``now``; defer: ``rcu`` | ``srcu:DOMAIN`` | ``work``; lock: ``exclusive`` | ``shared``;
             block: why it may sleep; alloc: the allocator; fence: one of `FENCES`
    via      index of the read event through whose pointer the object is reached; None for a root
    then     for defer: what runs afterwards, as events of the same form (indices in them are relative
             to that list); a plain delayed free is one ``free`` event
    debug    happens only in a debug build or with a tracepoint or dynamic debug print enabled
    type     the C structure type of the object, without `struct`, where known
    order    read and write: what the source says of its order, see `ORDERS`
    """

    kind: str
    object: str = ""
    field: str = ""
    value: str = ""
    guard: Guard = TRUE
    source: Source = Source()
    via: int | None = None
    then: tuple[Event, ...] = ()
    debug: bool = False
    type: str = ""
    note: str = ""
    order: str = ""


@dataclass(frozen=True, slots=True)
class Gap:
    """Something on the way that the reader could not follow; it makes verdicts that meet it unknown."""

    reason: str
    source: Source = Source()
    guard: Guard = TRUE


@dataclass(frozen=True, slots=True)
class Program:
    """What one method does in one mode.

    mode        ``rcu``: called from lockless pathwalk. ``ref``: the caller holds a counted reference.
                "" where the method has no mode of its own
    statements  how many the reader executed, one that runs twice counted twice
    followed    the functions that it executed, as ``file:function``
    assumed     those that it took the table of kernel functions' word for
    unfollowed  those, and the pointers, that it did not follow a call of
    """

    method: str
    function: str
    mode: str
    source: Source
    events: tuple[Event, ...]
    atoms: tuple[Atom, ...] = ()
    gaps: tuple[Gap, ...] = ()
    assumptions: tuple[str, ...] = ()
    statements: int = 0
    followed: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()
    unfollowed: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return f"{self.method}[{self.mode}]" if self.mode else self.method


@dataclass(frozen=True, slots=True)
class Model:
    """All that is known of one operations table in one kernel.

    programs      the table's methods, the inode methods of lockless walk, and the teardown methods
    private_bdi   where the filesystem gives its superblock a private backing device (then
                  generic_shutdown_super() waits for a grace period); None where it does not
    facts         other single facts that the scenario needs, by name
    places        where the functions in `slots` are defined, those that the reader found
    """

    kernel: str
    filesystem: str
    names: tuple[str, ...]
    table: str
    source: Source
    programs: tuple[Program, ...]
    slots: tuple[tuple[str, str], ...] = ()
    private_bdi: Source | None = None
    facts: tuple[tuple[str, str], ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    reader: str = ""
    gaps: tuple[Gap, ...] = ()
    places: tuple[tuple[str, Source], ...] = ()

    def program(self, method: str, mode: str | None = None) -> tuple[Program, ...]:
        """The programs of `method` (several where the source offers alternatives), in `mode` if given."""
        return tuple(p for p in self.programs if p.method == method and (mode is None or p.mode == mode))


@dataclass(slots=True)
class ProgramBuilder:
    """Appends events and hands out their indices; for models written in Python (tests)."""

    method: str
    mode: str = ""
    function: str = ""
    events: list[Event] = field(default_factory=list)
    atoms: list[Atom] = field(default_factory=list)

    def add(self, kind: str, object: str = "", field: str = "", **rest: object) -> int:
        """Append one event and return its index."""
        self.events.append(replace(Event(kind, object, field), **rest))  # type: ignore[arg-type]
        return len(self.events) - 1

    def nonnull(self, event: int) -> str:
        """The atom that says the pointer read by `event` is not NULL."""
        name = f"n{event}"
        if all(a.name != name for a in self.atoms):
            self.atoms.append(Atom(name, "nonnull", event=event))
        return name

    def build(self) -> Program:
        return Program(
            self.method,
            self.function or self.method,
            self.mode,
            Source(),
            tuple(self.events),
            tuple(self.atoms),
        )
