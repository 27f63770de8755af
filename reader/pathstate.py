"""What is known at one step of one path of the VFS's code (`reader/paths.py`): values, locks, what happened.

Objects are named: a parameter of a root by its name, what a variable was set to from somewhere unknown by
``function:variable``, a dentry's parent by ``^`` after the dentry's name and its inode by ``>``. A name that
is bound anew forgets what was known under it. A value ``&name&path`` points to a member of an object.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from .steps import ANY, POSITIVE, ZERO

FLAGS: dict[str, int] = {
    name: 1 << i
    for i, name in enumerate(
        (
            "LOOKUP_RCU",
            "MAY_NOT_BLOCK",
            "FMODE_OPENED",
            "FMODE_CREATED",
            "DCACHE_NORCU",
            "DCACHE_RCUACCESS",
            "DCACHE_ENTRY_TYPE",
            "DCACHE_MAY_FREE",
            "DCACHE_DENTRY_KILLED",
        )
    )
}
"""The flags that are followed through variables and cells."""

WALK = FLAGS["LOOKUP_RCU"] | FLAGS["MAY_NOT_BLOCK"] | FLAGS["FMODE_OPENED"] | FLAGS["FMODE_CREATED"]
"""Flags that nobody hands in from outside, or keeps anywhere but in a walk's own data."""


class Tracked(NamedTuple):
    """What is kept of a state: `objects` are the structures whose objects are told apart, `cells` the members
    that are followed (``hashed`` and ``root``: what functions say of a dentry), `flags` the flags."""

    objects: frozenset[str]
    cells: frozenset[str]
    flags: int
    order: bool = True
    """Whether what happened to an object is kept."""


NEW = "new "
"""What an allocation yields; the object's name begins so, and nobody else has seen it."""

TABLES = frozenset({"dentry_operations", "inode_operations", "super_operations", "file_system_type"})
"""Structures of methods."""


class Value(NamedTuple):
    """What a variable or cell holds: an object (or a method, ``@name``), the signs that it can have, which
    flags are known to be on or off, and, of a masked flag, the cell and flag that it was taken from."""

    object: str = ""
    sign: int = ANY
    on: int = 0
    off: int = WALK
    test: tuple[str, str, int] | None = None


UNKNOWN = Value()
NULL = Value("", ZERO)
YES = Value("", POSITIVE)
NO = Value("", ZERO)


class State(NamedTuple):
    """What is known at one step of one path. `guards` are locks that the function's end drops."""

    env: frozenset[tuple[str, Value]]
    locks: frozenset[tuple[str, str]]
    cells: frozenset[tuple[str, str, Value]]
    marks: tuple[tuple[str, str], ...]
    guards: frozenset[tuple[str, str]] = frozenset()

    def var(self, name: str) -> Value:
        """The value of a local variable."""
        for key, value in self.env:
            if key == name:
                return value
        return UNKNOWN

    def cell(self, object_: str, member: str) -> Value | None:
        """What a member of an object is known to hold."""
        for owner, key, value in self.cells:
            if owner == object_ and key == member:
                return value
        return None

    def with_var(self, name: str, value: Value) -> State:
        """The state after a variable was set."""
        env = frozenset(
            [item for item in self.env if item[0] != name] + ([] if value == UNKNOWN else [(name, value)])
        )
        return State(env, self.locks, self.cells, self.marks, self.guards)

    def with_cell(self, object_: str, member: str, value: Value | None) -> State:
        """The state after a member of an object was set (None: it is no longer known)."""
        cells = [c for c in self.cells if c[0] != object_ or c[1] != member]
        if value is not None:
            cells.append((object_, member, value))
        return State(self.env, self.locks, frozenset(cells), self.marks, self.guards)

    def marked(self, object_: str, what: str) -> State:
        """The state after `what` happened to an object; what happened before stays where it was."""
        mark = (object_, what)
        return self if mark in self.marks else self._replace(marks=(*self.marks, mark))

    def locked(self, lock: tuple[str, str]) -> State:
        """The state with one more lock held."""
        return self._replace(locks=self.locks | {lock})

    def unlocked(self, lock: tuple[str, str]) -> State:
        """The state with a lock dropped."""
        return self._replace(locks=self.locks - {lock})

    def fresh(self, name: str) -> State:
        """The state with nothing known under `name`: it stands for another object from here on."""

        def other(object_: str) -> bool:
            return object_ != name and not object_.startswith((name + "^", name + ">"))

        return State(
            frozenset((n, v) for n, v in self.env if other(v.object)),
            frozenset(lock for lock in self.locks if other(lock[0])),
            frozenset(c for c in self.cells if other(c[0]) and other(c[2].object)),
            tuple(m for m in self.marks if other(m[0])),
            self.guards,
        )

    def nameless(self, object_: str) -> State:
        """The state in which no variable is known to point to an object."""
        return self._replace(
            env=frozenset((n, v._replace(object="") if v.object == object_ else v) for n, v in self.env)
        )

    def without(self, object_: str) -> State:
        """The state with nothing known of an object: it is gone."""
        return self._replace(
            cells=frozenset(c for c in self.cells if c[0] != object_),
            marks=tuple(m for m in self.marks if m[0] != object_),
        )

    def reached(self, objects: Iterable[str]) -> frozenset[str]:
        """`objects`, and those of which something is known that they lead to."""
        wanted = set(objects)
        links = [(c[0], c[2].object) for c in self.cells if c[2].object and c[2].object not in wanted]
        while links:
            found = {to for owner, to in links if leads(owner, wanted)} - wanted
            if not found:
                break
            wanted |= found
        return frozenset(wanted)

    def parted(self, objects: Iterable[str]) -> tuple[State, State]:
        """The state as far as it speaks of some objects (and of what they lead to), and the rest of it."""
        nothing = frozenset[tuple[str, Value]]()
        if not self.cells and not self.marks:
            return State(nothing, self.locks, self.cells, ()), self
        wanted = self.reached(objects)
        owners = {c[0] for c in self.cells} | {m[0] for m in self.marks}
        mine = {o for o in owners if leads(o, wanted)}
        if len(mine) == len(owners):
            return State(nothing, self.locks, self.cells, self.marks), START
        cells = frozenset([c for c in self.cells if c[0] in mine])
        marks = tuple([m for m in self.marks if m[0] in mine])
        rest = tuple([m for m in self.marks if m[0] not in mine])
        return State(nothing, self.locks, cells, marks), State(nothing, self.locks, self.cells - cells, rest)

    def remembering(self, kept: frozenset[str]) -> State:
        """The state with nothing known of objects that no variable, no lock and none of `kept` leads to."""
        if not self.cells and not self.marks:
            return self
        objects = {owner_of(v.object) for _, v in self.env} | {owner for owner, _ in self.locks} | kept
        mine, _ = self.parted(objects)
        return mine._replace(env=self.env, guards=self.guards)

    def joined(self, other: State) -> State:
        """The state with what `other` knows of other objects."""
        if not other.cells and not other.marks:
            return self
        marks = tuple(dict.fromkeys((*other.marks, *self.marks)))
        return self._replace(cells=self.cells | other.cells, marks=marks)

    def named(self, name: Callable[[str], str]) -> State:
        """The state with its objects called by other names."""
        return State(
            frozenset([(n, v._replace(object=name(v.object)) if v.object else v) for n, v in self.env]),
            frozenset([(name(o) if o else o, lock) for o, lock in self.locks]),
            frozenset(
                [(name(o), m, v._replace(object=name(v.object)) if v.object else v) for o, m, v in self.cells]
            ),
            tuple(dict.fromkeys([(name(o), what) for o, what in self.marks])),
            self.guards,
        )

    def unified(self, one: str, other: str) -> State:
        """The state in which `other` turned out to be the object `one`."""
        return self.named(lambda object_: one if object_ == other else object_)


START = State(frozenset(), frozenset(), frozenset(), ())
"""Nothing is known."""


def owner_of(object_: str) -> str:
    """The object that a value points to, or into."""
    return object_[1:].partition("&")[0] if object_.startswith("&") else object_


def leads(object_: str, objects: Collection[str]) -> bool:
    """Whether one of `objects` is `object_`, or leads to it: as its child, as its dentry."""
    while True:
        if object_ in objects:
            return True
        if not object_ or object_[-1] not in "^>":
            return False
        object_ = object_[:-1]
